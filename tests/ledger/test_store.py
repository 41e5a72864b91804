"""The ledger's file: durable, ordered, locked, and honest about what is wrong."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger import codec
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from tests.factories import NOON, a_desk, a_request, accepted, filled, requested
from tests.ledger.story import a_story, rebuilt


async def test_what_was_appended_is_replayed_in_order(tmp_path: Path) -> None:
    """The facts that come back are the facts that went in."""
    facts, _ = a_story()
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        await ledger.append(facts[:3], [])
        await ledger.append(facts[3:], [])
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        assert [fact async for fact in ledger.replay()] == facts
        assert ledger.last_seq == len(facts)


async def test_no_stranger_on_the_machine_reads_a_new_ledger(tmp_path: Path) -> None:
    """All members' orders stand in it: who is neither the desk's user nor in its group is asked to use deskctl."""
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        await ledger.append(a_story()[0], [])
        assert strangers_rights(tmp_path) == {"desk.db": 0, "desk.db-shm": 0, "desk.db-wal": 0, "desk.db.lock": 0}


def strangers_rights(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o007 for file in folder.glob("desk.db*")}


async def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Each entry carries the hash of the one before, across openings."""
    facts, _ = a_story()
    for fact in facts:
        async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
            await ledger.append([fact], [])
    prev = codec.GENESIS
    with closing(sqlite3.connect(tmp_path / "desk.db")) as db, db:
        for seq, at, kind, body, prev_hash, entry_hash in db.execute("SELECT * FROM facts ORDER BY seq"):
            assert prev_hash == prev
            assert entry_hash == codec.chain(prev, seq, at, kind, body)
            prev = entry_hash


async def test_facts_cannot_be_changed_or_deleted(tmp_path: Path) -> None:
    """Append-only is a rule of the file, not a habit of the program."""
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        await ledger.append([ev.DeskStopped(at=NOON)], [])
    with closing(sqlite3.connect(tmp_path / "desk.db")) as db, db:
        for sql in ("UPDATE facts SET body = '{}'", "DELETE FROM facts"):
            with pytest.raises(sqlite3.IntegrityError, match="only ever appended"):
                db.execute(sql)


async def test_projections_stand_with_their_facts_or_not_at_all(tmp_path: Path) -> None:
    """One transaction: a projection that fails takes its facts back with it."""
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        with pytest.raises(LedgerError, match="cannot be written"):
            await ledger.append([ev.DeskStopped(at=NOON)], [("INSERT INTO fills VALUES (1)", ())])
        assert ledger.last_seq == 0
        assert [fact async for fact in ledger.replay()] == []


async def test_a_ledger_in_use_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """One writer: a second desk on the same file stops at once, and says why."""
    async with await LedgerStore.open(tmp_path / "desk.db"):
        with pytest.raises(LedgerError, match="another desk is using this ledger"):
            await LedgerStore.open(tmp_path / "desk.db")
    await (await LedgerStore.open(tmp_path / "desk.db")).close()


async def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    """An older program does not touch what it does not understand."""
    await (await LedgerStore.open(tmp_path / "desk.db")).close()
    with closing(sqlite3.connect(tmp_path / "desk.db")) as db, db:
        db.execute("INSERT INTO migrations VALUES (9999, '9999_future.sql', 'x')")
    with pytest.raises(LedgerError, match=r"version 9999.*install the newer deskd"):
        await LedgerStore.open(tmp_path / "desk.db")


async def test_a_changed_migration_is_refused(tmp_path: Path) -> None:
    """What made the tables is known by its checksum."""
    await (await LedgerStore.open(tmp_path / "desk.db")).close()
    with closing(sqlite3.connect(tmp_path / "desk.db")) as db, db:
        db.execute("UPDATE migrations SET checksum = 'x'")
    with pytest.raises(LedgerError, match="reinstall deskd"):
        await LedgerStore.open(tmp_path / "desk.db")


async def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """A file of something else is named, and not overwritten."""
    (tmp_path / "desk.db").write_text("This is a shopping list, and a long one." * 100)
    with pytest.raises(LedgerError, match=r"desk\.db: the ledger cannot be used"):
        await LedgerStore.open(tmp_path / "desk.db")


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The path and the remedy are in the error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"check desk\.db_path"):
        await LedgerStore.open(tmp_path / "file" / "desk.db")


