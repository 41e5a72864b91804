"""The request limit, as clients see it."""

from datetime import UTC, datetime, timedelta

from deskd.venue.limits import RateLimit

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class SteppedClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def test_a_minute_allows_the_limit_and_refuses_the_next() -> None:
    """200 requests pass, the 201st does not, and the headers count down to nothing."""
    limit = RateLimit(200, SteppedClock())
    answers = [limit.take() for _ in range(201)]
    assert [answer.is_allowed for answer in answers] == [True] * 200 + [False]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers[198:]] == ["1", "0", "0"]
    assert answers[0].headers["X-RateLimit-Limit"] == "200"


def test_who_waits_for_the_reset_gets_through() -> None:
    """The reset header names the instant from which requests pass again."""
    clock = SteppedClock()
    limit = RateLimit(1, clock)
    reset = int(limit.take().headers["X-RateLimit-Reset"])
    assert not limit.take().is_allowed
    clock.seconds = reset - NOON.timestamp()
    assert limit.take().is_allowed


def test_zero_means_no_limit() -> None:
    """Without a limit everything passes, and the headers are still there for clients that read them."""
    limit = RateLimit(0, SteppedClock())
    answers = [limit.take() for _ in range(1_000)]
    assert all(answer.is_allowed for answer in answers)
    assert set(answers[0].headers) == {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}


def test_others_can_use_the_account_in_a_test() -> None:
    """Of a window that is all but used up one request is left; the next window is whole."""
    clock = SteppedClock()
    limit = RateLimit(0, clock)
    assert limit.take().is_allowed
    limit.fill(200, 199, 5)
    answers = [limit.take() for _ in range(2)]
    assert [answer.is_allowed for answer in answers] == [True, False]
    assert answers[0].headers["X-RateLimit-Reset"] == str(int(NOON.timestamp()) + 5)
    clock.seconds = 5
    assert limit.take().headers["X-RateLimit-Remaining"] == "199"
