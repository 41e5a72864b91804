"""The life of an order.

Rule 1: every change of an order's status happens in this file, through `apply`.
Rule 2: the table is the specification. A pair that is not in it does not happen, whoever reports it.
Rule 3: fills carry their own identity and add up; which of them arrives first does not matter.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.events import BrokerStatus, Source
from deskd.domain.ids import ClientOrderId, FillId
from deskd.domain.money import NO_QTY, Cash, Qty, notional
from deskd.domain.order import Fill, Order
from deskd.domain.order import OrderStatus as S
from deskd.domain.reasons import RejectReason

TRANSITIONS: dict[tuple[S, type[ev.OrderFact]], S] = {
    (S.SUBMITTED, ev.OrderAccepted): S.ACCEPTED,
    (S.SUBMITTED, ev.OrderRejected): S.REJECTED,
    (S.SUBMITTED, ev.OrderFilled): S.PARTIALLY_FILLED,  # a fill can overtake the acknowledgement
    (S.SUBMITTED, ev.OrderCancelRequested): S.PENDING_CANCEL,  # wanted while in doubt: sent once the broker has it
    (S.ACCEPTED, ev.OrderFilled): S.PARTIALLY_FILLED,
    (S.ACCEPTED, ev.OrderCancelRequested): S.PENDING_CANCEL,
    (S.ACCEPTED, ev.OrderReplaceRequested): S.PENDING_REPLACE,
    (S.ACCEPTED, ev.OrderRestated): S.ACCEPTED,
    (S.ACCEPTED, ev.OrderCompleted): S.FILLED,
    (S.ACCEPTED, ev.OrderCanceled): S.CANCELED,
    (S.ACCEPTED, ev.OrderExpired): S.EXPIRED,
    (S.ACCEPTED, ev.OrderRejected): S.REJECTED,  # the broker accepted first, and refused after
    (S.ACCEPTED, ev.OrderReplaced): S.REPLACED,  # an officer did it in the broker's own page
    (S.PARTIALLY_FILLED, ev.OrderAccepted): S.PARTIALLY_FILLED,  # the late acknowledgement
    (S.PARTIALLY_FILLED, ev.OrderFilled): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, ev.OrderCancelRequested): S.PENDING_CANCEL,
    (S.PARTIALLY_FILLED, ev.OrderReplaceRequested): S.PENDING_REPLACE,
    (S.PARTIALLY_FILLED, ev.OrderRestated): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, ev.OrderCompleted): S.FILLED,  # notional orders: only the broker knows when they are done
    (S.PARTIALLY_FILLED, ev.OrderCanceled): S.CANCELED,
    (S.PARTIALLY_FILLED, ev.OrderExpired): S.EXPIRED,
    (S.PARTIALLY_FILLED, ev.OrderRejected): S.REJECTED,
    (S.PARTIALLY_FILLED, ev.OrderReplaced): S.REPLACED,
    (S.PENDING_CANCEL, ev.OrderAccepted): S.PENDING_CANCEL,
    (S.PENDING_CANCEL, ev.OrderCancelRequested): S.PENDING_CANCEL,  # it was to come back to the desk, and is to end now
    (S.PENDING_CANCEL, ev.OrderFilled): S.PENDING_CANCEL,  # the fill crossed the cancel
    (S.PENDING_CANCEL, ev.OrderRestated): S.PENDING_CANCEL,
    (S.PENDING_CANCEL, ev.OrderCompleted): S.FILLED,
    (S.PENDING_CANCEL, ev.OrderCanceled): S.CANCELED,
    (S.PENDING_CANCEL, ev.OrderExpired): S.EXPIRED,
    (S.PENDING_CANCEL, ev.OrderRejected): S.REJECTED,
    (S.PENDING_CANCEL, ev.OrderReplaced): S.REPLACED,  # the replace was there before the cancel
    (S.PENDING_CANCEL, ev.OrderReplaceRefused): S.PENDING_CANCEL,
    (S.PENDING_CANCEL, ev.OrderCancelRefused): S.ACCEPTED,  # or where it was: see `apply`
    (S.PENDING_REPLACE, ev.OrderFilled): S.PENDING_REPLACE,  # the fill crossed the replace: it is the old order's
    (S.PENDING_REPLACE, ev.OrderRestated): S.PENDING_REPLACE,
    (S.PENDING_REPLACE, ev.OrderCancelRequested): S.PENDING_CANCEL,
    (S.PENDING_REPLACE, ev.OrderCompleted): S.FILLED,
    (S.PENDING_REPLACE, ev.OrderCanceled): S.CANCELED,
    (S.PENDING_REPLACE, ev.OrderExpired): S.EXPIRED,
    (S.PENDING_REPLACE, ev.OrderRejected): S.REJECTED,
    (S.PENDING_REPLACE, ev.OrderReplaced): S.REPLACED,
    (S.PENDING_REPLACE, ev.OrderReplaceRefused): S.ACCEPTED,  # or where it was: see `apply`
    (S.FILLED, ev.OrderFilled): S.FILLED,  # the broker called it filled after it had undone a fill that nobody had told
    (S.CANCELED, ev.OrderFilled): S.CANCELED,  # the broker counts a fill late: it is money, and is booked
    (S.EXPIRED, ev.OrderFilled): S.EXPIRED,
    (S.REJECTED, ev.OrderFilled): S.REJECTED,
    (S.REPLACED, ev.OrderFilled): S.REPLACED,
    (S.FILLED, ev.OrderReplaceRefused): S.FILLED,  # the refusal is of the new order: this one ended by itself
    (S.CANCELED, ev.OrderReplaceRefused): S.CANCELED,
    (S.EXPIRED, ev.OrderReplaceRefused): S.EXPIRED,
    (S.REJECTED, ev.OrderReplaceRefused): S.REJECTED,
    (S.REPLACED, ev.OrderReplaceRefused): S.REPLACED,  # by somebody else
}

_TERMINAL_AT_BROKER = frozenset(
    {
        BrokerStatus.FILLED,
        BrokerStatus.CANCELED,
        BrokerStatus.EXPIRED,
        BrokerStatus.REPLACED,
        BrokerStatus.REJECTED,
    }
)

_STATUS_WORDS = frozenset(status.value for status in BrokerStatus if status is not BrokerStatus.UNKNOWN)
# Ends that the desk wrote without the broker's word that the order is dead: if it lives, it must go.
ENDED_WITHOUT_BROKER = frozenset(
    {
        RejectReason.BROKER_REJECTED,
        RejectReason.NOT_SENT,
        RejectReason.NEVER_ARRIVED,
        RejectReason.BROKER_LOST,
        RejectReason.HELD_TOO_LONG,
    }
)


class ImpossibleTransition(Exception):
    """An event arrived that the table does not allow. Reconcile; never guess."""


def apply(order: Order, fact: ev.OrderFact) -> Order:
    """Return the order as it stands after *fact*; raise ImpossibleTransition where the table has no such row."""
    try:
        status = TRANSITIONS[order.status, type(fact)]
    except KeyError:
        raise ImpossibleTransition(f"{order.status} + {type(fact).__name__}") from None

    was_recalled = order.is_recalled
    order = replace(order, status=status, updated_at=fact.at, source=getattr(fact, "source", "") or order.source)
    match fact:
        case ev.OrderFilled():
            return _filled(order, fact)
        case ev.OrderAccepted():
            said = fact.broker_status or order.broker_status
            if status is S.ACCEPTED and order.filled_qty:  # at the desk, before it was sent
                order = replace(order, status=S.PARTIALLY_FILLED)
            return replace(
                order, broker_order_id=fact.broker_order_id, submitted_at=fact.submitted_at, broker_status=said
            )
        case ev.OrderRejected():
            said = "" if fact.reason in ENDED_WITHOUT_BROKER else str(BrokerStatus.REJECTED)
            return replace(order, reason=fact.reason, message=fact.message, broker_status=said)
        case ev.OrderCancelRefused():
            heard = spoken("order_cancel_rejected", Source.STREAM)  # the stream says it, too
            return replace(order, status=_resting(order), message=fact.message, last_word=heard)
        case ev.OrderReplaceRequested():
            return replace(order, replaced_by=fact.replaced_by)
        case ev.OrderReplaceRefused():
            if not status.is_open:
                return order if status is S.REPLACED else replace(order, replaced_by=None)
            heard = spoken("order_replace_rejected", Source.STREAM)
            order = replace(order, replaced_by=None, message=fact.message, last_word=heard)
            return order if status is S.PENDING_CANCEL else replace(order, status=_resting(order))
        case ev.OrderReplaced():
            said = str(BrokerStatus.CANCELED if was_recalled else BrokerStatus.REPLACED)
            return replace(order, replaced_by=fact.replaced_by or order.replaced_by, broker_status=said)
        case ev.OrderRestated():
            return _restated(order, fact)
        case ev.OrderCompleted():
            return replace(order, broker_status=str(BrokerStatus.FILLED))
        case ev.OrderCanceled():
            return replace(order, broker_status=str(BrokerStatus.CANCELED))
        case ev.OrderExpired():
            return replace(order, broker_status=str(BrokerStatus.EXPIRED))
        case ev.OrderCancelRequested():
            return replace(order, recalled_for=fact.recalled_for)
        case _:
            assert_never(fact)


def _filled(order: Order, fill: ev.OrderFilled) -> Order:
    if fill.internal_with is not None:
        return _exchanged(order, fill)
    counted_qty = Qty(order.counted_qty + fill.qty)
    asked = order.sent_qty
    if asked is not None and counted_qty > asked:
        raise ImpossibleTransition(f"overfill: {counted_qty} of {asked}")
    status, said = order.status, order.broker_status
    if status.is_open:
        status = S.FILLED if counted_qty == asked else status
        said = str(BrokerStatus.FILLED if counted_qty == asked else BrokerStatus.PARTIALLY_FILLED)
    return replace(
        order,
        status=status,
        filled_qty=Qty(order.filled_qty + fill.qty),
        filled_notional=Cash(order.filled_notional + notional(fill.qty, fill.price)),
        broker_status=said,
    )


def _exchanged(order: Order, fill: ev.OrderFilled) -> Order:
    """Return the order after an internal fill: it is the desk's as long as anything of it is left there."""
    leaves = order.leaves_qty
    if order.broker_order_id is not None or leaves is None or fill.qty > leaves:
        raise ImpossibleTransition(f"an internal fill of {fill.qty} of {leaves} that are left at the desk")
    worth = notional(fill.qty, fill.price)
    return replace(
        order,
        status=S.FILLED if fill.qty == leaves else S.SUBMITTED,
        filled_qty=Qty(order.filled_qty + fill.qty),
        filled_notional=Cash(order.filled_notional + worth),
        internal_qty=Qty(order.internal_qty + fill.qty),
        internal_notional=Cash(order.internal_notional + worth),
    )


