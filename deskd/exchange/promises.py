"""What of a position is promised to open orders, so that nothing is sold twice."""

from collections.abc import Iterable

from deskd.domain.events import BrokerStatus
from deskd.domain.money import NO_QTY, Qty
from deskd.exchange.order import ENTRY, STOP_LOSS, TAKE_PROFIT, ExchangeOrder


def promised(open_orders: Iterable[ExchangeOrder]) -> tuple[Qty, tuple[str, ...]]:
    """Return the shares of one symbol's position that its *open_orders* hold, and the ids of those that do.

    Two exits of a group hold the same shares, once. What a bracket's entry has bought so far waits for its legs.
    """
    orders = tuple(open_orders)
    live_profits = {o.group_id for o in orders if o.group_role == TAKE_PROFIT and o.status is not BrokerStatus.HELD}
    totals = {o.group_id: o.qty for o in orders if o.status is BrokerStatus.HELD}
    held, holders = NO_QTY, []
    for order in orders:
        if order.group_role == ENTRY:
            total = totals.get(order.group_id)
            qty = NO_QTY if total is None else Qty(total - order.leaves_qty)
        elif order.status is BrokerStatus.HELD or order.position_intent.opens:
            qty = NO_QTY
        elif order.group_role == STOP_LOSS and order.group_id in live_profits:
            qty = NO_QTY  # counted with its sibling
        else:
            qty = order.leaves_qty if order.notional is None else order.promised_qty
        if qty:
            held = Qty(held + qty)
            holders.append(order.id)
    return held, tuple(holders)
