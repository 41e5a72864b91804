"""The snapshot's file: bound to its ledger, its program and its bytes; whole, or as if it were not there."""

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deskd.core.desk import Desk
from deskd.ledger import snapshot
from deskd.ledger.snapshot import Head, Unfit
from tests.ledger.story import a_story

HASH = "c0ffee" * 10


def a_snapshot_at(path: Path) -> tuple[Head, Desk]:
    _, desk = a_story()
    return snapshot.take(path, desk, seq=7, entry_hash=HASH), desk


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def rewritten(path: Path, head: Head) -> None:
    """Give the file another first line."""
    body = path.read_bytes().split(b"\n", 1)[1]
    path.write_bytes(msgspec.json.encode(head) + b"\n" + body)


def test_what_was_taken_is_loaded(tmp_path: Path) -> None:
    """The same desk, standing at the same entry; nobody but the desk's user can read it."""
    path = snapshot.path_of(tmp_path / "desk.db")
    head, desk = a_snapshot_at(path)
    assert snapshot.head_of(path) == head
    assert snapshot.load(path, head, stored_hash=HASH) == desk
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names_in(tmp_path) == ["desk.db.snapshot"]


def test_where_there_is_none_nothing_is_said(tmp_path: Path) -> None:
    """A first start is no trouble."""
    assert snapshot.head_of(tmp_path / "desk.db.snapshot") is None


def test_a_new_one_takes_the_place_of_the_last_and_of_what_a_kill_left(tmp_path: Path) -> None:
    """A half-written file of an earlier worker is in nobody's way."""
    path = tmp_path / "desk.db.snapshot"
    a_snapshot_at(path)
    (tmp_path / "desk.db.snapshot.new").write_bytes(b"half a snapsh")
    newer = snapshot.take(path, Desk(), seq=9, entry_hash="beef")
    assert snapshot.head_of(path) == newer
    assert snapshot.load(path, newer, stored_hash="beef") == Desk()
    assert names_in(tmp_path) == ["desk.db.snapshot"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"code": "0" * 64}, "another version of the desk's code"),
        ({"format": 2}, "its format is 2, this program's is 1"),
    ],
)
def test_another_programs_is_not_used(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    """Code that folds in another way never reads this one's fold."""
    path = tmp_path / "desk.db.snapshot"
    head, _ = a_snapshot_at(path)
    rewritten(path, replace(head, **changes))
    found = snapshot.head_of(path)
    assert isinstance(found, Unfit)
    assert why in found.why


@pytest.mark.parametrize(
    ("stored", "why"), [(None, "the ledger has no entry 7"), ("feed", "the ledger's entry 7 is another one")]
)
def test_another_ledgers_is_not_used(tmp_path: Path, stored: str | None, why: str) -> None:
    """A ledger that was restored from a backup, or begun anew, is replayed."""
    path = tmp_path / "desk.db.snapshot"
    head, _ = a_snapshot_at(path)
    assert snapshot.load(path, head, stored_hash=stored) == Unfit(why)


def test_any_changed_or_missing_byte_is_found(tmp_path: Path) -> None:
    """Every byte of the file is held against its first line, and that against the ledger and the program."""
    path = tmp_path / "desk.db.snapshot"
    a_snapshot_at(path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 23):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert isinstance(used(path), Unfit), f"byte {place}"
        path.write_bytes(whole[:place])
        assert isinstance(used(path), Unfit), f"cut at {place}"
    path.write_bytes(whole + b"\0")
    assert isinstance(used(path), Unfit)


def used(path: Path) -> Desk | Unfit | None:
    """Return what a start makes of the file."""
    head = snapshot.head_of(path)
    return snapshot.load(path, head, stored_hash=HASH if head.seq == 7 else None) if isinstance(head, Head) else head


def test_a_fold_of_other_fields_is_not_used(tmp_path: Path) -> None:
    """Even one whose hashes are right."""
    path = tmp_path / "desk.db.snapshot"
    head, _ = a_snapshot_at(path)
    body = msgspec.msgpack.encode({"orders": {}})
    head = replace(head, size=len(body), sha256=snapshot.digest(body))
    path.write_bytes(msgspec.json.encode(head) + b"\n" + body)
    found = snapshot.load(path, head, stored_hash=HASH)
    assert isinstance(found, Unfit)
    assert "its fields are not the desk's" in found.why


def test_one_that_cannot_be_read_is_named_and_not_used(tmp_path: Path) -> None:
    """A folder in its place, an empty file, a text."""
    path = tmp_path / "desk.db.snapshot"
    path.mkdir()
    assert snapshot.head_of(path) == Unfit("it cannot be read: Is a directory")
    path.rmdir()
    for text in (b"", b"{}", b"a shopping list\n"):
        path.write_bytes(text)
        assert snapshot.head_of(path) == Unfit("its first line is not a snapshot's")


def test_one_that_cannot_be_written_leaves_the_last_and_no_litter(tmp_path: Path) -> None:
    """The error is the caller's to tell; the last snapshot is still good."""
    path = tmp_path / "desk.db.snapshot"
    path.mkdir()  # whose name cannot be taken by a file
    with pytest.raises(OSError, match="directory"):
        a_snapshot_at(path)
    assert names_in(tmp_path) == ["desk.db.snapshot"]
