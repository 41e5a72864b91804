"""Follows the broker's clock, and with it what can be traded."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NoReturn, Protocol
from zoneinfo import ZoneInfo

import structlog

from deskd.core.desk import TAPE_BACK
from deskd.domain import events as ev
from deskd.domain.market import Instrument, MarketClock, TradingDay
from deskd.ports import Clock
from deskd.runtime import Runtime

# Of the calendar: five trading days back whatever the holidays, and as many ahead as a tape may play between two looks.
DAYS_BEHIND, DAYS_AHEAD = timedelta(days=14), timedelta(days=60)
CLOCK_EVERY_S = 15.0  # the market's clock is asked for
FIRST_EVERY_S = 1.0  # until the broker has answered once

_NEW_YORK = ZoneInfo("America/New_York")

log = structlog.get_logger()


class Listings(Protocol):
    """What the broker lists, and is asked for here."""

    async def instruments(self) -> Sequence[Instrument]:
        """Return all active instruments."""

    async def calendar(self, first: date, last: date) -> Sequence[TradingDay]:
        """Return the days on which the exchange trades, both included, oldest first."""


@dataclass(slots=True, kw_only=True)
class MarketWatch:
    """Asks for the clock from time to time, and for the list of instruments once a market day."""

    runtime: Runtime
    broker: Listings
    wall: Clock
    on_open: Callable[[bool], None]
    on_clock: Callable[[MarketClock], Awaitable[None]]
    clock: MarketClock | None = None  # as last heard
    first_every_s: float = FIRST_EVERY_S
    _listed: date | None = None
    _day: date | None = None  # in New York, as last told
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
        before, self.clock = self.clock, await self.runtime.clock()
        clock = self.clock
        await self._tell_day(clock, before)
        self.on_open(clock.is_open)
        await self.on_clock(clock)
        today = clock.timestamp.date()
        if today != self._listed:
            days = await self.broker.calendar(today - DAYS_BEHIND, today + DAYS_AHEAD)
            await self.runtime.post(ev.CalendarListed(days=tuple(days), at=self.wall.now()))
            instruments = tuple(await self.broker.instruments())
            await self.runtime.post(ev.InstrumentsListed(instruments=instruments, at=self.wall.now()))
            self._listed = today

    async def _tell_day(self, clock: MarketClock, before: MarketClock | None) -> None:
        """Begin the market's day when the broker's clock shows another one; a tape that began anew begins it anew."""
        day, known = clock.timestamp.astimezone(_NEW_YORK).date(), self.runtime.desk.records.day
        went_back = before is not None and before.timestamp - clock.timestamp > TAPE_BACK
        is_rewound = went_back or (self._day is None and known is not None and day < known)
        if is_rewound or day not in {self._day, known}:
            await self.runtime.post(ev.MarketDayBegan(market_day=day, at=self.wall.now(), is_rewound=is_rewound))
        self._day = day
