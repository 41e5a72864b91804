"""What somebody here wants: a strategy, an officer, or the desk itself. What becomes of it are facts."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from deskd.domain.ids import ClientOrderId, Symbol
from deskd.domain.market import MarketClock, Quote
from deskd.domain.money import Price
from deskd.domain.order import OrderRequest, Replacement


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequested:
    """A strategy asked for an order; *quote* is the market as the desk saw it at that moment."""

    request: OrderRequest
    quote: Quote | None
    market_day: date  # the exchange's day: orders are counted by it
    at: datetime
    clock: MarketClock | None = None  # the market's, moved on to this moment; None: nobody knows
    is_closing: bool = False  # the desk itself closes a position (core/exit_orders.py)
    is_halted: bool | None = False  # the market halted the symbol; None: nobody knows, since a gap in what it tells
    line: str = ""  # the market's line that the strategy was at work on, as its run says: type, symbol, time
    lines_together: int = 0  # that its script was given at once, of which *line* is the last


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceRequested:
    """Someone wants another order in the place of an open one: its strategy, or an officer."""

    client_order_id: ClientOrderId  # of the new order
    replacement: Replacement
    quote: Quote | None
    market_day: date
    by: str
    at: datetime
    is_halted: bool | None = False
    clock: MarketClock | None = None
    line: str = ""  # as in OrderRequested, where the strategy asked
    lines_together: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """Someone wants an order gone: its strategy, an officer, or the desk itself when it stops."""

    client_order_id: ClientOrderId
    by: str
    at: datetime
    in_bulk: bool = False  # the broker is asked with one request for all (CancelAllRequested), not with one for this


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketLooked:
    """The market as it is now in one symbol, for orders that wait to meet there (`effects.LookAtMarket`)."""

    symbol: Symbol
    quote: Quote | None
    at: datetime
    clock: MarketClock | None = None  # the market's, moved on to this moment; None: nobody knows
    is_halted: bool | None = False
