"""An order that goes to the broker in parts, because no order takes the shared account across zero. Pure folds.

Rule 1: what was asked for is one order: it holds what is reserved, and its strategy hears of it alone. Parts hold
        nothing; the broker knows nothing else. The status of the one is summed up from the parts, here.
Rule 2: one part at a time. A part that ends short of what it is for ends the order, as it ended itself.
Rule 3: the id of a part ends in `~` and a number. No strategy may call an order so (wire/strategy.py).
"""

import hashlib
from collections.abc import Container, Sequence
from dataclasses import replace

from deskd.core import updates
from deskd.core.conflicts import Conflict, Rule
from deskd.domain import events as ev
from deskd.domain.effects import OrderUpdate
from deskd.domain.ids import CLIENT_ORDER_ID_MAX, ClientOrderId
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Qty
from deskd.domain.order import Order, OrderClass, OrderRequest, OrderStatus, OrderType, Split, TimeInForce
from deskd.domain.order import OrderStatus as S

MARK = "~"
_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})  # a stop that was reached once may not be ahead a second time
_LIVES = frozenset({TimeInForce.DAY, TimeInForce.GTC})  # the others want an answer at once, or an auction
_EVENTS = {
    S.ACCEPTED: "accepted",
    S.PENDING_CANCEL: "pending_cancel",
    S.FILLED: "fill",
    S.CANCELED: "canceled",
    S.EXPIRED: "expired",
    S.REJECTED: "rejected",
    S.REPLACED: "replaced",
}


# --- what can be split ------------------------------------------------------------------------------------------------


def hindrance(request: OrderRequest, free_qty: Qty, position_qty: Qty) -> str | None:
    """Return why an order across zero, *free_qty* of *position_qty* being free to close, is not split; None if it is."""
    if request.replacement is not None:
        return "an order that takes the place of another is not split"
    if request.order_class is not OrderClass.SIMPLE or request.order_type not in _TYPES:
        return "only simple market and limit orders are split"
    if request.time_in_force not in _LIVES:
        return "only day and gtc orders are split"
    if request.qty is None or request.qty % 1 or position_qty % 1:
        return "only whole shares of a whole position are split"
    if free_qty != abs(position_qty):
        return "other open orders close a part of the position"
    return None


def can_split(request: OrderRequest, conflict: Conflict, position_qty: Qty) -> bool:
    """Tell whether the order that has met with *conflict* can go in parts instead."""
    return conflict.rule is Rule.ZERO and hindrance(request, conflict.free_qty, position_qty) is None


def part_id(oid: ClientOrderId, number: int, taken: Container[ClientOrderId]) -> ClientOrderId:
    """Return an id for a part of the order, the *number*th or later, that no order has."""
    while True:
        ending = f"{MARK}{number}"
        if len(oid) + len(ending) > CLIENT_ORDER_ID_MAX:
            ending = f"-{hashlib.sha256(oid.encode()).hexdigest()[:16]}{ending}"
        found = ClientOrderId(oid[: CLIENT_ORDER_ID_MAX - len(ending)] + ending)
        if found not in taken:
            return found
        number += 1


# --- the fold ---------------------------------------------------------------------------------------------------------


def part_request(request: OrderRequest, fact: ev.OrderSplit) -> OrderRequest:
    """Return what the broker is asked for: the order, for the part's shares, under the part's id."""
    return replace(request, client_order_id=fact.part_id, qty=fact.qty)


def split(whole: Order, fact: ev.OrderSplit) -> tuple[Order, Order]:
    """Return the order with the part that leaves, and the part."""
    part = Order(
        request=part_request(whole.request, fact),
        status=S.SUBMITTED,
        requested_at=fact.at,
        updated_at=fact.at,
        part_of=whole.request.client_order_id,
        line=whole.line,
        lines_together=whole.lines_together,
    )
    known = whole.split or Split(parts=(), qty=NO_QTY, until=fact.until)
    grown = Split(parts=(*known.parts, fact.part_id), qty=Qty(known.qty + fact.qty), until=fact.until)
    return replace(whole, split=grown, updated_at=fact.at), part


def summed(whole: Order, parts: Sequence[Order]) -> Order:
    """Return the order as its *parts* make it, and what was exchanged before; one that is over only counts late fills."""
    latest = parts[-1]
    less = sum((part.request.qty - part.qty for part in parts if part.request.qty and part.qty), ZERO)
    asked = whole.request.qty
    order = replace(
        whole,
        updated_at=latest.updated_at,
        submitted_at=parts[0].submitted_at,
        broker_order_id=parts[0].broker_order_id,
        filled_qty=Qty(sum((part.filled_qty for part in parts), whole.internal_qty)),
        filled_notional=Cash(sum((part.filled_notional for part in parts), whole.internal_notional)),
        surplus_qty=Qty(sum((part.surplus_qty for part in parts), NO_QTY)),
        surplus_notional=Cash(sum((part.surplus_notional for part in parts), NO_CASH)),
        corrections=tuple(one for part in parts for one in part.corrections),
        restated_qty=Qty(asked - less) if less and asked is not None else None,
        broker_status=latest.broker_status,
        source=latest.source,
    )
    if not whole.status.is_open:
        return order
    if latest.status.is_open:
        return replace(order, status=_while_open(order, latest))
    if latest.status is not S.FILLED:  # it came to an end short of what it was for
        return replace(
            order,
            status=latest.status,
            reason=latest.reason,
            message=latest.message,
            replaced_by=latest.replaced_by,
        )
    return _between(order)


def _while_open(order: Order, latest: Order) -> OrderStatus:
    if S.PENDING_CANCEL in {order.status, latest.status}:
        return S.PENDING_CANCEL  # also where the broker would not cancel the part: the rest does not go any more
    if order.filled_qty:
        return S.PARTIALLY_FILLED
    return S.ACCEPTED if order.broker_order_id is not None else S.SUBMITTED


def _between(order: Order) -> Order:
    """Return the order as it stands when its parts so far are filled: over, or with a rest of which is to be decided."""
    if not order.rest_qty:
        return replace(order, status=S.FILLED)
    assert order.split is not None, "it has parts"
    waits = replace(order.split, waits_since=order.split.waits_since or order.updated_at)
    is_canceled = order.status is S.PENDING_CANCEL
    return replace(order, status=S.PENDING_CANCEL if is_canceled else S.PARTIALLY_FILLED, split=waits)


def is_waiting(order: Order) -> bool:
    """Tell whether it is to be decided about the rest of the order: the parts so far are filled."""
    return order.split is not None and order.split.waits_since is not None and order.status.is_open


# --- what the strategy hears ------------------------------------------------------------------------------------------


def told(fact: ev.Fact, before: Order, after: Order, position_qty: Qty) -> list[OrderUpdate]:
    """Return the updates about a split order by a *fact* of a part of it: executions, and changes of its own status."""
    heard = updates.update(fact, after, position_qty)
    if heard is None or isinstance(fact, ev.OrderFilled):
        return [] if heard is None else [heard]
    if after.status is before.status or after.status not in _EVENTS:
        return []
    return [replace(heard, event=_EVENTS[after.status])]
