"""The guard of the ledger's disk: no new orders before the room for what becomes of the open ones runs out.

Rule 1: it looks on a schedule, never per order. Cancels, fills and looks go on: they make the desk smaller, not larger.
Rule 2: a full disk itself is not its matter: a ledger that cannot be written ends the desk (runtime, rule 3).
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import structlog

from deskd.domain.notifications import Notification, Severity, Topic

LOOK_EVERY_S = 5.0
AGAIN = 1.1  # of the bound must be free before orders are taken again: a disk at its bound would flap
WAL_LONG = 256 * 2**20  # of a write-ahead log: somebody has been reading the ledger for very long
_MIB = 2**20

log = structlog.get_logger()


def disk_told(low: str | None, now: datetime) -> Notification:
    """Return what people are told when room runs out, or is there again. It is no fact: the ledger may have no room."""
    if low is None:
        title, text, severity = "The disk has room again", "New orders are taken again.", Severity.WARNING
    else:
        title, severity = "The disk of the ledger is nearly full", Severity.CRITICAL
        text = f"{low}\nNo new orders are taken, cancels pass. To do: free room there (df -h; old backups, logs, tapes)"
    key = f"disk:{now.isoformat()}"
    return Notification(key=key, topic=Topic.SYSTEM_ALERTS, severity=severity, title=title, text=text, at=now)


@dataclass(slots=True, kw_only=True)
class DiskGuard:
    """Watches the file system that the ledger is on."""

    ledger: Path
    least: int  # bytes; 0: nothing is watched
    on_change: Callable[[str | None], None]  # what is wrong, or None: nothing any more
    look_every_s: float = LOOK_EVERY_S
    _is_low: bool = False
    _is_wal_long: bool = False

    async def run(self) -> NoReturn:
        """Look until canceled."""
        while True:
            free, wal = await asyncio.to_thread(self._measure)
            self._judge_room(free)
            self._judge_wal(wal)
            await asyncio.sleep(self.look_every_s)

    def _measure(self) -> tuple[int, int]:
        """Return the bytes that the desk may still write, and those of the write-ahead log."""
        disk = os.statvfs(self.ledger.parent)
        wal = self.ledger.with_name(self.ledger.name + "-wal")
        return disk.f_bavail * disk.f_frsize, wal.stat().st_size if wal.exists() else 0

    def _judge_room(self, free: int) -> None:
        is_low = free < self.least * (AGAIN if self._is_low else 1)
        if is_low == self._is_low:
            return
        self._is_low = is_low
        figures = {"disk_free_mb": free // _MIB, "disk_free_min_mb": self.least // _MIB}
        if is_low:
            remedy = f"free room on the disk of {self.ledger}"
            log.error("disk_low", **figures, consequence="no new orders are taken; cancels pass", remedy=remedy)
            self.on_change(" ".join(f"{name}={figure}" for name, figure in figures.items()))
        else:
            log.info("disk_has_room_again", **figures)
            self.on_change(None)

    def _judge_wal(self, size: int) -> None:
        is_long = size > WAL_LONG
        if is_long and not self._is_wal_long:
            remedy = "end whatever has been reading the ledger for so long (a backup, an export, a shell)"
            log.warning("ledger_wal_long", mb=size // _MIB, consequence="it grows until that ends", remedy=remedy)
        self._is_wal_long = is_long
