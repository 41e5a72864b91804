"""Facts of the kill switch: engaged, released, and what became of closing."""

from dataclasses import dataclass
from datetime import date, datetime

from deskd.domain.breaker import BreakerState
from deskd.domain.ids import BrokerOrderId, StrategyId
from deskd.domain.kill import KillCause, KillDepth, KillTarget
from deskd.domain.market import Quote
from deskd.domain.money import Qty
from deskd.domain.order import OrderRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class KillEngaged:
    """A kill holds from now on, until an officer releases it; one that holds already goes deeper."""

    target: KillTarget
    depth: KillDepth
    cause: KillCause
    by: str  # a person and their uid, or the part of the desk that pulled it
    reason: str  # for people
    at: datetime
    figure: str = ""  # of one that the desk pulled by itself: what was found
    threshold: str = ""  # and the bound that it reached


@dataclass(frozen=True, slots=True, kw_only=True)
class KillReleased:
    """An officer released the kill."""

    target: KillTarget
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenCompleted:
    """Under a kill that flattens nothing is open and nothing is held any more."""

    target: KillTarget
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenHindered:
    """Something under a kill that flattens cannot be closed at present, and why; the desk goes on trying."""

    target: KillTarget
    left: tuple[str, ...]  # one line each: whose, how much of what, and why
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerMoved:
    """A strategy's circuit breaker opened, let it try again, or closed."""

    strategy_id: StrategyId
    state: BreakerState
    why: str  # for people
    trips: int  # in a row, this one included
    at: datetime
    cause: KillCause | None = None  # of one that opened: what was counted
    figure: str = ""
    threshold: str = ""
    until: datetime | None = None  # of one that opened: the end of the cool-down


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingSuspended:
    """The desk is about to suspend the broker's account, or has let it trade again."""

    is_suspended: bool
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAllRequested:
    """The desk is about to ask the broker, once, to cancel all that is open in the account, strangers' orders among it."""

    by: str
    at: datetime
    orders: int = 0  # of the desk's own, each with its wish before this


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAllAnswered:
    """The broker answered with a word for each order; those on the desk's own are with each."""

    canceled: int  # of the desk's own: the broker will try
    refused: int
    unnamed: int  # of which it said nothing
    strangers: tuple[BrokerOrderId, ...]  # of orders that are not the desk's, and go as well
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingRequested:
    """A kill wants a position, or a part of it, closed."""

    request: OrderRequest
    quote: Quote | None
    market_day: date
    at: datetime
    parts: tuple[tuple[StrategyId, Qty], ...] = ()  # of an order of the house that closes for many: whose shares
