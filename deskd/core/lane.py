"""The order lane: what the gate has approved, held against the broker's rules for the account that all share.

An order that the broker would refuse because of another order is stopped here, and its author is told why: with whom
in general terms, and what to do. Names are for officers; a member never learns who else trades, nor at which price.

Rule 1: everything that may live at the broker counts: orders in doubt, and those whose cancel is under way.
Rule 2: those that wait at the desk count, too, where they come before it (core/precedence.py): nobody overtakes to
        another's harm. What becomes of who waits is the line's (core/line.py).
Rule 3: nobody waits for himself. An order that its author's own order is in the way of is denied.
Rule 4: an order that would take the account across zero goes in parts, where it can (core/splitting.py): what closes
        now, and the rest when that is filled. Neither may have anything in its way when it is asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from deskd.core import closing, conflicts, precedence, rivals, splitting
from deskd.core.checks import Finding, Valued
from deskd.core.conflicts import Conflict, Rival, Rule
from deskd.core.desk import Desk
from deskd.core.gate import Verdict
from deskd.domain import events as ev
from deskd.domain.events import Checked
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.market import Quote
from deskd.domain.money import ZERO, Qty, plain
from deskd.domain.order import Order, OrderClass, OrderRequest, OrderType, TimeInForce
from deskd.domain.reasons import DenialReason as R

CHECK = "nothing_is_in_its_way"  # the lane's name among the gate's checks
WINDOW_CHECK = "auction_takes_it"
_AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})
_REASONS = {
    Rule.HELD: R.CONFLICT_HELD,
    Rule.ZERO: R.CONFLICT_ZERO,
    Rule.OPENING: R.CONFLICT_OPENING,
    Rule.WASH: R.CONFLICT_WASH,
    Rule.POSITION: R.CONFLICT_POSITION,
}


def conflict_of(
    desk: Desk, request: OrderRequest, qty: Qty, *, replaces: Order | None = None, ahead: Sequence[Order] = ()
) -> Conflict | None:
    """Return which of the broker's rules an order for *qty* would break beside what is open, and *ahead* of it."""
    group = set() if replaces is None else set(_group(desk, replaces))
    position_qty, side = desk.portfolio.total_qty(request.symbol), request.side
    # A trailing stop may have been triggered unheard: what takes its place is then judged as a market order.
    is_sure = replaces is None or replaces.request.order_type is not OrderType.TRAILING_STOP
    new = conflicts.newcomer(
        request, rivals.most_shares(request, qty), is_exit=replaces is not None and replaces.parent_id is not None
    )
    new = new if is_sure else replace(new, is_exempt=False)
    opens, is_flat = position_qty * side.sign >= 0, not position_qty
    orders = [
        order
        for order in desk.open_in(request.symbol)
        # An order that opens has nothing of its own side in its way. Of the other side, what cannot meet it is not in
        # its way but where the account is flat.
        if (not opens if order.request.side is side else is_flat or conflicts.could_trade_with(new, order.request))
        and not order.is_held
        and order.request.client_order_id not in group
    ]
    beside = rivals.among(desk, [*orders, *ahead], closing=side) + rivals.untold_exits(desk, request.symbol)
    if replaces is not None and replaces.request.order_class is not OrderClass.SIMPLE:
        beside = [rival for rival in beside if rival.side is request.side]  # the rules between two sides spare it
    return conflicts.find(new, position_qty, beside)


def _group(desk: Desk, order: Order) -> Iterable[ClientOrderId]:
    """Return the order and all that hangs together with it: the broker looks at them as one."""
    head = order.parent_id or order.request.client_order_id
    return (order.request.client_order_id, head, *desk.legs.get(head, ()))


# --- words -----------------------------------------------------------------------------------------------------------


def finding(conflict: Conflict | None, request: OrderRequest, qty: Qty) -> Finding:
    """Return what the lane found, as the gate's checks say what they find."""
    if conflict is None:
        return Finding(True, R.CONFLICT_WASH, f"symbol={request.symbol} in_the_way=none")
    figure = f"rule={conflict.rule} side={request.side} qty={plain(qty)}"
    if conflict.rule in {Rule.HELD, Rule.ZERO}:
        figure = f"{figure} free_qty={plain(conflict.free_qty)}"
    if conflict.rivals:
        figure = f"{figure} in_the_way={_whose(conflict, request.strategy_id)!r}"
    return Finding(False, _REASONS[conflict.rule], figure, remedy=_remedy(conflict, request, qty))


def _whose(conflict: Conflict, who: StrategyId) -> str:
    """Name what is in the way: the author's own orders by id, those of others by kind only."""
    own = [rival.client_order_id for rival in conflict.rivals if rival.strategy_id == who]
    others = sorted({f"{r.side} {r.order_type}" for r in conflict.rivals if r.strategy_id != who})
    words = [f"your own order {oid}" for oid in own]
    return "; ".join([*words, *([f"orders of other strategies: {', '.join(others)}"] if others else [])])


