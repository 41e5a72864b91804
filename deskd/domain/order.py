"""An order: what a strategy asks for, and what the desk knows of it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from deskd.domain.exits import ExitKind
from deskd.domain.ids import BrokerOrderId, ClientOrderId, FillId, StrategyId, Symbol, UserId
from deskd.domain.money import NO_CASH, NO_QTY, Cash, Price, Qty


class Side(StrEnum):
    """Direction of an order. The values are Alpaca's."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """Return +1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """How the price is set. The values are Alpaca's."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    """How long the order lives. The values are Alpaca's."""

    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


class OrderClass(StrEnum):
    """How an order is tied to its legs. The values are Alpaca's."""

    SIMPLE = "simple"
    BRACKET = "bracket"
    OCO = "oco"
    OTO = "oto"


class OrderStatus(StrEnum):
    """Where an order is in its life, as the desk sees it (CONTRACTS 5)."""

    SUBMITTED = "submitted"  # approved and on disk; in doubt until the broker answers
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"  # another order is asked for in its place
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"  # another order took its place
    REJECTED = "rejected"
    DENIED = "denied"

    @property
    def is_open(self) -> bool:
        """Tell whether the order may still fill."""
        return self in _OPEN


_OPEN = frozenset(
    {
        OrderStatus.SUBMITTED,
        OrderStatus.ACCEPTED,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.PENDING_CANCEL,
        OrderStatus.PENDING_REPLACE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeProfit:
    """The profit leg of a bracket, OCO or OTO."""

    limit_price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLoss:
    """The loss leg of a bracket, OCO or OTO."""

    stop_price: Price
    limit_price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """What is to be different in the order that takes the place of an open one. None leaves as it is."""

    replaces: ClientOrderId
    qty: Qty | None = None  # of old and new together: what the old one has filled counts
    limit_price: Price | None = None
    stop_price: Price | None = None
    trail_price: Price | None = None
    trail_percent: Price | None = None
    time_in_force: TimeInForce | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a strategy asked for, checked for form and for nothing else. Exactly one of qty and notional is set."""

    strategy_id: StrategyId
    user_id: UserId
    client_order_id: ClientOrderId
    symbol: Symbol
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    qty: Qty | None = None
    notional: Cash | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    trail_price: Price | None = None
    trail_percent: Price | None = None  # in percent: 1 is one hundredth
    extended_hours: bool = False
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit: TakeProfit | None = None
    stop_loss: StopLoss | None = None
    reason: str | None = None  # the strategy's own words; shown, never read
    replacement: Replacement | None = None  # of an order that is to take another's place: what was asked for
    exit: ExitKind | None = None  # the desk's own order, that closes a position: no strategy can say so
    for_kill: bool = False  # a kill's own closing order: no strategy can say so


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution of our order."""

    fill_id: FillId
    qty: Qty
    price: Price
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a bust or a correction changed in the broker's count of an order; the fills stay as they were booked."""

    qty: Qty  # zero or negative
    notional: Cash
    at: datetime  # the broker's stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How far an order is that goes to the broker in parts, each once the one before it is filled."""

    parts: tuple[ClientOrderId, ...]  # those that were sent, the latest last
    qty: Qty  # of them together, as they were asked for
    until: datetime  # no part leaves at or after this
    waits_since: datetime | None = None  # the latest part is filled, and the rest is still here: since then


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request and what became of it."""

    request: OrderRequest
    status: OrderStatus
    requested_at: datetime
    updated_at: datetime
    submitted_at: datetime | None = None  # the broker's stamp: on a tape, the tape's time
    broker_order_id: BrokerOrderId | None = None
    parent_id: ClientOrderId | None = None  # of a bracket's, OCO's or OTO's leg: the order that carries it
    filled_qty: Qty = NO_QTY
    filled_notional: Cash = NO_CASH  # the sum over fills of qty x price
    reason: str | None = None  # a DenialReason or RejectReason
    message: str | None = None  # for people: rule, limit, figure, remedy
    restated_qty: Qty | None = None  # where the broker made the order smaller than was asked
    broker_status: str = ""  # the broker's latest word that was kept: new, accepted and pending_new are as one
    last_word: str = ""  # of the broker, that was no status, and its road: `look_up not_found`
    source: str = ""  # by which road the latest word came
    replaces: ClientOrderId | None = None
    replaced_by: ClientOrderId | None = None
    corrections: tuple[Correction, ...] = ()  # busts and corrections of its fills, which the house book bears
    surplus_qty: Qty = NO_QTY  # executed beyond what the order was for: the house's
    surplus_notional: Cash = NO_CASH
    held_until: datetime | None = None  # waits at the desk, unsent, because of another order; at most so long
    released_at: datetime | None = None  # when it was sent after such a wait
    lives_until: datetime | None = None  # of one that waited: its time in force runs out then
    split: Split | None = None  # it goes to the broker in parts, which it sums up; the broker never sees it itself
    part_of: ClientOrderId | None = None  # of a part: the order that was asked for
    internal_qty: Qty = (
        NO_QTY  # of filled_qty: exchanged with another strategy at the desk; the broker knows nothing of it
    )
    internal_notional: Cash = NO_CASH
    recalled_for: ClientOrderId | None = None  # taken back from the broker to meet that order at the desk
    line: str = ""  # the market's line that it was asked for on, as in OrderApproved
    lines_together: int = 0

    @property
    def is_held(self) -> bool:
        """Tell whether the order waits at the desk: the broker never saw it."""
        return self.held_until is not None and self.status is OrderStatus.SUBMITTED

    @property
    def is_recalled(self) -> bool:
        """Tell whether the desk is taking the order back from the broker, to have it meet another."""
        return self.recalled_for is not None and self.status is OrderStatus.PENDING_CANCEL

    @property
    def sent_at(self) -> datetime:
        """Return when the order went to the broker."""
        return self.released_at or self.requested_at

    @property
    def qty(self) -> Qty | None:
        """Return what the order is for; None for a notional order, whose quantity only the broker knows."""
        return self.request.qty if self.restated_qty is None else self.restated_qty

    @property
    def is_in_doubt(self) -> bool:
        """Tell whether the broker has not answered yet: it may have the order, or never get it."""
        is_canceled_unheard = self.status is OrderStatus.PENDING_CANCEL and self.broker_order_id is None
        return self.status is OrderStatus.SUBMITTED or is_canceled_unheard

    @property
    def leaves_qty(self) -> Qty | None:
        """Return what is still open; None for a notional order."""
        qty = self.qty
        return None if qty is None else Qty(max(qty - self.done_qty, NO_QTY))

    @property
    def rest_qty(self) -> Qty:
        """Return what of a split order was not sent yet."""
        if self.split is None or self.request.qty is None:
            return NO_QTY
        return Qty(self.request.qty - self.split.qty - self.internal_qty)

    @property
    def sent_qty(self) -> Qty | None:
        """Return what the broker's order is for: not what was exchanged at the desk before it was sent."""
        qty = self.qty
        return None if qty is None else Qty(qty - self.internal_qty)

    @property
    def done_qty(self) -> Qty:
        """Return what of the order is done, at the broker and at the desk."""
        if not self.corrections:
            return Qty(self.filled_qty + self.surplus_qty)
        return Qty(self.filled_qty + self.surplus_qty + sum((c.qty for c in self.corrections), NO_QTY))

    @property
    def counted_qty(self) -> Qty:
        """Return what is filled as the broker counts it: without what was busted, with what nobody asked for."""
        return Qty(self.done_qty - self.internal_qty)

    @property
    def counted_notional(self) -> Cash:
        """Return the sum over fills of qty x price as the broker counts it."""
        theirs = self.filled_notional - self.internal_notional + self.surplus_notional
        return Cash(theirs + sum((c.notional for c in self.corrections), NO_CASH))

    def identity(self, fill: Fill) -> FillId:
        """Return the fill's one name: after a bust the broker's count goes through the same figures once more."""
        undone = sum((c.qty for c in self.corrections if c.at < fill.at), NO_QTY)
        if not undone:
            return fill.fill_id
        broker_order_id, _, cumulative = fill.fill_id.rpartition(":")
        return fill_id(BrokerOrderId(broker_order_id), Qty(Decimal(cumulative) - undone))

    @property
    def avg_fill_price(self) -> Price | None:
        """Return the mean price over all fills, or None before the first."""
        return Price(self.filled_notional / self.filled_qty) if self.filled_qty else None


def fill_id(broker_order_id: BrokerOrderId, cumulative_qty: Qty) -> FillId:
    """Return the one name of an execution: the stream and the REST activities both know these two figures.

    Alpaca does not promise that the stream's execution_id equals the activity's uuid, so neither can be the key.
    """
    cumulative = format(cumulative_qty.normalize(), "f")
    return FillId(f"{broker_order_id}:{cumulative}")
