"""The broker, against a REST server in this process that refuses, cuts, delays and lies on order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from deskd.alpaca.broker import AlpacaBroker, open_broker
from deskd.alpaca.endpoints import embedded
from deskd.domain.errors import WireError
from deskd.domain.events import (
    BrokerStatus,
    CancelAnswered,
    CancelInDoubt,
    SubmitAccepted,
    SubmitInDoubt,
    SubmitRejected,
)
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Replacement, StopLoss, TakeProfit
from deskd.domain.priority import Priority
from deskd.ports import Broker
from tests.alpaca.server import (
    KEYS,
    FakeAlpaca,
    NoonClock,
    an_activity,
    an_order,
    cut,
    fake_alpaca,
    refusal,
    silence,
)
from tests.factories import AAPL, ALICE, NOON, SPY, a_limit_request, a_request, price, qty

ORDERS = "/v2/orders"
BY_ID = "/v2/orders:by_client_order_id"
FILLS = "/v2/account/activities/FILL"
OID = ClientOrderId("alice-1")
BID = BrokerOrderId("61d1feca-aa11-4863-8b79-64c5e4731a98")


@asynccontextmanager
async def a_broker(**overrides: Any) -> AsyncIterator[tuple[FakeAlpaca, AlpacaBroker]]:
    fields: dict[str, Any] = {"clock": NoonClock(), "timeout_s": 0.3, "requests_per_min": None}
    async with fake_alpaca() as fake, open_broker(fake.endpoints, KEYS, **fields | overrides) as broker:
        yield fake, broker


def test_it_is_a_broker() -> None:
    """The room's face is ports.Broker, checked by the type checker."""
    as_broker: Callable[[AlpacaBroker], Broker] = lambda broker: broker  # noqa: E731
    assert callable(as_broker)
    asked = {name for name in vars(Broker) if not name.startswith("_")}
    assert asked <= set(dir(AlpacaBroker))


# --- submit ----------------------------------------------------------------------------------------------------------


async def test_an_accepted_order_is_read_whole() -> None:
    """The broker's answer to the POST comes back as the order it describes."""
    async with a_broker() as (fake, broker):
        fake.answer("POST", ORDERS, an_order(qty="0.057436865", limit_price="150.25", type="limit"))
        said = await broker.submit(a_limit_request())
    assert isinstance(said, SubmitAccepted)
    assert (said.order.broker_order_id, said.order.status) == (BID, BrokerStatus.PENDING_NEW)
    assert (said.order.qty, said.order.limit_price) == (Decimal("0.057436865"), Decimal("150.25"))
    assert said.at == NOON


async def test_numbers_leave_the_desk_exactly() -> None:
    """A quantity with nine places and a price that no float can hold arrive as written."""
    async with a_broker() as (fake, broker):
        fake.answer("POST", ORDERS, an_order())
        await broker.submit(a_limit_request("0.1001", qty=qty("123456789012.123456789")))
    assert fake.requests[0][3] == {
        "symbol": "AAPL",
        "qty": "123456789012.123456789",
        "side": "buy",
        "type": "limit",
        "time_in_force": "day",
        "client_order_id": "alice-1",
        "limit_price": "0.1001",
    }


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            refusal(403, "insufficient buying power", 40310000, buying_power="5", cost_basis="10"),
            "insufficient buying power (code=40310000, buying_power=5, cost_basis=10)",
        ),
        (refusal(422, "qty must be > 0", 40010001), "qty must be > 0 (code=40010001)"),
        (refusal(400, "request body format is invalid", 40010000), "request body format is invalid (code=40010000)"),
        (refusal(404, "asset not found for X", 40410000), "asset not found for X (code=40410000)"),
        (web.json_response({"message": "unauthorized."}, status=401), "unauthorized. (status=401)"),
        (refusal(429, "rate limit exceeded", 42910000), "rate limit exceeded (code=42910000)"),
        (
            refusal(403, "insufficient qty", 40310000, related_orders=["a", "b"]),
            'insufficient qty (code=40310000, related_orders=["a","b"])',
        ),
    ],
)
async def test_a_refusal_in_the_brokers_words_is_definite(answer: web.Response, text: str) -> None:
    """Message, code and extras reach the strategy's author; no order exists."""
    async with a_broker() as (fake, broker):
        fake.answer("POST", ORDERS, answer)
        assert await broker.submit(a_request()) == SubmitRejected(client_order_id=OID, message=text, at=NOON)


