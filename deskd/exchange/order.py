"""What the exchange knows of one order, and what it says of it.

Rule 1: an order's status changes through `TRANSITIONS` only; a pair that is not in it cannot happen.
Rule 2: an ExchangeOrder changes inside this room only. What leaves it is a snapshot that never changes.
"""

from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from operator import attrgetter

from deskd.domain.events import BrokerStatus
from deskd.domain.events import BrokerStatus as S
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty
from deskd.domain.order import OrderClass, OrderType, Side, StopLoss, TakeProfit, TimeInForce

NO_PRICE = Price(ZERO)


class PositionIntent(StrEnum):
    """What an order does to the position. The values are Alpaca's."""

    BUY_TO_OPEN = "buy_to_open"
    BUY_TO_CLOSE = "buy_to_close"
    SELL_TO_OPEN = "sell_to_open"
    SELL_TO_CLOSE = "sell_to_close"

    @property
    def opens(self) -> bool:
        """Tell whether the position grows."""
        return self in (PositionIntent.BUY_TO_OPEN, PositionIntent.SELL_TO_OPEN)


ENTRY, TAKE_PROFIT, STOP_LOSS = "entry", "take_profit", "stop_loss"  # roles in a group


class OrderWord(StrEnum):
    """What can happen to an order: the events of the trade_updates stream."""

    PENDING_NEW = "pending_new"
    ACCEPTED = "accepted"
    NEW = "new"
    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REJECTED = "rejected"
    RESTATED = "restated"  # the quantity of an exit shrank with its sibling's fill
    TRADE_BUST = "trade_bust"  # a fill was undone: told, no transition
    TRADE_CORRECT = "trade_correct"  # a fill got another price: told, no transition


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """A request to trade, read from the wire and not checked further."""

    symbol: str  # or the asset's id
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    qty: Qty | None = None
    notional: Cash | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    trail_price: Price | None = None
    trail_percent: Price | None = None
    extended_hours: bool = False
    client_order_id: str | None = None
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit: TakeProfit | None = None
    stop_loss: StopLoss | None = None
    position_intent: PositionIntent | None = None

    def named_prices(self) -> list[tuple[str, Price]]:
        """Return every price of the request with the name of its field."""
        prices = [
            ("limit_price", self.limit_price),
            ("stop_price", self.stop_price),
            ("trail_price", self.trail_price),
            ("trail_percent", self.trail_percent),
        ]
        if self.take_profit is not None:
            prices.append(("take_profit.limit_price", self.take_profit.limit_price))
        if self.stop_loss is not None:
            prices.append(("stop_loss.stop_price", self.stop_loss.stop_price))
            prices.append(("stop_loss.limit_price", self.stop_loss.limit_price))
        return [(name, price) for name, price in prices if price is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanges:
    """A request to replace an order; None leaves as it is. *qty* counts what is already filled."""

    qty: Qty | None = None
    time_in_force: TimeInForce | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    trail: Price | None = None
    client_order_id: str | None = None


@dataclass(slots=True)
class ExchangeOrder:
    """One order: Alpaca's keys in the domain's types, and below them what only the exchange sees."""

    id: str
    client_order_id: str
    status: BrokerStatus
    created_at: datetime
    updated_at: datetime
    submitted_at: datetime
    asset_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    position_intent: PositionIntent
    order_class: OrderClass = OrderClass.SIMPLE
    qty: Qty | None = None  # None: a notional order
    notional: Cash | None = None
    filled_qty: Qty = NO_QTY
    filled_avg_price: Price | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    trail_price: Price | None = None
    trail_percent: Price | None = None
    hwm: Price | None = None
    extended_hours: bool = False
    filled_at: datetime | None = None
    expired_at: datetime | None = None
    expires_at: datetime | None = None
    canceled_at: datetime | None = None
    failed_at: datetime | None = None
    replaced_at: datetime | None = None
    replaced_by: str | None = None
    replaces: str | None = None
    legs: tuple[str, ...] = ()  # ids
    parent_id: str | None = None
    group_id: str | None = None  # complex orders: one id for all of a group
    group_role: str | None = None  # entry, take_profit, stop_loss
    # what only the exchange sees
    sequence: int = 0  # counts orders as they came
    filled_notional: Cash = NO_CASH  # exact: the sum over fills of qty x price
    reserved: Cash = NO_CASH  # buying power held for what is still open
    unit_cost: Price = NO_PRICE  # what one share still open reserves
    eligible_at: datetime | None = None  # fills from here on; None: waits for its session
    acknowledges_at: datetime | None = None  # when the market takes it
    triggered_at: datetime | None = None  # of a stop
    cap_price: Price | None = None  # of a triggered buy stop: the worst price it takes
    promised_qty: Qty = NO_QTY  # of a notional order that closes: no more shares than these
    session_day: date | None = None  # of a day order: the session it belongs to
    reject_reason: str | None = None  # set: will be, or was, rejected by the market

    @property
    def is_open(self) -> bool:
        """Tell whether the order may still fill, be it now, in its session, or when its entry is filled."""
        return self.status in OPEN

    @property
    def is_fractional(self) -> bool:
        """Tell whether the order asks for a part of a share."""
        return self.qty is None or self.qty != self.qty.to_integral_value()

    @property
    def leaves_qty(self) -> Qty:
        """Return what is still open; zero for a notional order, which only knows its money."""
        return NO_QTY if self.qty is None else Qty(self.qty - self.filled_qty)

    def is_together_with(self, other: "ExchangeOrder") -> bool:
        """Tell whether both are one order, or of one group."""
        return self is other or (self.group_id is not None and self.group_id == other.group_id)

    def snapshot(self) -> "ExchangeOrder":
        """Return a copy that never changes."""
        return ExchangeOrder(*_all_fields(self))


_all_fields = attrgetter(*(f.name for f in fields(ExchangeOrder)))

OPEN = frozenset({S.PENDING_NEW, S.ACCEPTED, S.NEW, S.PARTIALLY_FILLED, S.HELD})
FINAL = frozenset({S.FILLED, S.CANCELED, S.EXPIRED, S.REPLACED, S.REJECTED})

_W = OrderWord
TRANSITIONS: dict[tuple[BrokerStatus, OrderWord], BrokerStatus] = {
    (S.PENDING_NEW, _W.PENDING_NEW): S.PENDING_NEW,  # born in a session
    (S.PENDING_NEW, _W.NEW): S.NEW,
    (S.PENDING_NEW, _W.PARTIAL_FILL): S.PARTIALLY_FILLED,  # fractional orders fill without a visible new
    (S.PENDING_NEW, _W.FILL): S.FILLED,
    (S.PENDING_NEW, _W.CANCELED): S.CANCELED,
    (S.PENDING_NEW, _W.EXPIRED): S.EXPIRED,
    (S.PENDING_NEW, _W.REJECTED): S.REJECTED,
    (S.PENDING_NEW, _W.RESTATED): S.PENDING_NEW,  # just replaced, and its sibling fills
    (S.ACCEPTED, _W.ACCEPTED): S.ACCEPTED,  # born while its session is closed
    (S.ACCEPTED, _W.NEW): S.NEW,
    (S.ACCEPTED, _W.CANCELED): S.CANCELED,
    (S.ACCEPTED, _W.EXPIRED): S.EXPIRED,
    (S.ACCEPTED, _W.REJECTED): S.REJECTED,
    (S.ACCEPTED, _W.RESTATED): S.ACCEPTED,
    (S.HELD, _W.NEW): S.NEW,  # its entry is filled
    (S.HELD, _W.CANCELED): S.CANCELED,
    (S.NEW, _W.PARTIAL_FILL): S.PARTIALLY_FILLED,
    (S.NEW, _W.FILL): S.FILLED,
    (S.NEW, _W.CANCELED): S.CANCELED,
    (S.NEW, _W.EXPIRED): S.EXPIRED,
    (S.NEW, _W.REPLACED): S.REPLACED,
    (S.NEW, _W.RESTATED): S.NEW,
    (S.PARTIALLY_FILLED, _W.PARTIAL_FILL): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, _W.FILL): S.FILLED,
    (S.PARTIALLY_FILLED, _W.CANCELED): S.CANCELED,
    (S.PARTIALLY_FILLED, _W.EXPIRED): S.EXPIRED,
    (S.PARTIALLY_FILLED, _W.REPLACED): S.REPLACED,
    (S.PARTIALLY_FILLED, _W.RESTATED): S.PARTIALLY_FILLED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEvent:
    """One message of the trade_updates stream. Price, quantities are set on fill and partial_fill."""

    event: OrderWord
    event_id: str  # ULID; grows from event to event
    execution_id: str
    at: datetime
    order: ExchangeOrder  # a snapshot
    price: Price | None = None
    qty: Qty | None = None
    position_qty: Qty | None = None  # signed, after this execution
    previous_execution_id: str | None = None  # of a bust or a correction: the execution that it is about
