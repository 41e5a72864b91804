"""The kills in force: a fold of facts, so that no restart lifts one.

Rule 1: a kill is latched: it goes deeper, never shallower, until an officer releases it.
Rule 2: of several that apply the deepest holds.
Rule 3: what a release forgives is kept: it must not pull the kill again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from deskd.core.losses import Losses
from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.ids import StrategyId, Symbol, UserId
from deskd.domain.kill import THE_DESK, KillCause, KillDepth, KillScope, KillTarget, TradingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill in force."""

    target: KillTarget
    depth: KillDepth
    latest: ev.KillEngaged  # who pulled it, or pulled it deeper, when and why
    since: datetime
    flat_at: datetime | None = None  # when nothing was open or held any more
    left: tuple[str, ...] = ()  # what could not be closed, by name
    until: datetime | None = None  # of a circuit breaker: when it lets the strategy try again; a kill has no end

    @property
    def in_words(self) -> str:
        """Return the kill as one line."""
        why = self.latest
        until = "" if self.until is None else f" until={_stamp(self.until)}"
        return f"kill={self.target} depth={self.depth} since={_stamp(self.since)}{until} by={why.by!r} reason={why.reason!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The last release of a target."""

    at: datetime
    forgiven: Losses


@dataclass(slots=True)
class Kills:
    """All that are in force."""

    in_force: dict[KillTarget, Kill] = field(default_factory=dict)
    breakers: dict[StrategyId, ev.BreakerMoved] = field(default_factory=dict)  # each one's last move
    suspended: ev.TradingSuspended | None = None  # the broker's account is, by the desk
    swept_at: datetime | None = None  # under the desk's kill: when the broker answered the cancel of all that is open
    releases: dict[KillTarget, Release] = field(default_factory=dict)  # the last of each

    # --- apply ---------------------------------------------------------------------------------------------------

    def engage(self, fact: ev.KillEngaged) -> None:
        """Put the kill in force, or the one that is deeper."""
        known = self.in_force.get(fact.target)
        if known is None:
            self.in_force[fact.target] = Kill(target=fact.target, depth=fact.depth, latest=fact, since=fact.at)
        elif not known.depth.reaches(fact.depth):
            self.in_force[fact.target] = replace(known, depth=fact.depth, latest=fact, flat_at=None)
        else:
            return
        if fact.target == THE_DESK:
            self.swept_at = None

    def release(self, fact: ev.KillReleased, forgiven: Losses) -> None:
        """Lift the kill, and forgive what was lost until now."""
        self.in_force.pop(fact.target, None)
        if fact.target.scope is KillScope.STRATEGY:
            self.breakers.pop(StrategyId(fact.target.name), None)
        self.releases[fact.target] = Release(at=fact.at, forgiven=forgiven)

    def complete(self, fact: ev.FlattenCompleted) -> None:
        """Know that nothing is open or held under the kill."""
        if known := self.in_force.get(fact.target):
            self.in_force[fact.target] = replace(known, flat_at=fact.at, left=())

    def hinder(self, fact: ev.FlattenHindered) -> None:
        """Know what cannot be closed."""
        if known := self.in_force.get(fact.target):
            self.in_force[fact.target] = replace(known, flat_at=None, left=fact.left)

    def move(self, fact: ev.BreakerMoved) -> None:
        """Know where the strategy's circuit breaker stands."""
        self.breakers[fact.strategy_id] = fact

    def suspend(self, fact: ev.TradingSuspended) -> None:
        """Know whether the desk has suspended the broker's account."""
        self.suspended = fact if fact.is_suspended else None

    def step(self, by: timedelta) -> None:
        """Take along what is counted from where the desk's clock was set; a kill's own time stays as it is on record."""
        for target, release in self.releases.items():
            self.releases[target] = replace(release, at=release.at + by)
        for who, move in self.breakers.items():
            until = None if move.until is None else move.until + by
            self.breakers[who] = replace(move, at=move.at + by, until=until)

    def sweep(self, fact: ev.CancelAllAnswered) -> None:
        """Know that the broker was asked to cancel all that is open, and answered."""
        self.swept_at = fact.at

    # --- look ----------------------------------------------------------------------------------------------------

    def over(self, who: StrategyId, member: UserId | None, symbol: Symbol) -> Kill | None:
        """Return the deepest kill that holds for orders of *who* in *symbol*; None where none does."""
        deepest = self.breaker(who) if self.breakers else None
        if not self.in_force:
            return deepest
        for target in _targets(who, member, symbol):
            kill = self.in_force.get(target)
            if kill is not None and (deepest is None or not deepest.depth.reaches(kill.depth)):
                deepest = kill
        return deepest

    def breaker_state(self, who: StrategyId) -> BreakerState:
        """Return where the strategy's circuit breaker stands."""
        known = self.breakers.get(who)
        return BreakerState.CLOSED if known is None else known.state

    def breaker(self, who: StrategyId) -> Kill | None:
        """Return the strategy's circuit breaker as the kill that it is while it is open; None where it is not."""
        move = self.breakers.get(who)
        if move is None or move.state is not BreakerState.OPEN:
            return None
        target = KillTarget(KillScope.STRATEGY, who)
        latest = ev.KillEngaged(
            target=target,
            depth=KillDepth.REDUCE_ONLY,
            cause=move.cause or KillCause.BREAKER,
            by="breaker",
            reason=move.why,
            at=move.at,
            figure=move.figure,
            threshold=move.threshold,
        )
        return Kill(target=target, depth=latest.depth, latest=latest, since=move.at, until=move.until)

    def of(self, target: KillTarget) -> Kill | None:
        """Return the kill of the target, or its open circuit breaker; None where there is neither."""
        known = self.in_force.get(target)
        return self.breaker(StrategyId(target.name)) if known is None and target.scope is KillScope.STRATEGY else known

    def all(self) -> list[Kill]:
        """Return every kill in force, and every circuit breaker that is open."""
        opened = (self.breaker(who) for who in self.breakers)
        return [*self.in_force.values(), *(kill for kill in opened if kill is not None)]

    def released_at(self, target: KillTarget) -> datetime | None:
        """Return when the target was last released; None where it never was."""
        known = self.releases.get(target)
        return None if known is None else known.at

    def forgiven(self, target: KillTarget) -> Losses | None:
        """Return what the target had lost when it was last released."""
        known = self.releases.get(target)
        return None if known is None else known.forgiven

    def stopping_desk(self) -> Kill | None:
        """Return the kill that lets nobody order anything; None where there is none."""
        kill = self.in_force.get(THE_DESK)
        if kill is not None and kill.depth.reaches(KillDepth.STOP_NEW):
            return kill
        return None if self.suspended is None else _not_free_yet(self.suspended)

    def at_least(self, depth: KillDepth) -> list[Kill]:
        """Return the kills that go at least so deep."""
        return [kill for kill in self.in_force.values() if kill.depth.reaches(depth)]

    def state_of(self, who: StrategyId, member: UserId | None) -> TradingState:
        """Return what the strategy may do, whatever the symbol."""
        names = (THE_DESK, KillTarget(KillScope.STRATEGY, who), KillTarget(KillScope.MEMBER, member or ""))
        kills = [self.in_force[target] for target in names if target in self.in_force]
        if (breaker := self.breaker(who)) is not None:
            kills.append(breaker)
        return state_at([kill.depth for kill in kills])

    def desk_state(self) -> TradingState:
        """Return what the desk as a whole may do."""
        kill = self.in_force.get(THE_DESK)
        return state_at([] if kill is None else [kill.depth])


