"""Alpaca's trading wire, read and written."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.domain.activity import HouseCause
from deskd.domain.errors import WireError
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Replacement, Side, StopLoss, TakeProfit, TimeInForce
from deskd.wire.alpaca import client as wire
from tests.alpaca.server import a_tick, an_activity, an_order, an_update
from tests.factories import AAPL, NOON, a_limit_request, a_request, cash, price, qty

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(sorted(an_order()) + sorted(an_activity()) + ["event", "order", "timestamp", "price"])
DECIMALS = st.decimals(min_value="0.000000001", max_value="9999999999", places=9)


def test_an_order_is_read_exactly() -> None:
    """Every field that the desk uses, as recorded on a paper account."""
    order = wire.decode_order(
        an_order(filled_qty="0.057436865", filled_avg_price="86.878", notional=None, stop_price="1e1")
    )
    assert order.filled_qty == Decimal("0.057436865")
    assert order.filled_avg_price == Decimal("86.878")
    assert order.stop_price == Decimal(10)
    assert (order.qty, order.notional, order.limit_price) == (Decimal(10), None, None)
    assert (order.side, order.order_type, order.time_in_force) == (Side.BUY, OrderType.MARKET, TimeInForce.DAY)
    assert order.submitted_at == datetime(2026, 10, 8, 15, 10, 18, 909428, tzinfo=UTC)


@pytest.mark.parametrize("status", [s for s in BrokerStatus if s is not BrokerStatus.UNKNOWN])
def test_every_status_is_known(status: BrokerStatus) -> None:
    """All seventeen."""
    assert wire.decode_order(an_order(status=status.value)).status is status


@pytest.mark.parametrize("text", ["unknown", "NEW", "mystery"])
def test_an_unknown_status_keeps_its_text(text: str) -> None:
    """What Alpaca invents next is shown as it came."""
    order = wire.decode_order(an_order(status=text))
    assert (order.status, order.raw_status) == (BrokerStatus.UNKNOWN, text)


@pytest.mark.parametrize(
    ("stamp", "microsecond"),
    [
        ("2026-11-20T14:30:00Z", 0),
        ("2026-11-20T14:30:00.5Z", 500_000),
        ("2026-11-20T14:30:00.123456789Z", 123_456),
        ("2026-11-20T09:30:00.12-05:00", 120_000),
        ("2026-11-20t14:30:00z", 0),
    ],
)
def test_stamps_have_any_number_of_digits_and_any_offset(stamp: str, microsecond: int) -> None:
    """RFC 3339 with 0 to 9 digits, Z or an offset."""
    read = wire.decode_order(an_order(submitted_at=stamp)).submitted_at
    assert read == datetime(2026, 11, 20, 14, 30, 0, microsecond, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"id": None}, "id=None must be a text"),
        ({"id": ""}, "id='' must be a text"),
        ({"side": "sideways"}, "side='sideways' must be one of buy, sell"),
        ({"qty": "NaN"}, "qty='NaN' must be a number"),
        ({"qty": float("nan")}, "qty=nan must be a number"),
        ({"qty": "1e400"}, "qty='1e400' must be a number"),
        ({"qty": "1" * 41}, "must be a number"),
        ({"qty": True}, "qty=True must be a number"),
        ({"qty": "\u0661\u0660"}, "must be a number"),
        ({"qty": [1]}, "must be a number"),
        ({"submitted_at": "yesterday"}, "submitted_at: 'yesterday' is not"),
        ({"submitted_at": 5}, "submitted_at=5 must be a text"),
        ({"legs": [1]}, "legs must be a list of objects"),
        ({"legs": [{}]}, "status=None must be a text"),
        ({"time_in_force": "forever"}, "time_in_force='forever' must be one of"),
    ],
)
def test_nonsense_in_an_order_is_named(wrong: dict[str, Any], says: str) -> None:
    """The text names the field, the value and the rule."""
    with pytest.raises(WireError) as caught:
        wire.decode_order(an_order(**wrong))
    assert says in str(caught.value)


def test_numbers_may_be_texts_or_numbers() -> None:
    """Alpaca sends texts; others send JSON numbers."""
    assert wire.decode_order(an_order(qty=10.5)).qty == wire.decode_order(an_order(qty="10.5")).qty == Decimal("10.5")


@given(value=DECIMALS)
def test_any_quantity_survives_the_way_out_and_back(value: Decimal) -> None:
    """What leaves as a request and returns as an order is the same number."""
    sent = json.loads(wire.encode_order(a_request(qty=qty(str(value)))))
    assert wire.decode_order(an_order(qty=sent["qty"])).qty == value


def said_or_named(decode: Callable[[Any], object], value: Any) -> str:
    """Return what was decoded, or what was wrong with it, in words."""
    try:
        return repr(decode(value))
    except WireError as error:
        return str(error)


@given(body=JSON, data=st.dictionaries(FIELDS, JSON, max_size=4))
def test_any_json_is_read_or_named(body: Any, data: dict[str, Any]) -> None:
    """No answer of the broker can raise anything but a WireError."""
    cases: list[tuple[Callable[[Any], object], Any]] = [
        (wire.decode_order, an_order() | data),
        (wire.decode_fill, an_activity() | data),
        (lambda v: wire.decode_trade_update(v, NOON), an_update("fill", qty="1", price="2") | data),
        (wire.decode_position, data),
        (wire.decode_account, data),
        (wire.decode_clock, data),
        (lambda v: [wire.decode_asset(row) for row in wire.split_rows(v)], json.dumps([data, body]).encode()),
        (lambda v: wire.as_rows(v, "rows"), body),
        (lambda v: wire.as_object(v, "object"), body),
    ]
    for decode, value in cases:
        assert said_or_named(decode, value)


@given(frame=st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_named(frame: bytes) -> None:
    """No frame can raise anything but a WireError, and what is no market data is left out."""
    try:
        messages = wire.decode_market_frame(frame)
    except WireError:
        return
    for message in wire.well_formed(messages):
        assert message["S"] is not None
        assert message["T"] in "tqbudslcxi"
    wire.is_control(messages)


def test_a_frame_is_read_as_it_is_with_stamps_in_nanoseconds() -> None:
    """Nothing below a microsecond is lost."""
    messages = wire.decode_market_frame(msgpack.packb([a_tick(), a_tick(2.0)]))
    assert messages[0] == a_tick() | {"t": int(NOON.timestamp()) * 10**9 + 123_456_789}
    assert wire.well_formed(messages) is messages, "the usual case copies nothing"


def test_control_messages_are_known_by_type_and_number() -> None:
    """A frame of two is data, whatever it says."""
    assert wire.is_control([{"T": "error"}])
    assert not wire.is_control([{"T": "error"}, {"T": "t"}])
    assert not wire.is_control([{"T": "t"}])
    assert not wire.is_control([7])
    assert not wire.is_control([])


def test_a_fill_is_named_alike_by_stream_and_by_rest() -> None:
    """The same execution told twice counts once."""
    update = wire.decode_trade_update(
        an_update("fill", {"filled_qty": "10.0", "status": "filled"}, qty="6", price="86.88"), NOON
    )
    assert update.fill is not None
    _, fill = wire.decode_fill(an_activity(qty="6", cum_qty="10"))
    assert update.fill.fill_id == fill.fill_id
    assert (update.fill.qty, update.fill.price) == (fill.qty, fill.price)


def test_a_fill_without_price_or_quantity_is_left_to_the_look_up() -> None:
    """The order beside it counts what is filled: its fills are fetched by REST."""
    for fields in ({}, {"qty": "1"}, {"price": "2"}, {"qty": None, "price": None}):
        assert wire.decode_trade_update(an_update("fill", {"filled_qty": "1"}, **fields), NOON).fill is None
    assert wire.decode_trade_update(an_update("canceled", qty="1", price="2"), NOON).fill is None
    with pytest.raises(WireError, match="qty=0 must be over 0"):
        wire.decode_trade_update(an_update("fill", qty="0", price="2"), NOON)


def test_replacements_are_named() -> None:
    """Who replaced whom, for an order that an officer changed by hand."""
    order = wire.decode_order(an_order(replaced_by="new", replaces="old"))
    assert (order.replaced_by, order.replaces) == ("new", "old")


ALL = [
    a_request(),
    a_request(qty=None, notional=price("12.34")),
    a_limit_request("1.0001", time_in_force=TimeInForce.GTC, extended_hours=True),
    a_request(order_type=OrderType.STOP, stop_price=price("99")),
    a_request(order_type=OrderType.STOP_LIMIT, stop_price=price("99"), limit_price=price("98.5")),
    a_request(order_type=OrderType.TRAILING_STOP, trail_price=price("1.5"), side=Side.SELL),
    a_request(order_class=OrderClass.OTO, take_profit=TakeProfit(limit_price=price(110))),
    a_request(order_class=OrderClass.OTO, stop_loss=StopLoss(stop_price=price(90))),
    a_request(
        order_class=OrderClass.OCO,
        order_type=OrderType.LIMIT,
        side=Side.SELL,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90), limit_price=price("89.5")),
    ),
    *(a_request(time_in_force=tif) for tif in TimeInForce),
]


@pytest.mark.parametrize("request_", ALL, ids=lambda r: f"{r.order_type}-{r.time_in_force}-{r.order_class}")
def test_every_kind_of_order_is_sent_whole(request_: OrderRequest) -> None:
    """All that the strategy asked for is in the message, nothing else, and every number is a text."""
    sent = json.loads(wire.encode_order(request_))
    assert sent["client_order_id"] == request_.client_order_id
    assert (sent["symbol"], sent["side"]) == (AAPL, request_.side.value)
    assert (sent["type"], sent["time_in_force"]) == (request_.order_type.value, request_.time_in_force.value)
    assert sent.get("extended_hours", False) is request_.extended_hours
    assert sent.get("order_class", "simple") == request_.order_class.value
    assert all(isinstance(value, str | bool | dict) for value in sent.values())


def test_an_order_the_model_refuses_is_named() -> None:
    """A limit order without a limit price is found before it leaves."""
    with pytest.raises(WireError, match=r"alpaca-py does not send this order: .*limit_price is required"):
        wire.encode_order(a_request(order_type=OrderType.LIMIT))


def test_refusals_are_told_by_text_not_by_code() -> None:
    """Alpaca's codes are overloaded: the same text comes under two."""
    for code in (40010001, 42210000):
        body = json.dumps({"code": code, "message": "client_order_id must be unique"}).encode()
        refusal = wire.decode_refusal(422, body)
        assert refusal is not None
        assert refusal.says_id_is_taken


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"message":5}', b'{"message":""}', b"\xff", b"null"])
def test_what_is_not_the_brokers_words_is_no_refusal(body: bytes) -> None:
    """A proxy's page decides nothing about an order."""
    assert wire.decode_refusal(422, body) is None