@pytest.mark.parametrize(
    "answer",
    [
        refusal(422, "client_order_id must be unique", 40010001),
        refusal(422, "client_order_id must be unique", 42210000),
        refusal(500, "internal server error"),
        refusal(504, "gateway time-out"),
        refusal(429, "slow down"),
        web.Response(status=504, text="<html>504</html>", content_type="text/html"),
        web.Response(status=403, text="<html>a proxy says no</html>", content_type="text/html"),
        web.Response(status=422, text=""),
        web.Response(status=200, text="<html>welcome</html>", content_type="text/html"),
        web.Response(status=200, text="{}"),
        web.json_response(an_order(client_order_id="somebody-else")),
        web.json_response(an_order(qty="NaN")),
        web.json_response([an_order()]),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        cut,
        silence,
    ],
)
async def test_whatever_else_leaves_the_order_in_doubt(answer: Any) -> None:
    """An order that may have arrived is never called rejected, and never sent again."""
    async with a_broker() as (fake, broker):
        fake.answer("POST", ORDERS, answer)
        said = await broker.submit(a_request())
        assert isinstance(said, SubmitInDoubt), said
        assert said.why
        assert len(fake.requests) == 1


async def test_an_order_accepted_behind_a_504_is_found() -> None:
    """The answer is lost, the order is not: it is in doubt, and a look-up by its id finds it."""
    async with a_broker() as (fake, broker):
        fake.answer("POST", ORDERS, refusal(504, "gateway time-out"))
        fake.answer("GET", BY_ID, an_order(status="new"))
        assert isinstance(await broker.submit(a_request()), SubmitInDoubt)
        found = await broker.look_up(OID)
    assert found is not None
    assert found.order is not None
    assert found.order.status is BrokerStatus.NEW


async def test_an_order_that_certainly_was_not_sent_is_no_doubt() -> None:
    """Where nothing listens, nothing left the desk, and the answer says so at once."""
    async with open_broker(embedded("http://127.0.0.1:1", "iex"), KEYS, clock=NoonClock()) as broker:
        said = await broker.submit(a_request())
        assert isinstance(await broker.cancel(OID, BID), CancelInDoubt)
        replaced = await broker.replace(a_replacement(), BID)
        assert await broker.look_up(OID) is None
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            await broker.clock()
    assert isinstance(said, SubmitRejected)
    assert said.message.startswith("not sent: the broker cannot be reached")
    assert not said.was_sent
    assert isinstance(replaced, SubmitRejected)
    assert not replaced.was_sent


async def test_an_order_that_alpaca_py_would_not_send_is_refused_here() -> None:
    """What the model calls impossible never reaches the wire."""
    async with a_broker() as (fake, broker):
        said = await broker.submit(a_request(order_type=OrderType.STOP))
    assert isinstance(said, SubmitRejected)
    assert "stop_price" in said.message
    assert not fake.requests


async def test_a_strict_model_that_fails_loses_no_order() -> None:
    """A status, or a field, that alpaca-py does not know is logged once; the order is accepted."""
    async with a_broker() as (fake, broker):
        fake.answer("POST", ORDERS, an_order(status="brand_new"))
        with capture_logs() as logs:
            said = [await broker.submit(a_request()) for _ in range(3)]
    assert all(isinstance(s, SubmitAccepted) and s.order.raw_status == "brand_new" for s in said)
    assert [line["event"] for line in logs] == ["broker_schema_changed"]


async def test_a_burst_over_the_limit_is_turned_away_unsent() -> None:
    """Who would wait longer than the time-out is told so; cancels still pass."""
    async with a_broker(requests_per_min=80, queue_wait_max_s=0.3) as (fake, broker):
        fake.answer("POST", ORDERS, lambda r: web.json_response(an_order()))
        fake.answer("DELETE", f"{ORDERS}/{BID}", web.Response(status=204))
        said = [await broker.submit(a_request()) for _ in range(13)]
        crowded = broker.crowded(a_request().strategy_id)
        canceled = await broker.cancel(OID, BID)
    assert [isinstance(s, SubmitAccepted) for s in said] == [True] * 12 + [False]
    assert isinstance(said[-1], SubmitRejected)
    assert not said[-1].was_sent
    assert said[-1].message == (
        "not sent: the broker's limit of 80 requests a minute is used up: used=12 reserve=8 orders_per_min=64;"
        " try again later"
    )
    assert crowded is not None
    assert "orders_waiting=0 queue_wait_max_s=0.3: your orders go faster than the broker takes them" in crowded[1]
    assert 0 < crowded[0] < 1.25
    assert isinstance(canceled, CancelAnswered)
    assert canceled.refusal is None


