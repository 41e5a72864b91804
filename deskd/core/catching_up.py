"""One order brought to where the broker's is, by whatever road its word came: facts, cancels, legs, questions.

Rule 1: what the order table forbids is not recorded; a discrepancy is, and the account is looked at.
Rule 2: what the word leaves open (fills, legs, a successor) is asked for.
Rule 3: the same word again is no news.
Rule 4: what the broker executed beyond what an order is for is the house's, by that name; the order ends as filled.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from deskd.core import lifecycle, words
from deskd.core.desk import Desk
from deskd.core.lifecycle import ENDED_WITHOUT_BROKER, ImpossibleTransition, is_news
from deskd.core.words import Follows
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record
from deskd.domain.events import BrokerStatus, Source
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import Qty, plain
from deskd.domain.order import Fill, Order, OrderClass, OrderStatus
from deskd.domain.reasons import RejectReason

CANCEL_AGAIN = timedelta(seconds=5)  # a cancel without an answer is asked for again
# Of an order in these, nothing can be canceled, or a cancel is under way.
_PAST_CANCEL = frozenset({BrokerStatus.PENDING_CANCEL, BrokerStatus.UNKNOWN})


def caught_up(
    desk: Desk,
    order: Order,
    broker: ev.BrokerOrder,
    fills: tuple[Fill, ...],
    at: datetime,
    *,
    asks_for_missing: bool,
    source: str = Source.RECONCILE,
    word: str = "",
    successor: ClientOrderId | None = None,
) -> list[Effect]:
    """Return what follows from the broker's word on *order*, *word* or else its status (core/words.py)."""
    oid = order.request.client_order_id
    word = word or broker.raw_status
    successor = successor or _successor(desk, order, broker)
    if order.status is OrderStatus.DENIED:
        fills = ()  # it never left: what the broker calls by its id is another's
    caught = lifecycle.catch_up(order, broker, fills, desk.fill_ids, at, source=source, successor=successor)
    effects: list[Effect] = [*recorded(order, caught.facts), *overfilled(order, caught.surplus)]
    if note := words.noted(order, broker, word, at=at, source=source):
        effects.append(Record(note))
    effects += _outcome(desk, order, broker, word, at=at, source=source)
    if source in {Source.LOOK_UP, Source.RECONCILE} and _is_alive(broker) and _has_failed_to_replace(desk, order):
        text = "the new order ended without life, and this one lives"
        back = ev.OrderReplaceRefused(client_order_id=oid, message=text, at=at, source=source)
        effects += recorded(order, (back,))
    if order.broker_order_id is None and order.status.is_open and effects:
        effects.append(ef.Reply(oid))
    if order.status is OrderStatus.PENDING_CANCEL and _is_to_cancel(order, broker, at, source):
        effects.append(ef.Cancel(oid, broker.broker_order_id))
    effects += _legs_found(desk, order, broker, at, source)
    misses = caught.misses_fills or (not broker.legs and lacks_legs(desk, order)) or caught.misses_successor
    if asks_for_missing and misses:
        effects.append(ef.LookUp(oid))
    return effects


def _is_to_cancel(order: Order, broker: ev.BrokerOrder, at: datetime, source: str) -> bool:
    """Tell whether a cancel is sent now: it had to wait for the broker's id, or it got stuck."""
    if order.broker_order_id is None:
        return not lifecycle.has_ended(broker)
    is_stuck = source == Source.LOOK_UP or (source == Source.RECONCILE and at - order.updated_at >= CANCEL_AGAIN)
    return is_stuck and _is_alive(broker)


def _outcome(desk: Desk, order: Order, broker: ev.BrokerOrder, word: str, *, at: datetime, source: str) -> list[Effect]:
    """Return what follows from a word beside what was caught up."""
    oid, outcome = order.request.client_order_id, words.follows(order.status, word)
    if outcome is Follows.FORBIDDEN:
        if not is_news(order, word, source):
            return []
        found = discrepancy(oid, f"no {word} of an order that is {order.status}", word, "reconcile", at)
        return [Record(found), ef.Reconcile(f"order {oid}: {order.status} + {word}")]
    if outcome is Follows.COMPARED:
        return [ef.Reconcile(f"order {oid}: {word}")]
    if outcome is Follows.REVIVED and order.reason in ENDED_WITHOUT_BROKER:
        found = discrepancy(oid, str(order.reason), f"the broker has it after all: {word}", "cancel", at)
        after_all = said(desk, oid, word, "after all", at=at, source=source)
        cancel = [ef.Cancel(oid, broker.broker_order_id)] if _is_alive(broker) else []
        return [*([Record(found)] if after_all else []), *after_all, *cancel]
    if outcome is Follows.CANCEL_REFUSED:
        refused = ev.OrderCancelRefused(client_order_id=oid, message=f"the broker: {word}", at=at, source=source)
        return [Record(refused), ef.LookUp(oid)]
    if outcome is Follows.REPLACE_REFUSED and order.replaced_by is not None:
        new = desk.orders[order.replaced_by]
        return [
            *rejected(desk, new, RejectReason.BROKER_REJECTED, f"the broker: {word}", at=at, source=source),
            ef.LookUp(order.replaced_by),
        ]
    return []


def _has_failed_to_replace(desk: Desk, order: Order) -> bool:
    """Tell whether the order that was to take the place of an open one is over, and did nothing."""
    new = None if order.replaced_by is None or not order.status.is_open else desk.orders[order.replaced_by]
    return new is not None and not new.status.is_open and not new.filled_qty


