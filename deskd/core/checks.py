"""Pre-trade checks. One rule each: pure, no logging, and what is unknown is denied.

A check says what it found: whether the order may pass, the figure that it looked at, and the limit, as key=value. All
of it is kept with the order (`deskctl why`). Where it says no, figure, limit and remedy are the text that the
strategy's author reads. A new check is one function that returns a Finding, and one line in `gate`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

from deskd.core.reservation import NOTHING, Reservation
from deskd.domain.events import SymbolFrozen
from deskd.domain.exits import ExitKind
from deskd.domain.limits import Limits
from deskd.domain.market import Instrument, Quote
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty, plain
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Side
from deskd.domain.order import TimeInForce as Tif
from deskd.domain.reasons import DenialReason as R
from deskd.domain.run import StrategyStatus

# A market order fills at what the far side is when it arrives; so much worse than what it is now is provided for.
MARKET_MARGIN = Decimal("0.02")
# Alpaca turns a buy stop into a stop-limit so far above its stop price (ALPACA.md 2.3).
BUY_STOP_MARGIN = Decimal("0.04")


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
    open_orders: int
    orders_today: int
    frozen: SymbolFrozen | None  # where books and broker disagree in the symbol
    last_same_at: datetime | None  # when the strategy last asked for the very same order
    now: datetime
    freed: Reservation = NOTHING  # what the order holds that this one is to replace: it counts as free
    is_exit: bool = False  # a leg in the place of a leg: it trades the same shares at another price
    exit_under_way: ExitKind | None = None  # that the desk has triggered in the symbol, and carries through
    is_closing: bool = False  # the desk itself closes a position: what only stops opening does not look at it


@dataclass(frozen=True, slots=True, kw_only=True)
class Valued:
    """What the order would move, valued at the worst price that the quote allows."""

    qty: Qty
    price: Price
    notional: Cash
    closing_qty: Qty  # the part that only reduces the position

    @property
    def opening_qty(self) -> Qty:
        """Return the part that opens or grows a position."""
        return Qty(self.qty - self.closing_qty)


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


# --- what needs no price ---------------------------------------------------------------------------------------------


def strategy_is_active(e: Evidence) -> Finding:
    """Deny what a strategy that is not active asks for."""
    is_active = e.status is StrategyStatus.ACTIVE
    remedy = "the strategy is not active; an officer can start it"
    return Finding(is_active, R.STRATEGY_NOT_ACTIVE, f"status={e.status.value}", remedy=remedy)


def symbol_is_allowed(e: Evidence) -> Finding:
    """Deny a symbol that is not among the strategy's own."""
    is_allowed, figure = e.request.symbol in e.limits.symbols, f"symbol={e.request.symbol}"
    limit = "" if is_allowed else "symbols=" + ",".join(sorted(e.limits.symbols))  # may be hundreds
    return Finding(is_allowed, R.SYMBOL_NOT_ALLOWED, figure, limit, "add the symbol to `symbols` in config.json")


def symbol_is_known(e: Evidence) -> Finding:
    """Deny a symbol that the broker does not list."""
    is_listed, remedy = e.instrument is not None, "the broker does not list it; check the spelling"
    return Finding(is_listed, R.SYMBOL_UNKNOWN, f"symbol={e.request.symbol}", remedy=remedy)


def symbol_is_tradable(e: Evidence) -> Finding:
    """Deny an instrument that the broker does not trade."""
    is_tradable = e.instrument is not None and e.instrument.is_tradable
    remedy = "the broker does not trade it at present"
    return Finding(is_tradable, R.SYMBOL_NOT_TRADABLE, f"symbol={e.request.symbol}", remedy=remedy)


def symbol_is_not_frozen(e: Evidence) -> Finding:
    """Deny a symbol in which books and broker disagree: nobody knows what is held."""
    remedy = "an officer looks into it (deskctl reconcile); cancels pass, and so do other symbols"
    if e.frozen is None:
        return Finding(True, R.SYMBOL_FROZEN, f"symbol={e.request.symbol}")
    since = e.frozen.at.isoformat(timespec="seconds").replace("+00:00", "Z")
    figure = f"symbol={e.request.symbol} frozen_since={since} difference={e.frozen.why!r}"
    return Finding(False, R.SYMBOL_FROZEN, figure, remedy=remedy)


