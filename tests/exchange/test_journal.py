"""What happened is told once, and kept where it can be asked for."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from deskd.exchange.account import Activity, EquityPoint
from deskd.exchange.journal import Journal, activity_id
from tests.exchange.given import NOON, cash


def an_activity(number: int, **overrides: Any) -> Activity:
    fields: dict[str, Any] = {
        "id": f"a-{number}",
        "activity_type": "FILL",
        "sequence": number,
        "at": NOON + timedelta(seconds=number),
    }
    return Activity(**fields | overrides)


def listed(journal: Journal, **overrides: Any) -> list[str]:
    fields: dict[str, Any] = {
        "types": None,
        "order_id": None,
        "on": None,
        "after": None,
        "until": None,
        "is_descending": True,
        "page_size": 100,
        "page_token": None,
    }
    return [activity.id for activity in journal.listed(**fields | overrides)]


def test_id_starts_with_new_yorks_time() -> None:
    """The prefix is local time with milliseconds, in summer as in winter."""
    assert activity_id(datetime(2026, 10, 8, 15, 10, 19, 61299, tzinfo=UTC), "u") == "20261008111019061::u"
    assert activity_id(datetime(2026, 1, 5, 4, 0, 0, tzinfo=UTC), "u") == "20260104230000000::u"


def test_activities_are_in_the_order_of_time() -> None:
    """Also where a tape started again, and time went back."""
    journal = Journal([an_activity(3), an_activity(2, at=NOON)], ())
    journal.add_activity(an_activity(4, at=NOON + timedelta(seconds=1)))
    assert listed(journal) == ["a-3", "a-4", "a-2"]
    assert listed(journal, page_token="a-4") == ["a-2"]
    assert listed(journal, page_token="a-4", is_descending=False) == ["a-3"]
    assert listed(journal, page_token="unknown", is_descending=False) == ["a-2", "a-4", "a-3"]


def test_pages_of_both_directions_meet() -> None:
    """Page after page, every line comes once."""
    journal = Journal([an_activity(n) for n in range(10)], ())
    for is_descending in (True, False):
        seen: list[str] = []
        while page := listed(journal, page_size=3, page_token=seen[-1] if seen else None, is_descending=is_descending):
            seen += page
        assert len(seen) == len(set(seen)) == 10


def test_equity_points_are_one_a_day() -> None:
    """A day that is played again has its latest worth."""
    day = date(2026, 1, 5)
    journal = Journal((), [EquityPoint(day=day, at=NOON, equity=cash(1))])
    journal.add_equity_point(EquityPoint(day=day, at=NOON, equity=cash(2)))
    assert [p.equity for p in journal.equity_points.values()] == [2]
    assert journal.take_events() == []
