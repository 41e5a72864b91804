"""What a strategy hears of its orders: one update for each fact that changes one."""

from deskd.domain import events as ev
from deskd.domain.effects import OrderUpdate
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import Qty, plain
from deskd.domain.order import Order, OrderStatus

EVENTS: dict[type, str] = {
    ev.OrderDenied: "denied",
    ev.OrderHeld: "held",
    ev.OrderReleased: "released",
    ev.OrderAccepted: "accepted",
    ev.OrderRejected: "rejected",
    ev.OrderCancelRequested: "pending_cancel",
    ev.OrderCancelRefused: "cancel_rejected",
    ev.OrderCompleted: "fill",
    ev.OrderReplaceRequested: "pending_replace",
    ev.OrderReplaceRefused: "replace_rejected",
    ev.OrderReplaced: "replaced",
    ev.OrderRestated: "restated",
    ev.OrderAdopted: "accepted",
    ev.OrderReturned: "held",
    ev.OrderCanceled: "canceled",
    ev.OrderExpired: "expired",
    ev.OrderFilled: "partial_fill",  # or `fill`, when nothing is left
}


def order_of(fact: ev.Fact) -> ClientOrderId | None:
    """Return the order that a strategy is to hear of because of *fact*."""
    if isinstance(fact, ev.OrderDenied | ev.OrderAdopted | ev.OrderReturned):
        return fact.request.client_order_id
    return getattr(fact, "client_order_id", None) if type(fact) in EVENTS else None


def update(fact: ev.Fact, order: Order, position_qty: Qty) -> OrderUpdate | None:
    """Return the update about *order*, as it stands after *fact*."""
    event = EVENTS[type(fact)]
    fill_qty = fill_price = None
    is_internal = isinstance(fact, ev.OrderFilled) and fact.internal_with is not None
    stamp = order.updated_at
    if isinstance(fact, ev.OrderFilled):
        event = "fill" if order.status is OrderStatus.FILLED else "partial_fill"
        fill_qty, fill_price, stamp = plain(fact.qty), plain(fact.price), fact.filled_at
    elif isinstance(fact, ev.OrderAccepted | ev.OrderAdopted) and fact.submitted_at is not None:
        stamp = fact.submitted_at  # the market's time, where the broker tells it, as on every price line
    return OrderUpdate(
        event=event,
        order=order,
        position_qty=plain(position_qty),
        timestamp=stamp.isoformat().replace("+00:00", "Z"),
        fill_qty=fill_qty,
        fill_price=fill_price,
        is_internal=is_internal,
    )
