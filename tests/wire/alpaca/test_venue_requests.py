"""What clients write is read exactly, or refused by name; nothing that they send raises."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.domain.money import Price, Qty
from deskd.domain.order import OrderClass, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.exchange.account import Configurations
from deskd.exchange.errors import ApiError
from deskd.exchange.order import NewOrder, OrderChanges, PositionIntent
from deskd.wire.alpaca import venue_requests as requests
from deskd.wire.alpaca.venue_requests import ActivitiesQuery, HistoryQuery, OrdersQuery

MARKET = {"symbol": "SPY", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}


def body(**fields: object) -> bytes:
    return json.dumps(MARKET | fields).encode()


def parsed(**fields: object) -> NewOrder:
    order = requests.new_order(body(**fields))
    assert isinstance(order, NewOrder), order
    return order


def refused(**fields: object) -> ApiError:
    error = requests.new_order(body(**fields))
    assert isinstance(error, ApiError), error
    return error


@pytest.mark.parametrize("value", [1.5, "1.5", "1.50"])
def test_numbers_and_strings_are_the_same_number(value: object) -> None:
    """alpaca-py sends JSON numbers, others strings: both become the same exact Decimal."""
    order = parsed(qty=value, limit_price=value, type="limit")
    assert order.qty == Decimal("1.5")
    assert order.limit_price == Decimal("1.5")


def test_a_float_keeps_its_text() -> None:
    """A price of 0.1 is one tenth, not the float nearest to it."""
    assert parsed(limit_price=0.1, type="limit").limit_price == Decimal("0.1")


def test_every_field_arrives() -> None:
    """A bracket with all that an order can carry is read whole."""
    order = parsed(
        type="limit",
        limit_price="10",
        order_class="bracket",
        take_profit={"limit_price": 11},
        stop_loss={"stop_price": "9", "limit_price": 8.5},
        client_order_id="mine",
        position_intent="buy_to_open",
        extended_hours=False,
    )
    assert order == NewOrder(
        symbol="SPY",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        qty=Qty(Decimal(1)),
        limit_price=Price(Decimal(10)),
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=Price(Decimal(11))),
        stop_loss=StopLoss(stop_price=Price(Decimal(9)), limit_price=Price(Decimal("8.5"))),
        client_order_id="mine",
        position_intent=PositionIntent.BUY_TO_OPEN,
    )


@pytest.mark.parametrize("word", ["", "simple", None])
def test_an_empty_class_is_simple(word: str | None) -> None:
    """Alpaca's own empty string, its word and null all mean a simple order."""
    assert parsed(order_class=word).order_class is OrderClass.SIMPLE


def test_unknown_fields_are_ignored() -> None:
    """A field that we do not know changes nothing."""
    assert parsed(advanced_instructions={"algorithm": "VWAP"}) == parsed()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'"x"',
        b"null",
        b"\xff\xfe",
        body(symbol=7),
        body(qty="many"),
        body(qty=[1]),
        body(qty=True),
    ],
)
def test_a_body_that_is_no_order_is_refused_as_a_form_error(raw: bytes) -> None:
    """What cannot be read at all gets 400 and Alpaca's text."""
    error = requests.new_order(raw)
    assert isinstance(error, ApiError)
    assert (error.http, error.code, error.message) == (400, 40010000, "request body format is invalid")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"symbol": None}, "symbol is required"),
        ({"side": ""}, "side is required"),
        ({"type": None}, "type is required"),
        ({"time_in_force": None}, "time_in_force is required"),
        ({"side": "hold"}, "invalid side: hold"),
        ({"type": "magic"}, "invalid type: magic"),
        ({"time_in_force": "gtd"}, "invalid time_in_force: gtd"),
        ({"order_class": "mleg"}, "invalid order_class: mleg"),
        ({"position_intent": "hope"}, "invalid position_intent: hope"),
        ({"qty": "1e400"}, "invalid qty"),
        ({"qty": "NaN"}, "invalid qty"),
        ({"qty": "Infinity"}, "invalid qty"),
        ({"limit_price": "0.0000000001"}, "invalid limit_price"),
        ({"order_class": "bracket", "take_profit": {}}, "bracket orders require take_profit.limit_price"),
        ({"order_class": "bracket", "stop_loss": {}}, "bracket orders require stop_loss.stop_price"),
    ],
)
def test_a_wrong_field_is_refused_by_name(fields: dict[str, object], names: str) -> None:
    """A word that is missing or unknown, or a number out of bounds, gets 422 and its own name."""
    error = refused(**fields)
    assert (error.http, error.code) == (422, 40010001)
    assert error.message.startswith(names)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(repr))
def test_any_bytes_give_an_answer(raw: bytes | str) -> None:
    """Whatever is posted is an order or a refusal, never an exception."""
    data = raw.encode() if isinstance(raw, str) else raw
    assert isinstance(requests.new_order(data), NewOrder | ApiError)
    assert isinstance(requests.order_changes(data), OrderChanges | ApiError)
    assert isinstance(requests.configurations(data, Configurations()), Configurations | ApiError)


_JSON = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30)


@given(st.dictionaries(st.sampled_from([*MARKET, "limit_price", "order_class", "take_profit"]), _JSON))
def test_any_fields_give_an_answer(fields: dict[str, object]) -> None:
    """Known names with any values are an order or a refusal, never an exception."""
    assert isinstance(requests.new_order(json.dumps(fields).encode()), NewOrder | ApiError)


