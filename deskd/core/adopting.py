"""Orders that somebody put in the place of ours: they belong to the strategy whose order they replaced.

Rule 1: an order is ours by the order that it replaces, and that by the one before it: a chain is adopted from its root.
Rule 2: one that carries an id of ours is not adopted: it is our own replace, or a stranger's trick. Nor is one that no
        replace can make: of another symbol or side, or for no shares.
"""

from collections.abc import Iterable
from datetime import datetime

from deskd.core import catching_up, lifecycle, replacing
from deskd.core.desk import Desk
from deskd.core.reservation import Reservation
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.money import NO_QTY, Qty
from deskd.domain.order import Fill, Order


def adoptions(
    desk: Desk, theirs: Iterable[ev.BrokerOrder], at: datetime, source: str
) -> list[tuple[ev.OrderAdopted, Order, ev.BrokerOrder]]:
    """Return the orders among *theirs* that replace ours and are not ours yet, each before what replaced it."""
    found: list[tuple[ev.OrderAdopted, Order, ev.BrokerOrder]] = []
    new: dict[BrokerOrderId, Order] = {}
    names: set[ClientOrderId] = set()
    waiting = [o for o in theirs if o.replaces is not None and o.broker_order_id not in desk.by_broker_id]
    while waiting:
        left: list[ev.BrokerOrder] = []
        for broker in waiting:
            assert broker.replaces is not None, "picked for it"
            old = new.get(broker.replaces) or desk.orders.get(desk.by_broker_id.get(broker.replaces, ClientOrderId("")))
            if old is None:
                left.append(broker)
            elif broker.client_order_id not in names and _can_take_its_place(desk, broker, old):
                names.add(broker.client_order_id)
                held = desk.reservations.of(desk.whole_of(old))
                fact = replacing.adopted(broker, old, held, _free_to_close(desk, old, held), at=at, source=source)
                new[broker.broker_order_id] = lifecycle.adopt(fact, old)
                found.append((fact, new[broker.broker_order_id], broker))
        if len(left) == len(waiting):
            break
        waiting = left
    return found


def _can_take_its_place(desk: Desk, broker: ev.BrokerOrder, old: Order) -> bool:
    """Tell whether the order has an id that is not ours, and trades the same as *old*, in shares."""
    is_in_shares = broker.qty is not None and broker.qty > 0
    is_alike = broker.symbol == old.request.symbol and broker.side is old.request.side
    return is_in_shares and is_alike and broker.client_order_id not in desk.orders


def _free_to_close(desk: Desk, old: Order, held: Reservation) -> Qty:
    who, symbol = old.request.strategy_id, old.request.symbol
    promised = Qty(desk.reservations.qty(who, symbol) - held.qty)
    return Qty(max(desk.portfolio.qty(who, symbol) - promised, NO_QTY))


def effects_of(
    desk: Desk,
    found: list[tuple[ev.OrderAdopted, Order, ev.BrokerOrder]],
    at: datetime,
    source: str,
    fills: tuple[Fill, ...] = (),
) -> list[Effect]:
    """Return the adoptions as effects, and what follows from how the orders stand."""
    effects: list[Effect] = []
    for fact, order, broker in found:
        oid = order.request.client_order_id
        by_hand = f"the broker has {oid} in its place"
        effects.append(
            Record(catching_up.discrepancy(fact.replaces, "an order that nobody replaced", by_hand, "adopted", at))
        )
        effects.append(Record(fact))
        heirs = [f for f, _, _ in found if f.replaces == oid]
        successor = heirs[0].request.client_order_id if heirs else None
        effects += catching_up.caught_up(
            desk, order, broker, fills, at, asks_for_missing=True, source=source, successor=successor
        )
    return effects
