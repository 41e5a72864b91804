"""place_order and its kin against the real endpoint: what a member's code sees."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import desk_client
import pytest
from desk_client import DeskError, DeskUnavailable
from structlog.testing import capture_logs

from deskd.domain.effects import Refuse
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import OrderClass, OrderStatus, StopLoss, TakeProfit
from deskd.domain.reasons import RefusalReason
from deskd.ports import SystemClock
from tests.api.fakes import FakeOrders, OpenApi, SteppedClock, a_spec, an_api
from tests.factories import ALICE, price, qty


@asynccontextmanager
async def a_desk(directory: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[OpenApi]:
    async with an_api(directory, **settings) as desk:
        monkeypatch.setenv("DESK_SERVER_URL", f"unix://{desk.socket_path}")
        yield desk


async def call[T](function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call as a member would: blocking, and not on the desk's loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def test_an_order_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line of every strategy works."""
    async with a_desk(tmp_path, monkeypatch) as desk:
        response = await call(desk_client.place_order, "AAPL", "10", "buy")
        (order,) = desk.orders.known.values()
        assert response.status == "success"
        assert (response.order_id, response.client_order_id) == ("broker-0", order.request.client_order_id)
        assert (response.symbol, response.qty, response.side, response.order_status) == (
            "AAPL",
            "10",
            "buy",
            "accepted",
        )
        assert len(response.client_order_id) == 32


async def test_every_argument_reaches_the_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of any kind are taken, and nothing is lost on the way."""
    async with a_desk(tmp_path, monkeypatch) as desk:
        response = await call(
            desk_client.place_order,
            *("AAPL", Decimal(3), "sell", "stop_limit", "gtc", 99.5, "100", 2.5),
            extended_hours=True,
            take_profit=110,
            stop_loss={"stop_price": "90", "limit_price": 89.5},
            client_order_id="mine",
            reason="because",
        )
        assert response.status == "success"
        request = desk.orders.known[ClientOrderId("mine")].request
        assert (request.order_type, request.time_in_force, request.reason) == ("stop_limit", "gtc", "because")
        assert (request.qty, request.limit_price, request.stop_price) == (qty(3), price("99.5"), price(100))
        assert (request.extended_hours, request.order_class) == (True, OrderClass.BRACKET)
        assert request.take_profit == TakeProfit(limit_price=price(110))
        assert request.stop_loss == StopLoss(stop_price=price(90), limit_price=price("89.5"))
        assert desk.orders.waited == [2.5]
        await call(desk_client.place_order, "AAPL", None, "buy", notional="250.5", client_order_id="dollars")
        assert desk.orders.known[ClientOrderId("dollars")].request.notional == Decimal("250.5")
        trailing = {"order_type": "trailing_stop", "trail_percent": 1.5, "client_order_id": "trail"}
        await call(desk_client.place_order, "AAPL", 1, "sell", **trailing)
        assert desk.orders.known[ClientOrderId("trail")].request.trail_percent == Decimal("1.5")


@pytest.mark.parametrize(
    ("status", "reason", "word"),
    [
        (OrderStatus.DENIED, "BUYING_POWER", "denied"),
        (OrderStatus.REJECTED, "BROKER_REJECTED", "rejected"),
        (OrderStatus.SUBMITTED, None, "pending"),
    ],
)
async def test_a_no_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: OrderStatus, reason: str | None, word: str
) -> None:
    """Denied, rejected and in doubt are told apart, and nothing is raised."""
    async with a_desk(tmp_path, monkeypatch, orders=FakeOrders(becomes=lambda _: (status, reason))):
        response = await call(desk_client.place_order, "AAPL", 10, "buy")
        assert (response.status, response.reason) == (word, reason or "TIMEOUT")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("AAPL", -1, "buy"), "qty: '-1' is not greater than zero"),
        (("AAPL", float("nan"), "buy"), "qty: 'nan' is not a finite number"),
        (("AAPL", 1, "hold"), "side: 'hold' is not one of buy, sell"),
        (("", 1, "buy"), "symbol: is required"),
        ((None, 1, "buy"), "symbol: is required"),
        (("AAPL", [1], "buy"), "qty: '[1]' is not a decimal number"),
        (("AAPL", 1, "buy", "limit"), "limit_price: is required for a limit order"),
        (("AAPL", 1, "buy", 7), "bad argument type"),
        (("\ud800", 1, "buy"), "surrogates not allowed"),
    ],
)
async def test_a_mistake_is_an_answer_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], text: str
) -> None:
    """What is malformed comes back as `error` with the rule, from the desk or before it."""
    async with a_desk(tmp_path, monkeypatch) as desk:
        response = await call(desk_client.place_order, *arguments)
        assert (response.status, response.reason) == ("error", "INVALID")
        assert text in response.message
        assert not desk.orders.known


async def test_a_closed_desk_and_a_rate_are_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`error` with a reason to test for; symbol, qty and side are filled in all the same."""
    async with a_desk(tmp_path, monkeypatch, clock=SteppedClock(), requests_per_s=1) as desk:
        desk.orders.closed = Refuse(ClientOrderId(""), RefusalReason.DESK_NOT_READY, "the desk is starting")
        responses = [await call(desk_client.place_order, "AAPL", 10, "buy") for _ in range(2)]
        assert [response.reason for response in responses] == ["DESK_NOT_READY", "RATE"]
        assert {(one.status, one.symbol, one.qty, one.side) for one in responses} == {("error", "AAPL", "10", "buy")}


