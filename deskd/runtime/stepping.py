"""Whether the desk's own clock was set: it is held against one that only goes forward.

Rule 1: who sets a clock does it between two looks; what it drifts, or is slewed by, between them is under the slack.
Rule 2: a machine that slept wakes with its clock ahead: what was to last did not go on meanwhile, and lasts on.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deskd.domain import events as ev
from deskd.domain.market import CLOCK_SLACK
from deskd.ports import Clock

_MS = timedelta(milliseconds=1)


@dataclass(slots=True)
class Stepping:
    """What both clocks said at the last look."""

    wall: Clock
    _began: datetime = field(init=False)  # when the monotonic clock began, by the other

    def __post_init__(self) -> None:
        """Take both as they are now."""
        self._began = self._beginning()

    def _beginning(self) -> datetime:
        return self.wall.now() - timedelta(seconds=self.wall.monotonic())

    def is_due(self) -> bool:
        """Tell whether the clock was set, and nobody took it in yet: until then no time is to be held against another."""
        return abs(self._beginning() - self._began) > CLOCK_SLACK

    def taken(self) -> ev.ClockStepped | None:
        """Return by how much the clock was set since the last look, once; None where it was not."""
        beginning = self._beginning()
        by, self._began = beginning - self._began, beginning
        return ev.ClockStepped(by_ms=by // _MS, at=self.wall.now()) if abs(by) > CLOCK_SLACK else None
