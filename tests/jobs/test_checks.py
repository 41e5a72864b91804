"""Before the open the desk names everything that is not as it should be, with figures and remedy."""

from dataclasses import replace
from datetime import timedelta

import pytest

from deskd.jobs.checks import BACKUP_AGE_MAX, CLOCK_SKEW_MAX, Evidence, judge
from tests.factories import DAY, MONDAY, NOON

FAR = replace(DAY, day=MONDAY + timedelta(days=30))
GOOD = Evidence(
    session=MONDAY,
    now=NOON,
    market_now=NOON,
    is_tape=False,
    calendar={DAY.day: DAY, FAR.day: FAR},
    disk_free=10 * 2**30,
    disk_min=100 * 2**20,
    account=None,
    is_trade_stream_up=True,
    is_synced=True,
    market_stream="up: subscribed",
    discrepancies=0,
    frozen=(),
    kills=(),
    backup_at=NOON - timedelta(hours=15),
    is_first_day=False,
)


def test_where_all_is_well_nothing_is_said() -> None:
    """Silence means something."""
    assert judge(GOOD) == []
    assert judge(replace(GOOD, market_stream="not needed yet", backup_at=None, is_first_day=True)) == []


@pytest.mark.parametrize(
    ("bad", "check"),
    [
        ({"disk_free": 2**30}, "disk"),
        ({"market_now": None}, "clock"),
        ({"market_now": NOON - CLOCK_SKEW_MAX - timedelta(seconds=1)}, "clock"),
        ({"market_now": NOON + CLOCK_SKEW_MAX + timedelta(seconds=1)}, "clock"),
        ({"backup_at": None}, "backup"),
        ({"backup_at": NOON - BACKUP_AGE_MAX - timedelta(seconds=1)}, "backup"),
        ({"account": "HTTP 401"}, "account"),
        ({"calendar": {}}, "calendar"),
        ({"calendar": {DAY.day: DAY}}, "calendar"),
        ({"is_trade_stream_up": False}, "trade stream"),
        ({"market_stream": "down: HTTP 403"}, "market stream"),
        ({"is_synced": False}, "books"),
        ({"discrepancies": 1}, "books"),
        ({"frozen": ("AAPL",)}, "books"),
        ({"kills": ("desk",)}, "kill"),
    ],
    ids=str,
)
def test_whatever_is_not_good_is_named_with_its_remedy(bad: dict[str, object], check: str) -> None:
    """What is not known is not good."""
    [finding] = judge(replace(GOOD, **bad))  # type: ignore[arg-type]
    assert finding.check == check
    assert finding.remedy
    assert str(finding).startswith(f"{check}: ")


def test_a_tapes_time_is_its_own() -> None:
    """The embedded exchange plays another year: that is no fault of this machine's clock."""
    assert judge(replace(GOOD, is_tape=True, market_now=NOON - timedelta(days=4000))) == []
