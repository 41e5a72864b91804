"""The routes of CONTRACTS 3, their status codes, and both forms of every answer."""

import asyncio
from pathlib import Path

import pytest

from deskd.domain.effects import Refuse
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.order import Order, OrderRequest, OrderStatus
from deskd.domain.reasons import RefusalReason
from deskd.wire.pb import order_pb2 as pb
from tests.api.client import a_client, an_order
from tests.api.fakes import FakeOrders, an_api
from tests.factories import NOON, a_request

JSON = "application/json"


def becoming(status: OrderStatus, reason: str | None = None) -> FakeOrders:
    return FakeOrders(becomes=lambda _: (status, reason))


class KilledMeanwhile(FakeOrders):
    """The whole desk was killed while the order waited for the gate."""

    def refusal(self) -> Refuse:
        return Refuse(ClientOrderId(""), RefusalReason.KILLED, "kill=desk")


@pytest.mark.parametrize(
    ("orders", "http", "word"),
    [
        (becoming(OrderStatus.ACCEPTED), 200, "success"),
        (becoming(OrderStatus.FILLED), 200, "success"),
        (becoming(OrderStatus.SUBMITTED), 202, "pending"),
        (becoming(OrderStatus.DENIED, "ORDER_NOTIONAL_MAX"), 422, "denied"),
        (becoming(OrderStatus.REJECTED, "BROKER_REJECTED"), 422, "rejected"),
        (becoming(OrderStatus.DENIED, "PAUSED"), 403, "denied"),
        (becoming(OrderStatus.DENIED, "STRATEGY_NOT_ACTIVE"), 403, "denied"),
        (becoming(OrderStatus.DENIED, "KILLED"), 403, "denied"),
        (KilledMeanwhile(becomes=lambda _: (OrderStatus.DENIED, "KILLED")), 503, "denied"),
        (KilledMeanwhile(becomes=lambda _: (OrderStatus.DENIED, "PAUSED")), 403, "denied"),
    ],
)
async def test_an_order_is_answered_by_its_fate(tmp_path: Path, orders: FakeOrders, http: int, word: str) -> None:
    """200 accepted, 202 in doubt, 422 denied or rejected: the body says which; 403: no order of the strategy is taken."""
    async with an_api(tmp_path, orders) as desk, a_client(desk.socket_path) as client:
        answer = await client.order(client_order_id="mine")
        assert (answer.status, answer.order.status, answer.order.client_order_id) == (http, word, "mine")
        assert answer.headers["content-type"] == "application/x-protobuf"


async def test_the_order_is_in_the_name_of_the_socket(tmp_path: Path) -> None:
    """Whose order it is, the door knows; the message has no say."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        answer = await client.order()
        (order,) = desk.orders.known.values()
        assert (order.request.strategy_id, order.request.user_id) == ("alice", "alice_user")
        assert answer.order.client_order_id == "made-0"


async def test_the_same_id_is_the_same_order(tmp_path: Path) -> None:
    """The same content gets the same answer, other content 409, and there is one order."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        answers = [await client.order(client_order_id="x") for _ in range(2)]
        assert answers[0] == answers[1]
        conflict = await client.order(client_order_id="x", qty="11")
        assert (conflict.status, conflict.order.status, conflict.order.reason) == (409, "error", "CONFLICT")
        assert len(desk.orders.known) == 1


