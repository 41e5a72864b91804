"""The market's clock as the broker told it, moved on by the time since."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from deskd.domain.market import MarketClock, Quote
from deskd.ports import Broker, Clock

CLOCK_OLD = timedelta(minutes=1)  # it is asked for four times a minute: older, nobody knows whether a session is on

_NEW_YORK = ZoneInfo("America/New_York")


@dataclass(slots=True, kw_only=True)
class MarketTime:
    """What time it is at the market, and how many asked the broker for it."""

    broker: Broker
    wall: Clock
    age_max: timedelta  # the broker is asked again when its last answer is older
    _known: MarketClock | None = None
    _heard_at: float = 0.0  # on the monotonic clock
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def heard(self) -> MarketClock:
        """Return the market's clock, its last answer moved on by the time since where that is not too old.

        Many who ask at once are one question: the broker's requests are counted for everybody together.
        """
        async with self._asking:
            since = timedelta(seconds=self.wall.monotonic() - self._heard_at)
            known = self._known
            if known is not None and since < self.age_max:
                moved = replace(known, timestamp=known.timestamp + since)
                if moved.timestamp < min(known.next_open, known.next_close):  # else the session may have changed
                    return moved
            self._known = await self.broker.clock()
            self._heard_at = self.wall.monotonic()
            return self._known

    def now(self, quote: Quote | None) -> MarketClock | None:
        """Return the market's clock moved on to now; None where it was not heard for CLOCK_OLD.

        On a fast tape the market's time runs ahead of ours: a newer stamp of a quote tells.
        """
        age = timedelta(seconds=self.wall.monotonic() - self._heard_at)
        known = self._known
        if known is None or age > CLOCK_OLD:
            return None
        moved = known.timestamp + age
        return replace(known, timestamp=moved if quote is None else max(moved, quote.quoted_at))

    def day(self, quote: Quote | None) -> date:
        """Return the market's day, by the quote where there is one."""
        known = quote.quoted_at if quote else self._known.timestamp if self._known else self.wall.now()
        return known.astimezone(_NEW_YORK).date()
