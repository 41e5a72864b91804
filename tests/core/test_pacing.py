"""A stranger who trades all the time costs the desk a bounded share of the broker's requests."""

from datetime import timedelta
from itertools import pairwise

from deskd.core.pacing import GAP_MAX, GAP_MIN, QUIET, Pace
from tests.factories import NOON

SECOND = timedelta(seconds=1)
NOW = timedelta(0)


def test_ten_wishes_a_second_are_some_looks_a_minute() -> None:
    """The first is at once; then ever fewer, and never none for longer than the bound."""
    pace = Pace()
    due = []
    for tenth in range(6_000):
        now = NOON + tenth * SECOND / 10
        if (wait := pace.wait(now)) is not None:
            due.append(now + wait)
    assert due[0] == NOON
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (GAP_MIN, GAP_MAX)
    assert len(due) < 40, "in ten minutes"


def test_no_wish_is_lost() -> None:
    """Each is followed by a look that begins no earlier than it."""
    pace, due = Pace(), NOON
    for seconds in (0, 1, 3, 4, 9, 30, 31, 200, 201):
        now = NOON + seconds * SECOND
        wait = pace.wait(now)
        due = due if wait is None else now + wait
        assert now <= due <= now + GAP_MAX


def test_after_a_quiet_time_or_a_set_clock_the_next_is_a_first_one_again() -> None:
    """Nothing is remembered of a stranger who has left; a clock that goes back blinds nobody."""
    pace = Pace()
    assert [pace.wait(NOON), pace.wait(NOON)] == [NOW, GAP_MIN]
    assert pace.wait(NOON + GAP_MIN + QUIET) == NOW
    assert pace.wait(NOON - timedelta(hours=1)) == NOW