def form_is_valid(e: Evidence) -> Finding:
    """Deny what no broker takes: type, time in force, class and hours that do not go together (ALPACA.md 2.3)."""
    r = e.request
    broken = next((rule for is_broken, rule in _form_rules(r) if is_broken), "")
    kind, tif, order_class = r.order_type.value, r.time_in_force.value, r.order_class.value
    figure = f"order_type={kind} time_in_force={tif} order_class={order_class}"
    return Finding(not broken, R.FORM_INVALID, figure, remedy=broken)


def _form_rules(r: OrderRequest) -> tuple[tuple[bool, str], ...]:
    is_fractional = r.qty is None or r.qty != r.qty.to_integral_value()
    has_legs = r.order_class is not OrderClass.SIMPLE
    return (
        (
            r.extended_hours and (r.order_type is not OrderType.LIMIT or r.time_in_force not in {Tif.DAY, Tif.GTC}),
            "extended_hours takes limit orders with time_in_force day or gtc only",
        ),
        (r.extended_hours and has_legs, "extended_hours takes simple orders only"),
        (
            r.order_type is OrderType.TRAILING_STOP and (has_legs or r.time_in_force not in {Tif.DAY, Tif.GTC}),
            "a trailing stop is a simple order with time_in_force day or gtc",
        ),
        (
            has_legs and r.time_in_force not in {Tif.DAY, Tif.GTC},
            "orders with take_profit or stop_loss take time_in_force day or gtc",
        ),
        (
            r.order_class in {OrderClass.BRACKET, OrderClass.OTO}
            and r.order_type not in {OrderType.MARKET, OrderType.LIMIT},
            "the entry of a bracket or OTO is a market or limit order",
        ),
        (
            r.order_class is OrderClass.OCO and r.order_type is not OrderType.LIMIT,
            "an OCO is a limit order with take_profit and stop_loss",
        ),
        (
            r.order_class in {OrderClass.BRACKET, OrderClass.OCO} and (r.take_profit is None or r.stop_loss is None),
            "a bracket or OCO needs take_profit and stop_loss",
        ),
        (
            r.order_class is OrderClass.OTO and (r.take_profit is None) is (r.stop_loss is None),
            "an OTO needs exactly one of take_profit and stop_loss",
        ),
        (
            r.time_in_force in {Tif.OPG, Tif.CLS, Tif.IOC, Tif.FOK}
            and r.order_type not in {OrderType.MARKET, OrderType.LIMIT},
            "opg, cls, ioc and fok take market and limit orders only",
        ),
        (is_fractional and r.time_in_force is not Tif.DAY, "fractions and notional take time_in_force day only"),
        (is_fractional and has_legs, "fractions and notional take simple orders only"),
        (
            is_fractional and r.order_type is OrderType.TRAILING_STOP,
            "fractions take market, limit, stop and stop_limit orders only",
        ),
        (r.qty is None and r.order_type is not OrderType.MARKET, "notional takes market orders only"),
        (r.notional is not None and r.notional < 1, "notional is at least 1 dollar"),
    )


def prices_are_in_pennies(e: Evidence) -> Finding:
    """Deny prices finer than the exchanges take: two decimals from $1, four below (Rule 612 of Regulation NMS)."""
    r = e.request
    prices: tuple[tuple[str, Price | None], ...] = (
        ("limit_price", r.limit_price),
        ("stop_price", r.stop_price),
        ("trail_price", r.trail_price),
        ("take_profit.limit_price", r.take_profit.limit_price if r.take_profit else None),
        ("stop_loss.stop_price", r.stop_loss.stop_price if r.stop_loss else None),
        ("stop_loss.limit_price", r.stop_loss.limit_price if r.stop_loss else None),
    )
    figures = []
    for name, price in prices:
        if price is None:
            continue
        figure, places = f"{name}={plain(price)}", 2 if price >= 1 else 4
        if price != round(price, places):
            return Finding(False, R.SUB_PENNY, figure, f"decimals_max={places}", "round the price")
        figures.append(figure)
    return Finding(True, R.SUB_PENNY, " ".join(figures) or "prices=none")


