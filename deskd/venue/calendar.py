"""Sessions of the New York exchange: which days it trades, when it opens and closes, what its clock says.

The days come from exchange_calendars (XNYS). Around each session lie four hours after the close (20:00, or 17:00 on a
half day) and the hours from 04:00 before the open. All instants are aware UTC; daylight saving is in the zone.
"""

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from deskd.domain.market import MarketClock, Session
from deskd.exchange.session import SessionDay
from deskd.wire.alpaca.market import NEW_YORK, to_ns

FIRST_DAY, LAST_DAY = date(1990, 1, 2), date(2035, 12, 31)
PRE_OPEN = time(4, 0)
POST_HOURS = timedelta(hours=4)

_SETTLES_AFTER = (  # trading days from trade to settlement, newest rule first
    (date(2024, 5, 28), 1),
    (date(2017, 9, 5), 2),
    (date.min, 3),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketDay:
    """One day on which the exchange trades."""

    day: date
    extended_open_at: datetime
    open_at: datetime
    close_at: datetime
    extended_close_at: datetime
    settlement_day: date

    @property
    def is_half_day(self) -> bool:
        """Tell whether the exchange closes early."""
        return self.close_at.astimezone(NEW_YORK).time() < time(16, 0)

    def session(self, now: datetime) -> Session:
        """Return the part of this day at *now*; a part starts with its first instant."""
        if self.open_at <= now < self.close_at:
            return Session.REGULAR
        if self.extended_open_at <= now < self.open_at:
            return Session.PRE
        if self.close_at <= now < self.extended_close_at:
            return Session.POST
        return Session.CLOSED


class Calendar:
    """All days of the exchange from FIRST_DAY to LAST_DAY. Built once; reading it never blocks."""

    def __init__(self, days: Sequence[date], opens: Sequence[datetime], closes: Sequence[datetime]) -> None:
        assert len(days) == len(opens) == len(closes), "one open and one close for each day"
        self._days = days
        self._opens = opens
        self._closes = closes

    def columns(self) -> tuple[Sequence[date], Sequence[datetime], Sequence[datetime]]:
        """Return all days, their opens and their closes."""
        return self._days, self._opens, self._closes

    def day(self, day: date) -> MarketDay | None:
        """Return the day's sessions, or None where the exchange is shut all day."""
        index = bisect_left(self._days, day)
        if index == len(self._days) or self._days[index] != day:
            return None
        return self._at(index)

    def session_day(self, day: date) -> SessionDay | None:
        """Return the day as the exchange takes it, with the trading day after it; None where it is shut all day."""
        today = self.day(day)
        if today is None:
            return None
        following = self.day(self.shift(day, 1))
        assert following is not None, "shift returns trading days"
        return SessionDay(
            day=today.day,
            extended_open_at=today.extended_open_at,
            open_at=today.open_at,
            close_at=today.close_at,
            extended_close_at=today.extended_close_at,
            next_day=following.day,
            next_open_at=following.open_at,
            next_close_at=following.close_at,
            next_extended_open_at=following.extended_open_at,
            next_extended_close_at=following.extended_close_at,
        )

    def days(self, start: date, end: date) -> list[MarketDay]:
        """Return the trading days from *start* to *end*, both included."""
        return [self._at(i) for i in range(bisect_left(self._days, start), bisect_right(self._days, end))]

    def ordinal(self, day: date) -> int:
        """Return how many trading days the calendar holds before *day*."""
        return bisect_left(self._days, day)

    def shift(self, day: date, sessions: int) -> date:
        """Return the trading day so many sessions after (or before) *day*; from a closed day it counts from the next."""
        index = bisect_left(self._days, day) + sessions
        if not 0 <= index < len(self._days):
            raise ValueError(f"no session {sessions:+d} days from {day}: the calendar holds {FIRST_DAY} to {LAST_DAY}")
        return self._days[index]

    def session(self, now: datetime) -> Session:
        """Return the part of the exchange's day at *now*."""
        day = self.day(now.astimezone(NEW_YORK).date())
        return Session.CLOSED if day is None else day.session(now)

    def clock(self, now: datetime) -> MarketClock:
        """Return Alpaca's market clock at *now*: open means the regular session only."""
        upcoming_close = bisect_right(self._closes, now)
        upcoming_open = bisect_right(self._opens, now)
        if upcoming_open >= len(self._opens):
            raise ValueError(f"no session after {now}: the calendar ends on {LAST_DAY}")
        return MarketClock(
            timestamp=now,
            is_open=self._opens[upcoming_close] <= now,
            next_open=self._opens[upcoming_open],
            next_close=self._closes[upcoming_close],
        )

    def _at(self, index: int) -> MarketDay:
        day = self._days[index]
        return MarketDay(
            day=day,
            extended_open_at=datetime.combine(day, PRE_OPEN, NEW_YORK).astimezone(UTC),
            open_at=self._opens[index],
            close_at=self._closes[index],
            extended_close_at=self._closes[index] + POST_HOURS,
            settlement_day=self._days[min(index + _settles_after(day), len(self._days) - 1)],
        )


def load_calendar() -> Calendar:
    """Build the calendar. Takes about half a second: exchange_calendars needs pandas, so it is imported only here."""
    import exchange_calendars  # noqa: PLC0415  half a second of start-up that only the exchange's process pays

    with warnings.catch_warnings():  # it uses what pandas will drop one day: its authors' business, not our users'
        warnings.simplefilter("ignore", DeprecationWarning)
        source = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY.isoformat(), end=LAST_DAY.isoformat())
    return Calendar(
        [stamp.date() for stamp in source.sessions],
        [_instant(ns) for ns in source.opens_nanos.tolist()],
        [_instant(ns) for ns in source.closes_nanos.tolist()],
    )


def midnight(day: date) -> int:
    """Return New York's midnight at the start of *day*, in nanoseconds since 1970: where its daily bar is stamped."""
    return to_ns(datetime.combine(day, time(), NEW_YORK))


def new_york_day(ns: int) -> date:
    """Return New York's date at an instant in nanoseconds since 1970."""
    return datetime.fromtimestamp(ns // 1_000_000_000, NEW_YORK).date()


def calendar_row(day: MarketDay) -> dict[str, str]:
    """Return the day as Alpaca's `GET /v2/calendar` lists it, in New York time."""
    return {
        "date": day.day.isoformat(),
        "open": f"{day.open_at.astimezone(NEW_YORK):%H:%M}",
        "close": f"{day.close_at.astimezone(NEW_YORK):%H:%M}",
        "session_open": f"{day.extended_open_at.astimezone(NEW_YORK):%H%M}",
        "session_close": f"{day.extended_close_at.astimezone(NEW_YORK):%H%M}",
        "settlement_date": day.settlement_day.isoformat(),
    }


def _instant(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC)


def _settles_after(day: date) -> int:
    return next(sessions for since, sessions in _SETTLES_AFTER if day >= since)
