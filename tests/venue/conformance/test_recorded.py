"""Real answers of Alpaca, recorded: ours have every key of theirs, with the same JSON types."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.venue.serving import served, settings, write_tape

DATA = Path(os.environ.get("DESKD_TEST_DATA", str(Path(__file__).parents[3] / "../shared/data")))
RECORDED = DATA / "wire" / "recorded_http.jsonl"
OPENAPI = DATA / "wire" / "openapi_examples.jsonl"

pytestmark = [
    pytest.mark.needs_tape,
    pytest.mark.skipif(not RECORDED.exists(), reason=f"no recorded answers at {RECORDED} (DESKD_TEST_DATA)"),
]

# gone from Alpaca's API since the recordings of 2019: day trading rules (2026-07)
# `pending_transfer_in` stands in an example of 2023, and in no real account of 2026
REMOVED = {
    "pending_transfer_in",
    "pattern_day_trader",
    "daytrade_count",
    "daytrading_buying_power",
    "bod_dtbp",
    "dtbp_check",
    "pdt_check",
}


def recorded(method: str, path: str, status: int = 200) -> Any:
    """Return the recorded body of the first such exchange."""
    for line in RECORDED.read_text().splitlines():
        row = json.loads(line)
        uri = urlsplit(row["uri"])
        if (row["method"], row["status"], uri.path, uri.hostname) == (method, status, path, "paper-api.alpaca.markets"):
            return row["response_body"]
    raise AssertionError(f"nothing recorded for {method} {path} {status}")


def _kind(value: object) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def assert_covers(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Our body has every key of theirs, of the same type wherever both have a value."""
    assert theirs.keys() - ours.keys() - REMOVED == set()
    for name in theirs.keys() - REMOVED:
        if theirs[name] is not None and ours[name] is not None:
            assert _kind(ours[name]) == _kind(theirs[name]), name


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with served(settings(write_tape(tmp_path / "tape"))) as (_, session):
        yield session


async def call(session: aiohttp.ClientSession, method: str, path: str, **given: Any) -> Any:
    async with session.request(method, path, **given) as answer:
        return await answer.json()


BUY = {"symbol": "AAPL", "qty": 5, "side": "buy", "type": "market", "time_in_force": "day"}


async def test_accounts_clocks_and_calendars_cover_the_recorded(session: aiohttp.ClientSession) -> None:
    """Account, clock, calendar, asset and list of assets."""
    assert_covers(await call(session, "GET", "/v2/account"), recorded("GET", "/v2/account"))
    assert_covers(await call(session, "GET", "/v2/clock"), recorded("GET", "/v2/clock"))
    days = await call(session, "GET", "/v2/calendar?start=2019-06-01&end=2019-07-01")
    theirs = recorded("GET", "/v2/calendar")
    for our_day, their_day in zip(days, theirs, strict=True):
        assert {name: our_day[name] for name in their_day} == their_day
    assert_covers(await call(session, "GET", "/v2/assets/IBM"), recorded("GET", "/v2/assets/CRM"))
    assert_covers((await call(session, "GET", "/v2/assets"))[0], recorded("GET", "/v2/assets")[0])


async def test_orders_cover_the_recorded(session: aiohttp.ClientSession) -> None:
    """POST of a simple, a bracket and a fractional order; lists; close of a position."""
    theirs = recorded("POST", "/v2/orders")
    limit = {"type": "limit", "limit_price": 90, "client_order_id": "MY_ORDER_ID"}
    assert_covers(await call(session, "POST", "/v2/orders", json=BUY | limit), theirs)
    assert_covers((await call(session, "GET", "/v2/orders?limit=5&status=all"))[0], recorded("GET", "/v2/orders")[0])
    legs = {"order_class": "bracket", "take_profit": {"limit_price": 110}, "stop_loss": {"stop_price": 90}}
    bracket = await call(
        session,
        "POST",
        "/v2/orders",
        json=BUY | legs | {"symbol": "SPY", "take_profit": {"limit_price": 60}, "stop_loss": {"stop_price": 40}},
    )
    assert_covers(bracket, theirs)
    assert_covers(bracket["legs"][0], theirs)
    await call(session, "DELETE", "/v2/orders")
    await call(session, "POST", "/v2/orders", json=BUY)
    assert_covers((await call(session, "GET", "/v2/positions"))[0], recorded("GET", "/v2/positions")[0])
    assert_covers(
        (await call(session, "GET", "/v2/account/activities/FILL"))[0],
        recorded("GET", "/v2/account/activities/FILL")[0],
    )
    assert_covers(await call(session, "DELETE", "/v2/positions/AAPL"), recorded("DELETE", "/v2/positions/AIV"))


async def test_recorded_refusals_are_ours_word_for_word(session: aiohttp.ClientSession) -> None:
    """The recorded error bodies of orders, positions and activities."""
    unknown = "001c0b29-5bc9-45c4-bd32-5ba323c997b3"
    for method, path, status in (
        ("DELETE", f"/v2/orders/{unknown}", 404),
        ("GET", f"/v2/orders/{unknown}", 404),
        ("GET", "/v2/account/activities/INVALID", 422),
    ):
        assert await call(session, method, path) == recorded(method, path, status)
    assert await call(session, "GET", "/v2/positions/AAPL") == recorded("GET", "/v2/positions/CRM", 404)
    assert await call(session, "DELETE", "/v2/positions/AAPL") == recorded("DELETE", "/v2/positions/CRM", 404)
    short = await call(session, "POST", "/v2/orders", json=BUY | {"qty": 500_000})
    assert_covers(short, recorded("POST", "/v2/orders", 403))


async def test_the_openapi_examples_are_covered(session: aiohttp.ClientSession) -> None:
    """Account and order as Alpaca's specification of 2026 shows them."""
    examples = [json.loads(line) for line in OPENAPI.read_text().splitlines()]
    account = next(row["json"] for row in examples if row["at"].startswith("/paths//v2/account/get"))
    ours = await call(session, "GET", "/v2/account")
    assert account.keys() - ours.keys() - REMOVED == set()
    order = next(row["json"] for row in examples if row["name"] == "EquityOrderResponse")
    assert_covers(await call(session, "POST", "/v2/orders", json=BUY), order)
