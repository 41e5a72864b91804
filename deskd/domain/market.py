"""What the market says: quotes, sessions, instruments."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from deskd.domain.ids import Symbol
from deskd.domain.money import ZERO, Price, Qty

CLOCK_SLACK = timedelta(seconds=1)  # what is of one moment is stamped in any order; by more than that a clock was set


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The national best bid and offer of one symbol. A side without a price is zero."""

    symbol: Symbol
    bid_price: Price
    bid_size: Qty
    ask_price: Price
    ask_size: Qty
    quoted_at: datetime  # the market's stamp
    received_at: datetime  # the desk's clock: staleness is measured from here

    @property
    def midpoint(self) -> Price:
        """Return the middle of bid and ask."""
        return Price((self.bid_price + self.ask_price) / Decimal(2))

    def is_fresh(self, now: datetime, age_max: timedelta) -> bool:
        """Tell whether it arrived within *age_max*. Of one that arrives in future the clock was set back: its age is unknown."""
        return -CLOCK_SLACK <= now - self.received_at <= age_max

    def market_time(self, now: datetime) -> datetime:
        """Return the market's time, on a tape the tape's: the stamp, moved on by the time since it arrived."""
        return self.quoted_at + max(now - self.received_at, timedelta())

    @property
    def is_two_sided(self) -> bool:
        """Tell whether both sides have a price and do not cross."""
        return ZERO < self.bid_price <= self.ask_price


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What can be traded, as the broker lists it."""

    symbol: Symbol
    is_tradable: bool
    is_shortable: bool
    is_fractionable: bool


class Session(StrEnum):
    """The part of the exchange's day."""

    PRE = "pre"
    REGULAR = "regular"
    POST = "post"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketClock:
    """The broker's clock as last heard. `timestamp` is the market's time, which on a tape is the tape's."""

    timestamp: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime

    @property
    def shows_open(self) -> bool:
        """Tell whether the market is open at `timestamp`, which may have been moved on past the next edge since."""
        edge = self.next_close if self.is_open else self.next_open
        return self.is_open == (self.timestamp < edge)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingDay:
    """One day on which the exchange trades, as the broker's calendar has it. Other days are not in it."""

    day: date
    extended_open_at: datetime
    open_at: datetime
    close_at: datetime
    extended_close_at: datetime

    def session(self, now: datetime) -> Session:
        """Return the part of this day at *now*; a part starts with its first instant."""
        if self.open_at <= now < self.close_at:
            return Session.REGULAR
        if self.extended_open_at <= now < self.open_at:
            return Session.PRE
        if self.close_at <= now < self.extended_close_at:
            return Session.POST
        return Session.CLOSED
