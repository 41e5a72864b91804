"""Makes orders: from a request, its legs, and in the place of another order."""

from dataclasses import replace

from deskd.domain.events import BrokerStatus
from deskd.domain.money import NO_CASH, NO_QTY, Qty
from deskd.domain.order import OrderClass, OrderType, Side, StopLoss, TakeProfit
from deskd.exchange.books import Books
from deskd.exchange.checks import Evidence
from deskd.exchange.matching import trail_stop
from deskd.exchange.order import (
    ENTRY,
    STOP_LOSS,
    TAKE_PROFIT,
    ExchangeOrder,
    NewOrder,
    OrderChanges,
    PositionIntent,
)
from deskd.exchange.session import lifetime


def make_order(e: Evidence, books: Books) -> tuple[ExchangeOrder, tuple[ExchangeOrder, ...]]:
    """Return the order that the request asks for, and its legs."""
    r = e.request
    is_oco = r.order_class is OrderClass.OCO
    session_day, expires_at = lifetime(r.time_in_force, extended_hours=r.extended_hours, day=e.day, now=e.now)
    is_complex = r.order_class is not OrderClass.SIMPLE
    order = ExchangeOrder(
        id=books.ids.uuid(),
        client_order_id=r.client_order_id or books.ids.uuid(),
        status=BrokerStatus.ACCEPTED,
        created_at=e.now,
        updated_at=e.now,
        submitted_at=e.now,
        asset_id=e.asset.id,
        symbol=e.asset.symbol,
        side=r.side,
        order_type=r.order_type,
        time_in_force=r.time_in_force,
        position_intent=e.intent,
        order_class=r.order_class,
        qty=r.qty,
        notional=r.notional,
        limit_price=r.take_profit.limit_price if is_oco and r.take_profit else r.limit_price,
        stop_price=r.stop_price,
        trail_price=r.trail_price,
        trail_percent=r.trail_percent,
        extended_hours=r.extended_hours,
        expires_at=expires_at,
        group_id=books.ids.uuid() if is_complex else None,
        group_role=(TAKE_PROFIT if is_oco else ENTRY) if is_complex else None,
        sequence=books.next_sequence(),
        unit_cost=e.unit_cost,
        promised_qty=NO_QTY if e.intent.opens or r.notional is None else e.qty,
        session_day=session_day,
    )
    if r.order_type is OrderType.TRAILING_STOP and e.last is not None:
        order.hwm = e.last
        order.stop_price = trail_stop(r.side, e.last, r.trail_price, r.trail_percent)
    legs = _legs(order, r, books)
    order.legs = tuple(leg.id for leg in legs)
    return order, legs


def _legs(parent: ExchangeOrder, r: NewOrder, books: Books) -> tuple[ExchangeOrder, ...]:
    legs: list[ExchangeOrder] = []
    if r.take_profit is not None and r.order_class is not OrderClass.OCO:
        leg = _leg(parent, TAKE_PROFIT, books)
        leg.order_type = OrderType.LIMIT
        leg.limit_price = r.take_profit.limit_price
        legs.append(leg)
    if r.stop_loss is not None:
        leg = _leg(parent, STOP_LOSS, books)
        leg.order_type = OrderType.STOP if r.stop_loss.limit_price is None else OrderType.STOP_LIMIT
        leg.limit_price = r.stop_loss.limit_price
        leg.stop_price = r.stop_loss.stop_price
        legs.append(leg)
    return tuple(legs)


def _leg(parent: ExchangeOrder, role: str, books: Books) -> ExchangeOrder:
    leg = parent.snapshot()
    leg.id = books.ids.uuid()
    leg.client_order_id = books.ids.uuid()
    leg.status = BrokerStatus.HELD
    if parent.group_role == ENTRY:
        leg.side = Side.SELL if parent.side is Side.BUY else Side.BUY
    leg.position_intent = PositionIntent.SELL_TO_CLOSE if leg.side is Side.SELL else PositionIntent.BUY_TO_CLOSE
    leg.parent_id = parent.id
    leg.group_role = role
    leg.sequence = books.next_sequence()
    return leg