def test_a_schema_that_alpaca_py_does_not_know_is_described() -> None:
    """Its strict model is asked for its opinion; the desk goes on."""
    assert wire.schema_drift(an_order()) is None
    assert wire.schema_drift(an_order(status="brand_new")) == "status: enum"
    assert "submitted_at: missing" in (wire.schema_drift({"id": 5}) or "")
    assert wire.decode_order(an_order(client_order_id="x")).client_order_id == ClientOrderId("x")


def test_a_refusal_reads_as_one_line() -> None:
    """Message, code and extras; without a code the HTTP status; extras that are no texts as JSON."""
    said = wire.decode_refusal(403, b'{"code":40310000,"message":"no","available":"1","related_orders":["a"]}')
    assert said is not None
    assert said.text == 'no (code=40310000, available=1, related_orders=["a"])'
    bare = wire.decode_refusal(429, b'{"message":"too many requests."}')
    assert bare is not None
    assert (bare.text, bare.says_too_many_requests) == ("too many requests. (status=429)", True)


def test_the_account_is_read_exactly() -> None:
    """Money is Decimal; a short position is negative whichever way it is told."""
    body = {"cash": "1.10", "equity": 2.5, "buying_power": "3"}
    assert wire.decode_account(body) == (Decimal("1.1"), Decimal("2.5"), Decimal(3))
    for told in ("-5", "5"):
        short = wire.decode_position({"symbol": "KO", "qty": told, "side": "short", "avg_entry_price": "86.88"})
        assert (short.symbol, short.qty) == ("KO", Decimal(-5))


