"""What orders hold that do not stand alone: a pair of old and new, an entry and its legs.

Rule 1: two orders of which one will live hold together what either could still trade at most (`replacing`).
Rule 2: legs hold the shares that their entry has bought by now, though nobody has told yet that they grew with it.
Rule 3: who takes an order's place takes its legs, too.
"""

from dataclasses import replace
from typing import Protocol

from deskd.core import replacing
from deskd.core.reservation import Reservation, Reservations, leg_holds_shares
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Price, Qty
from deskd.domain.order import Order, OrderStatus


class Pairs(Protocol):
    """What of the desk is changed here."""

    orders: dict[ClientOrderId, Order]
    reservations: Reservations
    legs: dict[ClientOrderId, tuple[ClientOrderId, ...]]
    needs: dict[ClientOrderId, Reservation]


def stand_beside(desk: Pairs, new: Order, old: Order, need: Reservation) -> None:
    """Let *new* hold what it may need beyond what *old* holds, until it is settled which of them lives."""
    if old.parent_id is not None:
        siblings = desk.legs.get(old.parent_id, ())
        desk.legs[old.parent_id] = (*siblings, new.request.client_order_id)
        promise(desk, new)
        return
    desk.needs[new.request.client_order_id] = need
    hold_pair(desk, new, old)


def hold_pair(desk: Pairs, new: Order, old: Order) -> None:
    """Hold for *new*, beside *old*, what both together may still trade and *old* does not hold."""
    need = desk.needs[new.request.client_order_id]
    held = desk.reservations.of(old)
    left = replacing.left_of(new, old)
    worst = max(need.price, held.price)
    desk.reservations.hold(new, replacing.beyond(replacing.need_for(need, left, worst=Price(worst)), held))


def hold_pairs_of(desk: Pairs, order: Order) -> None:
    """Hold anew for an order that stands beside another, one of the two having filled."""
    oid = order.request.client_order_id
    pairs = [oid] if oid in desk.needs else [n for n in desk.needs if desk.orders[n].replaces == oid]
    for new in (desk.orders[n] for n in pairs):
        assert new.replaces is not None, "it has a need because it replaces"
        hold_pair(desk, new, desk.orders[new.replaces])


def inherit(desk: Pairs, old: Order, new: Order) -> None:
    """Let *new* hold all that it needs: *old* holds nothing any more. Its legs are those of *old*, if it took its place."""
    old_id, new_id = old.request.client_order_id, new.request.client_order_id
    if old.status is OrderStatus.REPLACED and (legs := desk.legs.pop(old_id, ())):
        desk.legs[new_id] = tuple(dict.fromkeys((*desk.legs.get(new_id, ()), *legs)))
        for leg in legs:
            desk.orders[leg] = replace(desk.orders[leg], parent_id=new_id)
    if new.parent_id is not None:
        promise(desk, new)
    if new_id not in desk.needs or not new.status.is_open:
        return
    if old.status is OrderStatus.REPLACED:
        need, left = desk.needs.pop(new_id), new.leaves_qty
        assert left is not None, "an order that replaces one has a quantity"
        desk.reservations.hold(new, replacing.need_for(need, left, worst=need.price))
    else:  # the replace is to fail; until then nobody knows
        hold_pair(desk, new, old)


def restate(desk: Pairs, order: Order) -> None:
    """Hold no more than the smaller order can trade."""
    oid = order.request.client_order_id
    if order.parent_id is not None:
        promise(desk, order)
    elif oid not in desk.needs and order.leaves_qty is not None:
        held = desk.reservations.of(order)
        desk.reservations.hold(order, replacing.need_for(held, order.leaves_qty, worst=held.price))


def promise(desk: Pairs, leg: Order) -> None:
    """Hold the shares that a leg may sell: those that its entry has bought by now."""
    if not leg.status.is_open or not leg_holds_shares(leg) or leg.parent_id is None:
        return
    promised = exit_leaves(desk, leg)
    need = Reservation(cash=NO_CASH, qty=promised, opening=NO_QTY, price=Price(ZERO))
    old = None if leg.replaces is None else desk.orders[leg.replaces]
    desk.reservations.hold(leg, need if old is None else replacing.beyond(need, desk.reservations.of(old)))


def exit_leaves(desk: Pairs, leg: Order) -> Qty:
    """Return what an exit may trade of what its entry has bought by now.

    It grows with its entry, and the entry's fill may be heard before the word of that: unless somebody replaced it.
    """
    leaves, most = leg.leaves_qty, bought(desk, leg.parent_id)
    assert leaves is not None, "a LegSpec has a quantity"
    if leg.replaces is None and leaves + leg.done_qty < most:
        return Qty(most - leg.done_qty)
    return Qty(min(leaves, most))


def bought(desk: Pairs, entry: ClientOrderId | None) -> Qty:
    """Return what an entry has filled, and before it those that it replaced."""
    total = NO_QTY
    while entry is not None:
        total = Qty(total + desk.orders[entry].filled_qty)
        entry = desk.orders[entry].replaces
    return total
