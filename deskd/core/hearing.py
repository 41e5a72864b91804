"""What the broker says of one order: updates of its stream, answers to what was sent, look-ups.

Rule 1: the desk never sends again. An order in doubt is looked up, and ends only when the broker had time to have it.
Rule 2: an order that carries our id alone may be another's (`Desk.find`).
Rule 3: an order that the broker had, and knows no more, ends: or it would hold for ever.
"""

from datetime import datetime

from deskd.core import adopting, catching_up, corrections, words
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import CORRECTIONS
from deskd.domain.effects import Effect, Record
from deskd.domain.events import BrokerStatus, Source
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import NO_QTY, plain
from deskd.domain.order import Order, OrderStatus
from deskd.domain.reasons import RejectReason


def on_trade_update(desk: Desk, event: ev.TradeUpdated) -> list[Effect]:
    """Return what follows from an event of the trade stream, of an order of ours or of a stranger."""
    fills = (event.fill,) if event.fill else ()
    order = desk.find(event.order)
    if order is not None:
        effects = catching_up.caught_up(
            desk, order, event.order, fills, event.at, asks_for_missing=True, source=Source.STREAM, word=event.event
        )
        if event.event in CORRECTIONS:
            stamp = event.stamp or event.at
            taken = corrections.judged(order, event.order, word=event.event, stamp=stamp, at=event.at)
            effects += map(Record, taken or ())  # fills that are missing come first: a look will tell it again
        return effects
    if adopted := adopting.adoptions(desk, (event.order,), event.at, Source.STREAM):
        effects = adopting.effects_of(desk, adopted, event.at, Source.STREAM, fills)
        # What it replaced ends with its own fills: the broker tells how many.
        return [*effects, *(ef.LookUp(fact.replaces) for fact, _, _ in adopted)]
    # Not ours: an officer trades by hand. Only what moved the account matters, and the house takes it.
    moves_account = event.fill is not None or event.event in CORRECTIONS
    why = f"order {event.order.broker_order_id} is not the desk's"
    return [ef.Reconcile(why, is_routine=True)] if moves_account else []


def on_submit_accepted(desk: Desk, event: ev.SubmitAccepted) -> list[Effect]:
    """Return what follows from the answer that the broker has the order."""
    order = desk.orders[event.client_order_id]
    # Fills that the answer counts are on their way by the stream, with their prices.
    return catching_up.caught_up(desk, order, event.order, (), event.at, asks_for_missing=False, source=_sent_by(order))


def on_submit_rejected(desk: Desk, event: ev.SubmitRejected) -> list[Effect]:
    """Return what follows from the answer that the broker does not take the order, or that it was not sent."""
    order = desk.orders[event.client_order_id]
    if order.broker_order_id is not None:  # the stream said that the broker has it: it knows better
        return [ef.LookUp(event.client_order_id)]
    reason = RejectReason.BROKER_REJECTED if event.was_sent else RejectReason.NOT_SENT
    return catching_up.rejected(desk, order, reason, event.message, at=event.at, source=_sent_by(order))


def on_submit_in_doubt(desk: Desk, event: ev.SubmitInDoubt) -> list[Effect]:
    """Return that nobody knows whether the broker has the order, and the question."""
    order = desk.orders[event.client_order_id]
    effects: list[Effect] = []
    if order.status.is_open and order.broker_order_id is None:
        effects += catching_up.said(
            desk, event.client_order_id, words.IN_DOUBT, event.why, at=event.at, source=_sent_by(order)
        )
    return effects + on_doubt(desk, event.client_order_id)


def on_doubt(desk: Desk, client_order_id: ClientOrderId) -> list[Effect]:
    """Return the question after an order that is still open."""
    order = desk.orders.get(client_order_id)
    is_sent = order is not None and order.status.is_open and not order.is_held and order.split is None
    return [ef.LookUp(client_order_id)] if is_sent else []


def on_cancel_answered(desk: Desk, event: ev.CancelAnswered) -> list[Effect]:
    """Return what follows from the answer to a cancel: it is acknowledged, or refused."""
    oid = event.client_order_id
    order = desk.orders[oid]
    if order.status is not OrderStatus.PENDING_CANCEL:
        return []
    if event.refusal is None:
        return catching_up.said(
            desk, oid, words.ACKNOWLEDGED, "the broker will try to cancel", at=event.at, source=Source.CANCEL
        )
    refused = ev.OrderCancelRefused(client_order_id=oid, message=event.refusal, at=event.at, source=Source.CANCEL)
    # Mostly it is filled already: the look-up brings the fills that crossed the cancel.
    return [Record(refused), ef.LookUp(oid)]


