"""How long a run waits for the desk: what is the desk's time, and what is nobody's but its own."""

from datetime import timedelta

from desk_client import client

from deskd.api.waiting import PATIENCE_S, Waiting
from tests.api.fakes import SteppedClock


def test_two_requests_at_once_are_waited_for_once() -> None:
    """Time is counted while any is in hand, and only then."""
    clock = SteppedClock()
    waiting = Waiting(clock)
    clock.seconds = 5.0
    assert waiting.so_far().total == timedelta(0)
    with waiting.one(is_question=False):
        clock.seconds += 3
        with waiting.one(is_question=True):
            clock.seconds += 2
            assert waiting.so_far().total == timedelta(seconds=5)
        clock.seconds += 1
    clock.seconds += 100
    assert waiting.so_far().total == timedelta(seconds=6)


def test_a_question_that_lies_here_as_long_as_a_client_waits_is_unanswered() -> None:
    """While it lies here and ever after; an order is not: it is answered as in doubt when its time is up."""
    clock = SteppedClock()
    waiting = Waiting(clock)
    with waiting.one(is_question=False):
        clock.seconds += 60
    with waiting.one(is_question=True):
        clock.seconds += 9
    assert waiting.so_far().unanswered_ago is None
    with waiting.one(is_question=True), waiting.one(is_question=True):
        clock.seconds += 9
        assert waiting.so_far().unanswered_ago is None
        clock.seconds += 1
        assert waiting.so_far().unanswered_ago == timedelta(seconds=0.5)
        clock.seconds += 20
    with waiting.one(is_question=True):
        clock.seconds += 1
    assert waiting.so_far().unanswered_ago == timedelta(seconds=21.5)


def test_our_patience_is_that_of_the_members_library() -> None:
    """A client that waited less would raise before the desk owed it anything."""
    assert PATIENCE_S == client._READ_TIMEOUT_S
