"""How often the account is looked at for what is no hurry: a stranger who trades in it all the time.

Rule 1: the first wish after a quiet time is served at once; each further one waits twice as long, up to GAP_MAX.
Rule 2: no wish is lost: it is served by a look that begins after it, and the scheduled looks go on beside.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

GAP_MIN = timedelta(seconds=2)
# A look is some six requests, and a strange order's fills one more: a tenth of the broker's 200 a minute.
GAP_MAX = timedelta(seconds=20)
QUIET = timedelta(minutes=1)  # then the next one is a first one again


@dataclass(slots=True)
class Pace:
    """When the last of such looks was due, or will be."""

    due_at: datetime | None = None
    gap: timedelta = GAP_MIN

    def wait(self, now: datetime) -> timedelta | None:
        """Return how long to wait before the look that serves a wish of *now*; None: one is on its way already."""
        if self.due_at is None or not self.due_at - GAP_MAX <= now < self.due_at + QUIET:  # or the clock was set
            self.due_at, self.gap = now, GAP_MIN
            return timedelta(0)
        if now < self.due_at:
            return None
        wait = max(self.due_at + self.gap - now, timedelta(0))
        self.due_at = now + wait
        self.gap = min(2 * self.gap, GAP_MAX)
        return wait
