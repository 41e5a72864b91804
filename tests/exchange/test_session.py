"""The exchange's day, and how long orders live in it."""

from datetime import date, timedelta

import pytest

from deskd.domain.market import Session
from deskd.domain.order import TimeInForce
from deskd.exchange.session import lifetime
from tests.exchange.given import MONDAY, a_day, ny

TUESDAY = MONDAY + timedelta(days=1)


@pytest.mark.parametrize(
    ("clock", "session"),
    [
        ("03:59", Session.CLOSED),
        ("04:00", Session.PRE),
        ("09:30", Session.REGULAR),
        ("15:59", Session.REGULAR),
        ("16:00", Session.POST),
        ("20:00", Session.CLOSED),
    ],
)
def test_part_of_the_day_starts_with_its_first_instant(clock: str, session: Session) -> None:
    """At 16:00:00 the regular session is over."""
    assert a_day().session(ny(clock)) is session


@pytest.mark.parametrize(
    ("clock", "extended", "expected"),
    [
        ("03:00", False, (MONDAY, ny("16:00"))),
        ("12:00", False, (MONDAY, ny("16:00"))),
        ("12:00", True, (MONDAY, ny("20:00"))),
        ("16:00", False, (TUESDAY, ny("16:00", TUESDAY))),
        ("17:00", True, (MONDAY, ny("20:00"))),
        ("20:00", True, (TUESDAY, ny("20:00", TUESDAY))),
    ],
)
def test_day_order_lives_to_its_close(clock: str, extended: bool, expected: tuple[date, object]) -> None:
    """A day order ends with the session that it can still trade in, or the next day's."""
    assert lifetime(TimeInForce.DAY, extended_hours=extended, day=a_day(), now=ny(clock)) == expected


def test_gtc_order_lives_90_days() -> None:
    """A gtc order ends on a quarter past four in New York, daylight saving or not."""
    assert lifetime(TimeInForce.GTC, extended_hours=False, day=None, now=ny("12:00")) == (
        None,
        ny("16:15", date(2026, 4, 5)),
    )


def test_without_calendar_no_end_is_known() -> None:
    """Before the first day is told, an order waits without an end."""
    assert lifetime(TimeInForce.DAY, extended_hours=False, day=None, now=ny("12:00")) == (None, None)