@pytest.mark.parametrize(
    ("reason", "http"),
    [
        (RefusalReason.DESK_NOT_READY, 503),
        (RefusalReason.KILLED, 503),
        (RefusalReason.TRADE_STREAM_DOWN, 503),
        (RefusalReason.DISK_LOW, 503),
        (RefusalReason.OVERLOADED, 503),
        ("A_REASON_FROM_TOMORROW", 503),
    ],
)
async def test_a_closed_desk_takes_cancels_and_no_orders(tmp_path: Path, reason: str, http: int) -> None:
    """503 says why no order is taken; what is open can still be called back."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        await client.order(client_order_id="x")
        desk.orders.closed = Refuse(ClientOrderId(""), reason, "the desk is stopping")
        refused = await client.order(client_order_id="y")
        assert (refused.status, refused.order.reason, refused.order.client_order_id) == (http, reason, "y")
        canceled = await client.ask("DELETE", "/orders/x")
        assert (canceled.status, canceled.order.order_status) == (200, "pending_cancel")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\xff\xfe random bytes", "message: is not a desk.v1.OrderRequest"),
        (an_order(qty="-1"), "qty: '-1' is not greater than zero"),
        (b"", "symbol: is required"),
        (b'{"symbol": "AAPL"}', "message: is not a desk.v1.OrderRequest"),
    ],
)
async def test_a_malformed_order_is_told_what_is_wrong(tmp_path: Path, body: bytes, text: str) -> None:
    """400 names the field and the rule, and the connection goes on."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        answer = await client.ask("POST", "/order", body)
        assert (answer.status, answer.order.status, answer.order.reason) == (400, "error", "INVALID")
        assert text in answer.order.message
        assert (await client.order()).status == 200
        assert len(desk.orders.known) == 1


async def test_a_malformed_order_is_answered_under_its_own_id(tmp_path: Path) -> None:
    """A strategy with several orders under way knows which one was wrong."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        assert (await client.order(client_order_id="x", qty="0")).order.client_order_id == "x"


async def test_another_content_type_is_named(tmp_path: Path) -> None:
    """Who posts JSON hears what to use instead."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        answer = await client.ask("POST", "/order", b"{}", Content_Type="application/json; charset=utf-8")
        assert (answer.status, "'application/json' is not application/x-protobuf" in answer.order.message) == (
            400,
            True,
        )


@pytest.mark.parametrize(
    ("wish", "waited"), [("", 10.0), ("wait=2.5", 2.5), ("wait=9999", 10.0), ("respond-async", 10.0)]
)
async def test_a_client_may_wait_less_never_more(tmp_path: Path, wish: str, waited: float) -> None:
    """place_order's timeout reaches the desk, which answers `pending` by itself."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        await client.order(headers={"Prefer": wish} if wish else {})
        assert desk.orders.waited == [waited]


async def test_an_order_in_doubt_is_pending(tmp_path: Path) -> None:
    """Where the broker does not answer in time, the order may live."""
    orders = FakeOrders(answers=asyncio.Event())
    async with an_api(tmp_path, orders) as desk, a_client(desk.socket_path) as client:
        answer = await client.order(headers={"Prefer": "wait=0.01"})
        assert (answer.status, answer.order.status, answer.order.reason) == (202, "pending", "TIMEOUT")


async def test_one_cancels_by_either_id(tmp_path: Path) -> None:
    """The broker's id and one's own are both good; an id with a slash is quoted."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        order_id = (await client.order(client_order_id="a/b")).order.order_id
        assert (await client.ask("DELETE", f"/orders/{order_id}")).order.client_order_id == "a/b"
        assert (await client.ask("DELETE", "/orders/a%2Fb")).status == 200
        assert (await client.ask("GET", "/orders/a%2Fb")).status == 200


async def test_what_cannot_be_canceled_is_told_apart(tmp_path: Path) -> None:
    """404: no such order; 422: it is final."""
    orders = becoming(OrderStatus.FILLED)
    async with an_api(tmp_path, orders) as desk, a_client(desk.socket_path) as client:
        await client.order(client_order_id="done")
        missing, final = await client.ask("DELETE", "/orders/nope"), await client.ask("DELETE", "/orders/done")
        assert (missing.status, missing.order.status, missing.order.reason) == (404, "error", "NOT_FOUND")
        assert (final.status, final.order.status, final.order.reason) == (422, "denied", "ORDER_FINAL")


def a_change(**fields: str) -> bytes:
    return pb.ReplaceRequest(**fields).SerializeToString()


