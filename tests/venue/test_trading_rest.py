"""The trading API over real HTTP: each endpoint, its status, its refusals."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.venue.serving import served, settings, write_tape

type Session = aiohttp.ClientSession
BUY = {"symbol": "AAPL", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"}
REST = {"symbol": "AAPL", "qty": 1, "side": "buy", "type": "limit", "limit_price": "90", "time_in_force": "gtc"}


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    async with served(settings(write_tape(tmp_path / "tape"))) as (_, session):
        yield session


async def call(session: Session, method: str, path: str, status: int, **given: Any) -> Any:
    async with session.request(method, path, **given) as answer:
        body = await answer.text()
        assert answer.status == status, body
        return None if status == 204 else await answer.json()


async def order(session: Session, fields: Mapping[str, object], status: int = 200) -> Any:
    return await call(session, "POST", "/v2/orders", status, json=fields)


async def test_an_order_is_taken_filled_and_found_again(session: Session) -> None:
    """POST answers pending_new; by id and by client id the order is filled at the ask; the position is there."""
    taken = await order(session, BUY | {"client_order_id": "mine"})
    assert (taken["status"], taken["client_order_id"], taken["qty"]) == ("pending_new", "mine", "10")
    by_id = await call(session, "GET", f"/v2/orders/{taken['id']}", 200)
    by_client = await call(session, "GET", "/v2/orders:by_client_order_id?client_order_id=mine", 200)
    assert by_id == by_client
    assert (by_id["status"], by_id["filled_qty"], by_id["filled_avg_price"]) == ("filled", "10", "100.01")
    position = await call(session, "GET", "/v2/positions/AAPL", 200)
    assert (position["qty"], position["avg_entry_price"]) == ("10", "100.01")
    assert await call(session, "GET", f"/v2/positions/{position['asset_id']}", 200) == position
    account = await call(session, "GET", "/v2/account", 200)
    assert account["cash"] == "98999.9"


async def test_orders_are_listed_with_filters_and_pages(session: Session) -> None:
    """Status, symbols, side, limit, direction and bounds choose and order the list."""
    first, second = await order(session, REST), await order(session, REST | {"symbol": "SPY", "limit_price": 40})
    await order(session, BUY)

    async def ids(query: str) -> list[str]:
        return [row["id"] for row in await call(session, "GET", f"/v2/orders?{query}", 200)]

    assert await ids("") == [second["id"], first["id"]]
    assert await ids("direction=asc&limit=1") == [first["id"]]
    assert await ids(f"direction=asc&after={first['submitted_at']}") == [second["id"]]
    assert await ids(f"after_order_id={first['id']}&direction=asc") == [second["id"]]
    assert await ids("symbols=SPY,IBM") == [second["id"]]
    assert await ids("side=sell") == []
    assert len(await ids("status=all")) == 3
    assert len(await ids("status=closed")) == 1
    await call(session, "GET", "/v2/orders?limit=1000", 422)


async def test_a_resting_order_is_replaced_and_canceled(session: Session) -> None:
    """PATCH answers the new order; the old one says replaced; DELETE is 204, and 422 the second time."""
    old = await order(session, REST)
    new = await call(session, "PATCH", f"/v2/orders/{old['id']}", 200, json={"limit_price": "91", "qty": 2})
    assert (new["replaces"], new["limit_price"], new["qty"]) == (old["id"], "91", "2")
    replaced = await call(session, "GET", f"/v2/orders/{old['id']}", 200)
    assert (replaced["status"], replaced["replaced_by"]) == ("replaced", new["id"])
    await call(session, "DELETE", f"/v2/orders/{new['id']}", 204)
    again = await call(session, "DELETE", f"/v2/orders/{new['id']}", 422)
    assert again == {"code": 42210000, "message": 'order is already in "canceled" state'}


async def test_everything_is_canceled_and_closed_with_207(session: Session) -> None:
    """Each item of the list has its own status."""
    resting = await order(session, REST | {"symbol": "SPY", "limit_price": 40})
    await order(session, BUY)
    assert await call(session, "DELETE", "/v2/orders", 207) == [{"id": resting["id"], "status": 200}]
    closed = await call(session, "DELETE", "/v2/positions?cancel_orders=True", 207)
    assert [(item["symbol"], item["status"], item["body"]["side"]) for item in closed] == [("AAPL", 200, "sell")]
    assert await call(session, "GET", "/v2/positions", 200) == []


async def test_a_position_is_closed_in_parts(session: Session) -> None:
    """By quantity, by percentage, whole, and then not at all."""
    await order(session, BUY)
    assert (await call(session, "DELETE", "/v2/positions/AAPL?qty=4", 200))["qty"] == "4"
    assert (await call(session, "DELETE", "/v2/positions/AAPL?percentage=50", 200))["qty"] == "3"
    assert (await call(session, "DELETE", "/v2/positions/AAPL", 200))["qty"] == "3"
    assert await call(session, "DELETE", "/v2/positions/AAPL", 404) == {
        "code": 40410000,
        "message": "position does not exist",
    }
    await call(session, "DELETE", "/v2/positions/AAPL?qty=half", 422)


async def test_a_bracket_answers_with_its_legs(session: Session) -> None:
    """The POST carries both legs; nested listings keep them inside, flat ones beside."""
    legs = {"order_class": "bracket", "take_profit": {"limit_price": 110}, "stop_loss": {"stop_price": 90}}
    parent = await order(session, BUY | legs)
    assert {leg["type"] for leg in parent["legs"]} == {"limit", "stop"}
    nested = await call(session, "GET", "/v2/orders?status=all&nested=true", 200)
    assert [len(row["legs"]) for row in nested] == [2]
    flat = await call(session, "GET", "/v2/orders?status=all", 200)
    assert [row["legs"] for row in flat] == [None, None, None]
    assert (await call(session, "GET", f"/v2/orders/{parent['id']}", 200))["legs"] is None
    assert len((await call(session, "GET", f"/v2/orders/{parent['id']}?nested=true", 200))["legs"]) == 2


async def test_activities_page_by_id(session: Session) -> None:
    """Fills by type, in both directions, page after page; the deposit is a row of its own."""
    for _ in range(3):
        await order(session, BUY)
    fills = await call(session, "GET", "/v2/account/activities/FILL?direction=asc", 200)
    assert [fill["cum_qty"] for fill in fills] == ["10", "10", "10"]
    assert [row["activity_type"] for row in await call(session, "GET", "/v2/account/activities", 200)] == [
        "FILL",
        "FILL",
        "FILL",
        "CSD",
    ]
    page = await call(session, "GET", "/v2/account/activities/FILL?direction=asc&page_size=2", 200)
    token = page[-1]["id"]
    rest = await call(session, "GET", f"/v2/account/activities/FILL?direction=asc&page_size=2&page_token={token}", 200)
    assert page + rest == fills
    by_type = await call(session, "GET", "/v2/account/activities?activity_types=CSD,DIV", 200)
    assert [row["net_amount"] for row in by_type] == ["100000"]
    await call(session, "GET", "/v2/account/activities/INVALID", 422)


async def test_configurations_are_kept_and_obeyed(session: Session) -> None:
    """A suspended account takes no order until it is released."""
    on = await call(session, "PATCH", "/v2/account/configurations", 200, json={"suspend_trade": True})
    assert on["suspend_trade"] is True
    assert await call(session, "GET", "/v2/account/configurations", 200) == on
    await order(session, BUY, 403)
    await call(session, "PATCH", "/v2/account/configurations", 200, json={"suspend_trade": False})
    await order(session, BUY)
    await call(session, "PATCH", "/v2/account/configurations", 422, json={"max_margin_multiplier": "9"})


async def test_the_market_is_described(session: Session) -> None:
    """Clock, calendar and assets speak of the tape's day."""
    clock = await call(session, "GET", "/v2/clock", 200)
    assert clock["is_open"] is True
    assert clock["timestamp"].startswith("2013-10-08T09:35:0")
    assert clock["next_close"] == "2013-10-08T16:00:00-04:00"
    days = await call(session, "GET", "/v2/calendar?start=2013-10-07&end=2013-10-09", 200)
    assert [day["date"] for day in days] == ["2013-10-07", "2013-10-08", "2013-10-09"]
    await call(session, "GET", "/v2/calendar?start=soon", 422)
    assets = await call(session, "GET", "/v2/assets?status=active&asset_class=us_equity", 200)
    assert [asset["symbol"] for asset in assets] == ["AAPL", "IBM", "SPY"]
    assert await call(session, "GET", "/v2/assets?asset_class=crypto", 200) == []
    assert len(await call(session, "GET", "/v2/assets?attributes=fractional_eh_enabled", 200)) == 3
    asset = await call(session, "GET", "/v2/assets/IBM", 200)
    assert await call(session, "GET", f"/v2/assets/{asset['id']}", 200) == asset
    missing = await call(session, "GET", "/v2/assets/ZZZZQX", 404)
    assert missing == {"code": 40410000, "message": "asset not found for ZZZZQX"}


