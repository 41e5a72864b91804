"""The guard of the ledger's disk: low is said once, in figures, and taken back when there is room again."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deskd.app.disk import WAL_LONG, DiskGuard, disk_told
from deskd.domain.notifications import Severity, Topic
from tests.factories import NOON
from tests.hang import HANG_S
from tests.small_disk import small_disk

MIB = 2**20
__all__ = ["small_disk"]


@asynccontextmanager
async def guarding(ledger: Path, least: int) -> AsyncIterator[list[str | None]]:
    """Guard the ledger's disk; the value is what the desk was told."""
    told: list[str | None] = []
    guard = DiskGuard(ledger=ledger, least=least, on_change=told.append, look_every_s=0.01)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(guard.run())
        yield told
        running.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not holds():  # noqa: ASYNC110  a disk tells nobody
            await asyncio.sleep(0.01)


async def test_low_is_said_once_and_taken_back(small_disk: Path) -> None:
    """An error with figures and remedy; orders again when there is a tenth more than the bound."""
    with capture_logs() as logs:
        async with guarding(small_disk / "desk.db", 4 * MIB) as told:
            await asyncio.sleep(0.1)
            assert told == []
            (small_disk / "filler").write_bytes(bytes(5 * MIB))
            await until(lambda: len(told) == 1)
            assert told[0] is not None
            assert "disk_free_min_mb=4" in told[0]
            os.truncate(small_disk / "filler", 4 * MIB - 4096)  # at the bound: not yet
            await asyncio.sleep(0.1)
            assert len(told) == 1
            (small_disk / "filler").unlink()
            await until(lambda: len(told) == 2)
            assert told[1] is None
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("disk_low", "error"),
        ("disk_has_room_again", "info"),
    ]
    assert logs[0]["remedy"] == f"free room on the disk of {small_disk / 'desk.db'}"


async def test_zero_never_minds(small_disk: Path) -> None:
    """Whoever turns it off has a full disk end the desk."""
    (small_disk / "filler").write_bytes(bytes(7 * MIB))
    async with guarding(small_disk / "desk.db", 0) as told:
        await asyncio.sleep(0.1)
        assert told == []


@pytest.mark.parametrize(("size", "events"), [(WAL_LONG, []), (WAL_LONG + 1, ["ledger_wal_long"])])
async def test_a_log_that_somebody_keeps_from_being_cut_is_a_warning(
    tmp_path: Path, size: int, events: list[str]
) -> None:
    """Said once; the remedy is at whoever reads."""
    (tmp_path / "desk.db-wal").touch()
    os.truncate(tmp_path / "desk.db-wal", size)  # a hole: no disk is filled
    with capture_logs() as logs:
        async with guarding(tmp_path / "desk.db", 0):
            await asyncio.sleep(0.1)
    assert [line["event"] for line in logs] == events


def test_low_and_room_again_are_told_each_with_a_key_of_its_own() -> None:
    """Figures and remedy; what is critical passes quiet hours."""
    low = disk_told("disk_free_mb=3 disk_free_min_mb=100", NOON)
    assert (low.severity, low.topic, low.key) == (Severity.CRITICAL, Topic.SYSTEM_ALERTS, f"disk:{NOON.isoformat()}")
    assert "disk_free_mb=3" in low.text
    assert "free room there" in low.text
    assert disk_told(None, NOON).severity is Severity.WARNING