async def test_a_full_disk_is_an_error_and_loses_nothing_that_was_there(tmp_path: Path) -> None:
    """The batch that finds no room is taken back whole; what stood before, stands."""
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        await ledger.append([ev.DeskStopped(at=NOON)], [])
        async with ledger._db.execute("PRAGMA page_count") as cursor:
            row = await cursor.fetchone()
        assert row is not None
        await ledger._db.execute(f"PRAGMA max_page_count = {row[0]}")
        big = ev.CommandGiven(by="x", command="y", arguments="z" * 100_000, at=NOON)
        with pytest.raises(LedgerError, match="full"):
            await ledger.append([big], [])
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        assert [type(f) async for f in ledger.replay()] == [ev.DeskStopped]


async def test_replaying_the_file_gives_the_same_desk(tmp_path: Path) -> None:
    """The desk is a pure function of its ledger."""
    facts, desk = a_story()
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        await ledger.append(facts, project(facts, desk))
        again = Desk()
        async for fact in ledger.replay():
            again.apply(fact)
    assert again == desk
    assert rebuilt(facts) == desk


WRITER = """
import asyncio, sys
from pathlib import Path
from deskd.ledger.store import LedgerStore
from deskd.domain import events as ev
from tests.factories import NOON
async def main():
    ledger = await LedgerStore.open(Path(sys.argv[1]))
    for i in range(100000):
        await ledger.append([ev.CommandGiven(by="x", command=str(i), arguments="", at=NOON)], [])
        print(i, flush=True)
asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    """Every fact whose append returned is there after SIGKILL, and the chain is whole."""
    path = tmp_path / "desk.db"
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(path), stdout=subprocess.PIPE)
    assert writer.stdout is not None
    last = -1
    async for line in writer.stdout:
        last = int(line)
        if last == 50:
            os.kill(writer.pid, signal.SIGKILL)
    await writer.wait()
    async with await LedgerStore.open(path) as ledger:
        stored = [f.command async for f in ledger.replay() if isinstance(f, ev.CommandGiven)]
    assert stored[: last + 1] == [str(i) for i in range(last + 1)]
    assert len(stored) - (last + 1) in {0, 1}  # one may have been on disk, and not yet acknowledged


async def test_appending_does_not_block_the_loop(tmp_path: Path) -> None:
    """The disk is waited for in the writer's thread: other tasks run meanwhile."""
    desk = a_desk()
    request = a_request()
    facts: list[ev.Fact] = []
    for event in (requested(request), accepted(request), filled(request, 10)):
        facts += [e.fact for e in handle(desk, event) if hasattr(e, "fact")]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with await LedgerStore.open(tmp_path / "desk.db") as ledger, asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(count())
        await ledger.append(facts, project(facts, desk))
        counting.cancel()
    assert turns > 1


async def test_a_ledger_that_is_a_folder_is_refused_in_words(tmp_path: Path) -> None:
    """The file and the remedy; the lock is let go."""
    (tmp_path / "desk.db").mkdir()
    for _ in range(2):
        with pytest.raises(LedgerError, match="cannot be used"):
            await LedgerStore.open(tmp_path / "desk.db")


@pytest.mark.parametrize(
    "crime",
    [
        "UPDATE facts SET body = replace(body, '\"10\"', '\"11\"') WHERE kind = 'OrderApproved'",
        "UPDATE facts SET at = '2030-01-01T00:00:00.000000Z' WHERE seq = 5",
        "DELETE FROM facts WHERE seq = 5",
        "UPDATE facts SET kind = 'OrderExpired' WHERE kind = 'OrderCanceled'",
    ],
)
async def test_a_changed_entry_is_found_at_the_next_start(tmp_path: Path, crime: str) -> None:
    """Whoever edits the truth, with the trigger out of the way, is found out before the desk acts on it."""
    facts, _ = a_story()
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        await ledger.append(facts, [])
    with closing(sqlite3.connect(tmp_path / "desk.db")) as db, db:
        db.execute("DROP TRIGGER facts_are_never_changed")
        db.execute("DROP TRIGGER facts_are_never_deleted")
        assert db.execute(crime).rowcount > 0
    async with await LedgerStore.open(tmp_path / "desk.db") as ledger:
        with pytest.raises(LedgerError, match="is not what the desk wrote"):
            assert [fact async for fact in ledger.replay()]
