"""What is open in a symbol, as the broker's rules between the orders of one account see it (core/conflicts.py).

Rule 1: all that may live at the broker counts: orders in doubt, those whose cancel is under way, and exits that nobody
        has told of yet.
Rule 2: what an order promises is the most that it can come to: how many shares an amount of money is, only the broker
        knows.
"""

from collections.abc import Iterable
from decimal import ROUND_UP, Decimal

from deskd.core import catching_up, conflicts, holding
from deskd.core.checks import MARKET_MARGIN
from deskd.core.conflicts import Rival
from deskd.core.desk import Desk
from deskd.domain.ids import ClientOrderId, Symbol
from deskd.domain.money import NO_QTY, Qty
from deskd.domain.order import Order, OrderRequest, OrderType, Side

_QTY_STEP = Decimal("0.000000001")  # the broker's


def most_shares(request: OrderRequest, qty: Qty) -> Qty:
    """Return the most shares that the order can come to: a buy for money is for more of them where the price falls."""
    is_open_ended = request.notional is not None and request.side is Side.BUY
    return Qty((qty / (1 - MARKET_MARGIN)).quantize(_QTY_STEP, ROUND_UP)) if is_open_ended else qty


def among(desk: Desk, orders: Iterable[Order], *, closing: Side | None = None) -> list[Rival]:
    """Return the open *orders* as the broker's rules see them. The exits of one group promise the same shares, once.

    What an order promises is asked of one side only, where *closing* says which.
    """
    rivals: list[Rival] = []
    counted: set[ClientOrderId] = set()
    for order in orders:
        request, parent = order.request, order.parent_id
        if closing is not None and request.side is not closing:
            promised = NO_QTY
        elif parent is None:
            leaves = order.leaves_qty if order.split is None else order.rest_qty  # its part is an order of its own
            promised = most_shares(request, desk.reservations.of(order).opening) if leaves is None else leaves
        else:
            promised = NO_QTY if parent in counted else _promised_by_legs(desk, order, parent)
            counted.add(parent)
        rival = Rival(
            client_order_id=request.client_order_id,
            strategy_id=request.strategy_id,
            side=request.side,
            order_type=request.order_type,
            limit_price=request.limit_price,
            promised_qty=promised,
            opens=parent is None,
            is_exempt=conflicts.is_exempt(request),
        )
        rivals.append(rival)
    return rivals


def at_the_broker(desk: Desk, symbol: Symbol) -> list[Rival]:
    """Return all that may live at the broker in the symbol."""
    sent = [order for order in desk.open_in(symbol) if not order.is_held]
    return among(desk, sent) + untold_exits(desk, symbol)


def untold_exits(desk: Desk, symbol: Symbol) -> list[Rival]:
    """Return the exits that hold what their entry has traded, where a fill was faster than the word of them."""
    rivals: list[Rival] = []
    for oid in desk.awaits_legs:
        entry = desk.orders[oid]
        if entry.request.symbol == symbol and catching_up.lacks_legs(desk, entry):
            rival = Rival(
                client_order_id=oid,
                strategy_id=entry.request.strategy_id,
                side=Side.SELL if entry.request.side is Side.BUY else Side.BUY,
                order_type=OrderType.STOP,
                limit_price=None,
                promised_qty=holding.bought(desk, oid),
                opens=False,
                is_exempt=True,
            )
            rivals.append(rival)
    return rivals


def _promised_by_legs(desk: Desk, leg: Order, parent: ClientOrderId) -> Qty:
    """Return the shares that the exits of a group hold: those that its entry has traded, and they have not."""
    entry = desk.orders[parent]
    if entry.request.side is leg.request.side:  # an OCO: its profit exit carries the other, and stands for both
        return NO_QTY if entry.status.is_open else leg.leaves_qty or NO_QTY
    open_legs = [desk.orders[oid] for oid in desk.legs.get(parent, ()) if desk.orders[oid].status.is_open]
    return max((holding.exit_leaves(desk, one) for one in open_legs), default=NO_QTY)
