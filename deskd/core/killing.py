"""What follows from a kill that is pulled or released, and what is said to whom it stops.

Rule 1: a kill that is no deeper than the one in force changes nothing, and is no fact.
Rule 2: what is said of a kill that is not in force is no fact either.
Rule 3: a folder of another name with the same code is the same strategy: its kill and its open breaker hold there, too.
"""

from dataclasses import replace
from typing import assert_never

from deskd.core.desk import Desk
from deskd.core.kills import Kill
from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.effects import Effect, Record, Refuse
from deskd.domain.ids import ClientOrderId
from deskd.domain.kill import KillDepth, KillScope, KillTarget, TradingState
from deskd.domain.order import Order, OrderRequest
from deskd.domain.reasons import DenialReason, RefusalReason

_SHUT_OUT = frozenset({DenialReason.PAUSED, DenialReason.STRATEGY_NOT_ACTIVE})

type KillFact = ev.KillEngaged | ev.KillReleased | ev.FlattenCompleted | ev.FlattenHindered


def on_kill_fact(desk: Desk, event: KillFact) -> list[Effect]:
    """Return the fact, where it changes what is in force."""
    known = desk.kills.in_force.get(event.target)
    match event:
        case ev.KillEngaged():
            is_news = known is None or not known.depth.reaches(event.depth)
        case ev.KillReleased():
            is_news = desk.kills.of(event.target) is not None
        case ev.FlattenCompleted():
            is_news = known is not None and known.flat_at is None
        case ev.FlattenHindered():
            is_news = known is not None and known.left != event.left
        case _:
            assert_never(event)
    return [Record(event)] if is_news else []


def on_registered(desk: Desk, event: ev.StrategyRegistered) -> list[Effect]:
    """Return the fact, and the kill and the breaker that the strategy was under by its name before."""
    effects: list[Effect] = [Record(event)]
    twin = desk.twin_of(event)
    if twin is None:
        return effects
    who, said = event.strategy_id, f"has the code of {twin}"
    kill = desk.kills.in_force.get(KillTarget(KillScope.STRATEGY, twin))
    if kill is not None:
        target, reason = KillTarget(KillScope.STRATEGY, who), f"{said}, which is killed: {kill.latest.reason}"
        effects.append(Record(replace(kill.latest, target=target, depth=kill.depth, reason=reason, at=event.at)))
    move = desk.kills.breakers.get(twin)
    if move is not None and move.state is not BreakerState.CLOSED:
        effects.append(Record(replace(move, strategy_id=who, why=f"{said}: {move.why}", at=event.at)))
    return effects


def refusal(oid: ClientOrderId, kill: Kill) -> Refuse:
    """Return the answer to an order while the whole desk is killed."""
    text = f"{kill.in_words}: the desk takes no orders until an officer releases it; cancels pass"
    return Refuse(oid, RefusalReason.KILLED, text)


def is_shut_out(desk: Desk, order: Order) -> bool:
    """Tell whether an order was denied because no order of its strategy is taken: paused, not active, or killed.

    A symbol's kill, and one that lets positions shrink, deny an order and leave the strategy its channel.
    """
    if order.reason != DenialReason.KILLED:
        return order.reason in _SHUT_OUT
    return desk.kills.state_of(order.request.strategy_id, order.request.user_id) is TradingState.KILLED


def stops_leaving(desk: Desk, request: OrderRequest) -> str | None:
    """Return why an approved order that waits for its turn does not leave any more; None where it may.

    What the desk closes by itself goes on until a kill cancels, as in the gate.
    """
    kill = desk.kills.over(request.strategy_id, request.user_id, request.symbol)
    bound = KillDepth.STOP_NEW if request.exit is None else KillDepth.CANCEL
    if kill is None or request.for_kill or not kill.depth.reaches(bound):
        return None
    return f"{kill.in_words}: the kill was pulled while the order waited for its turn"


def not_to_be_canceled(order: Order) -> Refuse:
    """Return the answer to a strategy that wants a kill's closing order gone."""
    oid = order.request.client_order_id
    return Refuse(oid, RefusalReason.KILLED, f"order_id={oid}: a kill closes the position; only an officer cancels it")