def _not_free_yet(fact: ev.TradingSuspended) -> Kill:
    """Return the rest of a kill that is released: the broker would refuse every order until it has answered."""
    latest = ev.KillEngaged(
        target=THE_DESK,
        depth=KillDepth.STOP_NEW,
        cause=KillCause.COMMAND,
        by="desk",
        reason="the kill is released; the broker has not confirmed yet that its account may trade again",
        at=fact.at,
    )
    return Kill(target=THE_DESK, depth=latest.depth, latest=latest, since=fact.at)


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def state_at(depths: list[KillDepth]) -> TradingState:
    """Return what is left under kills of these depths."""
    if any(depth.reaches(KillDepth.STOP_NEW) for depth in depths):
        return TradingState.KILLED
    return TradingState.REDUCE_ONLY if depths else TradingState.ACTIVE


def _targets(who: StrategyId, member: UserId | None, symbol: Symbol) -> Iterator[KillTarget]:
    yield THE_DESK
    yield KillTarget(KillScope.STRATEGY, who)
    yield KillTarget(KillScope.SYMBOL, symbol)
    if member is not None:
        yield KillTarget(KillScope.MEMBER, member)


def covers(target: KillTarget, who: StrategyId, member: UserId | None, symbol: Symbol) -> bool:
    """Tell whether the target takes in orders of *who* in *symbol*."""
    return target in _targets(who, member, symbol)