async def test_an_order_that_was_turned_away_for_its_number_goes_again_under_its_id() -> None:
    """A 429 in the broker's own words: it did not look at the order, and the next one is the same."""
    async with a_broker() as (fake, broker):
        fake.answer(
            "POST",
            ORDERS,
            refusal(429, "rate limit exceeded"),
            refusal(429, "too many requests."),
            web.json_response(an_order()),
        )
        said = await broker.submit(a_request())
    assert isinstance(said, SubmitAccepted)
    assert [body["client_order_id"] for _, _, _, body in fake.requests] == [OID] * 3


async def test_an_order_is_turned_away_three_times_at_most() -> None:
    """Then its strategy is told, in the broker's words."""
    async with a_broker() as (fake, broker):
        fake.answer("POST", ORDERS, *[refusal(429, "rate limit exceeded", 42910000) for _ in range(9)])
        said = await broker.submit(a_request())
    assert said == SubmitRejected(client_order_id=OID, message="rate limit exceeded (code=42910000)", at=NOON)
    assert len(fake.requests) == 3


async def test_an_order_that_flattens_is_tried_as_a_cancel_is() -> None:
    """A kill must get out while the broker answers with 429s: ten times turned away, and sent."""
    async with a_broker() as (fake, broker):
        away = [refusal(429, "rate limit exceeded", 42910000) for _ in range(10)]
        fake.answer("POST", ORDERS, *away, web.json_response(an_order()))
        said = await broker.submit(a_request(), priority=Priority.KILL)
    assert isinstance(said, SubmitAccepted)


async def test_an_order_does_not_outwait_its_time_while_the_broker_turns_it_away() -> None:
    """The broker says how long: longer than the order may wait. It is not sent, and told so at once."""
    async with a_broker(requests_per_min=200, queue_wait_max_s=0.3) as (fake, broker):
        answer = refusal(429, "rate limit exceeded", 42910000)
        answer.headers["Retry-After"] = "30"
        fake.answer("POST", ORDERS, answer)
        said = await broker.submit(a_request())
    assert isinstance(said, SubmitRejected)
    assert not said.was_sent
    assert said.message == (
        "not sent: the broker turned it away unread (1 x 429); then the broker turned requests away and is left alone"
        " for 30 s more; try again later"
    )


async def test_an_order_that_is_not_wanted_any_more_does_not_leave() -> None:
    """It was canceled, or no fill could be seen: whoever asked says so when its turn has come."""
    async with a_broker() as (fake, broker):
        said = await broker.submit(a_request(), leaves=lambda: "it was canceled")
    assert isinstance(said, SubmitRejected)
    assert said.message == "not sent: it was canceled"
    assert not fake.requests


async def test_a_cancel_is_asked_for_until_there_is_an_answer() -> None:
    """Five times turned away, and done."""
    async with a_broker() as (fake, broker):
        away = [refusal(429, "rate limit exceeded", 42910000) for _ in range(5)]
        fake.answer("DELETE", f"{ORDERS}/{BID}", *away, web.Response(status=204))
        said = await broker.cancel(OID, BID)
    assert said == CancelAnswered(client_order_id=OID, refusal=None, at=NOON)


async def test_the_brokers_count_is_heard_by_every_road() -> None:
    """What alpaca-py asked counts, and so do its answers' headers."""
    async with a_broker(requests_per_min=200) as (fake, broker):
        headers = {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "60"}
        fake.answer("GET", "/v2/clock", web.json_response({}, headers=headers))
        with pytest.raises(ConnectionError):
            await broker.clock()
        await asyncio.sleep(0)
        figures = broker.requests()
    assert (figures.limit, figures.used) == (100, 40)


async def test_the_officers_weights_are_the_pacers() -> None:
    """A reload gives them to the broker; who is not named has one turn."""
    async with a_broker() as (_, broker):
        broker.weigh({ALICE: 2.0})
        assert broker.pacer._claim(Priority.ORDER, ALICE).weight == 2.0
        assert broker.pacer._claim(Priority.ORDER, "bob").weight == 1.0


# --- cancel and look_up ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (web.Response(status=204), None),
        (
            refusal(422, 'order is already in "filled" state', 42210000),
            'order is already in "filled" state (code=42210000)',
        ),
        (refusal(404, "order not found for x", 40410000), "order not found for x (code=40410000)"),
    ],
)
async def test_a_cancel_is_answered_in_the_brokers_words(answer: web.Response, text: str | None) -> None:
    """Either it will try, or it says why not."""
    async with a_broker() as (fake, broker):
        fake.answer("DELETE", f"{ORDERS}/{BID}", answer)
        said = await broker.cancel(OID, BID)
    assert isinstance(said, CancelAnswered)
    assert said.refusal == text


