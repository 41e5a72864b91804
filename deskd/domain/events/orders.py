"""Facts of an order: from the gate to its end, each word of the broker kept."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple

from deskd.domain.ids import BrokerOrderId, ClientOrderId, FillId, StrategyId
from deskd.domain.market import Quote
from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import OrderRequest, OrderType, Side, TimeInForce


class Checked(NamedTuple):
    """What one check of the gate looked at, and its limit, as key=value. A tuple: it is stored as a short array."""

    name: str  # the good case as a statement: `quote_is_fresh`
    figure: str
    limit: str = ""  # empty where there is no bound


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderApproved:
    """The gate let the order through. What is reserved is held until the order is final."""

    request: OrderRequest
    quote: Quote
    reserved_cash: Cash
    reserved_qty: Qty
    market_day: date
    at: datetime
    checks: tuple[Checked, ...] = ()  # all passed, in order; none in ledgers from before they were kept
    parts: tuple[tuple[StrategyId, Qty], ...] = ()  # of the house's order that closes for many: whose shares (a block)
    block: ClientOrderId | None = None  # of a part of a block, which is filled at the desk: the block
    line: str = ""  # the market's line that the strategy was at work on, as its run says: type, symbol, time
    lines_together: int = 0  # that its script was given at once, of which *line* is the last; 0: it was given one alone


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDenied:
    """The gate stopped the order; the broker never saw it."""

    request: OrderRequest
    reason: str  # a DenialReason
    message: str
    quote: Quote | None
    market_day: date
    at: datetime
    checks: tuple[Checked, ...] = ()  # those that passed, and last the one that said no
    in_the_way: tuple[ClientOrderId, ...] = ()  # open orders that it was in conflict with; for officers
    line: str = ""  # as in OrderApproved
    lines_together: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderHeld:
    """An approved order waits at the desk: the broker would refuse it because of another strategy's order."""

    client_order_id: ClientOrderId
    until: datetime  # at the latest it is sent or ended
    reason: str  # a DenialReason: what it would have been denied for
    message: str
    in_the_way: tuple[ClientOrderId, ...]  # for officers
    at: datetime
    lives_until: datetime | None = None  # its time in force runs out then: nothing of it leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReleased:
    """Nothing is in the order's way any more: it goes to the broker."""

    client_order_id: ClientOrderId
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReturned:
    """The broker let go of an order that is to meet another: what is left of it waits at the desk, as a new order."""

    request: OrderRequest
    replaces: ClientOrderId
    recalled_for: ClientOrderId  # the order that it is to meet; for officers
    until: datetime  # at the latest it is sent or ended
    reason: str  # a DenialReason: why the two cannot both be at the broker
    message: str
    reserved_cash: Cash  # what the order before it held
    reserved_qty: Qty
    price: Price  # at which a share of it is valued
    at: datetime
    lives_until: datetime | None = None  # the time in force of the order before it runs out then


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSplit:
    """A part of an order goes to the broker, under an id of its own: the whole would take the account across zero.

    What the parts so far leave is the rest: it waits until the latest part is filled.
    """

    client_order_id: ClientOrderId  # of the order that was asked for
    part_id: ClientOrderId
    qty: Qty  # of this part
    until: datetime  # nothing of the rest leaves at or after this
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LegSpec:
    """A leg that the broker made for a bracket, OCO or OTO."""

    client_order_id: ClientOrderId
    broker_order_id: BrokerOrderId
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    qty: Qty
    limit_price: Price | None
    stop_price: Price | None

    def request(self, parent: OrderRequest) -> OrderRequest:
        """Return the leg as if it had been asked for: what it has not of its own it has from its entry."""
        return replace(
            parent,
            client_order_id=self.client_order_id,
            side=self.side,
            order_type=self.order_type,
            time_in_force=self.time_in_force,
            qty=self.qty,
            notional=None,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            take_profit=None,
            stop_loss=None,
            replacement=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAccepted:
    """The broker has the order."""

    client_order_id: ClientOrderId
    broker_order_id: BrokerOrderId
    submitted_at: datetime | None  # the broker's stamp: on a tape, the tape's time
    legs: tuple[LegSpec, ...]
    at: datetime
    source: str = ""  # a Source
    broker_status: str = ""  # the broker's own word


@dataclass(frozen=True, slots=True, kw_only=True)
class LegsFound:
    """The broker told the legs of an order that it had acknowledged without them (the stream never names them)."""

    client_order_id: ClientOrderId
    legs: tuple[LegSpec, ...]
    at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected:
    """The order ended at the broker without life: refused, or it never arrived."""

    client_order_id: ClientOrderId
    reason: str  # a RejectReason
    message: str
    at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilled:
    """The broker executed part or all of the order, or the desk did. *fill_id* counts once (domain.order.fill_id).

    An internal fill is one of two: the fact beside it, in the same commit, is the other order's.
    """

    client_order_id: ClientOrderId
    fill_id: FillId
    qty: Qty
    price: Price
    filled_at: datetime  # the market's stamp
    at: datetime
    source: str = ""
    position_qty: Qty | None = None  # signed, of the strategy in this symbol, after this fill
    internal_with: ClientOrderId | None = None  # exchanged at the desk with that order: no broker's; for officers
    quote: Quote | None = None  # of an internal fill: the market that its price rests on


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelRequested:
    """The desk asked, or is about to ask, the broker to cancel what is left."""

    client_order_id: ClientOrderId
    by: str
    at: datetime
    recalled_for: ClientOrderId | None = None  # not to end it: it is to meet that order at the desk; for officers


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelRefused:
    """The broker would not cancel; the order goes on as it was."""

    client_order_id: ClientOrderId
    message: str
    at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCompleted:
    """The broker calls the order filled, and all of its fills are booked (ends notional orders, too)."""

    client_order_id: ClientOrderId
    at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCanceled:
    """The broker canceled what was left of the order."""

    client_order_id: ClientOrderId
    at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderExpired:
    """The order's time in force ran out."""

    client_order_id: ClientOrderId
    at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReplaceRequested:
    """The desk asked, or is about to ask, the broker to put another order in the place of this one."""

    client_order_id: ClientOrderId
    replaced_by: ClientOrderId  # the new order: its approval is the fact after this one
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReplaceRefused:
    """The broker would not replace; the order goes on as it was."""

    client_order_id: ClientOrderId
    message: str
    at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReplaced:
    """Another order has taken the place of this one, and all fills of this one are booked."""

    client_order_id: ClientOrderId
    replaced_by: ClientOrderId | None  # None: the broker knows none
    at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRestated:
    """The broker says that the order is for less than was asked: a fill crossed a replace, or its sibling filled."""

    client_order_id: ClientOrderId
    qty: Qty
    at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAdopted:
    """Somebody replaced an order of ours in the broker's own page: the new one belongs to the same strategy."""

    request: OrderRequest
    broker_order_id: BrokerOrderId
    replaces: ClientOrderId
    submitted_at: datetime | None
    reserved_cash: Cash
    reserved_qty: Qty
    price: Price  # at which a share of it is valued
    at: datetime
    source: str = ""
    broker_status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSaid:
    """A word of the broker about an order that brings no other fact of its own. The same word again is no news."""

    client_order_id: ClientOrderId
    source: str  # a Source
    word: str  # in_doubt, not_found, acknowledged, or Alpaca's own: done_for_day, suspended, ...
    detail: str
    at: datetime


type OrderFact = (
    OrderAccepted
    | OrderRejected
    | OrderFilled
    | OrderCancelRequested
    | OrderCancelRefused
    | OrderCompleted
    | OrderCanceled
    | OrderExpired
    | OrderReplaceRequested
    | OrderReplaceRefused
    | OrderReplaced
    | OrderRestated
)
