"""A strategy opens nothing outside its hours, nor shortly before the close; what only closes always passes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deskd.core import gate
from deskd.core.checks import Denied, Valued
from deskd.domain.market import MarketClock
from deskd.domain.reasons import DenialReason as R
from deskd.domain.schedule import WEEK, Schedule
from tests.core.test_checks import a_sale, evidence
from tests.factories import qty

MORNING = Schedule(opens_min=10 * 60, closes_min=11 * 60 + 30, days=WEEK[:5])
LAST = Schedule(no_new_before_close=timedelta(minutes=10))


def clock(at: datetime, *, close: datetime | None = None, is_open: bool = True) -> MarketClock:
    close = close or at + timedelta(hours=3)
    return MarketClock(timestamp=at, is_open=is_open, next_open=close + timedelta(hours=18), next_close=close)


def judged(schedule: Schedule, at: MarketClock | None, **case: Any) -> Valued | Denied:
    return gate.judge(evidence(schedule=schedule, clock=at, **case)).answer


@pytest.mark.parametrize(
    ("at", "passes"),
    [
        (datetime(2026, 1, 5, 14, 59, 59, tzinfo=UTC), False),  # winter: 09:59:59 in New York
        (datetime(2026, 1, 5, 15, 0, tzinfo=UTC), True),
        (datetime(2026, 1, 5, 16, 29, 59, tzinfo=UTC), True),
        (datetime(2026, 1, 5, 16, 30, tzinfo=UTC), False),
        (datetime(2026, 7, 6, 14, 0, tzinfo=UTC), True),  # summer: 10:00 in New York
        (datetime(2026, 7, 6, 15, 30, tzinfo=UTC), False),
        (datetime(2026, 1, 10, 15, 30, tzinfo=UTC), False),  # a Saturday
    ],
)
def test_hours_are_new_yorks_in_winter_and_in_summer(at: datetime, passes: bool) -> None:
    """The market's clock, not the machine's; from the first minute, up to the last."""
    answer = judged(MORNING, clock(at))
    if passes:
        assert isinstance(answer, Valued)
    else:
        assert isinstance(answer, Denied)
        assert answer.reason is R.OUTSIDE_HOURS
        assert "hours=10:00-11:30 days=mon,tue,wed,thu,fri: wait" in answer.message


@pytest.mark.parametrize(("left", "passes"), [(601, True), (600, False), (1, False)])
@pytest.mark.parametrize("hour", [18, 21])  # a half day, and a whole one
def test_nothing_opens_shortly_before_the_close(left: int, passes: bool, hour: int) -> None:
    """Whenever the broker says that it is: an early close is one, too."""
    close = datetime(2026, 11, 27, hour, 0, tzinfo=UTC)
    answer = judged(LAST, clock(close - timedelta(seconds=left), close=close))
    assert isinstance(answer, Valued) is passes
    if isinstance(answer, Denied):
        assert answer.reason is R.CLOSING_SOON
        assert f"before_close_min={left / 60:.1f} no_new_before_close_min=10" in answer.message


def test_while_the_market_is_closed_the_close_is_not_near() -> None:
    """Orders for the next session are another check's affair."""
    at = datetime(2026, 1, 5, 23, 0, tzinfo=UTC)
    assert isinstance(judged(LAST, clock(at, close=at + timedelta(hours=22), is_open=False)), Valued)


@pytest.mark.parametrize(("schedule", "reason"), [(MORNING, R.OUTSIDE_HOURS), (LAST, R.CLOSING_SOON)])
def test_an_unknown_time_is_no_time_to_open(schedule: Schedule, reason: R) -> None:
    """Unknown means no, and says so; without a schedule nobody needs to know."""
    answer = judged(schedule, None)
    assert isinstance(answer, Denied)
    assert answer.reason is reason
    assert "=unknown" in answer.message
    assert isinstance(judged(Schedule(), None), Valued)


@pytest.mark.parametrize("schedule", [MORNING, LAST])
@pytest.mark.parametrize("known", [True, False])
def test_what_only_closes_always_passes(schedule: Schedule, known: bool) -> None:
    """At night, in the last minute, and when nobody knows the time: one share more than is held does not."""
    close = datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
    at = clock(close - timedelta(minutes=1), close=close) if known else None
    assert isinstance(judged(schedule, at, request=a_sale(), position_qty=qty(10)), Valued)
    more = a_sale(qty=qty(11))
    limits = replace(evidence().limits, is_short_allowed=True)
    assert isinstance(judged(schedule, at, request=more, position_qty=qty(10), limits=limits), Denied)


def test_a_tighter_schedule_never_admits_more() -> None:
    """Monotone: what passes the tighter one passes the wider one at every minute of two days."""
    wide = Schedule(opens_min=570, closes_min=960, days=WEEK[:5], no_new_before_close=timedelta(minutes=5))
    tight = Schedule(opens_min=600, closes_min=900, days=WEEK[1:4], no_new_before_close=timedelta(minutes=20))
    close = datetime(2026, 1, 6, 21, 0, tzinfo=UTC)
    for minute in range(0, 2 * 24 * 60, 7):
        at = clock(datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=minute), close=close)
        if isinstance(judged(tight, at), Valued):
            assert isinstance(judged(wide, at), Valued)
