"""Follows the broker's clock, and with it what can be traded."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import NoReturn

import structlog

from deskd.domain import events as ev
from deskd.domain.market import MarketClock
from deskd.ports import Broker, Clock
from deskd.runtime import Runtime

CLOCK_EVERY_S = 15.0  # the market's clock is asked for
FIRST_EVERY_S = 1.0  # until the broker has answered once

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class MarketWatch:
    """Asks for the clock from time to time, and for the list of instruments once a market day."""

    runtime: Runtime
    broker: Broker
    wall: Clock
    on_open: Callable[[bool], None]
    on_clock: Callable[[MarketClock], Awaitable[None]]
    clock: MarketClock | None = None  # as last heard
    first_every_s: float = FIRST_EVERY_S
    _listed: date | None = None
    _trouble: str = ""

    async def run(self) -> NoReturn:
        """Follow it until canceled. A broker that cannot be asked is asked again."""
        while True:
            try:
                await self._look()
                self._trouble = ""
            except OSError as error:
                if str(error) != self._trouble:  # said once, not every second of an outage
                    self._trouble = str(error)
                    log.warning("broker_unreachable", error=self._trouble)
            await asyncio.sleep(CLOCK_EVERY_S if self._listed else self.first_every_s)

    async def _look(self) -> None:
        self.clock = clock = await self.runtime.clock()
        self.on_open(clock.is_open)
        await self.on_clock(clock)
        today = clock.timestamp.date()
        if today != self._listed:
            instruments = tuple(await self.broker.instruments())
            await self.runtime.post(ev.InstrumentsListed(instruments=instruments, at=self.wall.now()))
            self._listed = today
