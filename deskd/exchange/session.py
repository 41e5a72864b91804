"""The exchange's day, as the calendar hands it in."""

from dataclasses import dataclass
from datetime import date, datetime

from deskd.domain.market import Session


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