def _remedy(conflict: Conflict, request: OrderRequest, qty: Qty) -> str:
    wait = "cancel your own order first" if conflict.is_own(request.strategy_id) else "wait until that order has ended"
    free = conflict.free_qty
    match conflict.rule:
        case Rule.WASH if not conflict.rivals:
            return (
                f"a kill is about to close what is held of {request.symbol}, and comes first; try again in some seconds"
            )
        case Rule.WASH:
            why = "the broker refuses orders of one account that could trade with each other"
            return f"{why}; {wait}, or use a limit_price that does not meet it"
        case Rule.HELD:
            first = f"{request.side} at most {plain(free)}, or " if free else ""
            return f"open orders hold the shares of the shared account; {first}{wait}"
        case Rule.OPENING:
            return f"a flat account opens one way only, and an order to open the other way is open; {wait}"
        case Rule.POSITION:
            why = "what this order would do to the shared account is not what orders of its kind do"
            return (
                f"{why} (brackets and OTOs open, OCOs close, fractions are not sold short); use a whole, simple order"
            )
        case Rule.ZERO:
            rest = plain(Decimal(qty - free))
            first = f"{request.side} {plain(free)} first, and {rest} when that is filled" if free > ZERO else wait
            return f"CROSSES_ZERO: no order takes the shared account from long to short or back; {first}"


# --- the lane's checks ------------------------------------------------------------------------------------------------


def judge(
    desk: Desk, event: ev.OrderRequested, verdict: Verdict, valued: Valued, old: Order | None
) -> tuple[Verdict, Conflict | None]:
    """Return the gate's *verdict* with what the lane found added to it, and the conflict that it found."""
    request, checks, conflict = event.request, list(verdict.checks), None
    assert event.quote is not None, "the gate denies orders without a quote"
    found = window(desk, request, event.quote, event.at)
    if found is not None:
        checks.append(Checked(WINDOW_CHECK, found.figure, found.limit))
    if found is None or found.is_good:
        ahead = _ahead_of(desk, request, valued)
        conflict = conflict_of(desk, request, valued.qty, replaces=old, ahead=ahead)
        if conflict is None and valued.opens and closing.comes_first(desk, request):
            conflict = Conflict(rule=Rule.WASH, rivals=())
        if conflict is not None and conflict.rule is Rule.ZERO:
            conflict, found = _across_zero(desk, request, valued.qty, conflict, ahead)
        else:
            found = finding(conflict, request, valued.qty)
        checks.append(Checked(CHECK, found.figure, found.limit))
    return Verdict(valued if found.is_good else found.denied, tuple(checks)), conflict


def _ahead_of(desk: Desk, request: OrderRequest, valued: Valued) -> list[Order]:
    """Return those that wait at the desk and come before a new order."""
    if not desk.held_ids and not desk.split_ids:
        return []
    rank = precedence.Rank.OPENS if valued.opens else precedence.Rank.CLOSES
    return precedence.in_its_way(request.strategy_id, rank, precedence.in_line(desk, request.symbol))


def _across_zero(
    desk: Desk, request: OrderRequest, qty: Qty, conflict: Conflict, ahead: Sequence[Order]
) -> tuple[Conflict, Finding]:
    """Return what is in the way of the order in parts; that it crosses zero is none where it can go so."""
    position_qty, free = desk.portfolio.total_qty(request.symbol), conflict.free_qty
    beside = rivals.at_the_broker(desk, request.symbol) + rivals.among(desk, ahead)
    if why := splitting.hindrance(request, free, position_qty):
        if splitting.hindrance(request, Qty(abs(position_qty)), position_qty) is None:  # it can, when these have ended
            holders = tuple(rival for rival in beside if rival.side is request.side and rival.promised_qty)
            conflict = replace(conflict, rivals=holders)
        found = finding(conflict, request, qty)
        return conflict, found._replace(remedy=f"{found.remedy} ({why})")
    if hindered := in_the_way_of_parts(request, free, qty, position_qty, beside):
        return hindered, finding(hindered, request, qty)
    figure = f"rule={conflict.rule} position_qty={plain(position_qty)}"
    return conflict, Finding(True, R.CONFLICT_ZERO, f"{figure} first_qty={plain(free)} rest_qty={plain(qty - free)}")


def in_the_way_of_parts(
    request: OrderRequest, first: Qty, qty: Qty, position_qty: Qty, beside: Sequence[Rival]
) -> Conflict | None:
    """Return what is in the way of the first part now, or would be in that of the rest once that is filled."""
    found = conflicts.find(conflicts.newcomer(request, first), position_qty, beside)
    rest = Qty(qty - first)
    return found or conflicts.find(
        conflicts.newcomer(request, rest), Qty(position_qty + request.side.sign * first), beside
    )


def window(desk: Desk, request: OrderRequest, quote: Quote, now: datetime) -> Finding | None:
    """Return whether the auction that the order is for still takes orders, on a day that closes early, too; None for others."""
    if request.time_in_force not in _AUCTIONS:
        return None
    market_time = quote.market_time(now)
    shut = conflicts.auction_window(
        request.time_in_force, market_time, desk.calendar.get(conflicts.day_of(market_time))
    )
    stamp = market_time.isoformat(timespec="seconds").replace("+00:00", "Z")
    figure = f"time_in_force={request.time_in_force} market_time={stamp}"
    return Finding(shut is None, R.AUCTION_WINDOW, figure, remedy=shut or "")
