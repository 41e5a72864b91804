"""Tells strategies that ask for `status` where the exchange's day is: open, closing, close.

Each run hears where it is when it begins, and then every change. While nobody knows the market's time, nothing is told.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn, Protocol

from deskd.domain.ids import StrategyId
from deskd.domain.market import MarketClock
from deskd.domain.schedule import ALWAYS, Schedule, closes_at

CLOSING = timedelta(minutes=15)  # before the close, for who has no time of his own


class Told(Protocol):
    """What the market hub does for sessions."""

    def tell_session(self, timestamp: str, closes_at: str, phase_of: Callable[[StrategyId], str]) -> None:
        """Tell each run that wants it where the exchange's day is, where that is news to it."""


@dataclass(slots=True, kw_only=True)
class SessionWatch:
    """Looks at the broker's clock, as last heard and moved on."""

    hub: Told
    clock: Callable[[], MarketClock | None]
    schedules: Mapping[StrategyId, Schedule]
    every_s: float = 1.0

    async def run(self) -> NoReturn:
        """Look until canceled."""
        while True:
            self.look()
            await asyncio.sleep(self.every_s)

    def look(self) -> None:
        """Tell what is news."""
        clock = self.clock()
        if clock is None:
            return
        now, ends = clock.timestamp, closes_at(clock)

        def phase_of(who: StrategyId) -> str:
            if ends is None:
                return "close"
            quiet = self.schedules.get(who, ALWAYS).quiet or CLOSING
            return "closing" if ends - now <= quiet else "open"

        self.hub.tell_session(_stamp(now), "" if ends is None else _stamp(ends), phase_of)


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
