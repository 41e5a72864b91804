"""The life of an order.

Rule 1: every change of an order's status happens in this file, through `apply`.
Rule 2: the table is the specification. A pair that is not in it does not happen, whoever reports it.
Rule 3: fills carry their own identity and add up; which of them arrives first does not matter.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import FillId
from deskd.domain.money import Cash, Qty, notional
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
    (S.ACCEPTED, ev.OrderCompleted): S.FILLED,
    (S.ACCEPTED, ev.OrderCanceled): S.CANCELED,
    (S.ACCEPTED, ev.OrderExpired): S.EXPIRED,
    (S.ACCEPTED, ev.OrderRejected): S.REJECTED,  # the broker accepted first, and refused after
    (S.PARTIALLY_FILLED, ev.OrderAccepted): S.PARTIALLY_FILLED,  # the late acknowledgement
    (S.PARTIALLY_FILLED, ev.OrderFilled): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, ev.OrderCancelRequested): S.PENDING_CANCEL,
    (S.PARTIALLY_FILLED, ev.OrderCompleted): S.FILLED,  # notional orders: only the broker knows when they are done
    (S.PARTIALLY_FILLED, ev.OrderCanceled): S.CANCELED,
    (S.PARTIALLY_FILLED, ev.OrderExpired): S.EXPIRED,
    (S.PARTIALLY_FILLED, ev.OrderRejected): S.REJECTED,
    (S.PENDING_CANCEL, ev.OrderAccepted): S.PENDING_CANCEL,
    (S.PENDING_CANCEL, ev.OrderFilled): S.PENDING_CANCEL,  # the fill crossed the cancel
    (S.PENDING_CANCEL, ev.OrderCompleted): S.FILLED,
    (S.PENDING_CANCEL, ev.OrderCanceled): S.CANCELED,
    (S.PENDING_CANCEL, ev.OrderExpired): S.EXPIRED,
    (S.PENDING_CANCEL, ev.OrderRejected): S.REJECTED,
    (S.PENDING_CANCEL, ev.OrderCancelRefused): S.ACCEPTED,  # or partially filled, or in doubt: see `apply`
    (S.CANCELED, ev.OrderFilled): S.CANCELED,  # the broker counts a fill late: it is money, and is booked
    (S.EXPIRED, ev.OrderFilled): S.EXPIRED,
    (S.REJECTED, ev.OrderFilled): S.REJECTED,
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


class ImpossibleTransition(Exception):
    """An event arrived that the table does not allow. Reconcile; never guess."""


def apply(order: Order, fact: ev.OrderFact) -> Order:
    """Return the order as it stands after *fact*; raise ImpossibleTransition where the table has no such row."""
    try:
        status = TRANSITIONS[order.status, type(fact)]
    except KeyError:
        raise ImpossibleTransition(f"{order.status} + {type(fact).__name__}") from None

    if isinstance(fact, ev.OrderFilled):
        return _filled(order, fact, status)
    if isinstance(fact, ev.OrderAccepted):
        return replace(
            order,
            status=status,
            broker_order_id=fact.broker_order_id,
            submitted_at=fact.submitted_at,
            updated_at=fact.at,
        )
    if isinstance(fact, ev.OrderRejected):
        return replace(order, status=status, reason=fact.reason, message=fact.message, updated_at=fact.at)
    if isinstance(fact, ev.OrderCancelRefused):
        return replace(order, status=_before_cancel(order), message=fact.message, updated_at=fact.at)
    return replace(order, status=status, updated_at=fact.at)


def _filled(order: Order, fill: ev.OrderFilled, status: S) -> Order:
    filled_qty = Qty(order.filled_qty + fill.qty)
    asked = order.request.qty
    if asked is not None and filled_qty > asked:
        raise ImpossibleTransition(f"overfill: {filled_qty} of {asked}")
    if filled_qty == asked and status.is_open:
        status = S.FILLED
    return replace(
        order,
        status=status,
        filled_qty=filled_qty,
        filled_notional=Cash(order.filled_notional + notional(fill.qty, fill.price)),
        updated_at=fill.at,
    )


def _before_cancel(order: Order) -> S:
    if order.filled_qty:
        return S.PARTIALLY_FILLED
    return S.ACCEPTED if order.broker_order_id is not None else S.SUBMITTED


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtUp:
    """What must be recorded so that the desk's order stands where the broker's does."""

    facts: tuple[ev.OrderFact, ...]
    misses_fills: bool  # the broker counts more than we were told of: its fills must be fetched


def catch_up(
    order: Order, broker: ev.BrokerOrder, fills: Sequence[Fill], seen: Container[FillId], at: datetime
) -> CaughtUp:
    """Compare our order with the broker's. An end is recorded only when every fill that it counts is booked.

    What the broker says is compared, not obeyed: a status that would go back is ignored, an end that already is
    known is no news, and a fill that is booked is not booked again.
    """
    oid = order.request.client_order_id
    facts: list[ev.OrderFact] = []
    filled_qty = order.filled_qty
    news = {fill.fill_id: fill for fill in fills if fill.fill_id not in seen}
    for fill in news.values():
        facts.append(
            ev.OrderFilled(
                client_order_id=oid, fill_id=fill.fill_id, qty=fill.qty, price=fill.price, filled_at=fill.at, at=at
            )
        )
        filled_qty = Qty(filled_qty + fill.qty)
    if order.status.is_open:
        refused_at_once = broker.status is BrokerStatus.REJECTED and order.broker_order_id is None
        if order.broker_order_id is None and not refused_at_once:
            accepted = ev.OrderAccepted(
                client_order_id=oid,
                broker_order_id=broker.broker_order_id,
                submitted_at=broker.submitted_at,
                legs=legs_of(broker),
                at=at,
            )
            facts.insert(0, accepted)
        is_filled = filled_qty == order.request.qty
        if has_ended(broker) and not is_filled and filled_qty >= broker.filled_qty:
            facts.append(_end(order, broker, at))
    return CaughtUp(facts=tuple(facts), misses_fills=filled_qty < broker.filled_qty)


def _end(order: Order, broker: ev.BrokerOrder, at: datetime) -> ev.OrderFact:
    oid = order.request.client_order_id
    if broker.status is BrokerStatus.FILLED:
        return ev.OrderCompleted(client_order_id=oid, at=at)
    if broker.status is BrokerStatus.EXPIRED:
        return ev.OrderExpired(client_order_id=oid, at=at)
    if broker.status is BrokerStatus.REJECTED:
        return ev.OrderRejected(
            client_order_id=oid,
            reason=RejectReason.BROKER_REFUSED_LATER,
            message="the broker rejected the order after it had accepted it",
            at=at,
        )
    return ev.OrderCanceled(client_order_id=oid, at=at)


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
        if leg.qty is not None
    )
