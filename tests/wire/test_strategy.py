"""Bytes from a strategy give a request or a clear WireError; what the desk answers says the same in both forms."""

import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.domain.book import Account, Position
from deskd.domain.effects import Refuse
from deskd.domain.errors import WireError
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, UserId
from deskd.domain.market import MarketClock
from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import (
    Order,
    OrderClass,
    OrderRequest,
    OrderStatus,
    OrderType,
    Replacement,
    Side,
    StopLoss,
    TakeProfit,
    TimeInForce,
)
from deskd.domain.reasons import RefusalReason
from deskd.wire import strategy as wire
from deskd.wire.pb import order_pb2 as pb
from tests.factories import AAPL, ALICE, NOON, a_request, price, qty

ALICE_USER = UserId("alice")


def a_message(**overrides: Any) -> pb.OrderRequest:
    fields: dict[str, Any] = {"symbol": "AAPL", "qty": "10", "side": "buy", "client_order_id": "alice-1"}
    return pb.OrderRequest(**fields | overrides)


def decode(message: pb.OrderRequest | bytes) -> OrderRequest:
    body = message if isinstance(message, bytes) else message.SerializeToString()
    return wire.decode_order_request(body, strategy_id=ALICE, user_id=ALICE_USER, new_id=lambda: "made-by-the-desk")


def error_of(message: pb.OrderRequest | bytes) -> str:
    try:
        decode(message)
    except WireError as error:
        return str(error)
    return ""


def test_the_least_message_is_a_market_order_for_the_day() -> None:
    """Symbol, quantity and side are enough."""
    assert decode(a_message()) == a_request()


def test_the_desk_makes_an_id_where_the_strategy_sent_none() -> None:
    """Every order has a client_order_id."""
    assert decode(a_message(client_order_id="")).client_order_id == "made-by-the-desk"


