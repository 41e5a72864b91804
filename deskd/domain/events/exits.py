"""What the desk saw of prices, and the exits that follow from it."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from deskd.domain.exits import ExitKind, SeenQuote
from deskd.domain.ids import StrategyId, Symbol
from deskd.domain.money import Price, Qty


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesSeen:
    """The quotes of what is held, at two looks in a row. No fact: only what follows from it is kept."""

    seen: tuple[SeenQuote, ...]
    is_open: bool  # the regular session is known to be on: a market order would be executed now
    market_day: date
    at: datetime
    left: timedelta | None = None  # of the regular session; None: it is not on, or nobody knows


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitTriggered:
    """A position reached a bound of its strategy's exits: it is closed, whatever the price does from here."""

    strategy_id: StrategyId
    symbol: Symbol
    kind: ExitKind
    position_qty: Qty  # signed
    price: Price  # at which it would be closed: the bid for a long position, the ask for a short one
    level: Price  # that was reached; for `before_close` the price itself
    avg_entry_price: Price
    market_day: date
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailMoved:
    """The best price since a position is held moved by a step: a trailing exit counts from it."""

    strategy_id: StrategyId
    symbol: Symbol
    price: Price
    at: datetime
