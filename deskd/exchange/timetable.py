"""What time it is at the market, and what is due when: the session's boundaries, and orders that asked to be woken."""

from datetime import UTC, datetime
from heapq import heappop, heappush

from deskd.domain.market import Session
from deskd.exchange.session import SessionDay

NEVER = datetime.max.replace(tzinfo=UTC)


class Timetable:
    """Hands out what is due in the order of time; at one instant the session's boundary comes first."""

    __slots__ = ("_boundaries", "_count", "_wakes", "day", "due", "now", "session")

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.due = NEVER  # when something is due next
        self.day: SessionDay | None = None
        self.session = Session.CLOSED
        self._boundaries: list[tuple[datetime, Session]] = []  # the next one last
        self._wakes: list[tuple[datetime, int, str]] = []
        self._count = 0

    def set_day(self, day: SessionDay) -> None:
        """Follow this day's boundaries from now on."""
        self.day = day
        self.session = day.session(self.now)
        boundaries = (
            (day.extended_close_at, Session.CLOSED),
            (day.close_at, Session.POST),
            (day.open_at, Session.REGULAR),
            (day.extended_open_at, Session.PRE),
        )
        self._boundaries = [b for b in boundaries if b[0] > self.now]
        self._set_due()

    def rewind(self, now: datetime) -> None:
        """Go back to *now*: a tape starts again. Nobody waits any more."""
        self.now = now
        self._wakes.clear()
        self._set_due()

    def wake(self, at: datetime, order_id: str) -> None:
        """Have the order looked at when *at* has come."""
        self._count += 1
        heappush(self._wakes, (at, self._count, order_id))
        self.due = min(self.due, at)

    def pop(self, until: datetime) -> str | Session | None:
        """Move to the next thing due by *until* and return it: an order's id, or the session that begins."""
        if self.due > until:
            self.now = max(self.now, until)
            return None
        self.now = max(self.now, self.due)
        if self._boundaries and self._boundaries[-1][0] == self.due:
            self.session = self._boundaries.pop()[1]
            self._set_due()
            return self.session
        order_id = heappop(self._wakes)[2]
        self._set_due()
        return order_id

    def _set_due(self) -> None:
        boundary = self._boundaries[-1][0] if self._boundaries else NEVER
        self.due = min(boundary, self._wakes[0][0]) if self._wakes else boundary