def test_unknown_fields_are_ignored() -> None:
    """A newer desk_client may say more than this desk understands."""
    unknown = b"\xf2\x3f\x05later"  # field 1022, text
    assert decode(a_message().SerializeToString() + unknown) == a_request()


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"symbol": ""}, 'symbol: is required, e.g. "AAPL"'),
        ({"symbol": "aapl"}, "did you mean AAPL?"),
        ({"symbol": "AAPL; DROP TABLE"}, "symbol: 'AAPL; DROP TABLE' is not a ticker"),
        ({"symbol": "\u0391APL"}, r"symbol: '\u0391APL' is not a ticker"),
        ({"qty": "-5"}, "qty: '-5' is not greater than zero"),
        ({"qty": "0"}, "qty: '0' is not greater than zero"),
        ({"qty": "-0.0"}, "qty: '-0.0' is not greater than zero"),
        ({"qty": "NaN"}, "qty: 'NaN' is not a finite number"),
        ({"qty": "sNaN"}, "qty: 'sNaN' is not a finite number"),
        ({"qty": "Infinity"}, "qty: 'Infinity' is not a finite number"),
        ({"qty": "1e400"}, "qty: '1e400' has more than 15 digits before the decimal point"),
        ({"qty": "1e999999999999"}, "qty: '1e999999999999'"),
        ({"qty": "0.0000000001"}, "qty: '0.0000000001' has more than 9 decimal places"),
        ({"qty": "2.0000000000000004"}, "has more than 9 decimal places; round it, e.g. to whole shares: int(qty)"),
        (
            {"order_type": "limit", "limit_price": "203.66899999999998"},
            "has more than 9 decimal places; round it: round(price, 2)",
        ),
        ({"qty": "ten"}, "qty: 'ten' is not a decimal number"),
        ({"qty": "1_000"}, "qty: '1_000' is not a decimal number"),
        ({"qty": " 1"}, "qty: ' 1' is not a decimal number"),
        ({"qty": "\u0661\u0660"}, r"qty: '\u0661\u0660' is not a decimal number"),
        ({"qty": "1" * 5000}, "is longer than 40 characters"),
        ({"qty": ""}, "qty, notional: exactly one is required, none given"),
        ({"notional": "100"}, "qty, notional: exactly one is required, both given"),
        ({"side": ""}, "side: is required, one of buy, sell"),
        ({"side": "BUY"}, "side: 'BUY' is not one of buy, sell; did you mean buy?"),
        ({"order_type": "stop-limit"}, "did you mean stop_limit?"),
        ({"order_type": "iceberg"}, "order_type: 'iceberg' is not one of market, limit, stop, stop_limit"),
        ({"time_in_force": "gtd"}, "time_in_force: 'gtd' is not one of day, gtc, opg, cls, ioc, fok"),
        ({"order_type": "limit"}, "limit_price: is required for a limit order"),
        ({"order_type": "stop"}, "stop_price: is required for a stop order"),
        ({"order_type": "stop_limit", "stop_price": "9"}, "limit_price: is required for a stop_limit order"),
        ({"limit_price": "9"}, "limit_price: a market order takes none; leave it out"),
        ({"order_type": "limit", "limit_price": "9", "stop_price": "8"}, "stop_price: a limit order takes none"),
        ({"order_type": "limit", "limit_price": "-9"}, "limit_price: '-9' is not greater than zero"),
        ({"order_type": "trailing_stop"}, "trail_price, trail_percent: a trailing_stop order takes exactly one, none"),
        (
            {"order_type": "trailing_stop", "trail_price": "1", "trail_percent": "1"},
            "a trailing_stop order takes exactly one, both given",
        ),
        ({"take_profit": pb.TakeProfit()}, "take_profit.limit_price: is required"),
        ({"stop_loss": pb.StopLoss(limit_price="3")}, "stop_loss.stop_price: is required"),
        ({"stop_loss": pb.StopLoss(stop_price="x")}, "stop_loss.stop_price: 'x' is not a decimal number"),
        ({"order_class": "bracket"}, "order_class: bracket takes 2 of take_profit and stop_loss, 0 given"),
        (
            {"order_class": "simple", "take_profit": pb.TakeProfit(limit_price="3")},
            "order_class: simple takes 0 of take_profit and stop_loss, 1 given",
        ),
        ({"client_order_id": "a b"}, "client_order_id: 'a b' is not 1 to 128 printable ASCII characters"),
        ({"client_order_id": "x" * 129}, "client_order_id: "),
        (
            {"client_order_id": "mine~12"},
            "client_order_id: 'mine~12' ends in `~` and a number, as the desk calls parts",
        ),
        ({"client_order_id": "a\r\nX-User-ID: bob"}, "client_order_id: "),
        ({"reason": "x" * 257}, "reason: is 257 characters long, at most 256 are kept"),
        ({"reason": "line\nbreak"}, "reason: holds line breaks or control characters"),
    ],
)
def test_what_is_wrong_is_named_with_its_rule(overrides: dict[str, Any], text: str) -> None:
    """An error says which field, which rule, and shows the value, in ASCII and cut short."""
    with pytest.raises(WireError) as caught:
        decode(a_message(**overrides))
    assert text in str(caught.value)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 300


def test_a_message_over_16_kib_is_not_even_parsed() -> None:
    """Size is bounded first."""
    with pytest.raises(WireError, match="message: is 16385 bytes long, at most 16384 are allowed"):
        decode(b"x" * (wire.BODY_MAX + 1))


def test_a_member_may_write_any_language_in_his_reason() -> None:
    """The reason is his own words, kept as they are."""
    assert decode(a_message(reason="Kaufen! 買う")).reason == "Kaufen! 買う"


@pytest.mark.parametrize(
    ("legs", "expected"),
    [
        ({}, OrderClass.SIMPLE),
        ({"take_profit": pb.TakeProfit(limit_price="11")}, OrderClass.OTO),
        ({"stop_loss": pb.StopLoss(stop_price="9")}, OrderClass.OTO),
        (
            {"take_profit": pb.TakeProfit(limit_price="11"), "stop_loss": pb.StopLoss(stop_price="9")},
            OrderClass.BRACKET,
        ),
    ],
)
def test_the_class_follows_from_the_legs(legs: dict[str, Any], expected: OrderClass) -> None:
    """Who gives a take_profit and a stop_loss means a bracket."""
    assert decode(a_message(**legs)).order_class is expected