@pytest.mark.parametrize("answer", [refusal(500, "oops"), refusal(429, "rate limit exceeded"), cut, silence])
async def test_a_cancel_without_a_clear_answer_is_in_doubt(answer: Any) -> None:
    """The stream or a look-up will tell; nothing is invented."""
    async with a_broker() as (fake, broker):
        fake.answer("DELETE", f"{ORDERS}/{BID}", answer)
        said = await broker.cancel(OID, BID)
    assert isinstance(said, CancelInDoubt)
    assert said.why


# --- replace -----------------------------------------------------------------------------------------------------------


def a_replacement(**changes: Any) -> OrderRequest:
    """Return the request for an order in the place of `old`."""
    wanted = Replacement(replaces=ClientOrderId("old"), **{"limit_price": price(99)} | changes)
    return a_limit_request("99", replacement=wanted)


async def test_a_replacement_is_asked_for_once_and_answered_with_the_new_order() -> None:
    """PATCH names what is to be different, as exact texts, and the new order's own id."""
    async with a_broker() as (fake, broker):
        fake.answer("PATCH", f"{ORDERS}/{BID}", an_order(replaces=BID, id="new-id"))
        said = await broker.replace(a_replacement(qty=qty(12)), BID)
    assert isinstance(said, SubmitAccepted)
    assert (said.order.broker_order_id, said.order.replaces) == ("new-id", BID)
    assert len(fake.requests) == 1
    assert fake.requests[0][3] == {"client_order_id": OID, "limit_price": "99", "qty": "12"}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (refusal(422, "unable to replace order, order is not open", 42210000), "order is not open"),
        (refusal(404, "order not found for x", 40410000), "order not found"),
        (refusal(403, "insufficient buying power", 40310000), "insufficient buying power"),
    ],
)
async def test_a_refused_replacement_is_no_doubt(answer: web.Response, text: str) -> None:
    """In the broker's own words: there is no new order."""
    async with a_broker() as (fake, broker):
        fake.answer("PATCH", f"{ORDERS}/{BID}", answer)
        said = await broker.replace(a_replacement(), BID)
    assert isinstance(said, SubmitRejected)
    assert text in said.message
    assert said.was_sent


@pytest.mark.parametrize(
    "answer",
    [
        refusal(500, "oops"),
        refusal(504, "gateway time-out"),
        refusal(422, "client_order_id must be unique", 40010001),
        web.Response(text="<html>", status=200),
        cut,
        silence,
    ],
)
async def test_any_other_answer_leaves_the_replacement_in_doubt(answer: Any) -> None:
    """It may have arrived: it is never called rejected, and never sent again."""
    async with a_broker() as (fake, broker):
        fake.answer("PATCH", f"{ORDERS}/{BID}", answer)
        said = await broker.replace(a_replacement(), BID)
        assert isinstance(said, SubmitInDoubt), said
        assert len(fake.requests) == 1


async def test_an_answer_about_another_order_leaves_the_replacement_in_doubt() -> None:
    """Only the new id proves that the new order is there."""
    async with a_broker() as (fake, broker):
        fake.answer("PATCH", f"{ORDERS}/{BID}", an_order(client_order_id="somebody-elses"))
        assert isinstance(await broker.replace(a_replacement(), BID), SubmitInDoubt)


async def test_a_replacement_that_alpaca_py_would_not_send_is_refused_here() -> None:
    """What the model calls impossible never reaches the wire."""
    async with a_broker() as (fake, broker):
        said = await broker.replace(a_replacement(qty=qty("0.5")), BID)
    assert isinstance(said, SubmitRejected)
    assert not said.was_sent
    assert not fake.requests


async def test_a_look_up_of_a_replaced_order_brings_what_took_its_place() -> None:
    """By the broker's ids, however often it was replaced; the end of the chain may be unknown."""
    async with a_broker() as (fake, broker):
        fake.answer("GET", BY_ID, an_order(status="replaced", replaced_by="second"))
        fake.answer("GET", f"{ORDERS}/second", an_order(id="second", client_order_id="b", replaced_by="third"))
        fake.answer("GET", f"{ORDERS}/third", an_order(id="third", client_order_id="c", replaced_by="lost"))
        fake.answer("GET", f"{ORDERS}/lost", refusal(404, "order not found for lost", 40410000))
        found = await broker.look_up(OID)
    assert found is not None
    assert [o.broker_order_id for o in found.successors] == ["second", "third"]


