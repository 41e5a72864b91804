"""Pre-trade checks. One rule each: pure, no logging, and what is unknown is denied.

A denial's text is for the strategy's author: rule, limit and actual figure as key=value, then what to do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from deskd.domain.limits import Limits
from deskd.domain.market import Instrument, Quote
from deskd.domain.money import NO_CASH, NO_QTY, Cash, Price, Qty, plain
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
    last_same_at: datetime | None  # when the strategy last asked for the very same order
    now: datetime


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


type Check = Callable[[Evidence], Denied | None]
type ValueCheck = Callable[[Evidence, Valued], Denied | None]


# --- what needs no price ---------------------------------------------------------------------------------------------


def strategy_is_active(e: Evidence) -> Denied | None:
    """Deny what a strategy that is not active asks for."""
    if e.status is StrategyStatus.ACTIVE:
        return None
    return Denied(R.STRATEGY_NOT_ACTIVE, f"status={e.status}: the strategy is not active; an officer can start it")


def symbol_is_allowed(e: Evidence) -> Denied | None:
    """Deny a symbol that is not among the strategy's own."""
    if e.request.symbol in e.limits.symbols:
        return None
    allowed = ",".join(sorted(e.limits.symbols))
    return Denied(
        R.SYMBOL_NOT_ALLOWED,
        f"symbol={e.request.symbol} symbols={allowed}: add the symbol to `symbols` in config.json",
    )


def symbol_is_known(e: Evidence) -> Denied | None:
    """Deny a symbol that the broker does not list."""
    if e.instrument is not None:
        return None
    return Denied(R.SYMBOL_UNKNOWN, f"symbol={e.request.symbol}: the broker does not list it; check the spelling")


def symbol_is_tradable(e: Evidence) -> Denied | None:
    """Deny an instrument that the broker does not trade."""
    if e.instrument is not None and e.instrument.is_tradable:
        return None
    return Denied(R.SYMBOL_NOT_TRADABLE, f"symbol={e.request.symbol}: the broker does not trade it at present")


def form_is_valid(e: Evidence) -> Denied | None:
    """Deny what no broker takes: type, time in force, class and hours that do not go together (ALPACA.md 2.3)."""
    r = e.request
    for is_wrong, rule in _form_rules(r):
        if is_wrong:
            return Denied(
                R.FORM_INVALID,
                f"order_type={r.order_type} time_in_force={r.time_in_force} order_class={r.order_class}: {rule}",
            )
    return None


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


def prices_are_in_pennies(e: Evidence) -> Denied | None:
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
    for name, price in prices:
        if price is None:
            continue
        places = 2 if price >= 1 else 4
        if price != round(price, places):
            return Denied(R.SUB_PENNY, f"{name}={plain(price)} decimals_max={places}: round the price")
    return None


def quantity_is_sold_so(e: Evidence) -> Denied | None:
    """Deny fractions of an instrument that is sold in whole shares only."""
    r = e.request
    is_whole = r.qty is not None and r.qty == r.qty.to_integral_value()
    if is_whole or (e.instrument is not None and e.instrument.is_fractionable):
        return None
    return Denied(R.NOT_FRACTIONABLE, f"symbol={r.symbol}: the broker sells it in whole shares only; use a whole qty")


def open_orders_are_few(e: Evidence) -> Denied | None:
    """Deny one open order more than allowed."""
    if e.open_orders < e.limits.open_orders_max:
        return None
    return Denied(
        R.OPEN_ORDERS_MAX,
        f"open_orders={e.open_orders} open_orders_max={e.limits.open_orders_max}: cancel some, or wait until they end",
    )


def orders_today_are_few(e: Evidence) -> Denied | None:
    """Deny one order more in a market day than allowed."""
    if e.orders_today < e.limits.orders_per_day_max:
        return None
    return Denied(
        R.ORDERS_PER_DAY_MAX,
        f"orders_today={e.orders_today} orders_per_day_max={e.limits.orders_per_day_max}: no more until the next day",
    )


def is_no_duplicate(e: Evidence) -> Denied | None:
    """Deny the very same order again within the window: a loop that forgot to remember."""
    if e.last_same_at is None or not e.limits.duplicate_window:
        return None
    age = e.now - e.last_same_at
    if age >= e.limits.duplicate_window:
        return None
    window = e.limits.duplicate_window.total_seconds()
    return Denied(
        R.DUPLICATE,
        f"same_order_s_ago={age.total_seconds():.3f} duplicate_window_s={window:g}: wait, or change the order",
    )