# --- replacement ------------------------------------------------------------------------------------------------------


def as_request(order: ExchangeOrder, changes: OrderChanges, legs: tuple[ExchangeOrder, ...]) -> NewOrder:
    """Return the request that would make the order as changed; the checks judge it like any other.

    A stop that was triggered is judged as what it has become: a market or a limit order. So is an exit leg, which is
    complex no more.
    """
    qty = order.qty if changes.qty is None else changes.qty
    assert qty is not None, "a notional order is not replaced"
    request = NewOrder(
        symbol=order.symbol,
        side=order.side,
        order_type=order.order_type,
        time_in_force=changes.time_in_force or order.time_in_force,
        qty=Qty(qty - order.filled_qty),
        limit_price=order.limit_price if changes.limit_price is None else changes.limit_price,
        stop_price=order.stop_price if changes.stop_price is None else changes.stop_price,
        trail_price=order.trail_price,
        trail_percent=order.trail_percent,
        extended_hours=order.extended_hours,
        client_order_id=changes.client_order_id,
    )
    if order.order_type is OrderType.TRAILING_STOP:
        is_price = order.trail_price is not None
        own = order.trail_price if is_price else order.trail_percent
        trail = own if changes.trail is None else changes.trail
        request = replace(
            request,
            stop_price=changes.stop_price,  # the order's own is derived
            trail_price=trail if is_price else None,
            trail_percent=None if is_price else trail,
        )
    if order.triggered_at is not None:
        is_limit = order.order_type is OrderType.STOP_LIMIT
        request = replace(
            request,
            order_type=OrderType.LIMIT if is_limit else OrderType.MARKET,
            stop_price=changes.stop_price,
            trail_price=changes.trail,
            trail_percent=None,
        )
    return _with_legs(order, request, legs) if legs else request


def _with_legs(order: ExchangeOrder, request: NewOrder, legs: tuple[ExchangeOrder, ...]) -> NewOrder:
    take_profit = stop_loss = None
    if order.order_class is OrderClass.OCO and request.limit_price is not None:
        take_profit = TakeProfit(limit_price=request.limit_price)
    for leg in legs:
        if leg.group_role == TAKE_PROFIT and leg.limit_price is not None:
            take_profit = TakeProfit(limit_price=leg.limit_price)
        else:
            assert leg.stop_price is not None, "a leg that takes no profit stops a loss"
            stop_loss = StopLoss(stop_price=leg.stop_price, limit_price=leg.limit_price)
    return replace(request, order_class=order.order_class, take_profit=take_profit, stop_loss=stop_loss)


def make_replacement(old: ExchangeOrder, changes: OrderChanges, e: Evidence, books: Books) -> ExchangeOrder:
    """Return the order that takes the place of *old*."""
    r = e.request
    new = old.snapshot()
    new.id = books.ids.uuid()
    new.client_order_id = r.client_order_id or books.ids.uuid()
    new.status = BrokerStatus.ACCEPTED
    new.created_at = new.updated_at = new.submitted_at = e.now
    new.qty = r.qty
    new.filled_qty, new.filled_notional, new.filled_avg_price = NO_QTY, NO_CASH, None
    new.time_in_force = r.time_in_force
    new.limit_price = r.limit_price
    if changes.stop_price is not None:
        new.stop_price = changes.stop_price
    if old.order_type is OrderType.TRAILING_STOP and old.triggered_at is None:
        new.trail_price, new.trail_percent = r.trail_price, r.trail_percent
        if new.hwm is not None:
            new.stop_price = trail_stop(new.side, new.hwm, new.trail_price, new.trail_percent)
    new.replaces = old.id
    new.reserved = NO_CASH
    new.unit_cost = e.unit_cost
    new.sequence = books.next_sequence()
    if new.time_in_force is not old.time_in_force:
        new.session_day, new.expires_at = lifetime(
            new.time_in_force, extended_hours=new.extended_hours, day=e.day, now=e.now
        )
    return new
