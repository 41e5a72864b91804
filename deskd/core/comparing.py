"""What follows from a look at the account, once our orders are caught up: names first, then differences.

Rule 1: what the broker's history explains is booked by its name before books and account are compared.
Rule 2: a correction is judged by totals that are younger than it. Where fills are missing, or the stream has told more
        of that very order since, it waits for the next look; what others trade meanwhile does not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from deskd.core import activities, corrections, reconcile
from deskd.core.portfolio import Portfolio
from deskd.core.standing import CASH, Standing
from deskd.domain import events as ev
from deskd.domain.activity import Activity
from deskd.domain.effects import Effect, LookUp, Record
from deskd.domain.ids import HOUSE, ActivityId, BrokerOrderId, ClientOrderId
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Qty
from deskd.domain.order import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the desk knows."""

    orders: Mapping[ClientOrderId, Order]
    portfolio: Portfolio
    standing: Standing
    last: ev.AccountReconciled | None
    count: int  # of executions in the books


def compared(
    snapshot: ev.BrokerSnapshot, news: activities.SortedOut, caught: Sequence[Effect], known: Known
) -> list[Effect]:
    """Return what follows beside *caught*, by which our orders are brought to where the broker's are."""
    found = [e.fact for e in caught if isinstance(e, Record) and isinstance(e.fact, ev.OrderFilled)]
    surplus = [e.fact for e in caught if isinstance(e, Record) and isinstance(e.fact, ev.HouseAdjusted)]
    named, seen = _named(snapshot, news, [*found, *surplus], known)
    movements = [_of_fill(fill, known.orders[fill.client_order_id]) for fill in found]
    movements += [_of_house(fact) for fact in (*surplus, *named) if isinstance(fact, ev.HouseAdjusted)]
    executions = {fact.fill_id for fact in found} | {fact.fill_id for fact in surplus}
    more = len(executions) + sum(isinstance(f, ev.FillCorrected) for f in named)
    books = reconcile.Books.of(known.portfolio, movements, count=known.count, more=more)
    books = replace(books, in_question=_in_question(caught, known))
    return [*map(Record, named), *reconcile.judged(snapshot, books, known.last, known.standing, seen)]


def _in_question(caught: Sequence[Effect], known: Known) -> frozenset[str]:
    """Return what an answer that is asked for now may yet move: a fill that nobody told is a member's."""
    asked = [
        known.orders[e.client_order_id] for e in caught if isinstance(e, LookUp) and e.client_order_id in known.orders
    ]
    return frozenset(order.request.symbol for order in asked) | frozenset({CASH} if asked else ())


def _named(
    snapshot: ev.BrokerSnapshot,
    news: activities.SortedOut,
    found: Sequence[ev.OrderFilled | ev.HouseAdjusted],
    known: Known,
) -> tuple[list[ev.Fact], list[tuple[ActivityId, datetime]]]:
    """Return what the house takes by name, and the lines of history of which nothing has to be booked."""
    theirs = {one.broker_order_id: one for one in snapshot.orders}
    facts: list[ev.Fact] = []
    seen = list(news.seen)
    corrected: set[ClientOrderId] = set()
    for order, line in news.corrections:
        oid = order.request.client_order_id
        taken = _corrected(snapshot, order, line, theirs, [f for f in found if f.client_order_id == oid], known)
        if taken is None:
            continue
        if not taken or oid in corrected:  # the stream told it, or the totals hold more than one
            seen.append((line.activity_id, line.at))
            continue
        facts += taken
        corrected.add(oid)
    held = {s for book in known.portfolio.books.values() if book.strategy_id != HOUSE for s in book.held()}
    by_hand = dict(known.standing.by_hand)
    for line in news.others:
        moved = activities.explained(line, theirs, by_hand)
        facts += activities.taken(moved, snapshot.at, held_by_members=held, frozen=known.standing.frozen)
    return facts, seen


def _corrected(  # noqa: PLR0917  all that one correction is judged by
    snapshot: ev.BrokerSnapshot,
    order: Order,
    line: Activity,
    theirs: Mapping[BrokerOrderId, ev.BrokerOrder],
    found: Sequence[ev.OrderFilled | ev.HouseAdjusted],
    known: Known,
) -> list[ev.Fact] | None:
    """Return the facts of one correction; None where it cannot be judged by this look."""
    # By the line's own id: an order that the desk gave up never got one.
    broker = None if line.broker_order_id is None else theirs.get(line.broker_order_id)
    if broker is None or not _is_as_it_was(order, snapshot, known):
        return None
    return corrections.judged(
        order,
        broker,
        word=line.execution,
        stamp=line.at,
        at=snapshot.at,
        activity_id=line.activity_id,
        found_qty=Qty(sum((abs(fill.qty) for fill in found), NO_QTY)),
        found_notional=Cash(sum((abs(fill.qty) * (fill.price or ZERO) for fill in found), NO_CASH)),
    )


def _is_as_it_was(order: Order, snapshot: ev.BrokerSnapshot, known: Known) -> bool:
    """Tell whether nothing was heard of the order since the broker was asked."""
    if snapshot.fill_count == known.count:
        return True
    return snapshot.asked_at is not None and order.updated_at < snapshot.asked_at


def _of_fill(fill: ev.OrderFilled, order: Order) -> reconcile.Movement:
    signed = Qty(order.request.side.sign * fill.qty)
    return reconcile.Movement(order.request.symbol, signed, Cash(-signed * fill.price))


def _of_house(fact: ev.HouseAdjusted) -> reconcile.Movement:
    return reconcile.Movement(fact.symbol, fact.qty, fact.cash)