async def test_a_look_up_brings_every_fill_under_the_streams_names() -> None:
    """Fills by REST are named by order and cumulative quantity, so that none counts twice; all pages are read."""
    rows = [an_activity(id=f"a{n:03}", qty="1", cum_qty=str(n)) for n in range(1, 151)]
    async with a_broker() as (fake, broker):
        fake.answer("GET", BY_ID, an_order(status="filled", qty="150", filled_qty="150"))
        fake.answer("GET", FILLS, rows[:100], rows[100:])
        found = await broker.look_up(OID)
    assert found is not None
    assert [f.fill_id for f in found.fills] == [f"{BID}:{n}" for n in range(1, 151)]
    assert [p.get("page_token") for p in fake.asked(FILLS)] == [None, "a100"]
    assert fake.asked(FILLS)[0]["order_id"] == BID


async def test_a_look_up_is_as_old_as_its_question() -> None:
    """An order that was not there then may have arrived while the answer came: its time is not over by the answer's."""

    class Clock(NoonClock):
        late = timedelta()

        def now(self) -> datetime:
            return NOON + self.late

    async def answers(_: web.Request) -> web.Response:
        clock.late = timedelta(seconds=5)
        return refusal(404, "order not found for alice-1")

    clock = Clock()
    async with a_broker(clock=clock) as (fake, broker):
        fake.answer("GET", BY_ID, answers)
        found = await broker.look_up(OID)
    assert found is not None
    assert found.at == NOON


async def test_fills_of_other_orders_are_not_taken() -> None:
    """A server that does not know the filter by order changes nothing."""
    async with a_broker() as (fake, broker):
        fake.answer("GET", BY_ID, an_order(status="filled", filled_qty="10"))
        fake.answer("GET", FILLS, [an_activity(id="1", order_id="another"), an_activity(id="2")])
        found = await broker.look_up(OID)
    assert found is not None
    assert [f.qty for f in found.fills] == [qty(10)]


async def test_only_the_brokers_own_words_make_an_order_missing() -> None:
    """`order not found` is an answer; any other 404 is none."""
    async with a_broker() as (fake, broker):
        fake.answer("GET", BY_ID, refusal(404, "order not found for alice-1"), refusal(404, "endpoint not found"))
        found = await broker.look_up(OID)
        assert found is not None
        assert (found.order, found.fills) == (None, ())
        assert await broker.look_up(OID) is None


@pytest.mark.parametrize(
    "answer", [cut, silence, refusal(500, "oops"), web.Response(text="hello"), an_order(client_order_id="another")]
)
async def test_a_look_up_without_a_clear_answer_says_nothing(answer: Any) -> None:
    """An order in doubt stays in doubt."""
    async with a_broker() as (fake, broker):
        fake.answer("GET", BY_ID, answer)
        assert await broker.look_up(OID) is None


async def test_a_bracket_is_looked_up_with_its_legs() -> None:
    """The legs of an order that was in doubt are found, too."""
    leg = an_order(id="leg-1", client_order_id="leg-1", side="sell", type="limit", limit_price="200", status="held")
    async with a_broker() as (fake, broker):
        fake.answer("GET", BY_ID, an_order(order_class="bracket", status="new"))
        fake.answer("GET", f"{ORDERS}/{BID}", an_order(order_class="bracket", status="new", legs=[leg]))
        found = await broker.look_up(OID)
    assert found is not None
    assert found.order is not None
    assert [leg.broker_order_id for leg in found.order.legs] == ["leg-1"]


async def test_ids_with_odd_characters_survive_the_address() -> None:
    """A client_order_id is any printable ASCII."""
    oid = ClientOrderId("a&b=c%20/?#+d")
    async with a_broker() as (fake, broker):
        fake.answer("GET", BY_ID, an_order(client_order_id=oid))
        assert await broker.look_up(oid) is not None
    assert fake.asked(BY_ID) == [{"client_order_id": oid}]


# --- lists -----------------------------------------------------------------------------------------------------------


def serve_orders(rows: list[dict[str, Any]]) -> Callable[[web.Request], web.StreamResponse]:
    """Answer GET /v2/orders as Alpaca does: after is exclusive, in the order of submitted_at."""

    def answer(request: web.Request) -> web.StreamResponse:
        after, limit = request.query.get("after", ""), int(request.query["limit"])
        return web.json_response([row for row in rows if row["submitted_at"] > after][:limit])

    return answer


