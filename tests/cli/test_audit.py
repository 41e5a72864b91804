"""deskctl audit and deskctl backup as a person uses them: processes of their own, with and without a desk."""

import asyncio
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deskd.ledger.roots import read_roots
from deskd.ledger.store import LedgerStore
from tests.cli.test_deskctl import deskctl
from tests.control.a_running_desk import a_running_desk
from tests.ledger.life import KEY, Life, at_rest, dump, written_and_signed


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """Leave what a desk that stopped leaves: its ledger with a root, its public key, its roots."""
    folder = tmp_path / "var"
    folder.mkdir()
    (tmp_path / "desk.toml").write_text('[desk]\nstate_dir = "var"\nruntime_dir = "run"\n')
    life = Life(61)
    life.goes_on(60)
    await written_and_signed(folder / "desk.db", life.facts, [40])
    (folder / "ledger-key").write_text(bytes(range(32)).hex())
    (folder / "ledger-key.pub").write_text(KEY.public + "\n")
    said = await deskctl(tmp_path / "desk.toml", "audit", "sign")
    assert said.code == 0, said.err
    return tmp_path / "desk.toml"


async def test_verify_proves_a_whole_ledger(config: Path) -> None:
    """With the desk's own key and roots, where none are named."""
    said = await deskctl(config, "audit", "verify")
    assert said.code == 0, said.out
    assert said.out.splitlines()[0] == f"{config.parent / 'var' / 'desk.db'}: whole"
    assert f"the key in {config.parent / 'var' / 'ledger-key.pub'}; 1 facts" in said.out.replace(")", "")


async def test_verify_tells_programs(config: Path) -> None:
    """Every figure."""
    told = json.loads((await deskctl(config, "audit", "verify", "--json")).out)
    assert told["whole"]
    assert told["only_chained"] == 1  # the root itself
    assert told["roots_file"] == str(config.parent / "var" / "roots.jsonl")


async def test_damage_ends_with_one_and_names_the_entry(config: Path) -> None:
    """For a cron job by the code, for people by the line."""
    with closing(sqlite3.connect(config.parent / "var" / "desk.db")) as db, db:
        db.execute("UPDATE positions SET qty = '999' WHERE rowid = 1")
    said = await deskctl(config, "audit", "verify")
    assert said.code == 1
    assert "first bad entry: positions strategy_id=house symbol=AAPL qty: expected 3, actual 999" in said.out


async def test_a_root_that_a_kill_cut_off_is_told_and_the_rest_is_checked(config: Path) -> None:
    """Half a line is no damage and no wrong usage: the ledger has the root, and the next start writes it whole."""
    file = config.parent / "var" / "roots.jsonl"
    with file.open("a") as half:
        half.write(file.read_text()[:30])
    said = await deskctl(config, "audit", "verify")
    assert said.code == 0, said.err
    assert f"{file}: line 2 is cut off" in said.out
    told = json.loads((await deskctl(config, "audit", "verify", "--json")).out)
    assert told["whole"]
    assert "line 2 is cut off" in told["roots_cut_off"]
    with closing(sqlite3.connect(config.parent / "var" / "desk.db")) as db, db:
        db.execute("UPDATE positions SET qty = '999' WHERE rowid = 1")
    assert (await deskctl(config, "audit", "verify")).code == 1


async def test_a_shortened_ledger_is_found_by_the_roots_beside_it(config: Path) -> None:
    """roots.jsonl remembers what the ledger does not."""
    folder = config.parent / "var"
    async with await LedgerStore.open(folder / "short.db") as ledger:
        assert ledger.last_seq == 0
    said = await deskctl(config, "audit", "verify", "--db", str(folder / "short.db"))
    assert said.code == 0  # whole in itself, as it is empty
    kept = ["--root", str(folder / "roots.jsonl"), "--db", str(folder / "short.db")]
    said = await deskctl(config, "audit", "verify", *kept)
    assert (said.code, "the ledger ends with entry 0" in said.out) == (1, True)
    shutil.move(at_rest(folder / "short.db"), at_rest(folder / "desk.db"))
    said = await deskctl(config, "audit", "verify")
    assert (said.code, "the ledger ends with entry 0" in said.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["verify", "--db", "/nowhere.db"], "does not exist"),
        (["verify", "--key", "desk.toml"], "key 1 is not 32 bytes in hex"),
        (["verify", "--root", "desk.toml"], "line 1 is no root"),
        (["rebuild", "desk.toml"], "Missing option '--db'"),
        (["verify", "--nope"], "No such option"),
    ],
)
async def test_wrong_usage_ends_with_two(config: Path, arguments: list[str], why: str) -> None:
    """Nothing is judged by mistake."""
    arguments = [str(config) if a == "desk.toml" else a for a in arguments]
    said = await deskctl(config, "audit", *arguments)
    assert (said.code, why in said.err) == (2, True), said.err


async def test_a_desk_that_never_ran_has_no_ledger(tmp_path: Path) -> None:
    """Which is said, with what to do."""
    (tmp_path / "desk.toml").write_text('[desk]\nstate_dir = "var"\n')
    for verb in ("verify", "roots", "export", "sign"):
        said = await deskctl(tmp_path / "desk.toml", "audit", verb)
        assert said.code == 2
        assert "name one with --db, or start the desk" in said.err