def quantity_is_sold_so(e: Evidence) -> Finding:
    """Deny fractions of an instrument that is sold in whole shares only."""
    r = e.request
    is_whole = r.qty is not None and r.qty == r.qty.to_integral_value()
    is_good = is_whole or (e.instrument is not None and e.instrument.is_fractionable)
    figure = f"symbol={r.symbol} notional={plain(r.notional)}" if r.notional is not None else f"symbol={r.symbol}"
    if r.qty is not None:
        figure = f"symbol={r.symbol} qty={plain(r.qty)}"
    remedy = "the broker sells it in whole shares only; use a whole qty"
    return Finding(is_good, R.NOT_FRACTIONABLE, figure, remedy=remedy)


def open_orders_are_few(e: Evidence) -> Finding:
    """Deny one open order more than allowed."""
    count, most = e.open_orders, e.limits.open_orders_max
    limit, remedy = f"open_orders_max={most}", "cancel some, or wait until they end"
    return Finding(count < most, R.OPEN_ORDERS_MAX, f"open_orders={count}", limit, remedy)


def orders_today_are_few(e: Evidence) -> Finding:
    """Deny one order more in a market day than allowed."""
    count, most = e.orders_today, e.limits.orders_per_day_max
    limit, remedy = f"orders_per_day_max={most}", "no more until the next day"
    return Finding(count < most, R.ORDERS_PER_DAY_MAX, f"orders_today={count}", limit, remedy)


def is_no_duplicate(e: Evidence) -> Finding:
    """Deny the very same order again within the window: a loop that forgot to remember."""
    window = e.limits.duplicate_window
    limit = f"duplicate_window_s={window.total_seconds():g}"
    if e.last_same_at is None:
        return Finding(True, R.DUPLICATE, "same_order=none", limit)
    age = e.now - e.last_same_at
    is_good = not window or age >= window
    figure = f"same_order_s_ago={age.total_seconds():.3f}"
    return Finding(is_good, R.DUPLICATE, figure, limit, "wait, or change the order")


def quote_is_there(e: Evidence) -> Finding:
    """Deny when there is no two-sided price: the order's value is unknown."""
    q = e.quote
    figure = "quote=none" if q is None else f"quote={plain(q.bid_price)}/{plain(q.ask_price)}"
    remedy = "no price to value the order by yet; try again when quotes arrive"
    return Finding(q is not None and q.is_two_sided, R.QUOTE_MISSING, figure, remedy=remedy)


def quote_is_fresh(e: Evidence) -> Finding:
    """Deny when the last quote arrived too long ago."""
    assert e.quote is not None, "quote_is_there comes first"
    age, most = e.now - e.quote.received_at, e.limits.quote_age_max
    figure, limit = f"quote_age_s={age.total_seconds():.1f}", f"quote_age_max_s={most.total_seconds():g}"
    return Finding(age <= most, R.QUOTE_STALE, figure, limit, "no order on an old price; wait for the next quote")


# --- what needs one --------------------------------------------------------------------------------------------------


