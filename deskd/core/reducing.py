"""Which open orders a kill or an open breaker cancels because they could open or grow a position.

Rule 1: REDUCE_ONLY says that positions shrink only: what rests at the broker and opens would make that untrue for hours.
        So would a deeper kill, which does what the shallower do; where it cancels, all goes.
Rule 2: what closes stays: exits of brackets, OCOs, and orders for no more than the strategy holds, the oldest first.
Rule 3: what waits at the desk is the line's to end, and the rest of a split order with it.
"""

from collections.abc import Iterator

from deskd.core.desk import Desk
from deskd.domain.breaker import BreakerState
from deskd.domain.ids import HOUSE, ClientOrderId, StrategyId, Symbol
from deskd.domain.money import NO_QTY, Qty
from deskd.domain.order import Order, OrderClass, Side

type _Key = tuple[StrategyId, Symbol, Side]


def openings(desk: Desk) -> list[Order]:
    """Return the orders at the broker, or on their way there, that open something under a kill; the oldest first."""
    breakers = desk.kills.breakers.values()
    if not desk.kills.in_force and all(move.state is not BreakerState.OPEN for move in breakers):
        return []
    orders = [order for order in desk.open_orders() if not order.is_held and _is_stopped(desk, order)]
    promised = _promised_to_exits(desk, orders)
    return list(_opening(desk, [order for order in orders if not _only_closes(order)], promised))


def _is_stopped(desk: Desk, order: Order) -> bool:
    r = order.request
    if r.strategy_id == HOUSE:
        return False
    known = desk.strategies.get(r.strategy_id)
    return desk.kills.over(r.strategy_id, None if known is None else known.user_id, r.symbol) is not None


def _only_closes(order: Order) -> bool:
    """Tell whether the order closes whatever is held: the desk's own, an exit's leg, an OCO."""
    r = order.request
    is_own = r.for_kill or r.exit is not None
    return is_own or order.parent_id is not None or r.order_class is OrderClass.OCO


def _promised_to_exits(desk: Desk, orders: list[Order]) -> dict[_Key, Qty]:
    """Return the shares that exits are to close; those of one group promise the same shares, once."""
    groups: dict[ClientOrderId, tuple[_Key, Qty]] = {}
    for order in orders:
        if _only_closes(order):
            group = order.parent_id or order.request.client_order_id
            key, left = _key(order), _left(desk, order)
            groups[group] = key, max(left, groups[group][1]) if group in groups else left
    promised: dict[_Key, Qty] = {}
    for key, left in groups.values():
        promised[key] = Qty(promised.get(key, NO_QTY) + left)
    return promised


def _opening(desk: Desk, orders: list[Order], promised: dict[_Key, Qty]) -> Iterator[Order]:
    for order in orders:
        old = None if order.replaces is None else desk.orders.get(order.replaces)
        if old is not None and old.status.is_open:
            continue  # one of the two lives: what is decided of the older holds for both
        key, left = _key(order), _left(desk, order)
        who, symbol, side = key
        before = promised.get(key, NO_QTY)
        if left > -side.sign * desk.portfolio.qty(who, symbol) - before:
            yield order
        else:
            promised[key] = Qty(before + left)


def _key(order: Order) -> _Key:
    return order.request.strategy_id, order.request.symbol, order.request.side


def _left(desk: Desk, order: Order) -> Qty:
    """Return what the order may still trade, of one for money at the most."""
    return desk.reservations.of(order).opening if order.leaves_qty is None else order.leaves_qty
