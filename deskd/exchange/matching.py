"""At what price an order trades against a quote, and when a stop wakes. Pure: an order and a price in, a price out."""

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from deskd.domain.money import Price, Qty
from deskd.domain.order import OrderType, Side
from deskd.exchange.order import ExchangeOrder
from deskd.exchange.prices import Nbbo

STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})

_CENT = Decimal("0.01")
_SMALL = Decimal("0.0001")  # the increment of prices under a dollar
SHARE = Decimal("0.000000001")  # the smallest part of a share
_HUNDRED = Decimal(100)
_CHEAP = Decimal(50)  # buy stops under it are capped at 4 % above their stop, others at 2.5 %
_CAP_CHEAP, _CAP = Decimal("1.04"), Decimal("1.025")


def increment(price: Decimal) -> Decimal:
    """Return the finest step that a price may have."""
    return _CENT if price >= 1 else _SMALL


def fill_price(order: ExchangeOrder, nbbo: Nbbo) -> Price | None:
    """Return the far side of the quote, if the order takes it."""
    price = nbbo.far(order.side)
    worst = order.cap_price if order.cap_price is not None else order.limit_price
    if worst is None or price == worst or (price < worst) is (order.side is Side.BUY):
        return price
    return None


def is_triggered(order: ExchangeOrder, price: Price) -> bool:
    """Tell whether *price* has reached the order's stop."""
    if order.stop_price is None:
        return False  # a trailing stop that has seen no price yet
    return price >= order.stop_price if order.side is Side.BUY else price <= order.stop_price


def cap_price(order: ExchangeOrder) -> Price | None:
    """Return the worst price a triggered buy stop takes: it becomes a stop-limit, as Alpaca's do."""
    if order.order_type is not OrderType.STOP or order.side is not Side.BUY or order.stop_price is None:
        return None
    cap = order.stop_price * (_CAP_CHEAP if order.stop_price < _CHEAP else _CAP)
    return Price(cap.quantize(increment(cap), ROUND_HALF_UP))


def trailed(order: ExchangeOrder, price: Price) -> tuple[Price, Price] | None:
    """Return the trailing stop's new hwm and stop_price, if *price* moves them."""
    hwm = order.hwm
    if order.order_type is not OrderType.TRAILING_STOP:
        return None
    if hwm is not None and (price <= hwm if order.side is Side.SELL else price >= hwm):
        return None
    return price, trail_stop(order.side, price, order.trail_price, order.trail_percent)


def trail_stop(side: Side, hwm: Price, trail_price: Price | None, trail_percent: Price | None) -> Price:
    """Return where a trailing stop stands when the best price seen is *hwm*."""
    if trail_price is not None:
        distance: Decimal = trail_price
    else:
        assert trail_percent is not None, "the form has one of both"
        distance = hwm * trail_percent / _HUNDRED
    stop = hwm - distance if side is Side.SELL else hwm + distance
    return Price(stop.quantize(increment(stop), ROUND_HALF_UP))


def shares(order: ExchangeOrder, price: Price) -> Qty:
    """Return how many shares at *price* are still open; a notional order trades what its money is worth.

    One that closes trades no more than was promised to it: the price may have fallen since.
    """
    if order.notional is None:
        return order.leaves_qty
    qty = Qty((order.notional / price).quantize(SHARE, ROUND_DOWN))
    return qty if order.position_intent.opens else min(qty, order.promised_qty)