async def test_all_pages_of_orders_are_read_though_stamps_are_shared() -> None:
    """Legs share their stamp: a page that ends between two of them loses none."""
    rows = [
        an_order(id=f"o{n:04}", submitted_at=f"2026-10-08T15:10:{n // 3 // 100:02}.{n // 3 % 100:02}1Z")
        for n in range(1201)
    ]
    async with a_broker(timeout_s=5.0) as (fake, broker):
        fake.answer("GET", ORDERS, serve_orders(rows))
        orders = await broker.orders()
    assert [o.broker_order_id for o in orders] == [row["id"] for row in rows]
    assert len(fake.requests) == 3


async def test_a_page_of_one_single_instant_does_not_turn_in_circles() -> None:
    """Five hundred orders with one stamp end the look at that stamp."""
    rows = [an_order(id=f"o{n:04}") for n in range(500)]
    late = an_order(id="late", submitted_at="2026-10-09T00:00:00Z")
    async with a_broker(timeout_s=5.0) as (fake, broker):
        fake.answer("GET", ORDERS, serve_orders([*rows, late]))
        assert len(await broker.orders(after=NOON - timedelta(days=3000), is_open=True)) == 501
    assert fake.requests[0][2]["status"] == "open"


async def test_legs_are_orders_of_their_own() -> None:
    """Whether the server nests them or lists them, each appears once."""
    leg = an_order(id="leg-1", client_order_id="leg-1")
    async with a_broker() as (fake, broker):
        fake.answer("GET", ORDERS, [an_order(legs=[leg]), leg])
        assert [o.broker_order_id for o in await broker.orders()] == [BID, "leg-1"]


async def test_an_order_that_cannot_be_read_hides_no_other() -> None:
    """An option spread that an officer traded by hand is left out, and logged."""
    async with a_broker() as (fake, broker):
        fake.answer("GET", ORDERS, [an_order(id="x", side=None, symbol=""), an_order()])
        with capture_logs() as logs:
            assert [o.broker_order_id for o in await broker.orders()] == [BID]
    assert [line["event"] for line in logs] == ["broker_row_unreadable"]


