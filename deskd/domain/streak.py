"""What a run's end means for the next start, and how often a strategy died in a row: the desk's memory of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from deskd.domain.run import ExitReason, RunEnd

DEATHS_KEPT = 50  # the newest, to count their reasons; more in a row are counted alike


class After(StrEnum):
    """What follows a run's end."""

    RESTS = "rests"  # it is not started again
    COUNTED = "counted"  # it is started again after a wait; after give_up_after in a row it is `failed`
    OURS = "ours"  # it is started again after a wait, for as long as it takes; nobody is blamed


AFTER: Mapping[ExitReason, After] = {
    ExitReason.CLEAN: After.RESTS,
    ExitReason.STOPPED: After.RESTS,
    ExitReason.ERROR: After.COUNTED,
    ExitReason.SIGNAL: After.COUNTED,
    ExitReason.OOM: After.COUNTED,
    ExitReason.CPU_LIMIT: After.COUNTED,
    ExitReason.PIDS_LIMIT: After.COUNTED,
    ExitReason.STALLED: After.COUNTED,
    ExitReason.SLOW_CONSUMER: After.COUNTED,
    ExitReason.LOG_FLOOD: After.COUNTED,
    ExitReason.SANDBOX_FAILURE: After.OURS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """One of them."""

    reason: ExitReason
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """The deaths in a row of one version of a strategy, since it was last healthy or started by hand."""

    count: int
    deaths: tuple[Death, ...]  # the newest of them
    detail: str  # of the last
    is_given_up: bool = False

    def story(self) -> str:
        """Return how often it died, of what, from when to when, and the last one's words."""
        reasons = Counter(death.reason for death in self.deaths)
        of = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
        first, last = self.deaths[0].at, self.deaths[-1].at
        day = "%Y-%m-%d %H:%M:%S"
        span = f"at {last:{day}}" if len(self.deaths) == 1 else f"from {first:{day}} to {last:%H:%M:%S}"
        times = "once" if self.count == 1 else f"{self.count} times in a row"
        counted = of if self.count == len(self.deaths) else f"the last {len(self.deaths)}: {of}"
        return f"died {times} {span} UTC ({counted}); the last: {self.detail}"


def after_end(streak: Streak | None, end: RunEnd, *, deaths: int, at: datetime) -> Streak | None:
    """Return the streak after a run's end; *deaths*: so many in a row then count against the strategy."""
    if deaths == 0:
        return None
    is_told = streak is not None and 1 < deaths <= streak.count  # it died while it was being stopped
    if AFTER[end.reason] is not After.COUNTED or is_told:
        return streak
    before = streak.deaths if streak is not None and deaths > 1 else ()
    kept = (*before, Death(reason=end.reason, at=at))[-DEATHS_KEPT:]
    return Streak(count=deaths, deaths=kept, detail=end.detail)


def given_up(streak: Streak | None) -> Streak | None:
    """Return the streak of a strategy that is not started again before somebody or something changes."""
    return None if streak is None else replace(streak, is_given_up=True)
