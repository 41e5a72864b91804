"""Events come in; facts are kept. A fact carries all that its application needs, and when it was decided (`at`)."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from deskd.domain.activity import Activity, HouseCause
from deskd.domain.ids import ActivityId, BrokerOrderId, ClientOrderId, FillId, RunId, StrategyId, Symbol, UserId
from deskd.domain.market import Instrument, Quote
from deskd.domain.money import Cash, Price, Qty
from deskd.domain.order import Fill, OrderRequest, OrderType, Replacement, Side, TimeInForce
from deskd.domain.run import RunEnd, StrategyStatus

# --- what the broker says of one of our orders ---------------------------------------------------------------------


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


# --- events from the broker ------------------------------------------------------------------------------------------


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
class MarketResumed:
    """The market stream is up again, and the bars that it had missed were fetched, as far as they could be."""

    affected: tuple[StrategyId, ...]  # with runs that read from it
    bars_fetched: int
    bars_missing: int
    at: datetime


# --- events from inside --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequested:
    """A strategy asked for an order; *quote* is the market as the desk saw it at that moment."""

    request: OrderRequest
    quote: Quote | None
    market_day: date  # the exchange's day: orders are counted by it
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceRequested:
    """Someone wants another order in the place of an open one: its strategy, or an officer."""

    client_order_id: ClientOrderId  # of the new order
    replacement: Replacement
    quote: Quote | None
    market_day: date
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """Someone wants an order gone: its strategy, an officer, or the desk itself when it stops."""

    client_order_id: ClientOrderId
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionRequested:
    """An officer has looked into a difference: it is settled as it stands, or as *ratio* says."""

    subject: str  # a symbol or `cash`
    by: str
    reason: str
    at: datetime
    ratio: Decimal | None = None  # of a split: so many shares for one, in every book


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtTimedOut:
    """A submitted order has been without an answer for too long: ask the broker by its id."""

    client_order_id: ClientOrderId
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MarksTaken:
    """The latest prices of held symbols, for equity and unrealized P&L."""

    marks: tuple[tuple[Symbol, Price], ...]
    at: datetime


# --- facts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskStarted:
    """The desk opened this ledger."""

    version: str
    broker: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskStopped:
    """The desk closed in order. Where this is missing, it was killed."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyRegistered:
    """A strategy was found for the first time, or its code or description changed."""

    strategy_id: StrategyId
    user_id: UserId
    name: str
    version: str
    path: str
    code_hash: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyStatusChanged:
    """A strategy became active, paused, stopped or failed."""

    strategy_id: StrategyId
    status: StrategyStatus
    why: str
    at: datetime
    by_hand: bool = False  # somebody stopped it: it does not start again with the desk


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationChanged:
    """Cash moved between the house and a strategy, so that the strategy's allocation is *allocation*."""

    strategy_id: StrategyId
    allocation: Cash
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A strategy's process was started."""

    run_id: RunId
    strategy_id: StrategyId
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A strategy's process ended."""

    run_id: RunId
    strategy_id: StrategyId
    end: RunEnd
    at: datetime


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
    """The broker executed part or all of the order. *fill_id* counts once (domain.order.fill_id)."""

    client_order_id: ClientOrderId
    fill_id: FillId
    qty: Qty
    price: Price
    filled_at: datetime  # the market's stamp
    at: datetime
    source: str = ""
    position_qty: Qty | None = None  # signed, of the strategy in this symbol, after this fill


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelRequested:
    """The desk asked, or is about to ask, the broker to cancel what is left."""

    client_order_id: ClientOrderId
    by: str
    at: datetime


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseAdjusted:
    """The house book took what nobody's fills explain: cash, or shares of *symbol*. Never a member's."""

    cash: Cash
    symbol: Symbol | None
    qty: Qty
    price: Price | None
    why: str
    at: datetime
    cause: HouseCause | None = None  # None: an entry from before causes had names
    activity_id: ActivityId | None = None
    broker_order_id: BrokerOrderId | None = None
    client_order_id: ClientOrderId | None = None  # of a bust or a correction: whose fill it was
    stamp: datetime | None = None  # the broker's, of the line of its history


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscrepancyFound:
    """The desk and the broker disagree, or the broker said what the order table forbids."""

    subject: str  # an order's id, a symbol, or `cash`
    expected: str
    actual: str
    action: str  # house: it took what differs; distribute: an officer is to say what becomes of members' shares
    at: datetime
    more: Decimal | None = None  # what the house took; such a discrepancy is open until it is resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscrepancyResolved:
    """What differed is settled: an officer says so, or the broker's account came back by itself."""

    subject: str
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolFrozen:
    """New orders in the symbol are denied until somebody has looked; cancels pass."""

    symbol: Symbol
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolThawed:
    """New orders in the symbol pass again."""

    symbol: Symbol
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesDistributed:
    """An officer had every book's shares multiplied by *ratio*; the house gives, or takes back, what that makes."""

    symbol: Symbol
    ratio: Decimal
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FillCorrected:
    """The broker busted or corrected a fill: its count of the order changed. The member's fill stays booked."""

    client_order_id: ClientOrderId
    word: str  # trade_bust, trade_correct
    qty: Qty  # zero or negative
    notional: Cash
    corrected_at: datetime  # the broker's stamp
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReconciled:
    """The ledger was compared with the broker. *differences* wait for a second look before the house takes them."""

    cash: Cash
    differences: tuple[tuple[str, str], ...]  # (`cash` or a symbol, what the broker has more than the books)
    fill_count: int  # how many fills the ledger had then: a difference counts only if none came in between
    why: str
    at: datetime
    since: datetime | None = None  # since when these very differences are seen; entries of today have `suspected`
    suspected: tuple[tuple[str, str, datetime], ...] = ()  # subject, figure, since when it is seen so
    activities_until: datetime | None = None  # the broker's time up to which its history was read; None: it was not
    seen: tuple[tuple[ActivityId, datetime], ...] = ()  # of these lines nothing had to be booked


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsMarked:
    """The prices at which positions were valued."""

    marks: tuple[tuple[Symbol, Price], ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamChanged:
    """A stream to the broker came up or went down."""

    stream: str  # `trades` (trade_updates) or `market`
    is_up: bool
    why: str
    at: datetime
    affected: tuple[
        StrategyId, ...
    ] = ()  # down: with open orders (trades), reading (market); up: without all they want
    open_orders: int = 0  # of the desk, when it went down


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageEnded:
    """A stream is up again, and what was missed is made up for, as far as it can be. Its start is a StreamChanged."""

    stream: str
    started_at: datetime
    ended_at: datetime  # the stream was up again; cut short: the desk itself was back, if that was first
    why: str  # what began it
    affected: tuple[StrategyId, ...]
    open_orders: int  # of the desk, when it began
    refusals: tuple[tuple[StrategyId, int], ...]  # orders not taken meanwhile, by who asked
    bars_fetched: int  # of minutes that the market stream had missed
    bars_missing: int  # minutes of which nobody could tell whether they had a bar
    at: datetime  # orders are taken again; bars are delivered
    is_cut_short: bool = False  # the desk ended meanwhile: its next start tells what is known


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandGiven:
    """A person commanded the desk over its control socket."""

    by: str
    command: str
    arguments: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RootSigned:
    """The desk put its name to the ledger: *root* is the hash of entry *seq*, and with it of all entries before."""

    market_day: date
    seq: int
    root: str
    public_key: str  # Ed25519, 32 bytes in hex
    signature: str  # over the fields above and *at* (ledger/roots.py), 64 bytes in hex
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The desk lives: posted every [desk] heartbeat_s, so that silence means something."""

    orders_open: int
    strategies_running: int
    market_is_open: bool | None  # None: the broker's clock has not been heard yet
    ledger_seq: int  # the last fact before it
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
type Fact = (
    DeskStarted
    | DeskStopped
    | StrategyRegistered
    | StrategyStatusChanged
    | AllocationChanged
    | RunStarted
    | RunEnded
    | OrderApproved
    | OrderDenied
    | OrderFact
    | OrderAdopted
    | BrokerSaid
    | LegsFound
    | FillCorrected
    | HouseAdjusted
    | SharesDistributed
    | DiscrepancyFound
    | DiscrepancyResolved
    | SymbolFrozen
    | SymbolThawed
    | AccountReconciled
    | PositionsMarked
    | StreamChanged
    | OutageEnded
    | CommandGiven
    | RootSigned
    | Heartbeat
)
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
)
# A fact that the edge has found out by itself (a run ended, a command came) is an event, too: it is recorded as it is.
type PlainFact = (
    DeskStarted
    | DeskStopped
    | StrategyRegistered
    | StrategyStatusChanged
    | AllocationChanged
    | RunStarted
    | RunEnded
    | StreamChanged
    | CommandGiven
    | RootSigned
    | Heartbeat
)
type Event = (
    OrderRequested
    | ReplaceRequested
    | CancelRequested
    | ResolutionRequested
    | DoubtTimedOut
    | MarksTaken
    | BrokerEvent
    | PlainFact
)