def test_changes_are_read() -> None:
    """Every field of a replacement is read; what is not named stays None."""
    assert requests.order_changes(b'{"qty": 5, "limit_price": "10.5"}') == OrderChanges(
        qty=Qty(Decimal(5)), limit_price=Price(Decimal("10.5"))
    )
    assert requests.order_changes(b'{"trail": 1, "stop_price": 2, "time_in_force": "gtc", "client_order_id": "x"}') == (
        OrderChanges(
            trail=Price(Decimal(1)), stop_price=Price(Decimal(2)), time_in_force=TimeInForce.GTC, client_order_id="x"
        )
    )
    assert isinstance(requests.order_changes(b'{"qty": "x"}'), ApiError)
    assert isinstance(requests.order_changes(b'{"time_in_force": "soon"}'), ApiError)


def test_configurations_change_only_what_is_named() -> None:
    """alpaca-py sends every key, most of them null: null leaves as it is."""
    raw = b'{"suspend_trade": true, "no_shorting": null, "dtbp_check": null, "max_margin_multiplier": "2"}'
    assert requests.configurations(raw, Configurations(no_shorting=True)) == Configurations(
        suspend_trade=True, no_shorting=True, max_margin_multiplier="2"
    )


@pytest.mark.parametrize(
    "raw", [b'{"max_margin_multiplier": "3"}', b'{"trade_confirm_email": "some"}', b'{"no_shorting": 3}']
)
def test_configurations_that_do_not_exist_are_refused(raw: bytes) -> None:
    """A switch can only be set to what it has."""
    assert isinstance(requests.configurations(raw, Configurations()), ApiError)


def test_orders_are_filtered_as_documented() -> None:
    """The defaults are Alpaca's, and every filter is read."""
    assert requests.orders_query({}) == OrdersQuery(
        status="open",
        limit=50,
        after=None,
        until=None,
        is_descending=True,
        is_nested=False,
        symbols=None,
        side=None,
        after_order_id=None,
        before_order_id=None,
    )
    query = requests.orders_query(
        {
            "status": "all",
            "limit": "500",
            "after": "2026-11-20T15:00:00.123456789Z",
            "until": "2026-11-20T10:00:00-05:00",
            "direction": "asc",
            "nested": "True",
            "symbols": "SPY, AAPL,",
            "side": "sell",
        }
    )
    assert isinstance(query, OrdersQuery)
    assert query.after == datetime(2026, 11, 20, 15, 0, 0, 123456, tzinfo=UTC)
    assert query.until == datetime(2026, 11, 20, 15, tzinfo=UTC)
    assert (query.limit, query.is_descending, query.is_nested) == (500, False, True)
    assert (query.symbols, query.side) == (frozenset({"SPY", "AAPL"}), Side.SELL)


@pytest.mark.parametrize(
    "query",
    [
        {"status": "gone"},
        {"limit": "501"},
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "many"},
        {"after": "yesterday"},
        {"direction": "up"},
        {"side": "long"},
        {"after": "2026-11-20", "after_order_id": "x"},
    ],
)
def test_a_wrong_filter_is_refused_by_name(query: dict[str, str]) -> None:
    """A filter that cannot be read is never dropped silently."""
    error = requests.orders_query(query)
    assert isinstance(error, ApiError)
    assert next(iter(query)) in error.message


def test_activities_are_filtered_as_documented() -> None:
    """Types come from the path or the query, or from a category."""
    query = requests.activities_query({"page_size": "10", "date": "2026-11-20", "direction": "asc"}, "FILL")
    assert isinstance(query, ActivitiesQuery)
    assert (query.types, query.page_size, query.on) == (frozenset({"FILL"}), 10, date(2026, 11, 20))
    by_category = requests.activities_query({"category": "trade_activity"}, None)
    assert isinstance(by_category, ActivitiesQuery)
    assert by_category.types == frozenset({"FILL"})
    everything = requests.activities_query({}, None)
    assert isinstance(everything, ActivitiesQuery)
    assert everything.types is None


def test_an_unknown_activity_type_is_refused_in_alpacas_words() -> None:
    """As recorded: 422 and the type's name."""
    error = requests.activities_query({}, "INVALID")
    assert isinstance(error, ApiError)
    assert (error.http, error.code, error.message) == (422, 40010001, "invalid activity type: INVALID")


def test_a_close_reads_its_size() -> None:
    """Quantity or percentage, exactly; nonsense is refused."""
    assert requests.close_query({"qty": "0.5"}) == (Decimal("0.5"), None)
    assert requests.close_query({"percentage": "12.5"}) == (None, Decimal("12.5"))
    assert isinstance(requests.close_query({"qty": "half"}), ApiError)


def test_calendar_and_history_read_their_spans() -> None:
    """Days as dates or instants; periods as number and unit."""
    assert requests.calendar_query({"start": "2026-11-20", "end": "2026-11-27T00:00:00Z"}) == (
        date(2026, 11, 20),
        date(2026, 11, 27),
    )
    assert isinstance(requests.calendar_query({"start": "soon"}), ApiError)
    assert requests.history_query({"period": "2W", "timeframe": "1H"}) == HistoryQuery(
        start=None, end=None, period=timedelta(days=14), timeframe="1H"
    )
    assert isinstance(requests.history_query({"period": "long"}), ApiError)
    assert isinstance(requests.history_query({"timeframe": "2D"}), ApiError)


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), ("true", True), ("1", True), ("False", False), ("", False)]
)
def test_flags_take_pythons_spelling(text: str, *, value: bool) -> None:
    """alpaca-py writes booleans as Python does."""
    assert requests.flag({"nested": text}, "nested") is value