def test_the_clock_is_read_whole() -> None:
    """A clock that does not say whether the market is open is none."""
    body = {"timestamp": "2026-11-20T10:15:22-05:00", "next_open": "2026-11-23T09:30:00-05:00"}
    body |= {"next_close": "2026-11-20T16:00:00-05:00"}
    assert wire.decode_clock({**body, "is_open": False}).next_close == datetime(2026, 11, 20, 21, tzinfo=UTC)
    with pytest.raises(WireError, match="is_open='yes' must be true or false"):
        wire.decode_clock({**body, "is_open": "yes"})


def test_a_bar_by_rest_is_a_bar_of_the_stream() -> None:
    """With type, symbol, and its stamp in nanoseconds."""
    row = {"t": "2026-01-05T17:00:00Z", "o": 1.0, "c": 2.0}
    assert wire.decode_bar(AAPL, row) == {"T": "b", "S": "AAPL", "o": 1.0, "c": 2.0, "t": int(NOON.timestamp()) * 10**9}


def test_a_frame_of_nonsense_is_named_and_a_message_of_it_left_out() -> None:
    """What lacks its fields is no market data; what is no list is no frame."""
    tick = a_tick()
    assert wire.well_formed([tick, {"T": "t", "S": "AAPL"}, {"T": "?"}, {}]) == [tick]
    with pytest.raises(WireError, match="must be an array, not dict"):
        wire.decode_market_frame(msgpack.packb({"T": "t"}))
    with pytest.raises(WireError, match="not a msgpack frame"):
        wire.decode_market_frame(b"")


