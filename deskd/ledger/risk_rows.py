"""The rows of `risk_events`: what stopped trading or a part of it, and what let it go on."""

from collections.abc import Mapping
from typing import assert_never

from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.kill import THE_DESK, KillDepth, KillScope, KillTarget
from deskd.ledger.codec import stamp

type RiskFact = (
    ev.KillEngaged
    | ev.KillReleased
    | ev.FlattenCompleted
    | ev.FlattenHindered
    | ev.BreakerMoved
    | ev.TradingSuspended
    | ev.CancelAllRequested
    | ev.CancelAllAnswered
)


def risk_event(fact: RiskFact) -> Mapping[str, object]:
    """Return the fact's row."""
    by = depth = cause = until = None
    target = THE_DESK
    match fact:
        case ev.KillEngaged():
            kind, target, by, reason = "kill_engaged", fact.target, fact.by, fact.reason
            depth, cause = fact.depth, fact.cause
        case ev.KillReleased():
            kind, target, by, reason = "kill_released", fact.target, fact.by, fact.reason
        case ev.FlattenCompleted():
            kind, target, reason = "flatten_completed", fact.target, "nothing is open and nothing is held"
        case ev.FlattenHindered():
            kind, target, reason = "flatten_hindered", fact.target, "\n".join(fact.left)
        case ev.BreakerMoved():
            kind, target, reason = f"breaker_{fact.state}", KillTarget(KillScope.STRATEGY, fact.strategy_id), fact.why
            by, cause = "breaker", fact.cause
            depth = KillDepth.REDUCE_ONLY if fact.state is BreakerState.OPEN else None
            until = None if fact.until is None else stamp(fact.until)
        case ev.TradingSuspended():
            kind, by, reason = "trading_suspended" if fact.is_suspended else "trading_resumed", "desk", fact.why
        case ev.CancelAllRequested():
            kind, by, reason = "cancel_all_requested", fact.by, f"orders={fact.orders}"
        case ev.CancelAllAnswered():
            kind, reason = "cancel_all_answered", _answered(fact)
        case _:
            assert_never(fact)
    return {
        "kind": kind,
        "scope": target.scope,
        "name": target.name,
        "depth": depth,
        "cause": cause,
        "by": by,
        "reason": reason,
        "at": stamp(fact.at),
        "until": until,
    }


def _answered(fact: ev.CancelAllAnswered) -> str:
    counts = f"canceled={fact.canceled} refused={fact.refused} unnamed={fact.unnamed}"
    return "\n".join((counts, *(f"not the desk's: {one}" for one in fact.strangers)))
