"""The lines a strategy reads: the contract's keys, in its order, and nothing that is no JSON."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.domain.effects import OrderUpdate
from deskd.domain.errors import WireError
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import Order, OrderStatus
from deskd.wire import lines
from tests.factories import AAPL, NOON, a_request, qty

NS = 1_795_187_045_123_456_789
STAMP = "2026-11-20T15:04:05.123456789Z"
TRADE = {"T": "t", "S": "AAPL", "i": 1, "x": "V", "p": 150.25, "s": 100, "c": ["@"], "z": "C"}
QUOTE = {"T": "q", "S": "AAPL", "bx": "V", "bp": 150.25, "bs": 200, "ax": "V", "ap": 150.26, "as": 100, "z": "C"}
BAR = {"T": "b", "S": "AAPL", "o": 150.0, "h": 151.5, "l": 149.5, "c": 150.31, "v": 1200, "n": 8, "vw": 150.2}
STATUS = {"T": "s", "S": "AAPL", "sc": "P", "sm": "Volatility Trading Pause", "rc": "LUDP", "rm": "", "z": "C"}


def test_a_trade_is_the_contracts_line() -> None:
    """Word for word as CONTRACTS 2 shows it."""
    assert lines.trade_line(TRADE, STAMP) == (
        b'{"type":"trade","symbol":"AAPL","price":150.25,"size":100,"timestamp":"2026-11-20T15:04:05.123456789Z"}\n'
    )


def test_a_quote_is_the_contracts_line() -> None:
    """Its price is the midpoint, without a float's noise."""
    assert lines.quote_line(QUOTE, STAMP) == (
        b'{"type":"quote","symbol":"AAPL","price":150.255,"bid":150.25,"ask":150.26,'
        b'"bid_size":200,"ask_size":100,"timestamp":"2026-11-20T15:04:05.123456789Z"}\n'
    )


def test_a_bar_is_the_contracts_line() -> None:
    """Its price is the close; its stamp the start of the bar."""
    assert lines.bar_line(BAR, "2026-11-20T15:04:00Z") == (
        b'{"type":"bar","symbol":"AAPL","price":150.31,"open":150.0,"high":151.5,"low":149.5,"close":150.31,'
        b'"volume":1200,"vwap":150.2,"timeframe":"1Min","timestamp":"2026-11-20T15:04:00Z"}\n'
    )


def test_a_status_is_the_contracts_line() -> None:
    """A halt tells its reason code."""
    assert lines.status_line(STATUS, STAMP, halted=True) == (
        b'{"type":"status","symbol":"AAPL","halted":true,"reason":"LUDP","timestamp":"2026-11-20T15:04:05.123456789Z"}\n'
    )


def test_a_history_bar_is_marked_and_needs_no_letters_of_the_stream() -> None:
    """A row of the REST history has neither type nor symbol of its own."""
    row = {key: value for key, value in BAR.items() if key not in {"T", "S", "vw"}} | {"t": "2026-11-20T15:00:00Z"}
    line = json.loads(lines.history_line(row, AAPL, "5Min"))
    assert line["history"] is True
    assert line["vwap"] is None
    assert (line["symbol"], line["timeframe"], line["timestamp"]) == ("AAPL", "5Min", "2026-11-20T15:00:00Z")


def test_a_late_bar_is_marked() -> None:
    """Otherwise it is as it would have come live, whatever letters history leaves out."""
    late = json.loads(lines.late_line(BAR | {"t": STAMP}, AAPL))
    assert late.pop("late") is True
    assert late == json.loads(lines.bar_line(BAR, STAMP))


def test_a_gap_says_how_many_and_since_when() -> None:
    """Word for word as CONTRACTS 2 shows it."""
    assert lines.gap_line(128, STAMP) == (b'{"type":"gap","dropped":128,"since":"2026-11-20T15:04:05.123456789Z"}\n')


def a_fill() -> OrderUpdate:
    order = Order(
        request=a_request(),
        status=OrderStatus.PARTIALLY_FILLED,
        requested_at=NOON,
        updated_at=NOON,
        broker_order_id=BrokerOrderId("b-1"),
        filled_qty=qty("4.50"),
    )
    return OrderUpdate(
        event="partial_fill", order=order, position_qty="4.5", timestamp=STAMP, fill_qty="4.5", fill_price="150.25"
    )


def test_an_order_update_is_the_contracts_line() -> None:
    """Decimals are strings without trailing zeros; all keys of the contract are always there."""
    assert lines.order_line(a_fill()) == (
        b'{"type":"order","event":"partial_fill","client_order_id":"alice-1","order_id":"b-1","symbol":"AAPL",'
        b'"side":"buy","qty":"10","filled_qty":"4.5","fill_qty":"4.5","fill_price":"150.25",'
        b'"status":"partially_filled","position_qty":"4.5","timestamp":"2026-11-20T15:04:05.123456789Z"}\n'
    )


