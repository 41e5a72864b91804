"""Guarantees of the exchange's calendar."""

import csv
from datetime import UTC, date, datetime, timedelta

import pytest

from deskd.domain.market import Session
from deskd.venue.calendar import LAST_DAY, calendar_row, midnight, new_york_day
from tests.venue.markets import at, calendar, ns, recorded


@pytest.mark.needs_tape
def test_sessions_of_twenty_years_are_those_of_the_recorded_calendar() -> None:
    """Every session from 2007 to 2026 has the recorded open and close, early closes included."""
    with recorded("calendar/calendar_2007_2026.csv").open() as file:
        wanted = list(csv.DictReader(file))
    days = calendar().days(date(2007, 1, 1), date(2026, 12, 31))
    rows = [{name: row[name] for name in wanted[0]} for row in map(calendar_row, days)]
    assert rows == wanted


def test_a_half_day_closes_at_one_and_ends_at_five() -> None:
    """The day after Thanksgiving closes early, and its extended hours with it."""
    day = calendar().day(date(2026, 11, 27))
    assert day is not None
    assert day.is_half_day
    assert calendar_row(day) == {
        "date": "2026-11-27",
        "open": "09:30",
        "close": "13:00",
        "session_open": "0400",
        "session_close": "1700",
        "settlement_date": "2026-11-30",
    }


def test_daylight_saving_moves_the_open_in_utc_and_not_in_new_york() -> None:
    """On Friday 2011-03-11 the open is at 14:30 UTC, on Monday after the change at 13:30; both read 09:30."""
    friday, monday = calendar().day(date(2011, 3, 11)), calendar().day(date(2011, 3, 14))
    assert friday is not None
    assert monday is not None
    assert (friday.open_at, monday.open_at) == (at("2011-03-11T14:30:00Z"), at("2011-03-14T13:30:00Z"))
    assert calendar_row(friday)["open"] == calendar_row(monday)["open"] == "09:30"
    assert monday.extended_open_at == at("2011-03-14T08:00:00Z")


@pytest.mark.parametrize(
    ("now", "is_open", "next_open", "next_close"),
    [
        ("2026-11-20T14:29:59Z", False, "2026-11-20T14:30:00Z", "2026-11-20T21:00:00Z"),
        ("2026-11-20T14:30:00Z", True, "2026-11-23T14:30:00Z", "2026-11-20T21:00:00Z"),
        ("2026-11-20T20:59:59Z", True, "2026-11-23T14:30:00Z", "2026-11-20T21:00:00Z"),
        ("2026-11-20T21:00:00Z", False, "2026-11-23T14:30:00Z", "2026-11-23T21:00:00Z"),
        ("2026-11-22T12:00:00Z", False, "2026-11-23T14:30:00Z", "2026-11-23T21:00:00Z"),
    ],
)
def test_the_clock_knows_the_regular_session_alone(now: str, is_open: bool, next_open: str, next_close: str) -> None:
    """Open from the first instant of the session until its close; next open and close follow."""
    clock = calendar().clock(at(now))
    assert (clock.is_open, clock.next_open, clock.next_close) == (is_open, at(next_open), at(next_close))


@pytest.mark.parametrize(
    ("now", "session"),
    [
        ("2026-11-20T08:59:59Z", Session.CLOSED),
        ("2026-11-20T09:00:00Z", Session.PRE),
        ("2026-11-20T14:30:00Z", Session.REGULAR),
        ("2026-11-20T21:00:00Z", Session.POST),
        ("2026-11-21T01:00:00Z", Session.CLOSED),
        ("2026-11-21T15:00:00Z", Session.CLOSED),
    ],
)
def test_each_part_of_the_day_starts_with_its_first_instant(now: str, session: Session) -> None:
    """Pre, regular and post follow each other without a gap; a Saturday is closed."""
    assert calendar().session(at(now)) == session


def test_the_exchange_gets_today_and_the_trading_day_after() -> None:
    """Before a long weekend the next day is the Tuesday after it; a closed day is None."""
    day = calendar().session_day(date(2026, 9, 4))
    assert day is not None
    assert (day.day, day.next_day) == (date(2026, 9, 4), date(2026, 9, 8))
    assert day.next_open_at == at("2026-09-08T13:30:00Z")
    assert calendar().session_day(date(2026, 9, 5)) is None


@pytest.mark.parametrize(
    ("day", "settled"), [("2013-10-08", "2013-10-11"), ("2018-01-02", "2018-01-04"), ("2024-05-28", "2024-05-29")]
)
def test_settlement_follows_the_rule_of_its_time(day: str, settled: str) -> None:
    """Three days until 2017, two until 2024, one since."""
    session = calendar().day(date.fromisoformat(day))
    assert session is not None
    assert session.settlement_day == date.fromisoformat(settled)


def test_the_calendars_end_is_told_not_guessed() -> None:
    """Past its last day the calendar raises instead of inventing sessions."""
    after = datetime(LAST_DAY.year + 1, 1, 5, tzinfo=UTC)
    with pytest.raises(ValueError, match="calendar"):
        calendar().clock(after)
    with pytest.raises(ValueError, match="calendar"):
        calendar().shift(LAST_DAY, 5)
    assert calendar().shift(date(2026, 11, 21), 0) == date(2026, 11, 23)
    assert calendar().day(LAST_DAY + timedelta(days=1)) is None


def test_a_daily_bar_is_stamped_midnight_new_york() -> None:
    """Midnight is 04:00 UTC in summer and 05:00 in winter, and belongs to its own day."""
    assert midnight(date(2013, 10, 8)) == ns("2013-10-08T04:00:00Z")
    assert midnight(date(2013, 12, 9)) == ns("2013-12-09T05:00:00Z")
    assert new_york_day(ns("2013-10-09T03:59:59.999Z")) == date(2013, 10, 8)
