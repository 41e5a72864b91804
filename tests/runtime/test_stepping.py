"""Whether the desk's own clock was set: held against one that only goes forward."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from deskd.domain import events as ev
from deskd.runtime.stepping import Stepping
from tests.factories import NOON


@dataclass
class TwoClocks:
    """Keeps the promise of `ports.Clock`; somebody may set the one."""

    wall: datetime = NOON
    seconds: float = 100.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def pass_(self, seconds: float, *, drift: float = 0.0) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds + drift)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_is_noticed_once(hours: int) -> None:
    """By how much, on the clock as it is now."""
    clock = TwoClocks()
    stepping = Stepping(clock)
    clock.pass_(30)
    assert not stepping.is_due()
    clock.wall += timedelta(hours=hours)
    assert stepping.is_due()
    found = stepping.taken()
    assert found == ev.ClockStepped(by_ms=hours * 3_600_000, at=clock.wall)
    assert stepping.taken() is None


def test_a_clock_that_drifts_is_not_set() -> None:
    """Slewed by minutes over a day, it is never off by more than the slack between two looks."""
    clock = TwoClocks()
    stepping = Stepping(clock)
    for _ in range(600):
        clock.pass_(10, drift=0.5)
        assert stepping.taken() is None


def test_time_that_passes_is_no_step() -> None:
    """A weekend without an event is a weekend."""
    clock = TwoClocks()
    stepping = Stepping(clock)
    clock.pass_(2 * 86_400)
    assert stepping.taken() is None
