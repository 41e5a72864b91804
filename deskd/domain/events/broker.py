"""What the broker says: of one of our orders, of the account, and through its streams."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from deskd.domain.activity import Activity
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, Symbol
from deskd.domain.market import Instrument, TradingDay
from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import Fill, OrderType, Side, TimeInForce


class BrokerStatus(StrEnum):
    """Alpaca's 17 order statuses. A text that is none of these is UNKNOWN, and the raw text is kept beside it."""

    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    DONE_FOR_DAY = "done_for_day"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    ACCEPTED = "accepted"
    PENDING_NEW = "pending_new"
    ACCEPTED_FOR_BIDDING = "accepted_for_bidding"
    STOPPED = "stopped"
    REJECTED = "rejected"
    SUSPENDED = "suspended"
    CALCULATED = "calculated"
    HELD = "held"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """By which road a word of the broker came."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    REPLACE = "replace"
    LOOK_UP = "look_up"
    STREAM = "stream"
    RECONCILE = "reconcile"
    INTERNAL = "internal"  # no word of the broker: two orders met at the desk


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrder:
    """One order as the broker describes it, in a REST answer or beside a trade update."""

    broker_order_id: BrokerOrderId
    client_order_id: ClientOrderId
    status: BrokerStatus
    raw_status: str
    symbol: Symbol
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    qty: Qty | None
    notional: Cash | None
    limit_price: Price | None
    stop_price: Price | None
    filled_qty: Qty
    filled_avg_price: Price | None
    submitted_at: datetime | None
    legs: tuple["BrokerOrder", ...] = ()
    replaced_by: BrokerOrderId | None = None
    replaces: BrokerOrderId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitAccepted:
    """The broker answered the POST, or the PATCH that replaces an order, with the new order."""

    client_order_id: ClientOrderId
    order: BrokerOrder
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRejected:
    """The broker answered the POST or PATCH with a refusal, or nothing left the desk: no such order exists there."""

    client_order_id: ClientOrderId
    message: str
    at: datetime
    was_sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitInDoubt:
    """The POST or PATCH had no clear answer: timeout, cut connection, 5xx, or `client_order_id must be unique`."""

    client_order_id: ClientOrderId
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLookedUp:
    """The broker was asked for an order by client_order_id. *order* None: it has none. *fills* are all of its fills."""

    client_order_id: ClientOrderId
    order: BrokerOrder | None
    fills: tuple[Fill, ...]
    at: datetime
    successors: tuple[BrokerOrder, ...] = ()  # where it was replaced: the order in its place, and what replaced that


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAnswered:
    """The broker answered a DELETE. *refusal* None: it will try; else why not (order already final, not found)."""

    client_order_id: ClientOrderId
    refusal: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelInDoubt:
    """The DELETE had no clear answer, or could not be sent. The stream or a look-up will tell; then it is asked again."""

    client_order_id: ClientOrderId
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeUpdated:
    """One message of the trade_updates stream. *fill* is set on fill and partial_fill."""

    event: str  # Alpaca's word: new, fill, partial_fill, canceled, expired, ...
    order: BrokerOrder
    fill: Fill | None
    at: datetime
    stamp: datetime | None = None  # the broker's: on a tape, the tape's time


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeStreamChanged:
    """The trade stream came up (listening acknowledged) or went down."""

    is_up: bool
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPosition:
    """One position of the shared account, as the broker counts it."""

    symbol: Symbol
    qty: Qty  # signed
    avg_entry_price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSnapshot:
    """The shared account at one moment, for a reconcile.

    *orders* hold every order still open at the broker, and every order that the desk thought open; *fills* their
    executions by client_order_id. *activities* are what the account's history has since the last look, and the desk
    does not know yet.
    """

    cash: Cash
    equity: Cash
    buying_power: Cash
    positions: tuple[BrokerPosition, ...]
    orders: tuple[BrokerOrder, ...]
    fills: tuple[tuple[ClientOrderId, tuple[Fill, ...]], ...]
    missing: tuple[ClientOrderId, ...]  # orders that the desk thought open and the broker does not have
    fill_count: int  # the desk's when the snapshot was asked for: a fill since then makes it too old
    why: str
    at: datetime
    asked_at: datetime | None = None  # when the first question was sent: what came later it may not know of
    activities: tuple[Activity, ...] = ()
    market_at: datetime | None = None  # the broker's clock before it was asked for them; None: they were not read


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentsListed:
    """The broker's list of what can be traded."""

    instruments: tuple[Instrument, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarListed:
    """The broker's calendar around today: the days on which the exchange trades. An input, never kept."""

    days: tuple[TradingDay, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketResumed:
    """The market stream is up again, and the bars that it had missed were fetched, as far as they could be."""

    affected: tuple[StrategyId, ...]  # with runs that read from it
    bars_fetched: int
    bars_missing: int
    at: datetime


type BrokerEvent = (
    SubmitAccepted
    | SubmitRejected
    | SubmitInDoubt
    | OrderLookedUp
    | CancelAnswered
    | CancelInDoubt
    | TradeUpdated
    | TradeStreamChanged
    | MarketResumed
    | BrokerSnapshot
    | InstrumentsListed
    | CalendarListed
)