# The first time as whoever runs the tests: a member could perhaps not read what is imported by it.
AS_A_MEMBER = """
import os, sys
from click.testing import CliRunner
from deskd.cli.deskctl import cli

asked = [CliRunner().invoke(cli, sys.argv[1:])]
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
asked.append(CliRunner().invoke(cli, sys.argv[1:]))
print(*(one.exception or one.exit_code for one in asked), sep="\\n")
"""


@pytest.fixture
def closed(config: Path) -> Iterator[Path]:
    """Leave the same where others may look for it (pytest's own folder is closed to them), its ledger for officers."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        folder = shutil.copytree(config.parent, Path(made), dirs_exist_ok=True)
        folder.chmod(0o711)
        (folder / "var" / "desk.db").chmod(0o600)
        yield folder / "desk.toml"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
async def test_who_may_not_read_the_ledger_is_not_told_that_it_is_damaged(closed: Path) -> None:
    """A member gets the rule, and where their own orders are shown; who may read it is told that it is whole."""
    command = [sys.executable, "-c", AS_A_MEMBER, "--config", str(closed), "audit", "verify"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    ledger = closed.parent / "var" / "desk.db"
    rule = (
        "the ledger is kept by officers, and you may not read it; `deskctl orders` shows yours "
        "(an officer: log in anew if the group is newer than your login, or use sudo)"
    )
    assert said.decode().splitlines() == ["0", f"{ledger}: {rule}"]


async def test_roots_are_listed(config: Path) -> None:
    """Day, entry, hash, key."""
    said = await deskctl(config, "audit", "roots")
    assert len(said.out.splitlines()) == 3
    assert "2026-01-05" in said.out
    rows = json.loads((await deskctl(config, "audit", "roots", "--json")).out)
    assert rows[0]["seq"] == 40
    assert {row["public_key"] for row in rows} == {KEY.public}


async def test_signing_at_rest_appends_to_ledger_and_file(config: Path) -> None:
    """Once: the second time there is nothing to sign."""
    said = await deskctl(config, "audit", "sign")
    assert (said.code, said.out) == (0, "nothing to sign: all is signed\n")
    (root,) = read_roots(config.parent / "var" / "roots.jsonl")
    assert root.seq == max(row[0] for row in dump(config.parent / "var" / "desk.db")["roots"])  # type: ignore[type-var]


async def test_an_export_is_rebuilt_to_the_same_hash(config: Path) -> None:
    """By file and by pipe."""
    folder = config.parent / "var"
    by_file = await deskctl(config, "audit", "export", "--out", str(folder / "facts.jsonl"))
    by_pipe = await deskctl(config, "audit", "export")
    assert by_pipe.out == (folder / "facts.jsonl").read_text()
    assert by_file.err == by_pipe.err
    again = await deskctl(config, "audit", "export", "--out", str(folder / "facts.jsonl"))
    assert (again.code, "is there already" in again.err) == (1, True)
    said = await deskctl(config, "audit", "rebuild", str(folder / "facts.jsonl"), "--db", str(folder / "new.db"))
    assert said.code == 0, said.err
    assert said.out == f"{folder / 'new.db'}: {by_file.err}"
    assert dump(folder / "new.db") == dump(folder / "desk.db")
    assert (await deskctl(config, "audit", "verify", "--db", str(folder / "new.db"))).code == 0


async def test_a_broken_export_is_refused_with_its_line(config: Path) -> None:
    """Exit code 1, no ledger."""
    folder = config.parent / "var"
    lines = (await deskctl(config, "audit", "export")).out.splitlines(keepends=True)
    (folder / "facts.jsonl").write_text("".join([*lines[:9], *lines[10:]]))
    said = await deskctl(config, "audit", "rebuild", str(folder / "facts.jsonl"), "--db", str(folder / "new.db"))
    assert said.code == 1
    assert said.err.startswith("deskctl: line 10: facts seq=10")
    assert not (folder / "new.db").exists()


async def test_a_backup_is_made_with_and_without_a_desk(tmp_path: Path) -> None:
    """A running desk makes it, and has it on record; else it is copied from the file."""
    async with a_running_desk(tmp_path) as desk:
        said = await deskctl(desk, "backup", f"{'../' * 20}{tmp_path / 'one.db'}")
        assert said.code == 0, said.err
        assert [c.command for c in desk.commands] == ["backup"]
        assert (await deskctl(desk, "audit", "sign")).out == f"signed up to entry 7: {'ab' * 32}\n"
    said = await deskctl(tmp_path / "desk.toml", "backup", str(tmp_path / "two.db"), "--json")
    assert json.loads(said.out)["facts"] == len(dump(tmp_path / "one.db")["facts"])
    assert dump(tmp_path / "one.db") == dump(tmp_path / "two.db")
    said = await deskctl(tmp_path / "desk.toml", "backup", str(tmp_path / "two.db"))
    assert (said.code, "is there already" in said.err) == (1, True)


async def test_progress_is_shown_on_a_terminal(config: Path) -> None:
    """And leaves no trace in a pipe."""
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "deskd.cli.deskctl", "--config", str(config), "audit", "verify"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE, stderr=follower
    )
    out, _ = await process.communicate()
    os.close(follower)
    shown = os.read(leader, 65_536).decode()
    os.close(leader)
    assert process.returncode == 0
    assert b"\r" not in out
    assert " facts" in shown
    assert shown.endswith("\r\033[K")