def test_an_oco_takes_its_prices_from_its_legs() -> None:
    """An OCO is a limit order without a limit_price of its own."""
    legs = {"take_profit": pb.TakeProfit(limit_price="11"), "stop_loss": pb.StopLoss(stop_price="9")}
    request = decode(a_message(side="sell", order_type="limit", order_class="oco", **legs))
    assert (request.order_class, request.limit_price) == (OrderClass.OCO, None)


decimals = st.decimals(min_value="0.000001", max_value="999999999", places=6)


@st.composite
def requests(draw: st.DrawFn) -> OrderRequest:
    order_type = draw(st.sampled_from(OrderType))
    has_legs = draw(st.booleans()) and order_type in {OrderType.MARKET, OrderType.LIMIT}
    by_percent = draw(st.booleans())
    by_notional = draw(st.booleans())
    amount = draw(decimals)
    return OrderRequest(
        strategy_id=ALICE,
        user_id=ALICE_USER,
        client_order_id=ClientOrderId(draw(st.from_regex(r"[!-~]{0,127}[!-/:-~]", fullmatch=True))),
        symbol=draw(st.sampled_from([AAPL])),
        side=draw(st.sampled_from(Side)),
        order_type=order_type,
        time_in_force=draw(st.sampled_from(TimeInForce)),
        qty=None if by_notional else Qty(amount),
        notional=Cash(amount) if by_notional else None,
        limit_price=Price(draw(decimals)) if order_type in {OrderType.LIMIT, OrderType.STOP_LIMIT} else None,
        stop_price=Price(draw(decimals)) if order_type in {OrderType.STOP, OrderType.STOP_LIMIT} else None,
        trail_price=Price(draw(decimals)) if order_type is OrderType.TRAILING_STOP and not by_percent else None,
        trail_percent=Price(draw(decimals)) if order_type is OrderType.TRAILING_STOP and by_percent else None,
        extended_hours=draw(st.booleans()),
        order_class=OrderClass.BRACKET if has_legs else OrderClass.SIMPLE,
        take_profit=TakeProfit(limit_price=Price(draw(decimals))) if has_legs else None,
        stop_loss=StopLoss(stop_price=Price(draw(decimals)), limit_price=None) if has_legs else None,
        reason=draw(st.none() | st.text("abc 買う'\"<>", min_size=1, max_size=256)),
    )


@given(requests())
def test_a_request_comes_back_as_it_went(request: OrderRequest) -> None:
    """Round trip: decode(encode(x)) == x."""
    assert decode(wire.encode_order_request(request)) == request


@given(st.binary(max_size=400))
def test_any_bytes_give_a_request_or_a_wire_error(body: bytes) -> None:
    """No bytes do anything else."""
    assert error_of(body).isascii()
    assert isinstance(wire.claimed_client_order_id(body), str)


texts = st.text(max_size=20)


@given(
    st.builds(pb.OrderRequest, symbol=texts, qty=texts, side=texts, order_type=texts, limit_price=texts, reason=texts)
)
def test_any_message_gives_a_request_or_a_wire_error(message: pb.OrderRequest) -> None:
    """A well-formed protobuf of nonsense does nothing else, either."""
    assert error_of(message).isascii()


# --- answers -------------------------------------------------------------------------------------------------------


def an_order(status: OrderStatus = OrderStatus.ACCEPTED, **overrides: Any) -> Order:
    fields: dict[str, Any] = {
        "request": a_request(),
        "status": status,
        "requested_at": NOON,
        "updated_at": NOON,
        "broker_order_id": BrokerOrderId("b-1"),
    }
    return Order(**fields | overrides)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (OrderStatus.SUBMITTED, "pending"),
        (OrderStatus.ACCEPTED, "success"),
        (OrderStatus.PARTIALLY_FILLED, "success"),
        (OrderStatus.PENDING_CANCEL, "success"),
        (OrderStatus.FILLED, "success"),
        (OrderStatus.CANCELED, "success"),
        (OrderStatus.EXPIRED, "success"),
        (OrderStatus.REJECTED, "rejected"),
        (OrderStatus.DENIED, "denied"),
    ],
)
def test_the_status_says_who_answered_what(status: OrderStatus, word: str) -> None:
    """success: the broker has it; denied: our gate; rejected: the broker; pending: in doubt."""
    response = wire.order_response(an_order(status))
    assert (response.status, response.order_status, response.order_id) == (word, status, "b-1")


