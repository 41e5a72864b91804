"""When snapshots are taken: beside the desk, one at a time, and what they find ends it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deskd.app.snapshots import Snapshots
from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger import snapshot, snapshotter
from deskd.ledger.snapshot import Head
from deskd.ledger.store import LedgerStore
from deskd.ports import SystemClock
from tests.hang import HANG_S
from tests.ledger.story import a_story


class Calendar(SystemClock):
    """A clock whose day is turned by hand."""

    def __init__(self) -> None:
        self.day = datetime(2026, 1, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self.day


async def a_ledger(path: Path, facts: list[ev.Fact]) -> Path:
    async with await LedgerStore.open(path) as ledger:
        await ledger.append(facts, [])
    return path


def watching(ledger: Path, *, taken_at: int, last_seq: int, tail_max: int, tail_min: int = 1) -> Snapshots:
    return Snapshots(
        ledger=ledger,
        taken_at=taken_at,
        last_seq=lambda: last_seq,
        wall=Calendar(),
        look_every_s=0.02,
        tail_max=tail_max,
        tail_min=tail_min,
    )


async def until_it_stands_at(ledger: Path, seq: int) -> None:
    async with asyncio.timeout(HANG_S):
        while True:
            head = snapshot.head_of(snapshot.path_of(ledger))
            if isinstance(head, Head) and head.seq == seq:
                return
            await asyncio.sleep(0.02)


async def test_a_start_that_replayed_a_long_ledger_takes_a_snapshot(tmp_path: Path) -> None:
    """The next one is short."""
    facts, _ = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts)
    snapshots = watching(ledger, taken_at=0, last_seq=len(facts), tail_max=10)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(snapshots.run())
        await until_it_stands_at(ledger, len(facts))
        running.cancel()
    head = snapshot.head_of(snapshot.path_of(ledger))
    assert isinstance(head, Head)
    assert head.seq == len(facts)


async def test_a_new_day_takes_one_even_of_a_short_tail(tmp_path: Path) -> None:
    """Once a day, where anything happened at all; until then the tail waits to be long."""
    facts, _ = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts)
    snapshots = watching(ledger, taken_at=0, last_seq=len(facts), tail_max=1_000, tail_min=10)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(snapshots.run())
        await asyncio.sleep(0.1)
        assert snapshot.head_of(snapshot.path_of(ledger)) is None
        assert isinstance(snapshots.wall, Calendar)
        snapshots.wall.day += timedelta(days=1)
        await until_it_stands_at(ledger, len(facts))
        running.cancel()


async def test_a_start_from_a_snapshot_checks_the_whole_ledger_behind_it(tmp_path: Path) -> None:
    """What the start skipped is read now; that it is whole is in the log."""
    facts, _ = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts)
    snapshotter.renew(ledger)
    snapshots = watching(ledger, taken_at=len(facts), last_seq=len(facts), tail_max=10)
    with capture_logs() as logs:
        async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(snapshots.run())
            while not any(line["event"] == "ledger_verified" for line in logs):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            running.cancel()
    assert logs == [{"event": "ledger_verified", "facts": len(facts), "log_level": "info"}]


async def test_a_broken_ledger_behind_the_snapshot_ends_the_desk(tmp_path: Path) -> None:
    """The error is the one that a start without a snapshot would have ended with."""
    facts, _ = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts)
    snapshotter.renew(ledger)
    async with await LedgerStore.open(ledger) as opened:
        await opened._db.execute("DROP TRIGGER facts_are_never_changed")
        await opened._db.execute("UPDATE facts SET body = '{}' WHERE seq = 2")
    snapshots = watching(ledger, taken_at=len(facts), last_seq=len(facts), tail_max=10)
    with pytest.raises(LedgerError, match="entry 2 is not what the desk wrote"):
        await snapshots.run()


async def test_a_snapshot_that_cannot_be_taken_is_a_warning(tmp_path: Path) -> None:
    """The desk trades on; the log says what it costs."""
    facts, _ = a_story()
    ledger = await a_ledger(tmp_path / "desk.db", facts)
    snapshot.path_of(ledger).mkdir()  # no file can take this name
    snapshots = watching(ledger, taken_at=0, last_seq=len(facts), tail_max=10)
    with capture_logs() as logs:
        async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(snapshots.run())
            while not logs:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            assert not running.done()
            running.cancel()
    assert (logs[0]["event"], logs[0]["log_level"]) == ("snapshot_failed", "warning")
    assert logs[0]["consequence"] == "the next start takes longer"
    assert "directory" in logs[0]["why"]