def order_notional_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny an order whose value is over the limit for one order."""
    most = e.limits.order_notional_max
    is_small = v.notional <= most
    remedy = "" if is_small else _at_most(most, v, e)
    figure, limit = f"notional={v.notional:.2f}", f"order_notional_max={most:.2f}"
    return Finding(is_small, R.ORDER_NOTIONAL_MAX, figure, limit, remedy)


def sells_what_it_has(e: Evidence, v: Valued) -> Finding:
    """Deny a sale of more than the strategy holds and has not promised, where shorts are not allowed."""
    if e.request.side is Side.BUY:
        return Finding(True, R.SHORT_NOT_ALLOWED, "side=buy")
    free = Qty(max(e.position_qty - e.promised_qty, NO_QTY))
    figure = f"qty={plain(v.qty)} position_qty={plain(e.position_qty)} free_qty={plain(free)}"
    is_shortable = e.instrument is not None and e.instrument.is_shortable
    is_good = v.opening_qty <= 0 or (e.limits.is_short_allowed and is_shortable)
    why = "shorts are off on this desk" if not e.limits.is_short_allowed else "the broker does not lend it"
    return Finding(is_good, R.SHORT_NOT_ALLOWED, figure, remedy=f"{why}; sell at most what is free")


def closes_what_is_free(e: Evidence, v: Valued) -> Finding:
    """Deny a closing order of the desk for more than is free to close: it never opens, and never crosses zero."""
    figure = f"qty={plain(v.qty)} position_qty={plain(e.position_qty)}"
    remedy = "it is asked for anew when open orders are done"
    return Finding(v.opening_qty <= 0, R.CLOSES_ONLY, figure, f"free_qty={plain(v.closing_qty)}", remedy)


def no_exit_is_under_way(e: Evidence, v: Valued) -> Finding:
    """Deny what opens in a symbol whose position the desk is closing: it would be sold out at once, or cross zero."""
    figure = f"exit={e.exit_under_way or 'none'}"
    remedy = "the desk closes the position; open anew when it is flat"
    return Finding(e.exit_under_way is None or v.opening_qty <= 0, R.EXIT_UNDER_WAY, figure, remedy=remedy)


def position_qty_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of the position over the bound, open orders of the same side counted."""
    after, most = _position_after(e, v), e.limits.position_qty_max
    is_small = v.opening_qty <= 0 or after <= most
    remedy = "" if is_small else _shares(most - (after - v.qty))
    figure, limit = f"position_qty_after={plain(after)}", f"position_qty_max={plain(most)}"
    return Finding(is_small, R.POSITION_QTY_MAX, figure, limit, remedy)


def position_notional_is_small(e: Evidence, v: Valued) -> Finding:
    """Deny growth of the position's value over the bound, open orders of the same side counted."""
    after, most = _position_after(e, v), e.limits.position_notional_max
    worth = Cash(after * v.price)
    is_small = v.opening_qty <= 0 or worth <= most
    remedy = "" if is_small else _at_most(Cash(most - (after - v.qty) * v.price), v, e)
    figure, limit = f"position_notional_after={worth:.2f}", f"position_notional_max={most:.2f}"
    return Finding(is_small, R.POSITION_NOTIONAL_MAX, figure, limit, remedy)


def buying_power_suffices(e: Evidence, v: Valued) -> Finding:
    """Deny what would spend more than the strategy has free."""
    needed, free = cash_needed(e, v), e.buying_power
    suffices = needed <= 0 or needed <= free
    remedy = "" if suffices else f"{_at_most(free, v, e)}, or cancel open orders"
    return Finding(suffices, R.BUYING_POWER, f"needed={needed:.2f}", f"buying_power={free:.2f}", remedy)


def cash_needed(e: Evidence, v: Valued) -> Cash:
    """Return the buying power that the order takes: what opens, and what covering a short costs over its margin."""
    if e.request.side is Side.SELL:
        return Cash(v.opening_qty * v.price)
    # What this order is to replace may fill first, at its own price.
    crossing = min(e.freed.opening, v.qty) * max(e.freed.price - v.price, ZERO)
    return max(Cash(v.notional + crossing - v.closing_qty * e.margin_per_share), NO_CASH)


def _position_after(e: Evidence, v: Valued) -> Qty:
    sign = e.request.side.sign
    return Qty(abs(e.position_qty + sign * (e.opening_qty + v.qty)))


def _at_most(worth: Cash, v: Valued, e: Evidence) -> str:
    """Say what could have been asked for, had it been worth no more than *worth*."""
    if e.request.qty is None:
        return f"ask for at most ${worth:.2f}" if worth >= 1 else "wait until there is room"
    return _shares(Decimal(worth) / v.price)


def _shares(most: Decimal) -> str:
    whole = most.to_integral_value(ROUND_FLOOR)
    return f"ask for at most {whole} share{'' if whole == 1 else 's'}" if whole >= 1 else "there is no room for a share"