def test_a_long_list_is_split_before_it_is_read() -> None:
    """Each row is decoded by itself; what is no list, or no object, is named."""
    rows = wire.split_rows(b'[{"symbol":"KO","tradable":true,"shortable":true,"easy_to_borrow":false}, 7]')
    assert wire.decode_asset(rows[0]).is_shortable is False
    with pytest.raises(WireError, match="asset must be an object, not int"):
        wire.decode_asset(rows[1])
    with pytest.raises(WireError, match="not a list of rows"):
        wire.split_rows(b"{}")
    with pytest.raises(WireError, match="orders must be a list of objects"):
        wire.as_rows([7], "orders")


def test_what_the_model_cannot_even_look_at_is_described() -> None:
    """Keys that are no names, or a body without any."""
    assert (wire.schema_drift({1: 2}) or "").startswith("TypeError")  # type: ignore[dict-item]


def test_an_execution_is_read_with_its_sign() -> None:
    """A short sale is a sale; shares and cash have opposite signs, and the fill has the stream's name."""
    row = an_activity(side="sell_short", qty="4", price="2.5", cum_qty="4")
    sold = wire.decode_activity(row)
    assert (sold.side, sold.qty, sold.cash, sold.cause) == (Side.SELL, qty(-4), cash(10), HouseCause.MANUAL_TRADE)
    assert sold.fill == wire.decode_fill(row)[1]


@pytest.mark.parametrize(("word", "shares", "money"), [("trade_bust", -10, "868.8"), ("trade_correct", 0, "0")])
def test_a_correction_is_no_fill(word: str, shares: int, money: str) -> None:
    """A bust takes back what was bought; what a corrected price moves only the order's totals tell."""
    row = wire.decode_activity(an_activity(type=word, cum_qty="0"))
    assert (row.fill, row.is_correction, row.cause) == (None, True, HouseCause(word))
    assert (row.qty, row.cash) == (qty(shares), cash(money))


@pytest.mark.parametrize(
    ("row", "cause", "shares", "money"),
    [
        ({"activity_type": "FEE", "net_amount": "-0.02"}, HouseCause.FEE, 0, "-0.02"),
        # a dividend's qty is the shares that it was paid on
        ({"activity_type": "DIV", "symbol": "AAPL", "qty": "10", "net_amount": "2.4"}, HouseCause.DIVIDEND, 0, "2.4"),
        ({"activity_type": "SPLIT", "symbol": "AAPL", "qty": "-9", "net_amount": "0"}, HouseCause.SPLIT, -9, "0"),
        ({"activity_type": "SOMETHING", "net_amount": "1"}, HouseCause.OTHER, 0, "1"),
    ],
)
def test_what_is_no_execution_has_a_cause(row: dict[str, Any], cause: HouseCause, shares: int, money: str) -> None:
    """Each of Alpaca's words is a cause of ours; one that is not known is named as it came."""
    line = wire.decode_activity(row | {"id": "20260105120000250::x", "description": "why", "date": "2026-01-05"})
    assert (line.cause, line.qty, line.cash, line.description) == (cause, qty(shares), cash(money), "why")
    assert line.at == datetime(2026, 1, 5, 17, 0, 0, 250_000, tzinfo=UTC)


def test_a_line_without_a_time_in_its_id_has_its_date() -> None:
    """Midnight in New York; a line that says neither is named."""
    row = {"activity_type": "FEE", "id": "x", "date": "2026-01-05"}
    assert wire.decode_activity(row).at == datetime(2026, 1, 5, 5, tzinfo=UTC)
    with pytest.raises(WireError, match="neither says when"):
        wire.decode_activity(row | {"date": "soon"})