def on_looked_up(desk: Desk, event: ev.OrderLookedUp) -> list[Effect]:
    """Return what follows from what the broker has under the id, and in its place; or from that it has none."""
    order, at = desk.orders.get(event.client_order_id), event.at
    if order is None:
        return []  # an old denial: newer ones pushed it out of memory while the broker was asked
    if event.order is None:
        unknown = catching_up.said(desk, event.client_order_id, words.NOT_FOUND, "", at=at, source=Source.LOOK_UP)
        if order.broker_order_id is not None and order.status.is_open:
            return [*unknown, ef.Reconcile(f"the broker does not find order {event.client_order_id}")]
        if not order.status.is_open:
            return []
        return on_missing(desk, order, at) or unknown
    if desk.find(event.order) is not order:
        return []  # an order of somebody else, in the place of ours
    adopted = adopting.adoptions(desk, event.successors, at, Source.LOOK_UP)
    effects = adopting.effects_of(desk, adopted, at, Source.LOOK_UP)
    heir = next((b for b in event.successors if b.replaces == event.order.broker_order_id), None)
    ours = None if heir is None else desk.find(heir)
    ids = {theirs.broker_order_id: fact.request.client_order_id for fact, _, theirs in adopted}
    successor = None if heir is None else ids.get(heir.broker_order_id)
    if ours is not None:
        successor = ours.request.client_order_id
    effects += catching_up.caught_up(
        desk, order, event.order, event.fills, at, asks_for_missing=False, source=Source.LOOK_UP, successor=successor
    )
    if ours is not None and heir is not None:
        effects += catching_up.caught_up(desk, ours, heir, (), at, asks_for_missing=True, source=Source.LOOK_UP)
    if event.order.status is BrokerStatus.REPLACED and successor is None and order.status.is_open:
        effects += _on_no_successor(order, event, effects)
    return effects


def _on_no_successor(order: Order, event: ev.OrderLookedUp, effects: list[Effect]) -> list[Effect]:
    """Return the end of an order of which the broker says that it was replaced, and names no order in its place."""
    oid = order.request.client_order_id
    assert event.order is not None, "it was found"
    booked = [e.fact for e in effects if isinstance(e, Record) and isinstance(e.fact, ev.OrderFilled)]
    counted = order.counted_qty + sum(f.qty for f in booked)
    has_ended = any(isinstance(e, Record) and isinstance(e.fact, ev.OrderReplaced) for e in effects)
    if has_ended or counted < event.order.filled_qty or counted == order.sent_qty:
        return []
    end = ev.OrderReplaced(client_order_id=oid, replaced_by=None, at=event.at, source=Source.LOOK_UP)
    found = catching_up.discrepancy(oid, "an order in its place", "the broker names none", "closed", event.at)
    return [Record(end), Record(found), ef.Reconcile(f"order {oid} was replaced by nothing")]


def on_missing(desk: Desk, order: Order, at: datetime) -> list[Effect]:
    """Return what follows when the broker says that it does not have the order."""
    if not order.status.is_open or order.is_held or order.split is not None:
        return []
    if order.broker_order_id is not None:
        return _on_lost(desk, order, at)
    if at - order.sent_at < desk.doubt_settle:
        return []  # it may still be on its way: the next look decides
    return catching_up.rejected(
        desk, order, RejectReason.NEVER_ARRIVED, _never_arrived(desk.whole_of(order)), at=at, source=Source.LOOK_UP
    )


def _never_arrived(whole: Order) -> str:
    """Say what became of an order that the broker does not have, or of which it does not have what was left to send.

    The desk died between the fact and the sending, or the line did: which of them nobody knows, so it is not sent again.
    """
    if not whole.filled_qty:
        return "the broker says that it never saw the order: it was not traded; ask again if you still want it"
    left = plain(whole.leaves_qty or NO_QTY)
    figures = f"filled_qty={plain(whole.filled_qty)} leaves_qty={left}"
    return f"{figures}: the broker says that it never saw the rest: it was not traded; ask for it anew if you still want it"


def _on_lost(desk: Desk, order: Order, at: datetime) -> list[Effect]:
    """Return what follows when the broker had the order, and knows it no more: it ends, or it would for ever hold.

    *at* is when the broker was asked. What it acknowledged shortly before then may not be in its lists yet.
    """
    if at - order.updated_at < desk.doubt_settle:
        return []
    oid = order.request.client_order_id
    lost = catching_up.discrepancy(oid, "an order that the broker had", "the broker has none", "closed", at)
    message = "the broker knows the order no more (was its account reset?): what it filled until then is booked"
    return [
        Record(lost),
        *catching_up.rejected(desk, order, RejectReason.BROKER_LOST, message, at=at, source=Source.RECONCILE),
    ]


def _sent_by(order: Order) -> Source:
    """Return by which road the order went to the broker."""
    return Source.SUBMIT if order.request.replacement is None else Source.REPLACE
