"""What the core wants done. The runtime does it, in this order: record, then act, then tell."""

from dataclasses import dataclass
from datetime import timedelta

from deskd.domain.events import Fact
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, Symbol
from deskd.domain.order import Order, OrderRequest
from deskd.domain.priority import Priority


@dataclass(frozen=True, slots=True)
class Record:
    """Append the fact to the ledger, durably, before any later effect runs."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Submit:
    """Send the order to the broker."""

    request: OrderRequest
    priority: Priority = Priority.ORDER


@dataclass(frozen=True, slots=True)
class Replace:
    """Ask the broker to put the order in the place of the one that it knows as *broker_order_id*."""

    request: OrderRequest
    broker_order_id: BrokerOrderId


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask the broker to cancel the order."""

    client_order_id: ClientOrderId
    broker_order_id: BrokerOrderId


@dataclass(frozen=True, slots=True)
class CancelAll:
    """Ask the broker to cancel all that is open in the account; of *orders* the desk wants to know."""

    orders: tuple[tuple[ClientOrderId, BrokerOrderId], ...]


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the broker for the order and its fills by client_order_id."""

    client_order_id: ClientOrderId


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Look at the order again, as at one in doubt, when *after* has passed."""

    client_order_id: ClientOrderId
    after: timedelta


@dataclass(frozen=True, slots=True)
class LookAtMarket:
    """Tell the market as it is now in the symbol (`MarketLooked`): orders that wait may meet."""

    symbol: Symbol


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Take a snapshot of the broker's account and compare, not before *after* has passed."""

    why: str
    after: timedelta = timedelta(0)
    is_routine: bool = False  # nothing of ours waits for it: such wishes are gathered (core/pacing.py)


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer whoever waits for this order: the order as it stands after the facts before this is the answer."""

    client_order_id: ClientOrderId


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer whoever waits for this order with a refusal that is no fact."""

    client_order_id: ClientOrderId
    reason: str  # a RefusalReason
    message: str
    retry_after_s: int | None = None  # where waiting helps


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """What a strategy hears of its order (the `order` line)."""

    event: (
        str  # accepted, fill, partial_fill, canceled, expired, rejected, denied, pending_cancel, cancel_rejected, ...
    )
    order: Order
    position_qty: str
    timestamp: str
    fill_qty: str | None = None
    fill_price: str | None = None
    is_internal: bool = False  # the fill was at the desk, with another strategy


@dataclass(frozen=True, slots=True)
class Tell:
    """Pass the update on to the strategy."""

    strategy_id: StrategyId
    update: OrderUpdate


type Effect = (
    Record
    | Submit
    | Replace
    | Cancel
    | CancelAll
    | LookUp
    | LookAgain
    | LookAtMarket
    | Reconcile
    | Reply
    | Refuse
    | Tell
)
