"""What no broker takes, whatever the market does: fields that do not go together (ALPACA.md 2.3)."""

from collections.abc import Iterator

from deskd.core.checks.evidence import Evidence, Finding
from deskd.domain.money import NO_CASH, Price, plain
from deskd.domain.order import OrderClass, OrderRequest, OrderType
from deskd.domain.order import TimeInForce as Tif
from deskd.domain.reasons import DenialReason as R

_NO_PRICES = Finding(True, R.SUB_PENNY, "prices=none")


def form_is_valid(e: Evidence) -> Finding:
    """Deny what no broker takes: type, time in force, class and hours that do not go together (ALPACA.md 2.3)."""
    r = e.request
    broken = next(_broken_rules(r), "")
    figure = f"order_type={r.order_type!s} time_in_force={r.time_in_force!s} order_class={r.order_class!s}"
    return Finding(not broken, R.FORM_INVALID, figure, remedy=broken)


_RESTING = frozenset({Tif.DAY, Tif.GTC})
_AT_MARKET = frozenset({OrderType.MARKET, OrderType.LIMIT})


def _broken_rules(r: OrderRequest) -> Iterator[str]:
    """Yield what does not go together, by the field that makes it matter: most orders have none of them."""
    kind, tif = r.order_type, r.time_in_force
    has_legs = r.order_class is not OrderClass.SIMPLE
    if r.extended_hours:
        if kind is not OrderType.LIMIT or tif not in _RESTING:
            yield "extended_hours takes limit orders with time_in_force day or gtc only"
        if has_legs:
            yield "extended_hours takes simple orders only"
    if kind is OrderType.TRAILING_STOP and (has_legs or tif not in _RESTING):
        yield "a trailing stop is a simple order with time_in_force day or gtc"
    if has_legs:
        yield from _broken_by_legs(r)
    if tif not in _RESTING and kind not in _AT_MARKET:
        yield "opg, cls, ioc and fok take market and limit orders only"
    if r.qty is None or r.qty != r.qty.to_integral_value():
        yield from _broken_by_fraction(r, has_legs=has_legs)


def _broken_by_legs(r: OrderRequest) -> Iterator[str]:
    if r.time_in_force not in _RESTING:
        yield "orders with take_profit or stop_loss take time_in_force day or gtc"
    if r.order_class is OrderClass.OCO:
        if r.order_type is not OrderType.LIMIT:
            yield "an OCO is a limit order with take_profit and stop_loss"
    elif r.order_type not in _AT_MARKET:
        yield "the entry of a bracket or OTO is a market or limit order"
    if r.order_class is OrderClass.OTO:
        if (r.take_profit is None) is (r.stop_loss is None):
            yield "an OTO needs exactly one of take_profit and stop_loss"
    elif r.take_profit is None or r.stop_loss is None:
        yield "a bracket or OCO needs take_profit and stop_loss"


def _broken_by_fraction(r: OrderRequest, *, has_legs: bool) -> Iterator[str]:
    if r.time_in_force is not Tif.DAY:
        yield "fractions and notional take time_in_force day only"
    if has_legs:
        yield "fractions and notional take simple orders only"
    if r.order_type is OrderType.TRAILING_STOP:
        yield "fractions take market, limit, stop and stop_limit orders only"
    if r.qty is None and r.order_type is not OrderType.MARKET:
        yield "notional takes market orders only"
    if r.notional is not None and r.notional < 1:
        yield "notional is at least 1 dollar"


def prices_are_in_pennies(e: Evidence) -> Finding:
    """Deny prices finer than the exchanges take: two decimals from $1, four below (Rule 612 of Regulation NMS)."""
    r = e.request
    has_price = r.limit_price is not None or r.stop_price is not None or r.trail_price is not None
    if not has_price and r.take_profit is None and r.stop_loss is None:
        return _NO_PRICES
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
    return Finding(True, R.SUB_PENNY, " ".join(figures))


def quantity_is_sold_so(e: Evidence) -> Finding:
    """Deny fractions of an instrument that is sold in whole shares only."""
    r = e.request
    is_good = e.instrument is not None and e.instrument.is_fractionable
    if r.qty is not None:
        is_good = is_good or r.qty == r.qty.to_integral_value()
        figure = f"symbol={r.symbol} qty={plain(r.qty)}"
    else:
        figure = f"symbol={r.symbol} notional={plain(r.notional or NO_CASH)}"
    remedy = "the broker sells it in whole shares only; use a whole qty"
    return Finding(is_good, R.NOT_FRACTIONABLE, figure, remedy=remedy)
