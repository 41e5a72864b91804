"""The line: orders that wait at the desk because the broker would refuse them beside another strategy's order.

Rule 1: an order waits for what is open, and for those that come before it (core/precedence.py) and are in its way: so
        no two wait for each other, and the first in line waits for the broker only.
Rule 2: every wait has an end: `hold_max`, the order's own time, a kill, its strategy's stop, an account that has made it
        hopeless. Each says why.
Rule 3: nothing that waits is a way past a kill, or past what stops its strategy. What only closes passes what exists to
        stop openings; where it was at the broker before, it passes its strategy's stop, too, as it would have there.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from deskd.core import closing, conflicts, crossing, lane, precedence, rivals, sequencing, splitting
from deskd.core.checks import Denied
from deskd.core.conflicts import Conflict, Rival, Rule
from deskd.core.desk import Desk
from deskd.core.precedence import Rank, Turn
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record, Reply, Submit
from deskd.domain.ids import Symbol
from deskd.domain.kill import KillDepth
from deskd.domain.money import Qty, plain
from deskd.domain.order import Order, OrderRequest, TimeInForce
from deskd.domain.reasons import RejectReason
from deskd.domain.run import StrategyStatus
from deskd.domain.stage import Stage

HELD_MAX = 200  # orders that wait at a time: each look at the line costs some µs for each of them
_PATIENT = frozenset({TimeInForce.DAY, TimeInForce.GTC})  # the others want an answer at once, or an auction
# What can set the way free: an order's end, a position's change, and that orders may be sent again; and what ends waits.
_MOVES = (
    ev.OrderFilled
    | ev.OrderCanceled
    | ev.OrderExpired
    | ev.OrderRejected
    | ev.OrderCompleted
    | ev.OrderReplaced
    | ev.OrderRestated
    | ev.HouseAdjusted
    | ev.SharesDistributed
    | ev.AccountReconciled
    | ev.KillEngaged
    | ev.KillReleased
    | ev.FlattenCompleted
    | ev.FlattenHindered
    | ev.BreakerMoved
    | ev.SymbolThawed
    | ev.StrategyStatusChanged
    | ev.OrderReturned
)


def may_wait(desk: Desk, event: ev.OrderRequested, conflict: Conflict | None) -> bool:
    """Tell whether the order is to wait for what is in its way, instead of being denied.

    A closing order of the desk's own is not: whoever closes looks again, and what is free may be another figure then.
    """
    request = event.request
    if conflict is None or not desk.lane.conflict.lets_wait or event.is_closing:
        return False
    if request.replacement is not None or request.notional is not None:  # how many shares that is, changes as it waits
        return False
    if request.time_in_force not in _PATIENT or conflict.is_own(request.strategy_id):
        return False
    if conflict.rule is Rule.POSITION or (conflict.rule is Rule.ZERO and not conflict.rivals):
        return False
    return len(desk.held_ids) < HELD_MAX


def hold(desk: Desk, event: ev.OrderRequested, denied: Denied, conflict: Conflict) -> ev.OrderHeld:
    """Return the fact that the order waits: at most `hold_max`, and not past its own time."""
    request, quote, at = event.request, event.quote, event.at
    lives_until = sequencing.lives_until(desk, request, quote, at)
    return ev.OrderHeld(
        client_order_id=request.client_order_id,
        until=min(at + desk.lane.hold_max, lives_until),
        lives_until=lives_until,
        reason=denied.reason,
        message=f"held: {denied.message}",
        in_the_way=tuple(rival.client_order_id for rival in conflict.rivals),
        at=at,
    )


def may_move(desk: Desk, effects: Iterable[Effect], at: datetime) -> bool:
    """Tell whether what has happened can end the wait of an order: a look at the line is not free."""
    if any(isinstance(effect, Record) and isinstance(effect.fact, _MOVES) for effect in effects):
        return True
    waiting = [desk.orders[oid] for oid in desk.held_ids]
    if any(order.recalled_for or (order.held_until is not None and at >= order.held_until) for order in waiting):
        return True
    return any(sequencing.is_overdue(desk, desk.orders[oid], at) for oid in desk.split_ids)


def moved(desk: Desk, at: datetime, *, met_in: Symbol | None = None) -> list[Effect]:
    """Return what follows for the orders that wait, the first first: sent, ended, or nothing.

    Those that could meet in the symbol *met_in* just have.
    """
    effects: list[Effect] = []
    there: dict[Symbol, list[Rival]] = {}  # what may live at the broker, those that leave now among them
    waiting: dict[Symbol, list[Turn]] = {}
    for turn in precedence.in_line(desk):
        order, symbol = turn.order, turn.order.request.symbol
        if symbol not in there:
            there[symbol], waiting[symbol] = rivals.at_the_broker(desk, symbol), []
        if turn.rank is Rank.LATER:
            waiting[symbol].append(turn)
            continue
        ahead = precedence.in_its_way(order.request.strategy_id, turn.rank, waiting[symbol])
        beside = there[symbol] + rivals.among(desk, ahead)
        qty = desk.reservations.of(order).opening if order.split is None else order.rest_qty
        conflict = conflicts.find(conflicts.newcomer(order.request, qty), desk.portfolio.total_qty(symbol), beside)
        if end := _end(desk, turn, conflict, at):
            effects += [Record(end), Reply(order.request.client_order_id)]
            continue
        leaves: list[Effect] = []
        is_to_meet = symbol != met_in and crossing.is_to_meet(desk, order, at)
        is_kills_turn = turn.rank is Rank.OPENS and closing.comes_first(desk, order.request)
        is_its_turn = not (is_to_meet or is_kills_turn or precedence.own_comes_first(turn, waiting[symbol]))
        if desk.is_synced and symbol not in desk.standing.frozen and is_its_turn:
            leaves = _sent(desk, order, qty, conflict, beside, at)
        if leaves:
            there[symbol] += rivals.among(desk, [order])
        else:
            waiting[symbol].append(turn)
        effects += leaves or sequencing.looks_again(order, desk.lane.hold_max, at)
    return effects


def _sent(  # noqa: PLR0917  all that is known of one that waits
    desk: Desk, order: Order, qty: Qty, conflict: Conflict | None, beside: Sequence[Rival], at: datetime
) -> list[Effect]:
    """Return the order that waits on its way, or the part of it that may go; nothing where something is in its way."""
    request, split = order.request, order.split
    released = ev.OrderReleased(client_order_id=request.client_order_id, at=at)
    if conflict is None and split is None:
        return [Record(released), Submit(crossing.rest_of(order))]
    if conflict is None and split is not None:
        return sequencing.send_part(desk, request, qty, until=split.until, at=at)
    position_qty = desk.portfolio.total_qty(request.symbol)
    if conflict is None or not splitting.can_split(request, conflict, position_qty):
        return []
    first = conflict.free_qty
    if lane.in_the_way_of_parts(request, first, qty, position_qty, beside):
        return []
    lives_until = order.lives_until or sequencing.lives_until(desk, request, None, at)
    until = lives_until if split is None else split.until
    parts = sequencing.send_part(desk, request, first, until=until, at=at)
    return parts if split is not None else [Record(released), *parts]


# --- the end of a wait ------------------------------------------------------------------------------------------------


def _end(desk: Desk, turn: Turn, conflict: Conflict | None, at: datetime) -> ev.OrderRejected | ev.OrderCanceled | None:
    order = turn.order
    if order.split is not None:
        in_the_way = lane.finding(conflict, order.request, order.rest_qty).figure
        return sequencing.end_of_rest(desk, order, at, in_the_way, closes=turn.closes)
    reason = RejectReason.NOT_SENT
    why = _stopped(desk, turn) or _hopeless(desk, order.request, conflict) or _out_of_time(order, at)
    if why is None:
        assert order.held_until is not None, "it is held"
        if at < order.held_until:
            return None
        reason, why = RejectReason.HELD_TOO_LONG, _too_long(order, order.held_until, at)
    return ev.OrderRejected(client_order_id=order.request.client_order_id, reason=reason, message=why, at=at)


def _stopped(desk: Desk, turn: Turn) -> str | None:
    """Return what stops the order from being sent at all."""
    request = turn.order.request
    who = request.strategy_id
    kill = desk.kills.over(who, request.user_id, request.symbol)
    if kill is not None and not (turn.closes and kill.depth is KillDepth.REDUCE_ONLY):
        return f"{kill.in_words}: the kill was pulled while the order waited; {_never_sent(turn.order)}"
    if turn.closes and turn.rank is Rank.BACK:
        return None
    if desk.statuses.get(who) is not StrategyStatus.ACTIVE:
        return (
            f"status={desk.statuses.get(who)}: the strategy stopped while the order waited; {_never_sent(turn.order)}"
        )
    if desk.stages.of(who) is not Stage.ACTIVE:
        return f"stage={desk.stages.of(who)}: the strategy's orders are not sent any more; {_never_sent(turn.order)}"
    return None


def _never_sent(order: Order) -> str:
    """Say what the broker had of it: one that came back was there, and what it filled there is another order's."""
    return (
        "it was never sent"
        if order.recalled_for is None
        else f"it did not go back to the broker, where {order.replaces} was"
    )


def _hopeless(desk: Desk, request: OrderRequest, conflict: Conflict | None) -> str | None:
    """Return that it is the account's position that is in the way: no order's end makes room then."""
    if conflict is None or not desk.is_synced or conflict.rule not in {Rule.POSITION, Rule.ZERO}:
        return None
    position_qty = desk.portfolio.total_qty(request.symbol)
    if conflict.rule is Rule.ZERO and splitting.hindrance(request, Qty(abs(position_qty)), position_qty) is None:
        return None
    text = f"rule={conflict.rule} position_qty={plain(position_qty)}"
    return f"{text}: the shared account's position changed while the order waited, and the broker would refuse it; never sent"


def _out_of_time(order: Order, at: datetime) -> str | None:
    if order.lives_until is None or at < order.lives_until:
        return None
    return f"time_in_force={order.request.time_in_force}: the time of the order was over while it waited; never sent"


def _too_long(order: Order, until: datetime, at: datetime) -> str:
    waited = (at - order.requested_at).total_seconds()
    return f"waited_s={waited:.1f} hold_max_s={(until - order.requested_at).total_seconds():g}: {order.message}"