async def test_fills_come_by_order_each_once() -> None:
    """Executions of all orders since a moment; one that stands on two pages counts once."""
    first = [an_activity(id=f"{n:03}", order_id=f"o{n % 2}", qty="1", cum_qty=str(n // 2 + 1)) for n in range(100)]
    async with a_broker() as (fake, broker):
        fake.answer("GET", FILLS, first, [first[-1], an_activity(id="100", order_id="o2")])
        fills = await broker.fills(after=NOON)
    assert {order: len(of) for order, of in fills.items()} == {"o0": 50, "o1": 50, "o2": 1}
    assert fake.asked(FILLS)[0]["after"] == "2026-01-05T17:00:00Z"


async def test_a_list_that_never_ends_is_an_error() -> None:
    """A server that turns in circles is told so, and does not hold the desk for ever."""
    page = [an_activity(id=str(n)) for n in range(100)]
    async with a_broker(timeout_s=5.0) as (fake, broker):
        fake.answer("GET", FILLS, page)
        with pytest.raises(ConnectionError, match="does not end"):
            await broker.fills(after=NOON)


# --- what is asked seldom ------------------------------------------------------------------------------------------------


async def test_account_and_positions_are_read_exactly() -> None:
    """Money is Decimal; a short position is negative."""
    position = {"symbol": "AAPL", "qty": "-5", "side": "short", "avg_entry_price": "86.879891", "exchange": "MOON"}
    async with a_broker() as (fake, broker):
        fake.answer("GET", "/v2/account", {"cash": "100005.83", "equity": "1e5", "buying_power": 400023.32})
        fake.answer("GET", "/v2/positions", [position])
        assert await broker.account() == (Decimal("100005.83"), Decimal(100_000), Decimal("400023.32"))
        (held,) = await broker.positions()
    assert (held.symbol, held.qty, held.avg_entry_price) == ("AAPL", Decimal(-5), Decimal("86.879891"))


async def test_the_clock_is_read_with_nine_digits_and_an_offset() -> None:
    """The market's time is aware, UTC."""
    clock = {
        "timestamp": "2026-11-20T10:15:22.123456789-05:00",
        "is_open": True,
        "next_open": "2026-11-23T09:30:00-05:00",
        "next_close": "2026-11-20T16:00:00-05:00",
    }
    async with a_broker() as (fake, broker):
        fake.answer("GET", "/v2/clock", clock)
        now = await broker.clock()
    assert now.timestamp.isoformat() == "2026-11-20T15:15:22.123456+00:00"
    assert now.is_open


async def test_instruments_are_the_active_ones() -> None:
    """Only what Alpaca calls shortable and easy to borrow may be sold short."""
    hard = {"symbol": "HTB", "tradable": True, "shortable": True, "easy_to_borrow": False, "fractionable": False}
    easy = hard | {"symbol": "KO", "easy_to_borrow": True, "fractionable": True}
    async with a_broker() as (fake, broker):
        fake.answer("GET", "/v2/assets", [hard, easy])
        instruments = await broker.instruments()
    assert [(i.symbol, i.is_tradable, i.is_shortable, i.is_fractionable) for i in instruments] == [
        ("HTB", True, False, False),
        ("KO", True, True, True),
    ]
    assert fake.requests[0][2] == {"status": "active", "asset_class": "us_equity"}


async def test_bars_are_the_latest_oldest_first() -> None:
    """They come as the stream would send them, up to the market's present, which may be 2013."""
    clock = {
        "timestamp": "2013-10-08T11:00:00-04:00",
        "is_open": True,
        "next_open": "2013-10-09T09:30:00-04:00",
        "next_close": "2013-10-08T16:00:00-04:00",
    }
    bars = [
        {"t": f"2013-10-08T14:{m}:00Z", "o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 9, "n": 1, "vw": 1.2}
        for m in (59, 58)
    ]
    async with a_broker() as (fake, broker):
        fake.answer("GET", "/v2/clock", clock)
        fake.answer("GET", "/v2/stocks/bars", {"bars": {"AAPL": bars}, "next_page_token": None})
        old, new = await broker.bars(AAPL, "1Min", 2)
    assert (old["T"], old["S"], old["c"]) == ("b", "AAPL", 1.5)
    assert new["t"] - old["t"] == 60 * 10**9
    asked = fake.asked("/v2/stocks/bars")[0]
    assert (asked["sort"], asked["timeframe"], asked["feed"], asked["limit"]) == ("desc", "1Min", "iex", "2")
    assert asked["start"].startswith("2013-09-28")


async def test_minute_bars_between_two_instants_come_for_all_symbols_at_once() -> None:
    """One question for a whole gap; a symbol without a trade has none."""
    row = {"t": "2026-01-05T17:01:00Z", "o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 9, "n": 1, "vw": 1.2}
    async with a_broker() as (fake, broker):
        fake.answer("GET", "/v2/stocks/bars", {"bars": {"AAPL": [row]}, "next_page_token": None})
        found = await broker.bars_between([AAPL, SPY], NOON, NOON + timedelta(minutes=5))
    assert [(bar["T"], bar["S"], bar["c"]) for bar in found[AAPL]] == [("b", "AAPL", 1.5)]
    assert found[SPY] == []
    (asked,) = fake.asked("/v2/stocks/bars")
    assert (asked["symbols"], asked["timeframe"], asked["feed"]) == ("AAPL,SPY", "1Min", "iex")
    assert (asked["start"], asked["end"]) == ("2026-01-05T17:00:00+00:00", "2026-01-05T17:05:00+00:00")


async def test_bars_that_cannot_be_read_are_the_brokers_failure() -> None:
    """Whatever it answers: the caller counts them as missing."""
    async with a_broker() as (fake, broker):
        nonsense: Any
        for nonsense in ({"bars": {"AAPL": 7}}, {"bars": {"AAPL": [7]}}, {"bars": 7}, {}, []):
            fake.answers.clear()
            fake.answer("GET", "/v2/stocks/bars", nonsense)
            with contextlib.suppress(OSError):
                assert await broker.bars_between([AAPL], NOON, NOON) == {AAPL: []}


async def test_a_timeframe_that_is_none_is_named() -> None:
    """Nothing is asked for it."""
    async with a_broker() as (fake, broker):
        with pytest.raises(WireError, match="timeframe='fortnight' must be like 1Min"):
            await broker.bars(AAPL, "fortnight", 10)
    assert not fake.requests


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (web.json_response({"message": "unauthorized."}, status=401), PermissionError, "check APCA_API_KEY_ID"),
        (refusal(403, "forbidden."), PermissionError, "check APCA_API_KEY_ID"),
        (refusal(500, "oops"), ConnectionError, "HTTP 500: oops"),
        (web.Response(status=502, text="<html>"), ConnectionError, "HTTP 502"),
        (web.Response(text="<html>"), OSError, "Expecting value"),
        (web.json_response([1, 2]), ConnectionError, "cannot be read"),
        (web.json_response({"cash": "NaN"}), ConnectionError, "cash='NaN' must be a number"),
        (cut, OSError, "Connection aborted"),
        (silence, OSError, "timed out"),
    ],
)
async def test_what_goes_wrong_with_a_cold_path_is_told_in_words(answer: Any, kind: type[OSError], says: str) -> None:
    """One request, a bounded wait, one OSError that says what happened."""
    async with a_broker() as (fake, broker):
        fake.answer("GET", "/v2/account", answer)
        async with asyncio.timeout(3):
            with pytest.raises(kind, match=says):
                await broker.account()
        assert len(fake.requests) == 1, "alpaca-py repeats 429 and 504 by itself; this desk does not"


async def test_a_cold_path_over_the_limit_is_told() -> None:
    """The budget is one for everything."""
    async with a_broker(requests_per_min=1) as (_, broker):
        with pytest.raises(ConnectionError, match="endpoint not found"):
            await broker.account()
        with pytest.raises(ConnectionError, match="1 requests a minute"):
            await broker.account()


async def test_every_kind_of_order_goes_out_as_alpaca_names_it() -> None:
    """Bracket legs and trailing distances are part of the message."""
    bracket = a_limit_request(
        "100",
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price("110.50")),
        stop_loss=StopLoss(stop_price=price("95"), limit_price=price("94.5")),
    )
    trailing = a_request(order_type=OrderType.TRAILING_STOP, trail_percent=price("1.5"), extended_hours=False)
    async with a_broker() as (fake, broker):
        fake.answer("POST", ORDERS, an_order())
        for request in (bracket, trailing):
            assert isinstance(await broker.submit(request), SubmitAccepted)
    sent = [body for _, _, _, body in fake.requests]
    assert sent[0]["order_class"] == "bracket"
    assert sent[0]["take_profit"] == {"limit_price": "110.5"}
    assert sent[0]["stop_loss"] == {"stop_price": "95", "limit_price": "94.5"}
    assert (sent[1]["type"], sent[1]["trail_percent"]) == ("trailing_stop", "1.5")
    assert not {"order_class", "extended_hours", "notional"} & sent[1].keys()


async def test_history_is_read_page_by_page_and_by_kind() -> None:
    """Executions by their own path, all else by category; a line that was canceled moved nothing."""
    fee = {"activity_type": "FEE", "id": "20260105120000000::f", "date": "2026-01-05", "net_amount": "-1"}
    void = fee | {"id": "20260105120000000::g", "status": "canceled"}
    async with a_broker() as (fake, broker):
        fake.answer("GET", FILLS, [an_activity(id=f"a{n}") for n in range(100)], [an_activity(id="last")])
        fake.answer("GET", "/v2/account/activities", [fee, void])
        executions = await broker.activities(after=NOON, until=NOON, is_trade=True)
        others = await broker.activities(after=NOON, is_trade=False)
    assert (len(executions), executions[-1].activity_id) == (101, "last")
    assert [a.activity_id for a in others] == [fee["id"]]
    assert [p.get("page_token") for p in fake.asked(FILLS)] == [None, "a99"]
    assert fake.asked(FILLS)[0]["until"] == "2026-01-05T17:00:00Z"
    assert fake.asked("/v2/account/activities")[0]["category"] == "non_trade_activity"


async def test_a_history_longer_than_it_may_be_is_an_error() -> None:
    """Half a history is none."""
    async with a_broker() as (fake, broker):
        fake.answer("GET", FILLS, [an_activity(id=f"a{n}") for n in range(100)])
        with pytest.raises(ConnectionError, match="does not end after 1 pages"):
            await broker.activities(after=NOON, is_trade=True, pages_max=1)


async def test_an_order_is_found_by_the_brokers_id() -> None:
    """Whoever sent it; the broker's own `not found` is None."""
    async with a_broker() as (fake, broker):
        fake.answer("GET", f"/v2/orders/{BID}", an_order(id=BID), refusal(404, f"order not found for {BID}"))
        found = await broker.order(BID)
        assert found is not None
        assert found.broker_order_id == BID
        assert await broker.order(BID) is None


async def test_a_bust_is_no_fill_of_the_order_it_is_about() -> None:
    """A look-up brings executions; what undid one is told by the order's totals."""
    async with a_broker() as (fake, broker):
        fake.answer("GET", BY_ID, an_order(id=BID, status="filled", filled_qty="1"))
        rows = [an_activity(order_id=BID), an_activity(id="x", order_id=BID, type="trade_bust", cum_qty="0")]
        fake.answer("GET", FILLS, rows)
        found = await broker.look_up(OID)
    assert found is not None
    assert len(found.fills) == 1
