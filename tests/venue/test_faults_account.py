"""What a test has the broker do to the account, by the door that tests use, and on disk like all the rest."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.venue.serving import served, settings, write_tape

BUY = {"symbol": "AAPL", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"}


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with served(settings(write_tape(tmp_path / "tape"))) as (_, session):
        yield session


async def tell(session: aiohttp.ClientSession, status: int = 200, **order: Any) -> Any:
    async with session.post("/faults", json={"account": order}) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def get(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        assert answer.status == 200
        return await answer.json()


async def buy(session: aiohttp.ClientSession) -> str:
    async with session.post("/v2/orders", json=BUY) as answer:
        return str((await answer.json())["id"])


async def test_a_fee_a_dividend_and_a_split_are_told_as_alpaca_tells_them(session: aiohttp.ClientSession) -> None:
    """The rows have their type, amount, symbol and shares; account and positions agree with them."""
    await buy(session)
    await tell(session, book={"type": "FEE", "amount": "-0.75"})
    await tell(session, book={"type": "DIV", "amount": "2.5", "symbol": "AAPL"})
    await tell(session, split={"symbol": "AAPL", "ratio": "2"})
    rows = await get(session, "/v2/account/activities?category=non_trade_activity&direction=asc")
    told = [(row["activity_type"], row["net_amount"], row.get("symbol"), row.get("qty")) for row in rows[1:]]
    assert told == [("FEE", "-0.75", None, None), ("DIV", "2.5", "AAPL", "0"), ("SPLIT", "0", "AAPL", "10")]
    assert [p["qty"] for p in await get(session, "/v2/positions")] == ["20"]
    assert Decimal((await get(session, "/v2/account"))["cash"]) == 100_000 - 10 * Decimal("100.01") + Decimal("1.75")


async def test_a_bust_and_a_correction_are_rows_of_the_order(session: aiohttp.ClientSession) -> None:
    """The order's FILL rows tell of both; the order's totals are the corrected ones."""
    first, second = await buy(session), await buy(session)
    await tell(session, correct={"order_id": first, "price": "101"})
    await tell(session, bust={})
    rows = await get(session, "/v2/account/activities/FILL?direction=asc")
    assert [(r["order_id"], r["type"], r["cum_qty"]) for r in rows] == [
        (first, "fill", "10"),
        (second, "fill", "10"),
        (first, "trade_correct", "10"),
        (second, "trade_bust", "0"),
    ]
    assert (await get(session, f"/v2/orders/{first}"))["filled_avg_price"] == "101"
    assert (await get(session, f"/v2/orders/{second}"))["filled_qty"] == "0"
    assert [p["qty"] for p in await get(session, "/v2/positions")] == ["10"]


async def test_an_overfill_is_one_more_row_of_the_order(session: aiohttp.ClientSession) -> None:
    """The order has more filled than it was for, and its FILL rows say when."""
    order = await buy(session)
    await tell(session, overfill={"qty": "3"})
    rows = await get(session, "/v2/account/activities/FILL?direction=asc")
    assert [(r["order_id"], r["type"], r["qty"], r["cum_qty"]) for r in rows] == [
        (order, "fill", "10", "10"),
        (order, "fill", "3", "13"),
    ]
    assert (await get(session, f"/v2/orders/{order}"))["filled_qty"] == "13"
    assert [p["qty"] for p in await get(session, "/v2/positions")] == ["13"]


async def test_phantom_shares_are_a_position_alone(session: aiohttp.ClientSession) -> None:
    """Shares appear, and neither cash nor history knows of them."""
    await tell(session, phantom={"symbol": "SPY", "qty": "3"})
    assert [(p["symbol"], p["qty"]) for p in await get(session, "/v2/positions")] == [("SPY", "3")]
    assert await get(session, "/v2/account/activities/FILL") == []


async def test_positions_lag_and_catch_up(session: aiohttp.ClientSession) -> None:
    """While they lag, positions are told as they were; a lag of nothing ends it."""
    await tell(session, positions_lag_s=60.0)
    await buy(session)
    assert await get(session, "/v2/positions") == []
    await tell(session, positions_lag_s=0.0)
    assert [p["qty"] for p in await get(session, "/v2/positions")] == ["10"]


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"bust": {}}, "no fill"),
        ({"book": {"type": "FILL", "amount": "1"}}, "type='FILL'"),
        ({"phantom": {"symbol": "NONE", "qty": "1"}}, "symbol=NONE has no price"),
        ({"split": {"symbol": "AAPL", "ratio": "2"}}, "no position in AAPL"),
    ],
)
async def test_what_cannot_be_done_is_said(session: aiohttp.ClientSession, order: dict[str, Any], why: str) -> None:
    """The refusal names what is missing: a test that goes on would prove nothing."""
    assert why in (await tell(session, 422, **order))["message"]


async def test_what_was_booked_outlives_the_process(tmp_path: Path) -> None:
    """A second life of the exchange tells the same account, positions and history."""
    told = settings(write_tape(tmp_path / "tape"), state=tmp_path / "exchange.db")
    paths = ("/v2/account/activities", "/v2/positions", "/v2/orders?status=all")
    async with served(told) as (_, session):
        await buy(session)
        await tell(session, book={"type": "FEE", "amount": "-1"}, phantom={"symbol": "SPY", "qty": "3"})
        await tell(session, correct={"price": "101"})
        before = [await get(session, path) for path in paths]
        cash = (await get(session, "/v2/account"))["cash"]
    async with served(told) as (_, session):
        assert [await get(session, path) for path in paths] == before
        assert (await get(session, "/v2/account"))["cash"] == cash