async def test_one_replaces_by_either_id(tmp_path: Path) -> None:
    """The answer is about the new order, under the id that was chosen or made for it."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        placed = (await client.order(client_order_id="a/b")).order.order_id
        answer = await client.ask("PATCH", f"/orders/{placed}", a_change(qty="5", client_order_id="new"))
        assert (answer.status, answer.order.status, answer.order.client_order_id) == (200, "success", "new")
        assert answer.order.qty == "5"
        again = await client.ask("PATCH", "/orders/a%2Fb", a_change(qty="6"))
        assert (again.status, again.order.reason) == (422, "ORDER_FINAL")
        made = await client.ask("PATCH", "/orders/new", a_change(limit_price="9.5"))
        assert (made.status, made.order.client_order_id) == (200, "made-1")


async def test_what_cannot_be_replaced_is_told_apart(tmp_path: Path) -> None:
    """404: no such order; 422: not as it stands; 400: nothing to change, or no number; the new id is named."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        await client.order(client_order_id="x")
        for path, body, http, reason in (
            ("/orders/nope", a_change(qty="5", client_order_id="n1"), 404, "NOT_FOUND"),
            ("/orders/x", a_change(client_order_id="n1"), 400, "INVALID"),
            ("/orders/x", a_change(limit_price="ten", client_order_id="n1"), 400, "INVALID"),
        ):
            answer = await client.ask("PATCH", path, body)
            assert (answer.status, answer.order.reason, answer.order.client_order_id) == (http, reason, "n1")
        await client.ask("DELETE", "/orders/x")
        pending = await client.ask("PATCH", "/orders/x", a_change(qty="5"))
        assert (pending.status, pending.order.status, pending.order.reason) == (422, "denied", "NOT_REPLACEABLE")
        broken = await client.ask("PATCH", "/orders/x", b"\xff")
        assert (broken.status, broken.order.status) == (400, "error")
        assert "desk.v1.ReplaceRequest" in broken.order.message
        text = await client.ask("PATCH", "/orders/x", a_change(qty="5"), **{"Content-Type": "text/plain"})
        assert text.status == 400


async def test_a_closed_desk_replaces_nothing(tmp_path: Path) -> None:
    """A replacement is a new order: it is refused like any other."""
    orders = FakeOrders()
    async with an_api(tmp_path, orders) as desk, a_client(desk.socket_path) as client:
        await client.order(client_order_id="x")
        orders.closed = Refuse(ClientOrderId(""), RefusalReason.TRADE_STREAM_DOWN, "down")
        answer = await client.ask("PATCH", "/orders/x", a_change(qty="5"))
        assert (answer.status, answer.order.reason) == (503, "TRADE_STREAM_DOWN")


async def test_orders_are_ones_own(tmp_path: Path) -> None:
    """Nobody sees, finds or cancels another strategy's order."""
    orders = FakeOrders()
    theirs: OrderRequest = a_request(strategy_id=StrategyId("bob"), client_order_id=ClientOrderId("bobs"))
    orders.known[theirs.client_order_id] = Order(
        request=theirs, status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON
    )
    async with an_api(tmp_path, orders) as desk, a_client(desk.socket_path) as client:
        assert (await client.ask("GET", "/orders/bobs")).status == 404
        assert (await client.ask("DELETE", "/orders/bobs")).status == 404
        assert (await client.ask("PATCH", "/orders/bobs", a_change(qty="1"))).status == 404
        assert not pb.OrderList.FromString((await client.ask("GET", "/orders?status=all")).body).orders


