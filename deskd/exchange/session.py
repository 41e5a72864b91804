"""The exchange's day, as the calendar hands it in."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from deskd.domain.market import Session
from deskd.domain.order import TimeInForce

NEW_YORK = ZoneInfo("America/New_York")
GTC_LIFE = timedelta(days=90)
GTC_ENDS = time(16, 15)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDay:
    """One day on which the exchange trades, and when it trades next. All instants are aware UTC."""

    day: date
    extended_open_at: datetime
    open_at: datetime
    close_at: datetime
    extended_close_at: datetime
    next_day: date
    next_open_at: datetime
    next_close_at: datetime
    next_extended_open_at: datetime
    next_extended_close_at: datetime

    def session(self, now: datetime) -> Session:
        """Return the part of this day at *now*; a part starts with its first instant."""
        if self.open_at <= now < self.close_at:
            return Session.REGULAR
        if self.extended_open_at <= now < self.open_at:
            return Session.PRE
        if self.close_at <= now < self.extended_close_at:
            return Session.POST
        return Session.CLOSED


def lifetime(
    time_in_force: TimeInForce, *, extended_hours: bool, day: SessionDay | None, now: datetime
) -> tuple[date | None, datetime | None]:
    """Return the session that the order belongs to and when it ends; None for both where the calendar is unknown.

    A gtc order belongs to no session.
    """
    if time_in_force is TimeInForce.GTC:
        last_day = now.astimezone(NEW_YORK).date() + GTC_LIFE
        return None, datetime.combine(last_day, GTC_ENDS, NEW_YORK).astimezone(now.tzinfo)
    if day is None:
        return None, None
    ends_at = day.extended_close_at if extended_hours else day.close_at
    if now < ends_at:
        return day.day, ends_at
    return day.next_day, day.next_extended_close_at if extended_hours else day.next_close_at
