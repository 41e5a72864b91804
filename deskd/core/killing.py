"""What follows from a kill that is pulled or released, and what is said to whom it stops.

Rule 1: a kill that is no deeper than the one in force changes nothing, and is no fact.
Rule 2: what is said of a kill that is not in force is no fact either.
Rule 3: another name is no new start. A member's new folder is killed as deep as any of the member's, whether that is
        gone or not: a copy is made beside the original as easily as in its place. It has the worst breaker of its
        forebears (those with its code, those that are gone or at rest). Only an officer's release ends either.
Rule 4: a strategy that goes to another member stays killed as deep as the member whom it leaves.
"""

from dataclasses import replace
from typing import assert_never

from deskd.core.desk import Desk
from deskd.core.kills import Kill
from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.effects import Effect, Record, Refuse
from deskd.domain.ids import ClientOrderId, StrategyId, UserId
from deskd.domain.kill import KillDepth, KillScope, KillTarget, TradingState
from deskd.domain.order import Order, OrderRequest
from deskd.domain.reasons import DenialReason, RefusalReason

_SHUT_OUT = frozenset({DenialReason.PAUSED, DenialReason.STRATEGY_NOT_ACTIVE})

_DEPTHS = tuple(KillDepth)
_BREAKERS = (BreakerState.HALF_OPEN, BreakerState.OPEN)  # of those that are not closed, the worst last

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
    """Return the fact, and the kill and the breaker that come with the strategy from where it was before."""
    effects: list[Effect] = [Record(event)]
    known = desk.strategies.get(event.strategy_id)
    if known is not None:
        return [*effects, *_left_with(desk, event, known.user_id)]
    owned, forebears = tuple(desk.members.get(event.user_id, ())), desk.forebears_of(event)
    kills = [(desk.kills.in_force.get(KillTarget(KillScope.STRATEGY, one)), one) for one in owned]
    deepest = max(
        ((kill, one) for kill, one in kills if kill is not None),
        key=lambda of: _DEPTHS.index(of[0].depth),
        default=None,
    )
    if deepest is not None:
        kill, one = deepest
        effects.append(Record(_as_deep(kill, event, f"{_kinship(desk, event, one)}, which is killed")))
    moves = [move for one in forebears if (move := desk.kills.breakers.get(one)) and move.state in _BREAKERS]
    if moves:
        move = max(moves, key=lambda of: (_BREAKERS.index(of.state), of.trips, of.until or of.at))
        why = f"{_kinship(desk, event, move.strategy_id)}: {move.why}"
        effects.append(Record(replace(move, strategy_id=event.strategy_id, why=why, at=event.at)))
    return effects


def _left_with(desk: Desk, event: ev.StrategyRegistered, member: UserId) -> list[Effect]:
    """Return the kill of the member whom the strategy leaves, as its own from now on."""
    kill = desk.kills.in_force.get(KillTarget(KillScope.MEMBER, member))
    own = desk.kills.in_force.get(KillTarget(KillScope.STRATEGY, event.strategy_id))
    if member == event.user_id or kill is None or (own is not None and own.depth.reaches(kill.depth)):
        return []
    return [Record(_as_deep(kill, event, f"was of {member}, who is killed"))]


def _as_deep(kill: Kill, event: ev.StrategyRegistered, why: str) -> ev.KillEngaged:
    target, reason = KillTarget(KillScope.STRATEGY, event.strategy_id), f"{why}: {kill.latest.reason}"
    return replace(kill.latest, target=target, depth=kill.depth, reason=reason, at=event.at)


def _kinship(desk: Desk, event: ev.StrategyRegistered, one: StrategyId) -> str:
    if desk.strategies[one].code_hash == event.code_hash:
        return f"has the code of {one}"
    is_gone = event.beside is not None and one not in event.beside
    return f"takes the place of {one}" if is_gone else f"is new beside {one}"


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