def _restated(order: Order, fact: ev.OrderRestated) -> Order:
    if fact.qty < order.done_qty:
        raise ImpossibleTransition(f"restated to {fact.qty}, of which {order.done_qty} are filled")
    status = S.FILLED if fact.qty == order.done_qty else order.status
    return replace(order, status=status, restated_qty=fact.qty)


def _resting(order: Order) -> S:
    """Return where an open order is when no cancel is pending."""
    if order.replaced_by is not None:
        return S.PENDING_REPLACE
    if order.filled_qty:
        return S.PARTIALLY_FILLED
    return S.ACCEPTED if order.broker_order_id is not None else S.SUBMITTED


def adopt(fact: ev.OrderAdopted, old: Order) -> Order:
    """Return the order that somebody put in the place of *old*, as one of the same strategy."""
    return Order(
        request=fact.request,
        status=S.ACCEPTED,
        requested_at=fact.at,
        updated_at=fact.at,
        submitted_at=fact.submitted_at,
        broker_order_id=fact.broker_order_id,
        parent_id=old.parent_id,
        broker_status=fact.broker_status,
        source=fact.source,
        replaces=fact.replaces,
    )


def come_back(fact: ev.OrderReturned) -> Order:
    """Return what is left of an order that the broker let go of, as the order that waits at the desk in its place."""
    return Order(
        request=fact.request,
        status=S.SUBMITTED,
        requested_at=fact.at,
        updated_at=fact.at,
        reason=fact.reason,
        message=fact.message,
        replaces=fact.replaces,
        held_until=fact.until,
        lives_until=fact.lives_until,
        recalled_for=fact.recalled_for,
    )


