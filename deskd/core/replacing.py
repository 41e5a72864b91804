"""An order in the place of another: what it is, whether it may be asked for, and what the two hold together.

Rule 1: a replacement is a new order, under an id of its own. It passes the gate like any other; what the old one holds
        counts as free.
Rule 2: until the broker has settled which of the two lives, they hold together what either could still trade at most.
        What the old one fills meanwhile is no longer the new one's to trade.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from deskd.core.reservation import Reservation
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import NO_QTY, ZERO, Cash, Price, Qty, plain
from deskd.domain.order import Order, OrderClass, OrderRequest, OrderStatus, OrderType, Replacement, Side, TakeProfit
from deskd.domain.reasons import RefusalReason

_REPLACEABLE = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})
_REMEDIES = {
    OrderStatus.SUBMITTED: "it is in doubt: wait for the broker's answer",
    OrderStatus.PENDING_CANCEL: "a cancel is under way",
    OrderStatus.PENDING_REPLACE: "a replace is under way: wait for its end, then replace the new order",
}
# Which prices an order of a type has, so that they can change.
_PRICES: dict[OrderType, tuple[str, ...]] = {
    OrderType.MARKET: (),
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("stop_price", "limit_price"),
    OrderType.TRAILING_STOP: ("trail_price", "trail_percent"),
}
_FIELDS = ("limit_price", "stop_price", "trail_price", "trail_percent")


def refusal(old: Order, wanted: Replacement, new_id: ClientOrderId) -> Refuse | None:
    """Return why *old* cannot be replaced like this, or None."""
    if not old.status.is_open:
        text = f"status={old.status}: there is nothing left to replace"
        if old.replaced_by is not None and old.status is OrderStatus.REPLACED:
            text = f"{text}; {old.replaced_by} is in its place: name that one"
        return Refuse(new_id, RefusalReason.ORDER_FINAL, text)
    why = _problem(old, wanted)
    return None if why is None else Refuse(new_id, RefusalReason.NOT_REPLACEABLE, why)


def _problem(old: Order, wanted: Replacement) -> str | None:
    request = old.request
    if old.status not in _REPLACEABLE or old.broker_order_id is None:
        remedy = _REMEDIES.get(old.status, _REMEDIES[OrderStatus.SUBMITTED])
        return f"status={old.status}: the order cannot be replaced now: {remedy}"
    if old.split is not None:
        return "it goes to the broker in parts, because it takes the account across zero; cancel it and place another"
    if old.qty is None:
        return "notional: the broker replaces no order for an amount of money; cancel it and place another"
    for name in _FIELDS:
        if getattr(wanted, name) is not None and name not in _prices_of(request):
            return f"{name}: {_article(request.order_type)} {request.order_type} order has none to change; leave it out"
    if wanted.qty is not None and (problem := _qty_problem(old, wanted.qty)):
        return problem
    if not _changes(old, wanted):
        return "nothing would change: name a qty, price or time_in_force that is not the order's already"
    return None


def _prices_of(request: OrderRequest) -> tuple[str, ...]:
    if request.order_type is OrderType.TRAILING_STOP:
        return ("trail_percent",) if request.trail_percent is not None else ("trail_price",)
    return _PRICES[request.order_type]


def _qty_problem(old: Order, qty: Qty) -> str | None:
    assert old.qty is not None, "looked at before"
    whole = Decimal(1)
    if qty == old.qty:
        return None
    if old.qty % whole or qty % whole:
        return f"qty={plain(qty)}: only whole shares can be replaced by whole shares; cancel it and place another"
    if old.parent_id is not None or old.request.order_class is OrderClass.OCO:
        return f"qty={plain(qty)}: an exit's quantity follows its entry; its price can change"
    if old.internal_qty:
        done = plain(old.internal_qty)
        return f"qty={plain(qty)}: {done} of it were exchanged at the desk, which the broker does not count; cancel it"
    if qty <= old.counted_qty:
        return (
            f"qty={plain(qty)} filled_qty={plain(old.counted_qty)}: qty counts what is filled; ask for more, or cancel"
        )
    return None


def _changes(old: Order, wanted: Replacement) -> bool:
    """Tell whether the broker would see a difference."""
    request = old.request
    if wanted.qty not in {None, old.qty} or wanted.time_in_force not in {None, request.time_in_force}:
        return True
    return any(getattr(wanted, name) not in {None, _price_of(request, name)} for name in _FIELDS)


def _price_of(request: OrderRequest, name: str) -> Price | None:
    if name == "limit_price" and request.limit_price is None and request.take_profit is not None:
        return request.take_profit.limit_price  # an OCO's own price is its profit leg's
    price: Price | None = getattr(request, name)
    return price


def _article(order_type: OrderType) -> str:
    return "an" if order_type.value[0] in "aeiou" else "a"


def request_of(old: Order, wanted: Replacement, new_id: ClientOrderId) -> OrderRequest:
    """Return the request that makes the new order, for what is left when all that is known is filled."""
    assert old.qty is not None, "a notional order is not replaced"
    request = old.request
    total = old.qty if wanted.qty is None else wanted.qty
    new = replace(
        request,
        client_order_id=new_id,
        qty=Qty(total - old.done_qty),
        time_in_force=wanted.time_in_force or request.time_in_force,
        limit_price=request.limit_price if wanted.limit_price is None else wanted.limit_price,
        stop_price=request.stop_price if wanted.stop_price is None else wanted.stop_price,
        trail_price=request.trail_price if wanted.trail_price is None else wanted.trail_price,
        trail_percent=request.trail_percent if wanted.trail_percent is None else wanted.trail_percent,
        replacement=wanted,
    )
    if request.order_class is OrderClass.OCO and old.parent_id is None and wanted.limit_price is not None:
        new = replace(new, limit_price=request.limit_price, take_profit=TakeProfit(limit_price=wanted.limit_price))
    return new


def as_sent(request: OrderRequest, old: Order) -> OrderRequest:
    """Return the request as the broker is asked for it: without a quantity that is no change.

    What was exchanged at the desk is in ours, and not in the broker's: named, it would be traded a second time.
    """
    wanted = request.replacement
    if wanted is None or wanted.qty != old.qty:
        return request
    return replace(request, replacement=replace(wanted, qty=None))


def total_of(new: Order, old: Order) -> Qty:
    """Return what old and new are for together."""
    wanted = new.request.replacement
    if wanted is not None and wanted.qty is not None:
        return wanted.qty
    if wanted is None:  # adopted: what it is for, and what the old one had filled then, is not known to us
        assert new.qty is not None, "an order that replaces one has a quantity"
        return Qty(new.qty + old.done_qty)
    assert old.qty is not None, "a notional order is not replaced"
    return old.qty


def left_of(new: Order, old: Order) -> Qty:
    """Return what the new order may still trade, the broker not having said how far the old one came."""
    return Qty(max(total_of(new, old) - old.done_qty - new.counted_qty, NO_QTY))


def need_for(need: Reservation, left: Qty, *, worst: Price) -> Reservation:
    """Return what an order that needs *need* at most must hold for *left* shares, each worth *worst* at most."""
    return Reservation(
        cash=Cash(min(need.cash, left * worst)),
        qty=Qty(min(need.qty, left)),
        opening=left,
        price=need.price,
    )


def beyond(need: Reservation, held: Reservation) -> Reservation:
    """Return what of *need* is not held already."""
    return Reservation(
        cash=Cash(max(need.cash - held.cash, ZERO)),
        qty=Qty(max(need.qty - held.qty, ZERO)),
        opening=Qty(max(need.opening - held.opening, ZERO)),
        price=need.price,
    )


def adopted(
    broker: ev.BrokerOrder, old: Order, held: Reservation, position_free: Qty, *, at: datetime, source: str
) -> ev.OrderAdopted:
    """Return the fact by which the order that somebody put in the place of *old* belongs to its strategy."""
    request = replace(
        old.request,
        client_order_id=broker.client_order_id,
        order_type=broker.order_type,
        time_in_force=broker.time_in_force,
        qty=broker.qty,
        notional=broker.notional,
        limit_price=broker.limit_price,
        stop_price=broker.stop_price,
        reason=None,
        replacement=None,
    )
    leaves = NO_QTY if broker.qty is None else broker.qty  # its fills are booked after this
    price = broker.limit_price or broker.stop_price or held.price
    is_sale = old.request.side is Side.SELL
    opening = Qty(max(leaves - position_free, ZERO)) if is_sale else leaves
    if old.request.for_kill:  # it opens nothing: of a block, it is others' shares that it closes
        opening = NO_QTY
    return ev.OrderAdopted(
        request=request,
        broker_order_id=broker.broker_order_id,
        replaces=old.request.client_order_id,
        submitted_at=broker.submitted_at,
        reserved_cash=Cash(opening * price),
        reserved_qty=leaves if is_sale else NO_QTY,
        price=Price(price),
        at=at,
        source=source,
        broker_status=broker.raw_status,
    )
