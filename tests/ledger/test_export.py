"""Facts as text: whole, readable, and enough to make the ledger again to the same hash."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deskd.domain.errors import LedgerError
from deskd.ledger import codec
from deskd.ledger.export import export, rebuild
from tests.ledger.life import Life, dump, written


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Write a ledger of a long life, in small batches."""
    life = Life(21)
    life.goes_on(1_500)
    return await written(tmp_path / "desk.db", life.facts, range(0, len(life.facts), 9))


def exported(path: Path) -> list[bytes]:
    lines: list[bytes] = []
    export(path, lines.append)
    return lines


def test_an_export_makes_the_same_ledger_again(tmp_path: Path, path: Path) -> None:
    """The same hash, the same facts byte by byte, the same tables."""
    told: list[int] = []
    lines = exported(path)
    read = rebuild(lines, tmp_path / "new.db", on_progress=told.append)
    assert dump(tmp_path / "new.db") == dump(path)
    assert read.hash == json.loads(lines[-1])["hash"]
    assert read.seq == told[-1] == len(lines)
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600
    assert exported(tmp_path / "new.db") == lines
    assert [p.name for p in tmp_path.glob("new*")] == ["new.db"]


def test_a_line_is_one_json_object_with_the_body_as_the_ledger_has_it(path: Path) -> None:
    """For whoever reads it; the hash can be made over its bytes with nothing but SHA-256."""
    for line in exported(path)[:200]:
        fields = json.loads(line)
        assert list(fields) == ["seq", "at", "kind", "body", "prev_hash", "hash"]
        text = line.decode()
        body = text[text.index('"body":') + 7 : text.rindex(',"prev_hash":')]
        assert codec.chain(fields["prev_hash"], fields["seq"], fields["at"], fields["kind"], body) == fields["hash"]
        assert line.count(b"\n") == 1


def test_an_export_that_a_tool_spaced_anew_still_counts(tmp_path: Path, path: Path) -> None:
    """As `jq` prints it: blanks between, letters escaped. The hash says that it is the same."""
    lines = [json.dumps(json.loads(line)).encode() + b"\n" for line in exported(path)]
    assert lines != exported(path)
    rebuild(lines, tmp_path / "new.db")
    assert dump(tmp_path / "new.db") == dump(path)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (lambda lines: [*lines[:4], lines[4].replace(b"2026", b"2027"), *lines[5:]], "line 5: facts seq=5 hash"),
        (lambda lines: [*lines[:4], *lines[5:]], "line 5: facts seq=5: expected an entry, actual none"),
        (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], "line 5: facts seq=5"),
        (lambda lines: [*lines[:4], lines[3], *lines[4:]], "line 5: facts seq=5"),
        (lambda lines: [*lines[:900], lines[900][:50]], "line 901: is no exported entry.*cut off"),
        (lambda lines: [lines[0].replace(b"DeskStarted", b"DeskStopped"), b"{"], "line 1: facts seq=1"),
        (lambda lines: [*lines[:4], b"\n", *lines[4:]], "line 5: is no exported entry"),
        (lambda lines: [b"\xff\xfe\n"], "line 1: is no exported entry"),
        (lambda lines: [b'{"seq":1}\n'], "line 1: is no exported entry.*missing required field"),
    ],
    ids=["changed", "missing", "swapped", "twice", "cut", "the first of two", "blank", "binary", "fields"],
)
def test_a_broken_export_is_refused_by_its_first_bad_line(
    tmp_path: Path, path: Path, broken: object, named: str
) -> None:
    """Nothing is left where the ledger would have been."""
    assert callable(broken)
    with pytest.raises(LedgerError, match=named):
        rebuild(broken(exported(path)), tmp_path / "new.db")
    assert not list(tmp_path.glob("new*"))


def test_no_file_is_overwritten(tmp_path: Path, path: Path) -> None:
    """A ledger that is there stays what it is."""
    (tmp_path / "new.db").write_text("precious")
    with pytest.raises(LedgerError, match=r"new\.db: is there already"):
        rebuild(exported(path), tmp_path / "new.db")
    assert (tmp_path / "new.db").read_text() == "precious"
    with pytest.raises(LedgerError, match=r"nowhere/new\.db: cannot be written"):
        rebuild(exported(path), tmp_path / "nowhere" / "new.db")


def test_a_damaged_ledger_is_exported_up_to_the_first_bad_entry(path: Path) -> None:
    """And it is said which that is: a short export does not pass for a whole one."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TRIGGER facts_are_never_changed")
        db.execute("UPDATE facts SET at = at || 'x' WHERE seq = 7")
    lines: list[bytes] = []
    with pytest.raises(LedgerError, match="facts seq=7"):
        export(path, lines.append)
    assert len(lines) == 6


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """No file; a file of something else."""
    with pytest.raises(LedgerError, match="cannot be read after entry 0"):
        export(tmp_path / "nowhere.db", print)
    (tmp_path / "list.db").write_text("a shopping list, and a long one" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        export(tmp_path / "list.db", print)
