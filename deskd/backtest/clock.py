"""The market's time as the desk's own: in a backtest nothing but the tape lets time pass."""

from datetime import datetime, timedelta

_STEP = timedelta(microseconds=1)


class TapeClock:
    """Stands until it is moved (satisfies ports.Clock)."""

    def __init__(self, begins_at: datetime) -> None:
        self._begins_at = self._now = begins_at

    def now(self) -> datetime:
        """Return the market's time."""
        return self._now

    def monotonic(self) -> float:
        """Return market seconds since the beginning."""
        return (self._now - self._begins_at).total_seconds()

    def move_to(self, at: datetime) -> datetime:
        """Let time pass up to *at*, and return the present; it never goes back."""
        self._now = max(self._now, at)
        return self._now

    def stamp(self) -> datetime:
        """Return an instant of its own for a request that changes something: clients page by these, as on a live tape."""
        self._now += _STEP
        return self._now