def test_an_update_has_the_brokers_stamp() -> None:
    """On a tape it is the tape's time; a bust carries no fill."""
    update = wire.decode_trade_update(an_update("trade_bust", an_order(filled_qty="0"), qty="10", price="1"), NOON)
    assert update.fill is None
    assert update.stamp is not None
    assert update.stamp.year == 2026
    without = an_update("new")
    del without["timestamp"]
    assert wire.decode_trade_update(without, NOON).stamp is None


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"limit_price": price("0.1001")}, {"limit_price": "0.1001"}),
        ({"qty": qty(12), "time_in_force": TimeInForce.GTC}, {"qty": "12", "time_in_force": "gtc"}),
        ({"stop_price": price("9.5"), "limit_price": price("9.4")}, {"stop_price": "9.5", "limit_price": "9.4"}),
        ({"trail_price": price(2)}, {"trail": "2"}),
        ({"trail_percent": price("1.5")}, {"trail": "1.5"}),
    ],
)
def test_a_replacement_names_what_is_to_be_different(changes: dict[str, Any], body: dict[str, str]) -> None:
    """And the new order's id, so that it can be found; what stays is left out."""
    wanted = Replacement(replaces=ClientOrderId("old"), **changes)
    sent = json.loads(wire.encode_replacement(a_request(client_order_id=ClientOrderId("new"), replacement=wanted)))
    assert sent == body | {"client_order_id": "new"}


def test_a_replacement_by_a_fraction_is_not_sent() -> None:
    """alpaca-py's model knows whole shares only."""
    wanted = Replacement(replaces=ClientOrderId("old"), qty=qty("0.5"))
    with pytest.raises(WireError, match="alpaca-py does not send"):
        wire.encode_replacement(a_request(replacement=wanted))


def test_bytes_that_are_no_text_are_no_json() -> None:
    """A proxy that speaks Latin-1 ends no desk."""
    with pytest.raises(WireError, match="not JSON"):
        wire.decode_json(b'{"message": "\xe9"}')


@pytest.mark.parametrize("name", ["qty", "filled_qty", "limit_price", "filled_avg_price"])
def test_a_number_that_no_market_has_is_an_error(name: str) -> None:
    """A quantity times a price must be exact, or a sum of them ends the desk."""
    with pytest.raises(WireError, match="digits"):
        wire.decode_order(an_order(**{name: "1e30"}))


def test_a_fill_that_its_order_does_not_count_is_an_error() -> None:
    """It would be booked under a name that is not its own, and once more by REST under its own."""
    update = an_update("partial_fill", order=an_order(filled_qty="0"), qty="4", price="100")
    with pytest.raises(WireError, match="counts as filled"):
        wire.decode_trade_update(update, NOON)
    with pytest.raises(WireError, match="counts as filled"):
        wire.decode_fill(an_activity(qty="6", cum_qty="5"))


@pytest.mark.parametrize("word", [[], {}, None])
def test_an_execution_of_no_kind_is_one(word: object) -> None:
    """Whatever the broker writes there, it can be asked."""
    assert wire.is_execution({"type": word})


def test_legs_are_one_level_deep() -> None:
    """A body that nests them without end is read as far as an order goes."""
    body = an_order()
    for _ in range(5_000):
        body = an_order() | {"legs": [body]}
    assert wire.decode_order(body).legs[0].legs == ()


def test_a_list_of_bytes_that_are_no_text_is_named() -> None:
    """Whatever a broker's proxy answers, it is a WireError."""
    for body in (b'{"\xff": 1}', b"[" * 100_000, b"\xff"):
        with pytest.raises(WireError, match="not a list of rows"):
            wire.split_rows(body)


def test_what_the_broker_says_is_bounded_before_it_is_kept() -> None:
    """Facts are for ever: a refusal of a megabyte is cut, an id of a megabyte is no id."""
    extras = {f"{n}" * 1_000: "y" * 1_000_000 for n in range(100)}
    refusal = wire.decode_refusal(403, json.dumps({"message": "x" * 1_000_000, "code": 10**200} | extras).encode())
    assert refusal is not None
    assert len(refusal.text) < 4 * wire.MESSAGE_MAX
    assert refusal.code is None
    for name in ("id", "client_order_id", "symbol", "status"):
        with pytest.raises(WireError, match=name) as caught:
            wire.decode_order(an_order() | {name: "x" * 1_000_000})
        assert len(str(caught.value)) < 200
    with pytest.raises(WireError) as caught:
        wire.decode_order(an_order() | {"qty": "9" * 1_000_000})
    assert len(str(caught.value)) < 200