def quote_is_there(e: Evidence) -> Denied | None:
    """Deny when there is no two-sided price: the order's value is unknown."""
    if e.quote is not None and e.quote.is_two_sided:
        return None
    seen = "none" if e.quote is None else f"{plain(e.quote.bid_price)}/{plain(e.quote.ask_price)}"
    return Denied(R.QUOTE_MISSING, f"quote={seen}: no price to value the order by yet; try again when quotes arrive")


def quote_is_fresh(e: Evidence) -> Denied | None:
    """Deny when the last quote arrived too long ago."""
    assert e.quote is not None, "quote_is_there comes first"
    age = e.now - e.quote.received_at
    if age <= e.limits.quote_age_max:
        return None
    return Denied(
        R.QUOTE_STALE,
        f"quote_age_s={age.total_seconds():.1f} quote_age_max_s={e.limits.quote_age_max.total_seconds():g}: "
        "no order on an old price; wait for the next quote",
    )


# --- what needs one --------------------------------------------------------------------------------------------------


def order_notional_is_small(e: Evidence, v: Valued) -> Denied | None:
    """Deny an order whose value is over the limit for one order."""
    if v.notional <= e.limits.order_notional_max:
        return None
    return Denied(
        R.ORDER_NOTIONAL_MAX,
        f"notional={_money(v.notional)} order_notional_max={_money(e.limits.order_notional_max)}: ask for less",
    )


def sells_what_it_has(e: Evidence, v: Valued) -> Denied | None:
    """Deny a sale of more than the strategy holds and has not promised, where shorts are not allowed."""
    if e.request.side is Side.BUY or v.opening_qty <= 0:
        return None
    is_shortable = e.instrument is not None and e.instrument.is_shortable
    if e.limits.is_short_allowed and is_shortable:
        return None
    free = max(e.position_qty - e.promised_qty, NO_QTY)
    why = "shorts are off on this desk" if not e.limits.is_short_allowed else "the broker does not lend it"
    return Denied(
        R.SHORT_NOT_ALLOWED,
        f"qty={plain(v.qty)} position_qty={plain(e.position_qty)} free_qty={plain(Qty(free))}: {why}; "
        "sell at most what is free",
    )


def position_qty_is_small(e: Evidence, v: Valued) -> Denied | None:
    """Deny growth of the position over the bound, open orders of the same side counted."""
    after = _position_after(e, v)
    if v.opening_qty <= 0 or after <= e.limits.position_qty_max:
        return None
    return Denied(
        R.POSITION_QTY_MAX,
        f"position_qty_after={plain(after)} position_qty_max={plain(e.limits.position_qty_max)}: ask for less",
    )


def position_notional_is_small(e: Evidence, v: Valued) -> Denied | None:
    """Deny growth of the position's value over the bound, open orders of the same side counted."""
    value = Cash(_position_after(e, v) * v.price)
    if v.opening_qty <= 0 or value <= e.limits.position_notional_max:
        return None
    return Denied(
        R.POSITION_NOTIONAL_MAX,
        f"position_notional_after={_money(value)} position_notional_max={_money(e.limits.position_notional_max)}: "
        "ask for less",
    )


def buying_power_suffices(e: Evidence, v: Valued) -> Denied | None:
    """Deny what would spend more than the strategy has free."""
    needed = cash_needed(e, v)
    if needed <= 0 or needed <= e.buying_power:
        return None
    return Denied(
        R.BUYING_POWER,
        f"needed={_money(needed)} buying_power={_money(e.buying_power)}: ask for less, or cancel open orders",
    )


def cash_needed(e: Evidence, v: Valued) -> Cash:
    """Return the buying power that the order takes: what opens, and what covering a short costs over its margin."""
    if e.request.side is Side.SELL:
        return Cash(v.opening_qty * v.price)
    return max(Cash(v.notional - v.closing_qty * e.margin_per_share), NO_CASH)


def _position_after(e: Evidence, v: Valued) -> Qty:
    sign = e.request.side.sign
    return Qty(abs(e.position_qty + sign * (e.opening_qty + v.qty)))


def _money(cash: Cash) -> str:
    return f"{cash:.2f}"