def _successor(desk: Desk, order: Order, broker: ev.BrokerOrder) -> ClientOrderId | None:
    """Return the order of ours that took the place of *order*, where it is known."""
    if broker.replaced_by is not None and broker.replaced_by in desk.by_broker_id:
        return desk.by_broker_id[broker.replaced_by]
    new = None if order.replaced_by is None else desk.orders[order.replaced_by]
    # The broker's answer to our own replace is under way.
    return order.replaced_by if new is not None and new.status.is_open and new.broker_order_id is None else None


def _legs_found(desk: Desk, order: Order, broker: ev.BrokerOrder, at: datetime, source: str) -> list[Effect]:
    """Return the legs of an order that was acknowledged without them, and questions after those that moved on."""
    effects: list[Effect] = []
    # What took the order's place is on record: this word of its legs, which are that one's now, is older.
    new = None if order.replaced_by is None else desk.orders.get(order.replaced_by)
    is_old = new is not None and new.broker_order_id is not None
    for leg in () if is_old else broker.legs:
        if (known := desk.orders.get(leg.client_order_id)) and known.broker_order_id == leg.broker_order_id:
            restated = lifecycle.restates(known, leg, at, source)
            effects += recorded(known, (restated,) if restated else ())
    if not lacks_legs(desk, order) or not broker.legs:
        return effects
    is_unheard = order.broker_order_id is None and order.status.is_open
    if is_unheard and broker.status is BrokerStatus.REJECTED:
        return effects  # it ends without an acknowledgement, and its legs with it
    if not is_unheard:  # else the acknowledgement carries them
        oid = order.request.client_order_id
        found = ev.LegsFound(client_order_id=oid, legs=lifecycle.legs_of(broker), at=at, source=source)
        effects.append(Record(found))
    moved_on = [leg for leg in broker.legs if leg.filled_qty or lifecycle.has_ended(leg)]
    return [*effects, *(ef.LookUp(leg.client_order_id) for leg in moved_on)]


def lacks_legs(desk: Desk, order: Order) -> bool:
    """Tell whether the broker made legs for the order that the desk does not know yet."""
    is_carrier = order.request.order_class is not OrderClass.SIMPLE and order.parent_id is None
    lives_on = order.status.is_open or bool(order.filled_qty)  # legs end with an entry that never filled
    if order.status is OrderStatus.REPLACED:
        return False  # its legs went to the order in its place
    if order.replaces is not None and desk.legs.get(order.replaces):
        return False  # it will have those of the order that it replaces
    return is_carrier and lives_on and not desk.legs.get(order.request.client_order_id)


def recorded(order: Order, facts: tuple[ev.OrderFact, ...]) -> list[Effect]:
    """Return the facts as effects; from the first that the table forbids on, record a discrepancy instead."""
    effects: list[Effect] = []
    for fact in facts:
        try:
            order = lifecycle.apply(order, fact)
        except ImpossibleTransition as impossible:
            oid = order.request.client_order_id
            word, source = f"forbidden: {impossible}", getattr(fact, "source", "")
            if is_news(order, word, source):  # else every look at the account would call for another
                effects.append(Record(discrepancy(oid, "the order table", str(impossible), "reconcile", fact.at)))
                effects.append(Record(words.said(order, word, "not applied", at=fact.at, source=source)))
                effects.append(ef.Reconcile(f"order {oid}: {impossible}"))
            break
        effects.append(Record(fact))
    return effects


def overfilled(order: Order, surplus: Sequence[ev.HouseAdjusted]) -> list[Effect]:
    """Return what the house takes of executions that nobody asked for, and the discrepancy that it is."""
    effects: list[Effect] = []
    for taken in surplus:
        oid = order.request.client_order_id
        text = f"the broker executed {plain(Qty(abs(taken.qty)))} more ({taken.fill_id})"
        asked = f"no more than {plain(order.qty)} shares" if order.qty is not None else "an order for money"
        effects += [Record(discrepancy(oid, asked, text, "house", taken.at)), Record(taken)]
        effects.append(ef.Reconcile(f"order {oid} was overfilled"))
    return effects


def rejected(
    desk: Desk, order: Order, reason: RejectReason, message: str, *, at: datetime, source: str
) -> list[Effect]:
    """Return the order ended without life; what it was to replace is back where it was."""
    oid = order.request.client_order_id
    if not order.status.is_open:
        return []
    fact = ev.OrderRejected(client_order_id=oid, reason=reason, message=message, at=at, source=source)
    effects = recorded(order, (fact,))
    old = None if order.replaces is None else desk.orders[order.replaces]
    if old is not None and old.replaced_by == oid:
        old_oid = old.request.client_order_id
        if old.status.is_open:
            back = ev.OrderReplaceRefused(client_order_id=old_oid, message=message, at=at, source=source)
            effects += recorded(old, (back,))
        # Mostly it is filled already, or somebody else replaced it.
        effects += [ef.LookUp(old_oid)] if reason is not RejectReason.NOT_SENT else []
    return [*effects, ef.Reply(oid)]


def said(desk: Desk, oid: ClientOrderId, word: str, detail: str, *, at: datetime, source: str) -> list[Effect]:
    """Return the fact that the broker said so, if it is another word than the last."""
    order = desk.orders[oid]
    return [Record(words.said(order, word, detail, at=at, source=source))] if is_news(order, word, source) else []


def discrepancy(subject: str, expected: str, actual: str, action: str, at: datetime) -> ev.DiscrepancyFound:
    """Return the fact that the desk and the broker differ, and what the desk did about it."""
    return ev.DiscrepancyFound(subject=subject, expected=expected, actual=actual, action=action, at=at)


def _is_alive(broker: ev.BrokerOrder) -> bool:
    """Tell whether the broker's order is one that a cancel can end."""
    return not lifecycle.has_ended(broker) and broker.status not in _PAST_CANCEL
