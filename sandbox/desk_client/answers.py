"""What the desk answers. Quantities and prices are decimal strings, as on the wire: `float(x)` or `Decimal(x)` them."""

from __future__ import annotations

from typing import NamedTuple


class OrderResponse(NamedTuple):
    """What became of one order (or of one cancel)."""

    status: str  # success | denied | rejected | pending | error
    order_id: str = ""  # the broker's, once it has the order
    client_order_id: str = ""  # yours: good for get_order and cancel_order as well
    reason: str = ""  # a stable code: what to test for
    message: str = ""  # for people: rule, limit, actual figure, and what to do
    symbol: str = ""
    qty: str = ""
    side: str = ""
    filled_qty: str = ""
    order_status: str = ""  # submitted, accepted, partially_filled, filled, ...
    filled_avg_price: str = ""


class Order(NamedTuple):
    """One of your orders, as the desk knows it."""

    client_order_id: str
    order_id: str
    symbol: str
    side: str
    qty: str
    notional: str
    order_type: str
    time_in_force: str
    limit_price: str
    stop_price: str
    status: str
    filled_qty: str
    filled_avg_price: str
    reason: str
    message: str
    requested_at: str
    updated_at: str
    broker_status: str = ""  # the broker's own word, the latest that the desk kept
    replaces: str = ""  # client_order_id of the order in whose place this one is
    replaced_by: str = ""  # and of the one that took, or is to take, this one's place


class Position(NamedTuple):
    """What your strategy holds of one symbol; `qty` is "0" where it holds none."""

    symbol: str
    qty: str  # negative when short
    avg_entry_price: str
    mark_price: str
    market_value: str
    unrealized_pnl: str
    realized_pnl: str


class Account(NamedTuple):
    """Your strategy's own money; nobody else's is in it."""

    strategy_id: str
    user_id: str
    allocation: str
    cash: str
    reserved: str  # held for open orders
    buying_power: str  # cash - reserved
    equity: str  # cash + positions at their latest price
    realized_pnl: str
    unrealized_pnl: str


class Bar(NamedTuple):
    """Prices over a span. Floats: this is the market's data, not your money."""

    symbol: str
    timestamp: str  # start of the bar, UTC
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float


class MarketClock(NamedTuple):
    """The market's time: on a recorded day, that day's."""

    timestamp: str
    is_open: bool
    next_open: str
    next_close: str


class DeskError(Exception):
    """The desk said no to a question. `reason` is a stable code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DeskUnavailable(DeskError):
    """There is no answer at all: no desk where it was looked for, or it went away."""

    def __init__(self, message: str) -> None:
        super().__init__("DESK_UNAVAILABLE", message)
