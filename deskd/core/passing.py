"""How a closing order of the desk passes orders of others that stand against it far from the market.

The broker refuses a market order beside any order of the account's other side. One bid of another strategy, ten percent
under the market, would keep a stop-loss or a kill from closing for as long as it rests.

Rule 1: such an order goes as a limit order for at once or not at all, a tick short of the nearest of them: they cannot
        meet, and down to there it trades as a market order would. What it does not trade is due again.
Rule 2: only where the market is far enough from that price that it is sure to trade; else one waits for the others' end.
"""

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

from deskd.core import conflicts
from deskd.core.desk import Desk
from deskd.domain.ids import Symbol
from deskd.domain.money import ZERO, Price, Qty
from deskd.domain.order import Order, OrderRequest, OrderType, Side, TimeInForce

FAR = Decimal("0.01")  # of the price: the market must be so far from the limit
_CENT, _SUB_PENNY, _DOLLAR = Decimal("0.01"), Decimal("0.0001"), Decimal(1)


class Way(NamedTuple):
    """Whether a closing order could go, beside what stands against it, and with which limit."""

    is_free: bool
    limit_price: Price | None = None  # None: at the market


def against(desk: Desk, symbol: Symbol, side: Side) -> list[Order]:
    """Return the orders at the broker that an order of *side* at the market could not stand beside."""
    orders = [order for order in desk.open_in(symbol) if order.request.side is not side and not order.is_held]
    if not desk.portfolio.total_qty(symbol):  # a flat account opens one way only, whatever the prices
        return [order for order in orders if order.parent_id is None]
    return [order for order in orders if not conflicts.is_exempt(order.request)]


def is_far(side: Side, limit_price: Price | None, price: Price) -> bool:
    """Tell whether an order of *side* is so far from the market at *price* that what closes can pass it."""
    return limit_price is not None and side.sign * (price - limit_price) > FAR * price


def way(desk: Desk, symbol: Symbol, side: Side, price: Price) -> Way:
    """Return how an order of *side* that closes could go now, the market being at *price*."""
    orders = against(desk, symbol, side)
    if not orders:
        return Way(is_free=True)
    limits = [order.request.limit_price for order in orders]
    known = [limit for limit in limits if limit is not None]
    if len(known) < len(limits) or not desk.portfolio.total_qty(symbol):
        return Way(is_free=False)
    nearest = max(known) if side is Side.SELL else min(known)
    tick = _CENT if nearest >= _DOLLAR else _SUB_PENNY
    limit = Price(nearest - side.sign * tick)
    if limit <= ZERO or side.sign * (limit - price) < FAR * price:
        return Way(is_free=False)
    return Way(is_free=True, limit_price=limit)


def limited(desk: Desk, request: OrderRequest, limit_price: Price) -> OrderRequest | None:
    """Return the closing order with that limit: for whole shares, and no more than the account has; None: for nothing."""
    held = -request.side.sign * desk.portfolio.total_qty(request.symbol)
    assert request.qty is not None, "what closes is for shares"
    most = request.qty if held <= 0 else min(request.qty, held)
    qty = Qty(most.to_integral_value(ROUND_DOWN))
    if not qty:
        return None
    kind, tif = OrderType.LIMIT, TimeInForce.IOC
    return replace(request, qty=qty, order_type=kind, time_in_force=tif, limit_price=limit_price)
