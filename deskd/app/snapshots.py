"""When snapshots are taken and the whole ledger is checked: in a worker, niced, beside the running desk.

Rule 1: one worker at a time. A snapshot that fails is a warning: it costs the next start some seconds, nothing else.
Rule 2: a start from a snapshot has checked the chain of what came after it only. The rest is checked now, and a
        ledger or snapshot that is not what was written ends the desk; the next start replays all of it, or refuses.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NoReturn

import msgspec
import structlog

from deskd.domain.errors import LedgerError
from deskd.ledger.snapshotter import BROKEN, Report
from deskd.ports import Clock

LOOK_EVERY_S = 15.0
TAIL_MAX = 10_000  # facts after the snapshot: some 0.2 s of the next start
TAIL_MIN = 1_000  # fewer are no reason for a new one, whatever day it is
GAP_S = 60.0  # between two snapshots of a desk that is very busy
RETRY_S = 600.0  # after one that failed

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Snapshots:
    """Looks after the snapshot of one ledger."""

    ledger: Path
    taken_at: int  # the entry of the snapshot that the desk started from; 0: it replayed everything
    last_seq: Callable[[], int]  # of the ledger, now
    wall: Clock
    look_every_s: float = LOOK_EVERY_S
    tail_max: int = TAIL_MAX
    tail_min: int = TAIL_MIN
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one worker at a time

    async def run(self) -> NoReturn:
        """Check what the start has not checked, then take snapshots as they fall due; raise LedgerError."""
        if self.taken_at:
            await self._work("verify", str(self.tail_min))
        day = self._today()
        while True:
            wait_s = self.look_every_s
            tail, today = self.last_seq() - self.taken_at, self._today()
            if tail >= self.tail_max or (tail >= self.tail_min and today != day):
                wait_s = GAP_S if await self._work("renew") else RETRY_S
                day = today
            await asyncio.sleep(wait_s)

    async def renew(self) -> bool:
        """Have one taken now, whatever is due; return whether it could be."""
        return await self._work("renew")

    def _today(self) -> date:
        return self.wall.now().date()

    async def _work(self, what: str, *more: str) -> bool:
        """Have the worker do one thing, in its turn; return whether it could."""
        async with self._turn:
            return await self._worked(what, *more)

    async def _worked(self, what: str, *more: str) -> bool:
        command = (sys.executable, "-m", "deskd.ledger.snapshotter", what, str(self.ledger), str(os.getpid()), *more)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:  # the desk ends: a cache is nothing to wait for
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        words = err.decode(errors="replace").strip()
        if process.returncode == BROKEN:
            raise LedgerError(words)
        if process.returncode:
            consequence = "the next start takes longer"
            log.warning(
                "snapshot_failed", work=what, code=process.returncode, why=words[-500:], consequence=consequence
            )
            return False
        report = msgspec.json.decode(out, type=Report)
        if report.taken:
            self.taken_at = report.seq
            log.info("snapshot_taken", seq=report.seq, replayed=report.replayed, bytes=report.size)
        if what == "verify":
            log.info("ledger_verified", facts=report.seq)
        return True