async def test_time_out_is_pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After *timeout* seconds the desk says that the order may live."""
    async with a_desk(tmp_path, monkeypatch, orders=FakeOrders(answers=asyncio.Event())):
        response = await call(desk_client.place_order, "AAPL", 10, "buy", timeout=0.01)
        assert (response.status, response.reason, response.order_status) == ("pending", "TIMEOUT", "submitted")


async def test_a_name_can_only_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """set_user_id with one's own name changes nothing; with another's, orders are refused."""
    async with a_desk(tmp_path, monkeypatch):
        desk_client.set_user_id("alice_user")
        assert (await call(desk_client.place_order, "AAPL", 1, "buy")).status == "success"
        desk_client.set_user_id("bob\r\nX-Evil: 1")
        with capture_logs():
            refused = await call(desk_client.place_order, "AAPL", 1, "buy")
        assert (refused.status, refused.reason) == ("error", "IDENTITY")


async def test_one_can_look_and_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders by either id, positions, account, bars, clock."""
    async with a_desk(tmp_path, monkeypatch):
        placed = await call(desk_client.place_order, "AAPL", 10, "buy", client_order_id="a/b ü"[:3])
        assert (await call(desk_client.get_order, "a/b")).order_id == placed.order_id
        assert [order.qty for order in await call(desk_client.list_orders)] == ["10"]
        assert await call(desk_client.list_orders, "closed") == []
        canceled = await call(desk_client.cancel_order, placed.order_id)
        assert (canceled.status, canceled.order_status) == ("success", "pending_cancel")
        assert [one.symbol for one in await call(desk_client.get_positions)] == ["AAPL"]
        assert (await call(desk_client.get_position, "AAPL")).market_value == "1010"
        assert (await call(desk_client.get_position, "SPY")).qty == "0"
        assert (await call(desk_client.get_account)).buying_power == "8900"
        assert [bar.close for bar in await call(desk_client.get_bars, "AAPL", "1Min", 2)] == [1.5, 1.5]
        assert (await call(desk_client.get_clock)).is_open


async def test_one_can_replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is about the new order; what is no number is told before anything is sent."""
    async with a_desk(tmp_path, monkeypatch) as desk:
        placed = await call(desk_client.place_order, "AAPL", 10, "buy", "limit", limit_price=9)
        replaced = await call(
            desk_client.replace_order, placed.order_id, qty=5, limit_price="9.5", client_order_id="new", timeout=3
        )
        assert (replaced.status, replaced.client_order_id, replaced.qty) == ("success", "new", "5")
        assert desk.orders.waited[-1] == 3
        old, new = await call(desk_client.get_order, placed.order_id), await call(desk_client.get_order, "new")
        assert (old.status, old.replaced_by, new.limit_price) == ("replaced", "new", "9.5")
        gone = await call(desk_client.replace_order, placed.order_id, qty=5)
        assert (gone.status, gone.reason) == ("denied", "ORDER_FINAL")
        assert gone.client_order_id, "its own id, though it never came to be"
        nothing = await call(desk_client.replace_order, "new")
        assert (nothing.status, nothing.reason) == ("error", "INVALID")
        assert "nothing is to change" in nothing.message
        unsent = await call(desk_client.replace_order, "new", time_in_force=5)
        assert (unsent.status, unsent.reason) == ("error", "INVALID")


async def test_a_question_refused_is_raised_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads have no `status` to look at: DeskError carries reason and rule."""
    async with a_desk(tmp_path, monkeypatch):
        with pytest.raises(DeskError, match="this strategy has none") as caught:
            await call(desk_client.get_order, "nope")
        assert caught.value.reason == "NOT_FOUND"
        assert (await call(desk_client.cancel_order, "nope")).reason == "NOT_FOUND"
        with pytest.raises(DeskError, match="is not one of open, closed, all"):
            await call(desk_client.list_orders, "ope n&x=1")


