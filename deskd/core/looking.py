"""A look at the account: the orders first, then what is left to explain (`comparing`), and the end of an outage.

Rule 1: what is ours is brought to where the broker's is before anything is compared.
Rule 2: what may be a leg that the broker has not told of yet is nobody else's: it is asked for, and waits.
Rule 3: a look that began before the stream listened again proves nothing about the account.
"""

from collections.abc import Container
from datetime import datetime
from itertools import takewhile

from deskd.core import activities, adopting, catching_up, comparing, hearing, lifecycle
from deskd.core.desk import TRADES, Desk
from deskd.core.reconcile import ANSWER_MAX
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import Activity
from deskd.domain.effects import Effect, Record
from deskd.domain.events import Source
from deskd.domain.ids import BrokerOrderId, ClientOrderId, Symbol
from deskd.domain.order import Fill, Order


def on_snapshot(desk: Desk, snapshot: ev.BrokerSnapshot) -> list[Effect]:
    """Return what follows from a look at the account: of each order, then of the account."""
    adopted = adopting.adoptions(desk, snapshot.orders, snapshot.at, Source.RECONCILE)
    heirs = {broker.broker_order_id: order for _, order, broker in adopted}
    theirs = {one.broker_order_id: one for one in snapshot.orders}

    def owner(oid: BrokerOrderId) -> Order | None:
        if oid in desk.by_broker_id:
            return desk.orders[desk.by_broker_id[oid]]
        # One that we gave up before the broker named it is known by its description.
        return heirs.get(oid) or (desk.find(theirs[oid]) if oid in theirs else None)

    strangers = [line for line in snapshot.activities if line.fill is not None and _is_strange(desk, line, owner)]
    legless = _legless(desk, snapshot.at, {line.symbol for line in strangers}) if strangers else []
    held_back = {order.request.symbol for order in legless}
    news = activities.sorted_out(snapshot, desk.standing, owner, desk.fill_ids, held_back)
    effects = adopting.effects_of(desk, adopted, snapshot.at, Source.RECONCILE)  # a look-up will bring their fills
    effects += _orders_caught_up(desk, snapshot, {o: f for o, f in news.fills.items() if o in desk.orders})
    effects += [ef.LookUp(order.request.client_order_id) for order in legless]
    asked_at = snapshot.asked_at or snapshot.at
    for oid in snapshot.missing:
        effects += hearing.on_missing(desk, desk.orders[oid], asked_at)
    if desk.trade_stream_changed_at is not None and asked_at < desk.trade_stream_changed_at:
        # It may lack what happened before the stream listened again: no order rests on it.
        return [*effects, ef.Reconcile("the last look was older than the stream")]
    known = comparing.Known(
        orders=desk.orders,
        portfolio=desk.portfolio,
        standing=desk.standing,
        last=desk.last_reconciled,
        count=desk.execution_count,
    )
    return effects + comparing.compared(snapshot, news, effects, known)


def _is_strange(desk: Desk, line: Activity, owner: activities.Owner) -> bool:
    """Tell whether the line is news of an order that is not, as far as is known, the desk's."""
    is_of_nobody = line.broker_order_id is not None and owner(line.broker_order_id) is None
    return is_of_nobody and activities.is_news(line, desk.standing)


def _legless(desk: Desk, now: datetime, symbols: Container[Symbol | None]) -> list[Order]:
    """Return the orders of late whose legs the broker has not told: their fills look like a stranger's."""
    recent = takewhile(lambda order: now - order.requested_at < ANSWER_MAX, desk.newest_first(None))
    return [order for order in recent if order.request.symbol in symbols and catching_up.lacks_legs(desk, order)]


def _orders_caught_up(desk: Desk, snapshot: ev.BrokerSnapshot, late: dict[ClientOrderId, list[Fill]]) -> list[Effect]:
    """Bring our orders to where the broker's are; *late* fills of orders that no list has are booked, too."""
    effects: list[Effect] = []
    fills = dict(snapshot.fills)
    done: set[ClientOrderId] = set()
    for theirs in snapshot.orders:
        order = desk.find(theirs)
        if order is not None and order.request.client_order_id not in done:  # of two of one id, one is a stranger's
            oid = order.request.client_order_id
            done.add(oid)
            known = (*fills.get(oid, ()), *late.pop(oid, ()))
            effects += catching_up.caught_up(desk, order, theirs, known, snapshot.at, asks_for_missing=True)
    for oid, found in late.items():
        order = desk.orders[oid]
        facts, surplus = lifecycle.booked(order, found, snapshot.at, Source.RECONCILE, qty=order.sent_qty)
        effects += [*catching_up.recorded(order, facts), *catching_up.overfilled(order, surplus)]
    return effects


def resynced(desk: Desk, event: ev.BrokerSnapshot, effects: list[Effect]) -> list[Effect]:
    """Return *effects*, and the end of the trade stream's outage where they are the look that it waited for."""
    is_compared = any(isinstance(e, Record) and isinstance(e.fact, ev.AccountReconciled) for e in effects)
    ended = desk.outages.end_of(TRADES, refusals=desk.refused, at=event.at) if is_compared else None
    return [*effects, Record(ended)] if ended else effects