async def test_portfolio_history_ends_with_now(session: Session) -> None:
    """The last point is the account's worth at this moment."""
    await order(session, BUY)
    history = await call(session, "GET", "/v2/account/portfolio/history?period=1M&timeframe=1D", 200)
    assert history["equity"][-1] == pytest.approx(99999.9)
    assert history["base_value"] == 100000.0
    assert len(history["timestamp"]) == len(history["profit_loss"]) == len(history["profit_loss_pct"])
    await call(session, "GET", "/v2/account/portfolio/history?period=forever", 422)


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/v2/orders/001c0b29-5bc9-45c4-bd32-5ba323c997b3", 404,
         {"code": 40410000, "message": "order not found for 001c0b29-5bc9-45c4-bd32-5ba323c997b3"}),
        ("GET", "/v2/orders:by_client_order_id?client_order_id=no", 404,
         {"code": 40410000, "message": "order not found for no"}),
        ("PATCH", "/v2/orders/no", 404, {"code": 40410000, "message": "order not found for no"}),
        ("DELETE", "/v2/orders/no", 404, {"code": 40410000, "message": "order not found for no"}),
        ("GET", "/v2/positions/AAPL", 404, {"code": 40410000, "message": "position does not exist"}),
        ("GET", "/v2/positions/ZZZZQX", 404, {"code": 40410000, "message": "symbol not found: ZZZZQX"}),
        ("POST", "/v2/orders", 400, {"code": 40010000, "message": "request body format is invalid"}),
        ("PATCH", "/v2/account/configurations", 400, {"code": 40010000, "message": "request body format is invalid"}),
    ],
)  # fmt: skip
async def test_what_is_not_there_or_not_readable_is_refused(
    session: Session, method: str, path: str, status: int, body: object
) -> None:
    """The recorded refusals, word for word."""
    given: dict[str, Any] = {"json": {}} if method == "PATCH" and "orders" in path else {"data": b"nonsense"}
    assert await call(session, method, path, status, **given) == body