def wait(order: Order, fact: ev.OrderHeld | ev.OrderReleased) -> Order:
    """Return the order as it waits at the desk, or as it leaves for the broker after that."""
    if isinstance(fact, ev.OrderHeld):
        return replace(
            order,
            held_until=fact.until,
            lives_until=fact.lives_until,
            reason=fact.reason,
            message=fact.message,
            updated_at=fact.at,
        )
    return replace(order, held_until=None, released_at=fact.at, reason=None, message=None, updated_at=fact.at)


def stepped(order: Order, by: timedelta) -> Order:
    """Return the order where the desk's clock was set *by* so much: as old as it was, and waiting for as long."""
    split = order.split
    if split is not None:
        waits_since = None if split.waits_since is None else split.waits_since + by
        split = replace(split, until=split.until + by, waits_since=waits_since)
    return replace(
        order,
        requested_at=order.requested_at + by,
        updated_at=order.updated_at + by,
        held_until=None if order.held_until is None else order.held_until + by,
        released_at=None if order.released_at is None else order.released_at + by,
        lives_until=None if order.lives_until is None else order.lives_until + by,
        split=split,
    )


def hear(order: Order, said: ev.BrokerSaid) -> Order:
    """Return the order with the broker's word kept: no status of ours changes by it."""
    if said.word in _STATUS_WORDS:
        return replace(order, broker_status=said.word, source=said.source)
    return replace(order, last_word=spoken(said.word, said.source), source=said.source)