def test_an_order_that_the_broker_was_not_heard_of_is_no_success() -> None:
    """Somebody wants it canceled before the broker has answered: it is as doubtful as before."""
    response = wire.order_response(an_order(OrderStatus.PENDING_CANCEL, broker_order_id=None))
    assert (response.status, response.order_status, response.reason) == ("pending", "pending_cancel", "TIMEOUT")


def test_an_order_in_doubt_says_what_to_do() -> None:
    """A student who reads `pending` learns not to send the order again."""
    response = wire.order_response(an_order(OrderStatus.SUBMITTED, broker_order_id=None))
    assert response.reason == RefusalReason.TIMEOUT
    assert "the order may live" in response.message


def test_an_average_price_is_shown_to_six_places() -> None:
    """A third of a dollar does not run on for 28 digits."""
    filled = an_order(OrderStatus.FILLED, filled_qty=qty(3), filled_notional=Cash(Decimal(1000)))
    assert wire.order_response(filled).filled_avg_price == "333.333333"
    assert wire.order(filled).filled_avg_price == "333.333333"


def test_an_order_that_was_exchanged_at_the_desk_is_a_success_with_an_id() -> None:
    """The broker never had it: its own id is good for looks and cancels, too."""
    done = replace(an_order(OrderStatus.FILLED, broker_order_id=None), internal_qty=qty(10), filled_qty=qty(10))
    response = wire.order_response(done)
    assert (response.status, response.order_id) == ("success", done.request.client_order_id)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (RefusalReason.INVALID, "error"),
        (RefusalReason.DESK_NOT_READY, "error"),
        (RefusalReason.TIMEOUT, "pending"),
        (RefusalReason.ORDER_FINAL, "denied"),
    ],
)
def test_a_refusal_is_an_answer_about_an_order(reason: RefusalReason, word: str) -> None:
    """What did not become an order is still answered by name."""
    response = wire.refusal_response(Refuse(ClientOrderId("x"), reason, "why"))
    assert (response.status, response.reason, response.message, response.client_order_id) == (word, reason, "why", "x")


def test_an_error_reads_as_an_order_response_too() -> None:
    """Whichever message a client parses a refusal with, reason and message are there."""
    body = wire.encode(wire.error("RATE", "slow down"), as_json=False)
    response = pb.OrderResponse.FromString(body)
    assert (response.status, response.reason, response.message) == ("error", "RATE", "slow down")


def test_json_carries_what_protobuf_carries() -> None:
    """The two forms name the same fields, empty ones included."""
    message = wire.orders([an_order(reason="x", request=a_request(notional=None))])
    as_json = json.loads(wire.encode(message, as_json=True))
    (order,) = as_json["orders"]
    assert order == {name: getattr(message.orders[0], name) for name in order}
    assert order["requested_at"] == "2026-01-05T17:00:00Z"
    assert set(order) == {field.name for field in pb.Order.DESCRIPTOR.fields}


def test_positions_and_account_are_decimal_strings() -> None:
    """Money never becomes a float on the way out."""
    held = Position(
        strategy_id=ALICE,
        symbol=AAPL,
        qty=qty(-3),
        avg_entry_price=price("33.3333333333"),
        realized_pnl=Cash(Decimal("1.50")),
        mark_price=price(30),
        updated_at=NOON,
    )
    assert json.loads(wire.encode(wire.positions([held]), as_json=True)) == {
        "positions": [
            {
                "symbol": "AAPL",
                "qty": "-3",
                "avg_entry_price": "33.333333",
                "mark_price": "30",
                "market_value": "-90",
                "unrealized_pnl": "10",
                "realized_pnl": "1.5",
            }
        ]
    }
    known = Account(
        strategy_id=StrategyId("alice"),
        allocation=Cash(Decimal(10000)),
        cash=Cash(Decimal("9000.10")),
        reserved=Cash(Decimal(100)),
        equity=Cash(Decimal("10000.10")),
        realized_pnl=Cash(Decimal(0)),
        unrealized_pnl=Cash(Decimal("-0.1")),
    )
    message = wire.account(known, ALICE_USER)
    assert (message.cash, message.buying_power, message.unrealized_pnl) == ("9000.1", "8900.1", "-0.1")
    assert wire.flat_position(AAPL).qty == "0"


