"""What is asked of the desk: orders, replaces and cancels, and the evidence that the gate judges by.

Rule 1: a request under an id that is known is the same request, and gets the same answer; else it is a conflict.
Rule 2: while no fill could be seen, nothing is sent; cancels pass.
Rule 3: what the gate approves is recorded, then sent. What it denies is recorded, with the figures.
"""

from dataclasses import dataclass, replace

from deskd.core import blocks, gate, killing, lane, line, replacing, scopes, sequencing, staged
from deskd.core.checks import Denied, Evidence, cash_needed
from deskd.core.conflicts import Conflict
from deskd.core.desk import Desk
from deskd.core.gate import Verdict
from deskd.core.reservation import NOTHING
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.effects import Effect, Record
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty
from deskd.domain.order import Order, OrderClass, OrderStatus, Side, Split
from deskd.domain.priority import Priority
from deskd.domain.reasons import DenialReason, RefusalReason
from deskd.domain.schedule import ALWAYS
from deskd.domain.stage import Stage

STREAM_DOWN = "the stream of trade updates is down or not yet re-synced: no order could be watched; cancels pass"


@dataclass(frozen=True, slots=True)
class ReplaceOf:
    """Which order is to be replaced, and who wants it."""

    old: Order
    by: str


def on_request(desk: Desk, event: ev.OrderRequested) -> list[Effect]:
    """Return what follows from a request for an order: sent, denied, refused, or known already."""
    request = event.request
    oid = request.client_order_id
    if known := desk.orders.get(oid):
        return _known(known, request.strategy_id, is_same=known.request == request)
    if not event.is_closing and not _is_free(desk, oid, request.strategy_id):
        return [_taken(oid, request.strategy_id)]
    if not desk.is_synced:  # it was, when the door let the request in
        return [ef.Refuse(oid, RefusalReason.TRADE_STREAM_DOWN, STREAM_DOWN)]
    if not event.is_closing and (kill := desk.kills.stopping_desk()):
        return [killing.refusal(oid, kill)]
    return _judged(desk, event, replaces=None)


def _is_free(desk: Desk, oid: ClientOrderId, who: StrategyId) -> bool:
    """Tell whether the id, which no order has, may be that of an order of *who*.

    What begins with a strategy's name and a hyphen is that strategy's: nobody takes another's ids before it does.
    """
    names = (oid[:at] for at, sign in enumerate(oid) if sign == "-")
    owners = [name for name in names if StrategyId(name) in desk.strategies]
    return not owners or owners[-1] == who  # `mean-fast-1` is of mean-fast, where there is one beside mean


def _taken(oid: ClientOrderId, who: StrategyId) -> Effect:
    text = f"client_order_id={oid} is not free: the ids of one account are everybody's; begin yours with {who}-"
    return ef.Refuse(oid, RefusalReason.CONFLICT, text)


def _known(known: Order, who: StrategyId, *, is_same: bool) -> list[Effect]:
    """Return the answer to *who* asks under an id that was used before."""
    oid = known.request.client_order_id
    if known.request.strategy_id != who:
        return [_taken(oid, who)]
    if is_same:
        # One that is in doubt is answered when the broker has answered.
        return [] if known.is_in_doubt else [ef.Reply(oid)]
    message = f"client_order_id={oid} was used for another order: use a new one for each order"
    return [ef.Refuse(oid, RefusalReason.CONFLICT, message)]


def on_replace_request(desk: Desk, event: ev.ReplaceRequested) -> list[Effect]:
    """Return what follows from a request for an order in the place of another."""
    oid, wanted = event.client_order_id, event.replacement
    if known := desk.orders.get(oid):
        return _known(known, known.request.strategy_id, is_same=known.request.replacement == wanted)
    if not desk.is_synced:
        return [ef.Refuse(oid, RefusalReason.TRADE_STREAM_DOWN, STREAM_DOWN)]
    if kill := desk.kills.stopping_desk():
        return [killing.refusal(oid, kill)]
    known = desk.orders.get(wanted.replaces)
    old = None if known is None else desk.whole_of(known)
    if old is None:
        return [ef.Refuse(oid, RefusalReason.NOT_FOUND, _forgotten(wanted.replaces))]
    if refusal := replacing.refusal(old, wanted, oid):
        return [refusal]
    if not _is_free(desk, oid, old.request.strategy_id):
        return [_taken(oid, old.request.strategy_id)]
    asked = ev.OrderRequested(
        request=replacing.request_of(old, wanted, oid),
        quote=event.quote,
        market_day=event.market_day,
        at=event.at,
        is_halted=event.is_halted,
        clock=event.clock,
        line=event.line,
        lines_together=event.lines_together,
    )
    return _judged(desk, asked, replaces=ReplaceOf(old, event.by))