def is_news(order: Order, word: str, source: str) -> bool:
    """Tell whether the broker's *word* about *order* is another one than the last of its kind."""
    return order.broker_status != word if word in _STATUS_WORDS else order.last_word != spoken(word, source)


def spoken(word: str, source: str) -> str:
    """Return how a word that is no status is remembered: a doubt about a cancel is not one about the order."""
    return f"{source} {word}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtUp:
    """What must be recorded so that the desk's order stands where the broker's does."""

    facts: tuple[ev.OrderFact, ...]
    misses_fills: bool  # the broker counts more than we were told of: its fills must be fetched
    misses_successor: bool = False  # it was replaced, and nobody knows by which order: that must be asked for
    surplus: tuple[ev.HouseAdjusted, ...] = ()  # executed beyond what the order is for


def catch_up(
    order: Order,
    broker: ev.BrokerOrder,
    fills: Sequence[Fill],
    seen: Container[FillId],
    at: datetime,
    *,
    source: str = "",
    successor: ClientOrderId | None = None,
) -> CaughtUp:
    """Compare our order with the broker's. An end is recorded only when every fill that it counts is booked.

    What the broker says is compared, not obeyed: a status that would go back is ignored, an end that already is
    known is no news, and a fill that is booked is not booked again. An order that was replaced ends once it is known
    by which: *successor*, an order of ours.
    """
    oid = order.request.client_order_id
    facts: list[ev.OrderFact] = []
    filled_qty, qty, misses_successor = order.counted_qty, order.sent_qty, False
    if order.status.is_open:
        refused_at_once = broker.status is BrokerStatus.REJECTED and order.broker_order_id is None
        if order.broker_order_id is None and not refused_at_once:
            accepted = ev.OrderAccepted(
                client_order_id=oid,
                broker_order_id=broker.broker_order_id,
                submitted_at=broker.submitted_at,
                legs=legs_of(broker),
                at=at,
                source=source,
                broker_status=broker.raw_status,
            )
            facts.append(accepted)
        if restated := restates(order, broker, at, source):
            facts.append(restated)
            qty = Qty(restated.qty - order.internal_qty)
    news = {name: fill for fill in fills if (name := order.identity(fill)) not in seen}
    filled, surplus = booked(order, tuple(news.values()), at, source, qty=qty)
    facts += filled
    filled_qty = Qty(filled_qty + sum((fill.qty for fill in news.values()), NO_QTY))
    is_whole = qty is not None and filled_qty >= qty  # then its last fill ends it
    if order.status.is_open and has_ended(broker) and not is_whole and filled_qty >= broker.filled_qty:
        misses_successor = broker.status is BrokerStatus.REPLACED and successor is None
        if not misses_successor:
            facts.append(_end(order, broker, at, source, successor))
    return CaughtUp(
        facts=tuple(facts),
        misses_fills=filled_qty < broker.filled_qty,
        misses_successor=misses_successor,
        surplus=surplus,
    )


