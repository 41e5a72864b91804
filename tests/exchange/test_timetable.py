"""What is due comes in the order of time."""

from datetime import timedelta

from deskd.domain.market import Session
from deskd.exchange.timetable import NEVER, Timetable
from tests.exchange.given import NOON, a_day, ny

SECOND = timedelta(seconds=1)


def test_due_things_come_in_order() -> None:
    """Wakes and boundaries are handed out by time; at one instant the boundary is first, then who asked first."""
    timetable = Timetable(NOON)
    timetable.set_day(a_day())
    timetable.wake(ny("16:00"), "b")
    timetable.wake(ny("16:00"), "c")
    timetable.wake(NOON + SECOND, "a")
    got = []
    while (due := timetable.pop(ny("16:30"))) is not None:
        got.append((due, timetable.now))
    close = ny("16:00")
    assert got == [("a", NOON + SECOND), (Session.POST, close), ("b", close), ("c", close)]
    assert timetable.now == ny("16:30")


def test_nothing_due_is_never() -> None:
    """Without a day and without wakes, nothing is ever due; time passes all the same, and never back."""
    timetable = Timetable(NOON)
    assert timetable.due is NEVER
    assert timetable.pop(NOON + SECOND) is None
    assert timetable.pop(NOON) is None
    assert timetable.now == NOON + SECOND


def test_late_wake_does_not_turn_time_back() -> None:
    """Who asks to be woken in the past is woken now."""
    timetable = Timetable(NOON)
    timetable.wake(NOON - SECOND, "a")
    assert timetable.pop(NOON) == "a"
    assert timetable.now == NOON


def test_rewind_forgets_who_waits() -> None:
    """When the tape starts again, the old wakes are gone and its boundaries come again."""
    timetable = Timetable(ny("17:00"))
    timetable.set_day(a_day())
    timetable.wake(ny("17:01"), "a")
    timetable.rewind(NOON)
    timetable.set_day(a_day())
    assert timetable.session is Session.REGULAR
    assert timetable.pop(ny("19:00")) is Session.POST
    assert timetable.pop(ny("19:00")) is None