def test_the_clock_is_the_markets() -> None:
    """On a tape of 2013 it says 2013."""
    at = datetime(2013, 10, 8, 13, 30, tzinfo=UTC)
    message = wire.clock(MarketClock(timestamp=at, is_open=True, next_open=at, next_close=at))
    assert (message.timestamp, message.is_open) == ("2013-10-08T13:30:00Z", True)


@pytest.mark.parametrize(
    "instant", ["2026-01-05T17:00:00Z", 1_767_632_400_000_000_000, msgpack.Timestamp(1_767_632_400)]
)
def test_bars_come_from_either_wire(instant: object) -> None:
    """REST writes instants as text, the stream as nanoseconds."""
    raw = {"t": instant, "o": 1.0, "h": 2, "l": 0.5, "c": 1.5, "v": 100, "n": 3}
    (bar,) = wire.bars(AAPL, [raw]).bars
    assert (bar.timestamp, bar.high, bar.volume, bar.vwap) == ("2026-01-05T17:00:00Z", 2.0, 100.0, 0.0)


@pytest.mark.parametrize("raw", [{}, {"t": None, "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}, {"o": "1"}])
def test_a_broken_bar_is_named(raw: dict[str, object]) -> None:
    """A broker that lies gives an error, not a crash."""
    with pytest.raises(WireError, match=r"bar\."):
        wire.bars(AAPL, [raw])


@pytest.mark.parametrize("text", ["AAPL", "BRK.B"])
def test_a_symbol_in_a_path_is_read_as_one_in_a_message(text: str) -> None:
    """One rule for symbols."""
    assert wire.decode_symbol(text) == text


# --- replacements -----------------------------------------------------------------------------------------------------


AMOUNTS = st.decimals("0.0001", "99999", places=4)


@given(
    qty_=st.one_of(st.none(), st.integers(1, 999)),
    limit=st.one_of(st.none(), AMOUNTS),
    stop=st.one_of(st.none(), AMOUNTS),
    trail=AMOUNTS,
    tif=st.one_of(st.none(), st.sampled_from(TimeInForce)),
)
def test_any_replacement_survives_the_way(
    qty_: int | None, limit: Decimal | None, stop: Decimal | None, trail: Decimal, tif: TimeInForce | None
) -> None:
    """decode(encode(x)) == x."""
    wanted = Replacement(
        replaces=ClientOrderId("old"),
        qty=None if qty_ is None else qty(qty_),
        limit_price=None if limit is None else price(str(limit)),
        stop_price=None if stop is None else price(str(stop)),
        trail_price=price(str(trail)),
        time_in_force=tif,
    )
    body = wire.encode_replace_request(wanted, ClientOrderId("new"))
    assert wire.decode_replace_request(body, order_id="old", new_id=str) == (wanted, "new")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "replace: nothing is to change"),
        ({"qty": "0"}, "qty: '0' is not greater than zero"),
        ({"limit_price": "NaN"}, "limit_price: 'NaN' is not a finite number"),
        ({"trail_percent": "x"}, "trail_percent: 'x' is not a decimal number"),
        ({"time_in_force": "gtd"}, "time_in_force: 'gtd' is not one of day, gtc"),
        ({"qty": "1", "client_order_id": "a b"}, "client_order_id: 'a b' is not 1 to 128 printable"),
    ],
)
def test_a_malformed_replacement_is_told_what_is_wrong(fields: dict[str, str], text: str) -> None:
    """Field, rule and remedy."""
    with pytest.raises(WireError, match=re.escape(text)):
        wire.decode_replace_request(pb.ReplaceRequest(**fields).SerializeToString(), order_id="old", new_id=str)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_replacement_or_an_error(body: bytes) -> None:
    """What a strategy sends is hostile until it has passed here."""
    with suppress(WireError):
        wire.decode_replace_request(body, order_id="old", new_id=lambda: "made")
    assert isinstance(wire.claimed_client_order_id(body, is_replace=True), str)