def restates(order: Order, broker: ev.BrokerOrder, at: datetime, source: str) -> ev.OrderRestated | None:
    """Return the fact that the broker's order is for less than ours, or None.

    Only a leg may grow: with its entry. Anything else that is for more than was asked is not believed.
    """
    if broker.qty is None or order.sent_qty is None or broker.qty == order.sent_qty or not order.status.is_open:
        return None
    if broker.qty > order.sent_qty and order.parent_id is None:
        return None
    if broker.qty <= NO_QTY or broker.qty < max(order.counted_qty, broker.filled_qty):
        return None  # an order for nothing is none: it would be filled with no fill
    qty = Qty(broker.qty + order.internal_qty)
    return ev.OrderRestated(client_order_id=order.request.client_order_id, qty=qty, at=at, source=source)


def booked(
    order: Order, fills: Sequence[Fill], at: datetime, source: str, *, qty: Qty | None
) -> tuple[tuple[ev.OrderFilled, ...], tuple[ev.HouseAdjusted, ...]]:
    """Return the facts of executions of an order for *qty*: what fits is the strategy's, the house takes the rest."""
    filled: list[ev.OrderFilled] = []
    surplus: list[ev.HouseAdjusted] = []
    counted = order.counted_qty
    for fill in fills:
        fits = fill.qty if qty is None else Qty(min(fill.qty, max(qty - counted, NO_QTY)))
        counted = Qty(counted + fill.qty)
        if fits:
            filled.append(
                ev.OrderFilled(
                    client_order_id=order.request.client_order_id,
                    fill_id=order.identity(fill),
                    qty=fits,
                    price=fill.price,
                    filled_at=fill.at,
                    at=at,
                    source=source,
                )
            )
        if fits < fill.qty:
            surplus.append(_surplus(order, fill, Qty(fill.qty - fits), at))
    return tuple(filled), tuple(surplus)


def _surplus(order: Order, fill: Fill, qty: Qty, at: datetime) -> ev.HouseAdjusted:
    request = order.request
    signed = Qty(request.side.sign * qty)
    return ev.HouseAdjusted(
        cash=Cash(-signed * fill.price),
        symbol=request.symbol,
        qty=signed,
        price=fill.price,
        why=f"the broker executed more of order {request.client_order_id} than it was for",
        at=at,
        cause=HouseCause.OVERFILL,
        broker_order_id=order.broker_order_id,
        client_order_id=request.client_order_id,
        stamp=fill.at,
        fill_id=order.identity(fill),
    )


def overfilled(order: Order, fact: ev.HouseAdjusted) -> Order:
    """Return the order with what the house took of its executions: the broker counts that, too."""
    assert fact.price is not None, "an execution has a price"
    more = Qty(abs(fact.qty))
    return replace(
        order,
        surplus_qty=Qty(order.surplus_qty + more),
        surplus_notional=Cash(order.surplus_notional + notional(more, fact.price)),
        updated_at=fact.at,
    )


def _end(
    order: Order, broker: ev.BrokerOrder, at: datetime, source: str, successor: ClientOrderId | None
) -> ev.OrderFact:
    oid = order.request.client_order_id
    if broker.status is BrokerStatus.FILLED:
        return ev.OrderCompleted(client_order_id=oid, at=at, source=source)
    if broker.status is BrokerStatus.EXPIRED:
        return ev.OrderExpired(client_order_id=oid, at=at, source=source)
    if broker.status is BrokerStatus.REPLACED:
        return ev.OrderReplaced(client_order_id=oid, replaced_by=successor, at=at, source=source)
    if broker.status is BrokerStatus.REJECTED:
        return ev.OrderRejected(
            client_order_id=oid,
            reason=RejectReason.BROKER_REFUSED_LATER,
            message="the broker rejected the order after it had accepted it",
            at=at,
            source=source,
        )
    return ev.OrderCanceled(client_order_id=oid, at=at, source=source)


def has_ended(broker: ev.BrokerOrder) -> bool:
    """Tell whether the broker calls the order over."""
    return broker.status in _TERMINAL_AT_BROKER


def legs_of(broker: ev.BrokerOrder) -> tuple[ev.LegSpec, ...]:
    """Return the legs that the broker names. One without a quantity is none: ours are asked for in shares."""
    return tuple(
        ev.LegSpec(
            client_order_id=leg.client_order_id,
            broker_order_id=leg.broker_order_id,
            side=leg.side,
            order_type=leg.order_type,
            time_in_force=leg.time_in_force,
            qty=leg.qty,
            limit_price=leg.limit_price,
            stop_price=leg.stop_price,
        )
        for leg in broker.legs
        if leg.qty is not None and leg.qty > 0
    )
