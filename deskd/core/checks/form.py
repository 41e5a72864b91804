"""What no broker takes, whatever the market does: fields that do not go together (ALPACA.md 2.3)."""

from deskd.core.checks.evidence import Evidence, Finding
from deskd.domain.money import Price, plain
from deskd.domain.order import OrderClass, OrderRequest, OrderType
from deskd.domain.order import TimeInForce as Tif
from deskd.domain.reasons import DenialReason as R


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