async def test_a_look_over_the_rate_waits_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that looks too often is slowed down, not ended."""
    async with a_desk(tmp_path, monkeypatch, clock=SystemClock(), requests_per_s=1) as desk:
        looks = [await call(desk_client.list_orders) for _ in range(2)]
        assert looks == [[], []]
        assert desk.orders.refusal() is None


async def test_threads_may_trade_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread waits for another's answer, and none gets it."""
    async with a_desk(tmp_path, monkeypatch) as desk:
        wrong: list[str] = []

        def trade(name: str) -> None:
            for number in range(25):
                oid = f"{name}-{number}"
                if desk_client.place_order("AAPL", 1, "buy", client_order_id=oid).client_order_id != oid:
                    wrong.append(oid)

        threads = [threading.Thread(target=trade, args=(name,)) for name in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert not wrong
        assert len(desk.orders.known) == 200


async def test_a_laptop_speaks_for_the_strategy_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over loopback, STRATEGY_ID says which; DESK_TOKEN proves it where the desk wants that."""
    async with an_api(tmp_path) as desk:
        port = await desk.api.open_local(0, spec_of={ALICE: a_spec()}.get, tokens=None)
        monkeypatch.setenv("DESK_SERVER_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("STRATEGY_ID", "alice")
        monkeypatch.setenv("DESK_TOKEN", "any")
        assert (await call(desk_client.place_order, "AAPL", 1, "buy")).status == "success"
        assert (await call(desk_client.get_account)).strategy_id == "alice"


@pytest.mark.parametrize("url", ["unix:///nowhere/order.sock", "http://127.0.0.1:9", "ftp://desk", "http://"])
def test_no_desk_is_said_clearly(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The only thing that is raised: where it was looked for, why, and what to do."""
    monkeypatch.setenv("DESK_SERVER_URL", url)
    with pytest.raises(DeskUnavailable, match=f"no desk is reachable at {url} .*start one with `make run`"):
        desk_client.place_order("AAPL", 1, "buy")
    with pytest.raises(DeskUnavailable):
        desk_client.get_account()


async def test_a_desk_that_does_not_answer_a_question_is_not_called_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and was asked in vain: to start another would lead astray."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_unix_server(hang_up, tmp_path / "order.sock"):
        monkeypatch.setenv("DESK_SERVER_URL", f"unix://{tmp_path}/order.sock")
        with pytest.raises(DeskUnavailable, match=r"^the desk closed the connection \(at unix://.*\): ask again later"):
            await call(desk_client.get_bars, "AAPL")


def test_the_signatures_are_the_contract() -> None:
    """CONTRACTS 2, word for word."""
    assert (
        str(inspect.signature(desk_client.place_order))
        .replace("Number", "")
        .startswith(
            "(symbol: 'str', qty: '', side: 'str', order_type: 'str' = 'market', time_in_force: 'str' = 'day', "
            "limit_price: ' | None' = None, stop_price: ' | None' = None, timeout: 'float' = 10, *, "
        )
    )
    names = list(inspect.signature(desk_client.place_order).parameters)[8:]
    assert names == [
        *("notional", "extended_hours", "trail_price", "trail_percent", "take_profit", "stop_loss"),
        *("client_order_id", "reason"),
    ]
    assert list(inspect.signature(desk_client.get_bars).parameters) == ["symbol", "timeframe", "limit"]
    assert desk_client.OrderResponse._fields == (
        *("status", "order_id", "client_order_id", "reason", "message", "symbol", "qty", "side"),
        *("filled_qty", "order_status", "filled_avg_price"),
    )
