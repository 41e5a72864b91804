"""A backup: of one moment, whole, never in the way of the desk, never in the place of another file."""

import asyncio
import errno
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deskd.core.desk import Desk
from deskd.domain.errors import LedgerError
from deskd.ledger.audit import verify
from deskd.ledger.backup import Head, backup, identity_of, why_not_written
from deskd.ledger.codec import GENESIS
from deskd.ledger.store import LedgerStore
from tests.ledger.life import Life, append, at_rest, batches, dump, written


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("copy*"))


async def test_a_backup_is_the_ledger_in_one_file(tmp_path: Path) -> None:
    """For its owner's eyes; verified it is whole, and a desk opens it as its own."""
    life = Life(51)
    life.goes_on(200)
    path = await written(tmp_path / "desk.db", life.facts)
    head = backup(path, tmp_path / "copy.db")
    assert head.seq == len(life.facts)
    assert dump(tmp_path / "copy.db") == dump(path)
    assert verify(tmp_path / "copy.db").is_whole
    assert left(tmp_path) == ["copy.db"]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    async with await LedgerStore.open(tmp_path / "copy.db") as ledger:
        assert (ledger.last_seq, ledger.last_hash) == head


async def test_backups_under_load_are_whole_and_hold_up_nobody(tmp_path: Path) -> None:
    """While the desk appends: each is a moment of the ledger, and every append goes through."""
    life = Life(52)
    life.goes_on(3_000)
    parts = batches(life.facts, range(0, len(life.facts), 20))
    path, desk = tmp_path / "desk.db", Desk()
    heads: list[Head] = []
    is_done = asyncio.Event()

    async def back_up() -> None:
        while not is_done.is_set():
            heads.append(await asyncio.to_thread(backup, path, tmp_path / f"copy-{len(heads)}.db"))

    async with await LedgerStore.open(path) as ledger:
        await append(ledger, desk, parts[:10])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(back_up())
            await append(ledger, desk, parts[10:])
            is_done.set()
        assert ledger.last_seq == len(life.facts)
    assert heads == sorted(heads)
    for number, head in enumerate(heads):
        verdict = verify(tmp_path / f"copy-{number}.db")
        assert verdict.is_whole
        assert (verdict.facts, verdict.last_hash) == head


async def test_an_empty_ledger_can_be_backed_up(tmp_path: Path) -> None:
    """On the first day."""
    await (await LedgerStore.open(tmp_path / "desk.db")).close()
    assert backup(tmp_path / "desk.db", tmp_path / "copy.db") == Head(0, GENESIS)


async def test_no_file_is_overwritten(tmp_path: Path) -> None:
    """Nor is what another backup is writing."""
    path = await written(tmp_path / "desk.db", Life(53).facts)
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(LedgerError, match=r"copy\.db: is there already: name a file that is not"):
        backup(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"
    (tmp_path / "other.db.part").write_text("growing")
    with pytest.raises(LedgerError, match=r"other\.db\.part: another backup"):
        backup(path, tmp_path / "other.db")
    assert (tmp_path / "other.db.part").read_text() == "growing"


async def test_a_backup_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    """The place, the reason."""
    path = await written(tmp_path / "desk.db", Life(53).facts)
    with pytest.raises(LedgerError, match=r"there is no folder .*nowhere: make it first"):
        backup(path, tmp_path / "nowhere" / "copy.db")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(LedgerError, match=r"loop cannot be reached .*: the desk's user needs the right to pass"):
        backup(path, tmp_path / "loop" / "copy.db")
    (tmp_path / "list.db").write_text("a shopping list, and a long one" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        backup(tmp_path / "list.db", tmp_path / "copy.db")
    with pytest.raises(LedgerError, match="unable to open"):
        backup(tmp_path / "gone.db", tmp_path / "copy.db")
    assert left(tmp_path) == []


async def test_a_copy_of_a_damaged_ledger_is_no_backup(tmp_path: Path) -> None:
    """Better none, and an officer who knows, than one that is found out when it is needed."""
    path = at_rest(await written(tmp_path / "desk.db", Life(53).facts))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TRIGGER facts_are_never_changed")
        db.execute("UPDATE facts SET body = '{}' WHERE seq = (SELECT max(seq) FROM facts)")
    with pytest.raises(LedgerError, match="the last, is not what the desk wrote"):
        backup(path, tmp_path / "copy.db")
    content = bytearray(path.read_bytes())
    content[-4096:-4000] = bytes(96)
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="the copy is damaged"):
        backup(path, tmp_path / "copy.db")
    assert left(tmp_path) == []


def test_a_folder_that_the_unit_does_not_let_be_written_is_told_with_the_units_key(tmp_path: Path) -> None:
    """The desk's rights are not to blame: ProtectSystem= is."""
    said = why_not_written(OSError(errno.EROFS, "Read-only file system"), tmp_path)
    assert f"ReadWritePaths=-{tmp_path}" in said
    assert "systemctl edit deskd" in said
    assert "needs the right to" in why_not_written(PermissionError(errno.EACCES, "Permission denied"), tmp_path)


def test_a_folder_is_told_from_another_of_its_name(tmp_path: Path) -> None:
    """By what the file system calls it; one that cannot be looked at is nobody's."""
    (tmp_path / "one").mkdir()
    before = identity_of(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    (tmp_path / "one").mkdir()
    assert identity_of(tmp_path / "two") == before != identity_of(tmp_path / "one")
    assert identity_of(tmp_path / "three") is None
