"""What a check looks at, and what it finds."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

from deskd.core.kills import Kill
from deskd.core.reservation import NOTHING, Reservation
from deskd.domain.events import SymbolFrozen
from deskd.domain.exits import ExitKind
from deskd.domain.limits import Bounds, Limits
from deskd.domain.market import Instrument, MarketClock, Quote, TradingDay
from deskd.domain.money import NO_CASH, NO_QTY, Cash, Price, Qty
from deskd.domain.order import OrderRequest, Side
from deskd.domain.reasons import DenialReason as R
from deskd.domain.run import StrategyStatus
from deskd.domain.schedule import ALWAYS, Schedule
from deskd.domain.stage import Stage

# A market order fills at what the far side is when it arrives; so much worse than what it is now is provided for.
MARKET_MARGIN = Decimal("0.02")
# Alpaca turns a buy stop into a stop-limit so far above its stop price (ALPACA.md 2.3).
BUY_STOP_MARGIN = Decimal("0.04")


class Figures(NamedTuple):
    """What a scope has come to: one strategy, or the sum over a member's or the desk's. A tuple: made for every order."""

    open_orders: int = 0
    orders_today: int = 0
    orders_this_minute: int = 0
    allocation: Cash = NO_CASH
    equity: Cash = NO_CASH
    day_pnl: Cash = NO_CASH  # since the market day began, realized and unrealized
    peak_equity: Cash = NO_CASH  # moved along with the allocation
    longs: Cash = NO_CASH  # value of long positions at mark
    shorts: Cash = NO_CASH  # of short ones, unsigned
    buying: Cash = NO_CASH  # what open orders may still open: longs
    selling: Cash = NO_CASH  # and shorts
    others_qty: Qty = (
        NO_QTY  # of a wider scope: what its other strategies hold and may get of the order's symbol and side
    )


class Scoped(NamedTuple):
    """A scope's bounds, and what it has come to."""

    said: str  # how a finding names the scope, behind the bound; empty: the strategy itself
    bounds: Limits | Bounds
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a check may look at, beside the price: what is known before a quote is needed."""

    request: OrderRequest
    status: StrategyStatus
    limits: Limits
    instrument: Instrument | None
    quote: Quote | None
    position_qty: Qty  # signed, of the strategy in this symbol
    promised_qty: Qty  # shares of it that other open sells hold
    opening_qty: Qty  # shares that open orders of the same side may still trade
    margin_per_share: Price  # cash that each share of a short position holds back; zero where there is none
    buying_power: Cash  # free of reservations
    account_free: Cash  # the same of the account: all books' cash, less what all open orders and shorts hold
    scopes: tuple[Scoped, ...]  # the strategy first; then member and desk, where they are bounded
    frozen: SymbolFrozen | None  # where books and broker disagree in the symbol
    last_same_at: datetime | None  # when the strategy last asked for the very same order
    now: datetime
    market_day: date
    trading_day: TradingDay | None  # that day in the broker's calendar; None: the exchange is shut, or see next
    is_calendar_known: bool
    is_halted: bool | None  # the market halted the symbol; None: nobody knows
    last_stop_at: datetime | None  # when a stop last closed a position in the symbol, on the market's clock
    symbol_value: Cash  # of the symbol in all books together, signed
    symbol_opening_qty: Qty  # shares that everybody's open orders of the same side may still trade in it
    account_equity: Cash  # of all books together
    day_trades: int  # of the account, within five trading days
    freed: Reservation = NOTHING  # what the order holds that this one is to replace: it counts as free
    schedule: Schedule = ALWAYS  # when the strategy opens anything
    clock: MarketClock | None = None  # the market's; None: nobody knows
    is_closing: bool = False  # the desk itself closes a position: what only stops opening does not look at it
    exit_under_way: ExitKind | None = None  # that the desk has triggered in the symbol, and carries through
    kill: Kill | None = None  # the deepest that holds for the order
    stage: Stage = Stage.ACTIVE
    is_exit: bool = False  # a leg in the place of a leg: it trades the same shares at another price

    @property
    def own(self) -> Figures:
        """Return the strategy's own figures."""
        return self.scopes[0].figures

    @property
    def market_now(self) -> datetime:
        """Return the market's time: its last stamp of the symbol, moved on by the time since it arrived."""
        assert self.quote is not None, "quote_is_there comes first"
        return self.quote.market_time(self.now)


class Valued(NamedTuple):
    """What the order would move, valued at the worst price that the quote allows. Made once, for all checks."""

    qty: Qty
    price: Price
    notional: Cash
    closing_qty: Qty  # the part that only reduces the position
    opening_qty: Qty  # the part that opens or grows a position
    opening_worth: Cash
    position_after: Qty  # unsigned, open orders of the same side counted
    position_worth: Cash
    opens: bool  # any of it opens or grows a position


@dataclass(frozen=True, slots=True)
class Denied:
    """A check said no."""

    reason: R
    message: str


class Finding(NamedTuple):
    """What a check found. A tuple: it is made for every check of every order."""

    is_good: bool
    reason: R  # of the denial, where it is not good
    figure: str  # what the check looked at, as key=value
    limit: str = ""  # what it held it against, as key=value; empty where there is no bound
    remedy: str = ""  # what the author can do; only needed where it is not good

    @property
    def denied(self) -> Denied:
        """Return the no, in words: figure, limit and remedy."""
        found = f"{self.figure} {self.limit}" if self.limit else self.figure
        return Denied(self.reason, f"{found}: {self.remedy}")


type Check = Callable[[Evidence], Finding]
type ValueCheck = Callable[[Evidence, Valued], Finding]


def free_to_close(e: Evidence) -> Qty:
    """Return how many shares of the order only reduce what the strategy holds."""
    if e.request.side is Side.SELL:
        return Qty(max(e.position_qty - e.promised_qty, NO_QTY))
    return Qty(max(-e.position_qty - e.opening_qty, NO_QTY))


def only_closes(e: Evidence) -> bool:
    """Tell whether the order only reduces what the strategy holds, as far as that is known without a price."""
    return e.request.qty is not None and e.request.qty <= free_to_close(e)


def at_most(worth: Cash, v: Valued, e: Evidence) -> str:
    """Say what could have been asked for, had it been worth no more than *worth*."""
    if e.request.qty is None:
        return f"ask for at most ${worth:.2f}" if worth >= 1 else "wait until there is room"
    return shares(Decimal(worth) / v.price)


def shares(most: Decimal) -> str:
    """Say how many shares could have been asked for."""
    whole = most.to_integral_value(ROUND_FLOOR)
    return f"ask for at most {whole} share{'' if whole == 1 else 's'}" if whole >= 1 else "there is no room for a share"