def _forgotten(oid: ClientOrderId) -> str:
    """Return what became of an order that was known when it was named: a denial that newer ones pushed out of memory."""
    return f"order_id={oid}: it was denied, so long ago that the desk has no memory of it; the ledger has"


def _judged(desk: Desk, event: ev.OrderRequested, *, replaces: ReplaceOf | None) -> list[Effect]:
    """Return the order sent, or denied by the gate."""
    request = event.request
    evidence = evidence_for(desk, event, replaces.old if replaces else None)
    if evidence is None:
        text = f"strategy_id={request.strategy_id}: the desk does not know this strategy"
        checked = ev.Checked("strategy_is_known", f"strategy_id={request.strategy_id}")
        return _denied(event, Verdict(Denied(DenialReason.STRATEGY_UNKNOWN, text), (checked,)))
    verdict = gate.judge(evidence)
    valued = verdict.answer
    if isinstance(valued, Denied):
        return _denied(event, verdict)
    assert event.quote is not None, "the gate denies orders without a quote"
    verdict, conflict = lane.judge(desk, event, verdict, valued, replaces.old if replaces else None)
    denied = verdict.answer if isinstance(verdict.answer, Denied) else None
    if denied is not None and not line.may_wait(desk, event, conflict):
        return _denied(event, verdict, conflict)
    if evidence.stage is Stage.SHADOW and not event.is_closing:
        return _denied(event, staged.in_shadow(request, verdict, valued), conflict)
    approved = ev.OrderApproved(
        request=request,
        quote=event.quote,
        reserved_cash=NO_CASH if evidence.is_exit else cash_needed(evidence, valued),
        reserved_qty=NO_QTY if request.side is Side.BUY or evidence.is_exit else valued.qty,
        market_day=event.market_day,
        at=event.at,
        checks=verdict.checks,
        line=event.line,
        lines_together=event.lines_together,
    )
    if denied is not None and conflict is not None:
        held = line.hold(desk, event, denied, conflict)
        return [Record(approved), Record(held), ef.LookAgain(request.client_order_id, held.until - event.at)]
    if conflict is not None:  # only an order across zero passes with one: it goes in parts
        until = sequencing.lives_until(desk, request, event.quote, event.at)
        return [Record(approved), *sequencing.send_part(desk, request, conflict.free_qty, until=until, at=event.at)]
    if replaces is None:
        return [Record(approved), ef.Submit(request, Priority.EXIT if event.is_closing else Priority.ORDER)]
    old = replaces.old
    assert old.broker_order_id is not None, "what the broker does not have is not replaced"
    wish = ev.OrderReplaceRequested(
        client_order_id=old.request.client_order_id,
        replaced_by=request.client_order_id,
        by=replaces.by,
        at=event.at,
    )
    return [Record(wish), Record(approved), ef.Replace(replacing.as_sent(request, old), old.broker_order_id)]


def evidence_for(desk: Desk, event: ev.OrderRequested, old: Order | None = None) -> Evidence | None:
    """Return all that the gate looks at, *old* being the order to be replaced; None where nobody knows the strategy."""
    request = event.request
    who, symbol = request.strategy_id, request.symbol
    status, limits = desk.statuses.get(who), desk.limits.get(who)
    if status is None or limits is None:
        return None
    book = desk.portfolio.books.get(who)
    freed = NOTHING if old is None else desk.reservations.of(old)
    is_exit = old is not None and old.parent_id is not None
    return Evidence(
        # A leg that the broker made is judged as the simple order that it is.
        request=replace(request, order_class=OrderClass.SIMPLE) if is_exit else request,
        status=status,
        limits=limits,
        instrument=desk.instruments.get(symbol),
        quote=event.quote,
        position_qty=book.qty(symbol) if book else NO_QTY,
        promised_qty=Qty(
            desk.reservations.qty(who, symbol) + blocks.promised(desk, who, symbol, Side.SELL) - freed.qty
        ),
        opening_qty=Qty(
            desk.reservations.opening(who, symbol, request.side)
            + blocks.promised(desk, who, symbol, request.side)
            - freed.opening
        ),
        margin_per_share=book.short_margin_per_share(symbol) if book else Price(ZERO),
        buying_power=Cash(desk.buying_power(who) + freed.cash),
        account_free=Cash(desk.portfolio.free() - desk.reservations.cash_of_all + freed.cash),
        scopes=scopes.scopes_of(
            desk,
            who,
            limits,
            scopes.Moment(
                day=event.market_day,
                quote=event.quote,
                now=event.at,
                freed=freed,
                is_replaced=old is not None and desk.reservations.holds(old),
                side=request.side,
                symbol=symbol,
                who=who,
            ),
        ),
        last_same_at=desk.same_asked_at(request),
        frozen=desk.standing.frozen.get(symbol),
        now=event.at,
        market_day=event.market_day,
        trading_day=desk.calendar.get(event.market_day),
        is_calendar_known=bool(desk.calendar),
        is_halted=event.is_halted,
        last_stop_at=desk.records.last_stop(who, symbol),
        symbol_value=desk.portfolio.value_of(symbol),
        symbol_opening_qty=Qty(desk.reservations.opening_of_all(symbol, request.side) - freed.opening),
        account_equity=desk.portfolio.equity(),
        day_trades=scopes.day_trades(desk, event.market_day),
        freed=freed,
        is_exit=is_exit,
        schedule=desk.schedules.get(who, ALWAYS),
        clock=event.clock,
        exit_under_way=desk.exits.kind(who, symbol),
        is_closing=event.is_closing,
        kill=desk.kills.over(who, request.user_id, symbol),
        stage=desk.stages.of(who),
    )


