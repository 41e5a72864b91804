"""How well the loop keeps up: it asks to be woken ten times a second, and looks how late it was."""

import asyncio
from dataclasses import dataclass, field
from typing import NoReturn

import structlog

from deskd.latency import Latency
from deskd.ports import Clock

EVERY_S = 0.1  # seldom enough to cost nothing, often enough that something that holds the loop again and again shows
HELD_S = 0.25  # nothing may hold the loop for 5 ms; what a busy machine takes is not to be told each time
QUIET_S = 60.0  # between two lines about it

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class LoopLag:
    """Measures for ever, as a task."""

    clock: Clock
    lags: Latency = field(default_factory=Latency)
    latest_s: float = 0.0
    _told_at: float | None = None
    _untold: int = 0

    async def run(self) -> NoReturn:
        """Measure until canceled."""
        while True:
            asked = self.clock.monotonic()
            await asyncio.sleep(EVERY_S)
            self.see(self.clock.monotonic() - asked - EVERY_S)

    def see(self, lag_s: float) -> None:
        """Count one look, and tell of a long lag; of many, once a minute."""
        self.latest_s = max(lag_s, 0.0)
        self.lags.observe(lag_s)
        if lag_s < HELD_S:
            return
        now = self.clock.monotonic()
        if self._told_at is not None and now - self._told_at < QUIET_S:
            self._untold += 1
            return
        log.warning("loop_lagged", lag_s=round(lag_s, 3), others_since=self._untold)
        self._told_at, self._untold = now, 0