async def test_orders_are_listed_by_status(tmp_path: Path) -> None:
    """Open ones unless asked otherwise; the newest where there are more than asked for."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        for name in ("one", "two", "three"):
            await client.order(client_order_id=name)
        await client.ask("DELETE", "/orders/one")
        desk.orders.becomes = lambda _: (OrderStatus.DENIED, "DUPLICATE")
        await client.order(client_order_id="no")

        async def names(query: str) -> list[str]:
            body = (await client.ask("GET", f"/orders{query}")).body
            return [order.client_order_id for order in pb.OrderList.FromString(body).orders]

        assert await names("") == ["one", "two", "three"]
        assert await names("?status=closed") == ["no"]
        assert await names("?status=all&limit=2") == ["three", "no"]


async def test_every_read_comes_in_both_forms(tmp_path: Path) -> None:
    """Protobuf, or JSON where it is asked for."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        await client.order(client_order_id="x")
        order = (await client.ask("GET", "/orders/x", Accept=JSON)).json
        assert (order["client_order_id"], order["qty"], order["status"]) == ("x", "10", "accepted")
        assert (await client.ask("GET", "/orders", Accept=JSON)).json["orders"] == [order]
        assert (await client.ask("GET", "/positions", Accept=JSON)).json["positions"][0]["market_value"] == "1010"
        assert (await client.ask("GET", "/positions/AAPL", Accept=JSON)).json["qty"] == "10"
        account = (await client.ask("GET", "/account", Accept=JSON)).json
        assert (account["user_id"], account["buying_power"]) == ("alice_user", "8900")
        assert pb.Account.FromString((await client.ask("GET", "/account")).body).equity == "10010"
        assert (await client.ask("GET", "/clock", Accept=JSON)).json["timestamp"] == "2026-01-05T17:00:00Z"
        bars = (await client.ask("GET", "/bars?symbol=AAPL&timeframe=5Min&limit=3", Accept=JSON)).json["bars"]
        assert (len(bars), bars[0]["close"]) == (3, 1.5)


async def test_what_is_not_held_is_a_position_of_zero(tmp_path: Path) -> None:
    """`get_position("SPY").qty` needs no special case."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        position = pb.Position.FromString((await client.ask("GET", "/positions/SPY")).body)
        assert (position.symbol, position.qty) == ("SPY", "0")


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/", 404, "'/': there is no such route"),
        ("GET", "/orders/a/b", 404, "there is no such route"),
        ("GET", "/%00%F0%9F%92%A5", 404, "there is no such route"),
        ("PUT", "/orders/x", 405, "takes DELETE, GET, PATCH, not PUT"),
        ("GET", "/order", 405, "takes POST, not GET"),
        ("GET", "/orders/none", 404, "this strategy has none"),
        ("GET", "/orders?status=opne", 400, "status: 'opne' is not one of open, closed, all"),
        ("GET", "/orders?limit=0", 400, "limit: is not a number from 1 to 500"),
        ("GET", "/orders?limit=%D9%A1", 400, "limit: is not a number"),
        ("GET", "/positions/aapl", 400, "did you mean AAPL?"),
        ("GET", "/bars", 400, "symbol: is required"),
        ("GET", "/bars?symbol=AAPL&timeframe=1Minute", 400, "is not like 1Min, 5Min, 1Hour or 1Day"),
        ("GET", "/bars?symbol=AAPL&limit=1e9", 400, "limit: is not a number from 1 to 1000"),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(
    tmp_path: Path, method: str, path: str, status: int, text: str
) -> None:
    """Every refusal of a read is an Error with a rule in it."""
    async with an_api(tmp_path) as desk, a_client(desk.socket_path) as client:
        answer = await client.ask(method, path)
        assert (answer.status, answer.error.status) == (status, "error")
        assert text in answer.error.message


@pytest.mark.parametrize("path", ["/clock", "/bars?symbol=AAPL"])
async def test_a_broker_that_is_away_is_said_to_be(tmp_path: Path, path: str) -> None:
    """A read that needs the broker says so, and the connection goes on."""
    async with an_api(tmp_path, FakeOrders(market_is_down=True)) as desk, a_client(desk.socket_path) as client:
        answer = await client.ask("GET", path)
        assert (answer.status, "the broker did not answer" in answer.error.message) == (503, True)
        assert (await client.ask("GET", "/account")).status == 200


async def test_a_strategy_without_an_account_hears_so(tmp_path: Path) -> None:
    """The desk makes up no account."""

    class NoAccounts(FakeOrders):
        def account(self, strategy_id: StrategyId) -> None:
            return None

    async with an_api(tmp_path, NoAccounts()) as desk, a_client(desk.socket_path) as client:
        assert (await client.ask("GET", "/account")).status == 404
