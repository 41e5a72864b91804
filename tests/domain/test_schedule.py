"""The broker's clock tells the session: also after the change that it named, on half days and over daylight saving."""

from datetime import UTC, datetime, timedelta

import pytest

from deskd.domain.market import MarketClock
from deskd.domain.schedule import ALWAYS, WEEK, Schedule, closes_at, narrowed

HALF_DAY = MarketClock(  # the day after Thanksgiving: it closes at 13:00 in New York
    timestamp=datetime(2026, 11, 27, 15, 0, tzinfo=UTC),
    is_open=True,
    next_open=datetime(2026, 11, 30, 14, 30, tzinfo=UTC),
    next_close=datetime(2026, 11, 27, 18, 0, tzinfo=UTC),
)
BEFORE_DST = MarketClock(  # the weekend in which New York goes to summer time: Monday opens at 13:30 UTC
    timestamp=datetime(2026, 3, 6, 22, 0, tzinfo=UTC),
    is_open=False,
    next_open=datetime(2026, 3, 9, 13, 30, tzinfo=UTC),
    next_close=datetime(2026, 3, 9, 20, 0, tzinfo=UTC),
)


def at(clock: MarketClock, later: timedelta) -> MarketClock:
    return MarketClock(
        timestamp=clock.timestamp + later, is_open=clock.is_open, next_open=clock.next_open, next_close=clock.next_close
    )


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        (HALF_DAY, HALF_DAY.next_close),
        (at(HALF_DAY, timedelta(hours=3)), None),
        (BEFORE_DST, None),
        (at(BEFORE_DST, timedelta(days=2, hours=15, minutes=29)), None),
        (at(BEFORE_DST, timedelta(days=2, hours=15, minutes=30)), BEFORE_DST.next_close),
    ],
)
def test_the_session_ends_when_the_broker_says(clock: MarketClock, expected: datetime | None) -> None:
    """No calendar of our own: early closes and daylight saving are the broker's."""
    assert closes_at(clock) == expected


def test_what_would_be_sold_at_once_is_not_bought() -> None:
    """The longer of the two times before the close counts for new orders."""
    both = Schedule(no_new_before_close=timedelta(minutes=5), flatten_before_close=timedelta(minutes=10))
    assert both.quiet == timedelta(minutes=10)
    assert ALWAYS.quiet == timedelta(0)
    assert not ALWAYS.has_hours
    assert Schedule(days=WEEK[:5]).has_hours


def test_a_schedule_inside_bounds_is_the_tighter_of_both() -> None:
    """What is left may be nothing; bounds that bound nothing change nothing."""
    own = Schedule(opens_min=600, closes_min=900, days=("mon", "fri"), no_new_before_close=timedelta(minutes=5))
    bounds = Schedule(opens_min=540, closes_min=800, days=("tue", "fri"), flatten_before_close=timedelta(minutes=9))
    assert narrowed(own, bounds) == Schedule(
        opens_min=600,
        closes_min=800,
        days=("fri",),
        no_new_before_close=timedelta(minutes=5),
        flatten_before_close=timedelta(minutes=9),
    )
    assert narrowed(own, ALWAYS) == own
    assert narrowed(own, Schedule(days=("sat",))).days == ()