NASTY = [
    "", "0", "-1", "9" * 5_000, "1e400", "NaN", "\x00", "\u0661\u0662", "true", "null", "[]", "a" * 3_000, "%", ",,,",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "0001-01-01", "9999A", "2013-10-08", "..", "asc", "AAPL",
]  # fmt: skip
WELL = {"symbols": "AAPL", "timeframe": "1Day", "start": "2013-10-01", "end": "2013-10-31"}
READS = {
    "/v2/orders": "status limit after until direction nested symbols side after_order_id before_order_id",
    "/v2/orders:by_client_order_id": "client_order_id",
    "/v2/account/activities": "activity_types category order_id date after until direction page_size page_token",
    "/v2/account/activities/FILL": "date after until direction page_size page_token",
    "/v2/account/portfolio/history": "period timeframe start end date_start date_end",
    "/v2/calendar": "start end date_type",
    "/v2/assets": "status asset_class exchange attributes",
    "/v2/watchlists:by_name": "name",
    "/v2/stocks/bars": "symbols timeframe start end limit adjustment asof feed currency page_token sort",
    "/v2/stocks/AAPL/trades": "start end limit page_token sort",
    "/v2/stocks/quotes/latest": "symbols feed",
    "/v2/stocks/snapshots": "symbols feed",
}


FIELDS = """symbol qty notional side type time_in_force limit_price stop_price trail_price trail_percent extended_hours
client_order_id order_class take_profit stop_loss position_intent trail"""


@pytest.mark.parametrize("path", READS)
async def test_nonsense_in_a_query_is_answered(session: Session, path: str) -> None:
    """Whatever a parameter holds, the answer is a page or a refusal with a message, never a failure of ours."""
    for name in READS[path].split():
        for value in NASTY:
            async with session.get(path, params=WELL | {name: value}) as answer:
                assert answer.status < 500, (name, value[:40])
                if answer.status >= 400:
                    assert (await answer.json())["message"], (name, value[:40])


async def test_nonsense_in_a_body_is_answered(session: Session) -> None:
    """Whatever a field holds, an order is taken or refused with a message."""
    resting = await order(session, REST)
    values: list[Any] = [*NASTY, None, [], {}, True, -1, 0, 1e300, 1e-12, 10**30, 0.1 + 0.2, {"limit_price": "x"}]
    for name in FIELDS.split():
        for value in values:
            for method, path in (("POST", "/v2/orders"), ("PATCH", f"/v2/orders/{resting['id']}")):
                async with session.request(method, path, json={**REST, "symbol": "SPY", name: value}) as answer:
                    assert answer.status < 500, (name, value)
                    if answer.status >= 400:
                        assert (await answer.json())["message"], (name, value)
