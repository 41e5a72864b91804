"""When all that is open in the account is canceled with one request: under a kill of the whole desk.

Two hundred cancels do not fit into the broker's 200 requests a minute. The one request takes strangers' orders along:
where the whole desk is killed, that is what the account's safety wants.

Rule 1: each order's wish is a fact before the request, and each order's answer is handled as if it had been asked alone.
Rule 2: a kill of the desk asks once, whatever the desk knows to be open; again only while many are left, and never
        while an order that closes is open: it would go with the rest.
"""

from dataclasses import replace

from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record
from deskd.domain.kill import THE_DESK, KillDepth
from deskd.domain.order import OrderStatus

SINGLE_MAX = 3  # so few orders that are left are canceled one by one


def is_due(desk: Desk) -> bool:
    """Tell whether the desk is under a kill that cancels, and the broker has not answered the request yet."""
    kill = desk.kills.in_force.get(THE_DESK)
    if kill is None or not kill.depth.reaches(KillDepth.CANCEL):
        return False
    return desk.kills.swept_at is None


def is_wanted(desk: Desk, left: int) -> bool:
    """Tell whether the broker is to be asked now, so many of the desk's orders being *left* to cancel."""
    if is_due(desk):
        return True
    kill = desk.kills.in_force.get(THE_DESK)
    cancels = kill is not None and kill.depth.reaches(KillDepth.CANCEL)
    return cancels and left > SINGLE_MAX and not any(order.request.for_kill for order in desk.open_orders())


def on_requested(desk: Desk, event: ev.CancelAllRequested) -> list[Effect]:
    """Return the request, with the orders whose cancel is wished for; nothing where the kill was released meanwhile."""
    orders = tuple(
        (order.request.client_order_id, order.broker_order_id)
        for order in desk.sent_orders()
        if order.status is OrderStatus.PENDING_CANCEL and order.broker_order_id is not None
    )
    if not is_wanted(desk, len(orders)):
        return []
    return [Record(replace(event, orders=len(orders))), ef.CancelAll(orders)]


def on_answered(event: ev.CancelAllAnswered) -> list[Effect]:
    """Return the answer, and a look at the account where the broker did not speak of all that was open."""
    effects: list[Effect] = [Record(event)]
    if event.unnamed:
        effects.append(ef.Reconcile(f"of {event.unnamed} open orders the broker did not say that they are canceled"))
    return effects
