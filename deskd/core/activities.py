"""What the account's history means for the books.

Rule 1: an execution of one of our orders is a member's fill, by the fill's own name, however late it is found.
Rule 2: all else is the house's, as a fact that names its cause and the line of history it comes from.
Rule 3: what was there before the desk first read the history is in the opening balance, or was booked before lines had
        names: such lines are noted, and not booked.
Rule 4: what a correction of a trade by hand moves its line does not say: it is what the order's totals at the broker are
        beside what the house has booked of it.
Rule 5: shares that a split or the like gave are the house's until an officer distributes them; until then the symbol is
        frozen where members hold it (docs/decisions/0024).
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from deskd.core.standing import DISTRIBUTE, ByHand, Standing
from deskd.domain import events as ev
from deskd.domain.activity import CHANGES_SHARES, CORRECT, Activity
from deskd.domain.ids import ActivityId, BrokerOrderId, ClientOrderId, FillId, Symbol
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Qty, plain
from deskd.domain.order import Fill, Order

_CASH_STEP = Decimal("0.000001")  # the broker's average price is rounded; times the quantity this can be told

type Owner = Callable[[BrokerOrderId], Order | None]  # our order of that broker_order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedOut:
    """The new lines of the history, by what becomes of them."""

    fills: dict[ClientOrderId, list[Fill]] = field(default_factory=dict)
    corrections: list[tuple[Order, Activity]] = field(default_factory=list)
    others: list[Activity] = field(default_factory=list)  # the house's
    seen: list[tuple[ActivityId, datetime]] = field(default_factory=list)  # noted, not booked


def sorted_out(
    snapshot: ev.BrokerSnapshot,
    standing: Standing,
    owner: Owner,
    booked: Container[FillId],
    held_back: Container[Symbol | None] = frozenset(),
) -> SortedOut:
    """Sort what the snapshot brought; *booked* are the fills that the books have.

    A stranger's execution in one of the symbols *held_back* may be of a leg that the desk was not told of yet.
    """
    news = SortedOut()
    is_first = standing.read_until is None
    for one in snapshot.activities:
        order = None if one.broker_order_id is None else owner(one.broker_order_id)
        if order is not None and one.fill is not None:
            if order.identity(one.fill) not in booked:
                news.fills.setdefault(order.request.client_order_id, []).append(one.fill)
        elif not is_news(one, standing):
            continue
        elif is_first:
            news.seen.append((one.activity_id, one.at))
        elif order is not None:
            news.corrections.append((order, one))
        elif one.fill is not None and one.symbol in held_back:
            continue  # neither booked nor noted: the next look knows whose it is
        else:
            news.others.append(one)
    return news


def is_news(activity: Activity, standing: Standing) -> bool:
    """Tell whether the line may still have to be booked: it is not known, and not of a time that was forgotten."""
    is_forgotten = standing.forgotten_until is not None and activity.at <= standing.forgotten_until
    return activity.activity_id not in standing.known and not is_forgotten


def explained(
    activity: Activity, theirs: Mapping[BrokerOrderId, ev.BrokerOrder], by_hand: dict[BrokerOrderId, ByHand]
) -> Activity:
    """Return the line with the cash that it moved, and count it in *by_hand*, what the house has of strange orders."""
    oid = activity.broker_order_id
    if oid is None:
        return activity
    before, order = by_hand.get(oid, ByHand(qty=NO_QTY, cash=NO_CASH)), theirs.get(oid)
    if activity.execution == CORRECT and order is not None and order.filled_avg_price is not None:
        signed = Qty(order.side.sign * order.filled_qty)
        if signed == before.qty:  # else some of its fills were there before the desk's first look
            moved = -signed * order.filled_avg_price - before.cash
            activity = replace(activity, cash=Cash(moved.quantize(_CASH_STEP)))
    by_hand[oid] = ByHand(qty=Qty(before.qty + activity.qty), cash=Cash(before.cash + activity.cash))
    return activity


def taken(
    activity: Activity, at: datetime, *, held_by_members: Container[Symbol], frozen: Mapping[Symbol, ev.SymbolFrozen]
) -> list[ev.Fact]:
    """Return the facts by which the house takes a line that is no fill of ours."""
    cause = activity.cause
    facts: list[ev.Fact] = [
        ev.HouseAdjusted(
            cash=activity.cash,
            symbol=activity.symbol,
            qty=activity.qty,
            price=activity.price,
            why=_why(activity),
            at=at,
            cause=cause,
            activity_id=activity.activity_id,
            broker_order_id=activity.broker_order_id,
            stamp=activity.at,
        )
    ]
    symbol = activity.symbol
    if cause in CHANGES_SHARES and symbol is not None and activity.qty and symbol in held_by_members:
        text = f"{cause}: the broker has {plain(activity.qty)} shares more; members' books are as before"
        facts.append(
            ev.DiscrepancyFound(
                subject=symbol, expected="members' books", actual=text, action=DISTRIBUTE, at=at, more=ZERO
            )
        )
        if symbol not in frozen:
            facts.append(ev.SymbolFrozen(symbol=symbol, why=text, at=at))
    return facts


def _why(activity: Activity) -> str:
    if activity.broker_order_id is None:
        return f"{activity.kind}: {activity.description}" if activity.description else activity.kind
    side = "" if activity.side is None else f"{activity.side} "
    return f"{side}order {activity.broker_order_id} is not the desk's"
