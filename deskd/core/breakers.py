"""When a strategy's circuit breaker moves: a look at what went wrong of late, and bounds.

Rule 1: it opens at its bound, lets the strategy only reduce for the cool-down, and then everything, on probation.
Rule 2: on probation a tenth of the bound opens it again, for twice as long; a quiet probation closes it.
Rule 3: where it stands is a fold of facts: no restart closes it. What was before its last move does not count.
Rule 4: one that opens too often in a row becomes a kill, which only an officer releases.
"""

from collections.abc import Iterator
from datetime import datetime

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.breaker import MOVES, BreakerRules, BreakerState
from deskd.domain.effects import Effect, Record
from deskd.domain.ids import StrategyId
from deskd.domain.kill import KillCause, KillDepth, KillScope, KillTarget

BY = "breaker"
_PROBATION = 10  # this part of the bound, but one at least


def due(desk: Desk, rules: BreakerRules, now: datetime) -> list[ev.BreakerMoved]:
    """Return the moves that are due now."""
    return [move for who in desk.strategies if (move := _move(desk, rules, who, now)) is not None]


def kills(desk: Desk, rules: BreakerRules, now: datetime) -> Iterator[ev.KillEngaged]:
    """Yield the kills of strategies whose breakers opened too often in a row."""
    for who, move in desk.kills.breakers.items():
        target = KillTarget(KillScope.STRATEGY, who)
        if 0 < rules.trips_max <= move.trips and target not in desk.kills.in_force:
            figure, threshold = str(move.trips), str(rules.trips_max)
            yield ev.KillEngaged(
                target=target,
                depth=KillDepth.STOP_NEW,
                cause=KillCause.BREAKER,
                by=BY,
                reason=f"trips={figure} trips_max={threshold}: the last: {move.why}",
                at=now,
                figure=figure,
                threshold=threshold,
            )


def on_moved(desk: Desk, event: ev.BreakerMoved) -> list[Effect]:
    """Return the fact, where the table has the move; one out of a cool-down that is not over is none.

    Whoever looked may have done so on a clock that was just set forward, before the desk was told of it.
    """
    known = desk.kills.breakers.get(event.strategy_id)
    is_early = known is not None and known.until is not None and event.at < known.until
    if event.state is BreakerState.HALF_OPEN and is_early:
        return []
    return [Record(event)] if event.state in MOVES[desk.kills.breaker_state(event.strategy_id)] else []


def _move(desk: Desk, rules: BreakerRules, who: StrategyId, now: datetime) -> ev.BreakerMoved | None:
    known = desk.kills.breakers.get(who)
    state = desk.kills.breaker_state(who)
    if state is BreakerState.OPEN:
        assert known is not None, "what is open was opened"
        if known.until is not None and now < known.until:
            return None
        why = f"the cool-down is over: on probation for {rules.window.total_seconds():g} s"
        return ev.BreakerMoved(strategy_id=who, state=BreakerState.HALF_OPEN, why=why, trips=known.trips, at=now)
    tripped = _trip(desk, rules, who, now)
    if tripped is not None or state is BreakerState.CLOSED:
        return tripped
    assert known is not None, "what is on probation was open"
    if now - known.at < rules.window:
        return None
    return ev.BreakerMoved(strategy_id=who, state=BreakerState.CLOSED, why="a quiet probation", trips=0, at=now)


def _trip(desk: Desk, rules: BreakerRules, who: StrategyId, now: datetime) -> ev.BreakerMoved | None:
    known = desk.kills.breakers.get(who)
    released = desk.kills.released_at(KillTarget(KillScope.STRATEGY, who))
    since = max([now - rules.window, *([known.at] if known else []), *([released] if released else [])])
    is_probation = desk.kills.breaker_state(who) is BreakerState.HALF_OPEN
    for cause, name, bound in (
        (KillCause.REJECTS, "rejects_max", rules.rejects_max),
        (KillCause.DENIALS, "denials_max", rules.denials_max),
        (KillCause.ERRORS, "deaths_max", rules.deaths_max),
    ):
        threshold = max(1, bound // _PROBATION) if is_probation and bound else bound
        count = desk.tallies.of(cause, who, since)
        if not 0 < threshold <= count:
            continue
        trips = 1 if known is None else known.trips + 1
        wait = min(rules.cooldown * 2 ** min(trips - 1, 20), rules.cooldown_max)
        probation = " on probation" if is_probation else ""
        return ev.BreakerMoved(
            strategy_id=who,
            state=BreakerState.OPEN,
            why=f"{cause}={count} {name}={threshold}{probation} in {rules.window.total_seconds():g} s",
            cause=cause,
            figure=str(count),
            threshold=str(threshold),
            until=now + wait,
            trips=trips,
            at=now,
        )
    return None