def _denied(event: ev.OrderRequested, verdict: Verdict, conflict: Conflict | None = None) -> list[Effect]:
    denied = verdict.answer
    assert isinstance(denied, Denied)
    fact = ev.OrderDenied(
        request=event.request,
        reason=denied.reason,
        message=denied.message,
        quote=event.quote,
        market_day=event.market_day,
        at=event.at,
        checks=verdict.checks,
        in_the_way=() if conflict is None else tuple(rival.client_order_id for rival in conflict.rivals),
        line=event.line,
        lines_together=event.lines_together,
    )
    return [Record(fact), ef.Reply(event.request.client_order_id)]


def on_cancel_request(desk: Desk, event: ev.CancelRequested) -> list[Effect]:
    """Return the cancel on its way, of whichever of a pair lives; or why there is nothing to cancel.

    A part of an order is canceled with all of it: nobody wants the one without the other.
    """
    known = desk.orders.get(event.client_order_id)
    if known is None:
        return [ef.Refuse(event.client_order_id, RefusalReason.NOT_FOUND, _forgotten(event.client_order_id))]
    order = desk.whole_of(known)
    oid = order.request.client_order_id
    if not order.status.is_open:
        text = f"status={order.status}: there is nothing left to cancel"
        if order.status is OrderStatus.REPLACED and order.replaced_by is not None:
            text = f"{text}; {order.replaced_by} is in its place: cancel that one"
        return [ef.Refuse(oid, RefusalReason.ORDER_FINAL, text)]
    effects = _canceling(order, event) if order.split is None else _canceling_parts(desk, order, order.split, event)
    if order.replaced_by is not None and order.status is not OrderStatus.PENDING_CANCEL:
        effects += _canceling(desk.orders[order.replaced_by], event)  # whichever of the two lives
    return [*effects, ef.Reply(oid)]


def _canceling_parts(desk: Desk, order: Order, split: Split, event: ev.CancelRequested) -> list[Effect]:
    """Return the end of the rest, and the cancel of the part that is at the broker, or on its way there."""
    oid = order.request.client_order_id
    wish = ev.OrderCancelRequested(client_order_id=oid, by=event.by, at=event.at)
    effects: list[Effect] = [] if order.status is OrderStatus.PENDING_CANCEL else [Record(wish)]
    part = desk.orders[split.parts[-1]]
    if not part.status.is_open:
        return [*effects, Record(ev.OrderCanceled(client_order_id=oid, at=event.at))]
    return [*effects, *_canceling(part, event)]


def _canceling(order: Order, event: ev.CancelRequested) -> list[Effect]:
    oid = order.request.client_order_id
    effects: list[Effect] = []
    if not order.status.is_open:
        return effects
    if order.is_held:
        wish = ev.OrderCancelRequested(client_order_id=oid, by=event.by, at=event.at)
        return [Record(wish), Record(ev.OrderCanceled(client_order_id=oid, at=event.at))]
    if order.status is not OrderStatus.PENDING_CANCEL or order.is_recalled:
        effects.append(Record(ev.OrderCancelRequested(client_order_id=oid, by=event.by, at=event.at)))
    if order.broker_order_id is not None and not event.in_bulk:
        effects.append(ef.Cancel(oid, order.broker_order_id))
    return effects
