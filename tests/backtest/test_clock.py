"""The tape's time is the desk's: it stands until it is moved, and never goes back."""

from datetime import timedelta

from deskd.backtest.clock import TapeClock
from tests.factories import NOON


def test_time_passes_only_when_it_is_moved() -> None:
    """And never backwards; two requests never share an instant."""
    wall = TapeClock(NOON)
    assert (wall.now(), wall.monotonic()) == (NOON, 0.0)
    assert wall.move_to(NOON + timedelta(seconds=2)) == wall.now()
    assert wall.move_to(NOON) == NOON + timedelta(seconds=2)
    assert wall.monotonic() == 2.0
    assert wall.stamp() < wall.stamp()
    assert wall.now() == NOON + timedelta(seconds=2, microseconds=2)
