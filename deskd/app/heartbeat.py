"""Says from time to time that the desk lives, and how it is then."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from deskd.app.desk_status import equity_of, running
from deskd.domain import events as ev
from deskd.domain.market import MarketClock
from deskd.ports import Clock, Runs
from deskd.runtime import Runtime


@dataclass(slots=True, kw_only=True)
class Heartbeat:
    """One task of the desk."""

    every_s: float
    runtime: Runtime
    runs: Runs
    clock: Callable[[], MarketClock | None]  # the broker's, as last heard
    last_seq: Callable[[], int]  # of the ledger, as told
    wall: Clock
    is_over: bool = False

    async def run(self) -> NoReturn:
        """Beat until canceled."""
        while True:
            await asyncio.sleep(self.every_s)
            if not self.is_over:
                await self.runtime.post(self.beat())

    def end(self) -> None:
        """Beat no more: the desk writes its last facts."""
        self.is_over = True

    def beat(self) -> ev.Heartbeat:
        """Return how the desk is now."""
        desk = self.runtime.desk
        return ev.Heartbeat(
            orders_open=len(desk.open_ids),
            strategies_running=running(self.runs),
            market_is_open=clock.is_open if (clock := self.clock()) else None,
            ledger_seq=self.last_seq(),
            at=self.wall.now(),
            equity=equity_of(desk),
            positions=sum(bool(p.qty) for p in self.runtime.positions(None)),
            streams_down=tuple(desk.outages.open),
        )