def test_an_order_line_tells_what_is_out_of_the_ordinary() -> None:
    """A fill that was an exchange at the desk, and which order took this one's place; no line of others grows by it."""
    fill = a_fill()
    order = replace(fill.order, replaced_by=ClientOrderId("alice-1~1"))
    line = json.loads(lines.order_line(replace(fill, order=order, is_internal=True)))
    assert (line["internal"], line["replaced_by"]) == (True, "alice-1~1")


def test_a_refused_order_says_why() -> None:
    """Reason and message stand only where there is one."""
    fill = a_fill()
    order = replace(fill.order, status=OrderStatus.DENIED, broker_order_id=None, reason="quote_stale", message="old")
    line = json.loads(lines.order_line(replace(fill, event="denied", order=order, fill_qty=None, fill_price=None)))
    assert (line["reason"], line["message"]) == ("quote_stale", "old")
    assert line["order_id"] is None
    assert line["fill_qty"] is None


@pytest.mark.parametrize("sent", [NS, STAMP, msgpack.Timestamp(NS // 10**9, NS % 10**9)])
def test_a_stamp_is_read_in_each_of_its_forms(sent: object) -> None:
    """The stream's timestamps, the exchange's nanoseconds and REST's texts are one instant."""
    assert lines.stamp_text(sent) == STAMP


@pytest.mark.parametrize("sent", [None, 1.5, "yesterday"])
def test_what_is_no_stamp_is_an_error(sent: object) -> None:
    """A line never carries a stamp that was made up."""
    with pytest.raises(WireError):
        lines.stamp_text(sent)


def test_a_quote_without_any_price_makes_no_line() -> None:
    """Before the open that is an honest quote, yet nothing that a strategy could price."""
    assert lines.quote_line(QUOTE | {"bp": 0, "ap": 0}, STAMP) == b""


@pytest.mark.parametrize(("bid", "ask", "price"), [(0, 150.26, 150.26), (150.25, 0, 150.25)])
def test_a_one_sided_quote_is_priced_at_its_side(bid: float, ask: float, price: float) -> None:
    """Half of a price is nobody's midpoint."""
    assert json.loads(lines.quote_line(QUOTE | {"bp": bid, "ap": ask}, STAMP))["price"] == price


@pytest.mark.parametrize("nonsense", [0, -1.0, float("nan"), float("inf")])
def test_a_line_without_a_price_is_never_made(nonsense: float) -> None:
    """`m["price"]` is a number above zero on every price line."""
    with pytest.raises(WireError):
        lines.trade_line(TRADE | {"p": nonsense}, STAMP)
    with pytest.raises(WireError):
        lines.quote_line(QUOTE | {"bp": nonsense or -1, "ap": 150.26}, STAMP)
    with pytest.raises(WireError):
        lines.bar_line(BAR | {"c": nonsense}, STAMP)


@pytest.mark.parametrize(
    ("code", "was", "now"),
    [
        ("H", False, True),
        ("2", False, True),
        ("P", False, True),
        ("T", True, False),
        ("3", True, False),
        ("Q", True, True),
        ("E", False, False),
        ("F", True, True),
    ],
)
def test_news_about_a_symbol_neither_halts_nor_resumes_it(code: str, was: bool, now: bool) -> None:
    """Only codes that stop or resume trading change whether it is halted."""
    assert lines.halted_after(STATUS | {"sc": code}, was_halted=was) is now


@given(
    symbol=st.text(max_size=20),
    bid=st.floats(0.0001, 1e6),
    ask=st.floats(0.0001, 1e6),
    size=st.integers(0, 10**9) | st.floats(0, 1e9),
)
def test_a_price_line_says_what_was_sent(symbol: str, bid: float, ask: float, size: float) -> None:
    """Whatever the market calls its symbols and sends as figures arrives the same, on one line."""
    line = lines.quote_line(QUOTE | {"S": symbol, "bp": bid, "ap": ask, "bs": size}, STAMP)
    assert line.count(b"\n") == 1
    read = json.loads(line)
    assert (read["symbol"], read["bid"], read["ask"], read["bid_size"]) == (symbol, bid, ask, size)
    assert read["price"] == pytest.approx((bid + ask) / 2, abs=1e-6)


def test_a_quote_for_the_gate_is_exact() -> None:
    """0.1 is one tenth."""
    quote = lines.parse_quote(QUOTE | {"bp": 0.1, "t": NS}, NOON)
    assert quote.bid_price == Decimal("0.1")
    assert quote.quoted_at == datetime(2026, 11, 20, 15, 4, 5, 123456, tzinfo=UTC)


@pytest.mark.parametrize("change", [{"bp": None}, {"as": "1"}, {"ap": -1}, {"t": "noon"}, {"bs": True}])
def test_a_quote_that_is_none_is_an_error(change: dict[str, Any]) -> None:
    """The gate never rests on a figure that was not sent."""
    with pytest.raises(WireError):
        lines.parse_quote(QUOTE | {"t": NS} | change, NOON)
    with pytest.raises(WireError, match="bp"):
        lines.parse_quote({"T": "q", "S": "AAPL", "t": NS}, NOON)
