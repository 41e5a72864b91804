"""When the parts of a split order leave, and when the rest of it does not any more.

Rule 1: the next part leaves as soon as the one before is filled and the broker would take it. Where another order is
        in its way it waits, at most `hold_max`, whatever the policy: a half of the order is done.
Rule 2: a rest that opens something for its strategy is stopped by what stops new orders: a kill, a stage, a stopped
        strategy. What only closes the strategy's own position goes on, as an order at the broker would.
Rule 3: a rest never outlives the order: a day order's does not leave after the close of its day.
"""

from datetime import datetime, timedelta

from deskd.core import killing, splitting
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import Effect, LookAgain, Record, Submit
from deskd.domain.market import Quote
from deskd.domain.money import Qty, plain
from deskd.domain.order import Order, OrderRequest, OrderStatus, TimeInForce
from deskd.domain.priority import Priority
from deskd.domain.reasons import RejectReason
from deskd.domain.run import StrategyStatus
from deskd.domain.stage import Stage

GTC_LIFE = timedelta(days=90)  # the broker lets a gtc order expire after these


def lives_until(desk: Desk, request: OrderRequest, quote: Quote | None, at: datetime) -> datetime:
    """Return when the order's time in force runs out, on the desk's clock.

    Where nobody knows when the exchange shuts, a rest waits no longer than it may wait for another order.
    """
    market_time = None if quote is None else quote.market_time(at)
    return time_runs_out(desk, request, market_time, at) or at + desk.lane.hold_max


def time_runs_out(desk: Desk, request: OrderRequest, market_time: datetime | None, at: datetime) -> datetime | None:
    """Return when the order's time in force runs out, asked for *at* that *market_time*; None where nobody knows."""
    if request.time_in_force is TimeInForce.GTC:
        return at + GTC_LIFE
    if market_time is None:
        return None
    days = desk.calendar.values()
    ends = [day.extended_close_at if request.extended_hours else day.close_at for day in days]
    ahead = [end for end in ends if end > market_time]
    return at + (min(ahead) - market_time) if ahead else None


def send_part(desk: Desk, request: OrderRequest, qty: Qty, *, until: datetime, at: datetime) -> list[Effect]:
    """Return the next part of the order on its way, *qty* of it."""
    oid = request.client_order_id
    whole = desk.orders.get(oid)
    count = 0 if whole is None or whole.split is None else len(whole.split.parts)
    part_id = splitting.part_id(oid, count + 1, desk.orders)
    fact = ev.OrderSplit(client_order_id=oid, part_id=part_id, qty=qty, until=until, at=at)
    priority = Priority.ORDER if request.exit is None else Priority.EXIT
    return [Record(fact), Submit(splitting.part_request(request, fact), priority)]


def end_of_rest(
    desk: Desk, order: Order, at: datetime, in_the_way: str, *, closes: bool
) -> ev.OrderRejected | ev.OrderCanceled | None:
    """Return the end of an order whose rest is not sent any more, or None; *in_the_way* says what the rest waits for.

    Where it *closes*, it only reduces what its strategy holds.
    """
    assert order.split is not None, "it was split"
    assert order.split.waits_since is not None, "its rest waits"
    if order.status is OrderStatus.PENDING_CANCEL:  # the fill of a part has crossed the cancel of the whole
        return ev.OrderCanceled(client_order_id=order.request.client_order_id, at=at)
    reason = RejectReason.NOT_SENT
    why = _stopped(desk, order, closes=closes)
    if why is None and at >= order.split.until:
        why = f"time_in_force={order.request.time_in_force}: the time of the order is over"
    waited = at - order.split.waits_since
    if why is None and waited >= desk.lane.hold_max:
        reason = RejectReason.HELD_TOO_LONG
        why = f"waited_s={waited.total_seconds():.1f} hold_max_s={desk.lane.hold_max.total_seconds():g}: {in_the_way}"
    if why is None:
        return None
    figures = f"filled_qty={plain(order.filled_qty)} rest_qty={plain(order.rest_qty)}"
    message = f"{figures} {why}: the rest was never sent"
    return ev.OrderRejected(client_order_id=order.request.client_order_id, reason=reason, message=message, at=at)


def is_overdue(desk: Desk, order: Order, at: datetime) -> bool:
    """Tell whether the rest of the order has waited for as long as it may."""
    if order.split is None or order.split.waits_since is None:
        return False
    return at >= min(order.split.until, order.split.waits_since + desk.lane.hold_max)


def looks_again(order: Order, hold_max: timedelta, at: datetime) -> list[Effect]:
    """Return that somebody looks at the rest of the order when its time is up, where it begins to wait now."""
    if order.split is None or order.split.waits_since != at:
        return []
    return [LookAgain(order.request.client_order_id, min(order.split.until - at, hold_max))]


def _stopped(desk: Desk, order: Order, *, closes: bool) -> str | None:
    """Return why the rest does not leave though nothing is in its way."""
    request = order.request
    if why := killing.stops_leaving(desk, request):
        return why
    if request.exit is not None or closes:
        return None
    who = request.strategy_id
    if kill := desk.kills.over(who, request.user_id, request.symbol):
        return f"{kill.in_words}: only what reduces the position passes"
    if desk.statuses.get(who) is not StrategyStatus.ACTIVE:
        return f"status={desk.statuses.get(who)}: the strategy stopped before the rest could leave"
    if desk.stages.of(who) is not Stage.ACTIVE:
        return f"stage={desk.stages.of(who)}: the strategy's orders are not sent any more"
    return None
