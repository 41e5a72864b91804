"""When the desk pulls the kill switch by itself: a look at the desk, and bounds.

Rule 1: a tighter bound kills no later: what is found is a figure, and it pulls where it reaches its bound.
Rule 2: an officer's release counts: what was before it pulls no kill of the same target again.
Rule 3: what is not configured pulls nothing; what pulls says figure and bound.
Rule 4: what is counted stops the desk only where it befalls most of its members; whoever reaches the bound alone is
        stopped alone (decision 0091).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from deskd.core.desk import MARKET, TRADES, Desk
from deskd.core.losses import all_losses
from deskd.core.standing import CASH
from deskd.domain import events as ev
from deskd.domain.automatic import NO_BOUNDS, AutomaticRules, Seen
from deskd.domain.ids import UserId
from deskd.domain.kill import THE_DESK, KillCause, KillScope, KillTarget
from deskd.domain.money import plain
from deskd.domain.run import StrategyStatus

BY = "automatic"
_AT_WORK = frozenset({StrategyStatus.ACTIVE, StrategyStatus.PAUSED})
_STEP = Decimal("0.01")  # of what is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A figure and the bound that it is held against."""

    target: KillTarget
    cause: KillCause
    figure: Decimal
    bound: Decimal
    unit: str
    about: str = ""

    @property
    def pulls(self) -> bool:
        """Tell whether the figure has reached its bound; a bound of 0 is none."""
        return 0 < self.bound <= self.figure


def due(desk: Desk, rules: AutomaticRules, seen: Seen, now: datetime) -> list[ev.KillEngaged]:
    """Return the kills that are to be pulled now, of those that are not in force so deep already."""
    pulled: list[ev.KillEngaged] = []
    for found in findings(desk, rules, seen, now):
        known = desk.kills.in_force.get(found.target)
        is_in_force = known is not None and known.depth.reaches(rules.depth)
        if found.pulls and not is_in_force and all(found.target != kill.target for kill in pulled):
            pulled.append(_kill(found, rules, now))
    return pulled


def findings(desk: Desk, rules: AutomaticRules, seen: Seen, now: datetime) -> Iterator[Finding]:
    """Yield everything that is held against a bound, whether it pulls or not."""
    yield from _losses(desk, rules)
    yield from _drift(desk, rules, now)
    yield from _streams(desk, rules, seen, now)
    for cause, bound in ((KillCause.ERRORS, rules.deaths_max), (KillCause.REJECTS, rules.rejects_max)):
        yield from _counts(desk, cause, Decimal(bound), rules.window, now)
    yield Finding(
        target=THE_DESK,
        cause=KillCause.BROKER_ERRORS,
        figure=Decimal(seen.broker_errors),
        bound=Decimal(rules.broker_errors_max),
        unit="",
        about=f"requests that the broker failed or left unanswered in {rules.window.total_seconds():g} s",
    )
    yield Finding(
        target=THE_DESK,
        cause=KillCause.LOOP_LAG,
        figure=_seconds(seen.lag),
        bound=_seconds(rules.loop_lag),
        unit=" s",
        about="late, look after look",
    )


def _losses(desk: Desk, rules: AutomaticRules) -> Iterator[Finding]:
    for target, losses in all_losses(desk).items():
        bounds = rules.losses.get(target.scope, NO_BOUNDS)
        lost = losses.beyond(desk.kills.forgiven(target))
        for cause, figure, bound, about in (
            (KillCause.DAILY_LOSS, lost.daily_loss_pct, bounds.daily_loss_pct, "of the allocation, today"),
            (KillCause.DRAWDOWN, lost.drawdown_pct, bounds.drawdown_pct, "of the equity's peak"),
        ):
            yield Finding(target=target, cause=cause, figure=figure, bound=bound, unit=" %", about=about)


def _drift(desk: Desk, rules: AutomaticRules, now: datetime) -> Iterator[Finding]:
    """Yield how long each difference is open: that of a symbol kills the symbol, that of cash the desk."""
    for subject, difference in desk.standing.open.items():
        target = THE_DESK if subject == CASH else KillTarget(KillScope.SYMBOL, subject)
        yield Finding(
            target=target,
            cause=KillCause.DRIFT,
            figure=_since(desk, target, difference.found_at, now),
            bound=_seconds(rules.drift),
            unit=" s",
            about=f"the broker has {plain(difference.more)} more of {subject} than the books explain",
        )


def _streams(desk: Desk, rules: AutomaticRules, seen: Seen, now: datetime) -> Iterator[Finding]:
    for stream in (MARKET, TRADES):
        outage = desk.outages.open.get(stream)
        if not seen.is_market_open or outage is None or not desk.outages.is_down(stream):
            continue
        yield Finding(
            target=THE_DESK,
            cause=KillCause.STALE_STREAM,
            figure=_since(desk, THE_DESK, outage.started_at, now),
            bound=_seconds(rules.stale),
            unit=" s",
            about=f"the stream `{stream}` is away: {outage.why}",
        )


def _counts(desk: Desk, cause: KillCause, bound: Decimal, window: timedelta, now: datetime) -> Iterator[Finding]:
    """Yield what befell most members as one figure of the desk, else each member's own."""
    span = f"in {window.total_seconds():g} s"
    hit = _by_member(desk, cause, _counted_since(desk, THE_DESK, window, now))
    others = {desk.member_of(who) for who, status in desk.statuses.items() if status in _AT_WORK} - set(hit)
    if len(hit) > len(others):
        about = f"of {len(hit)} of {len(hit) + len(others)} members {span}"
        yield Finding(
            target=THE_DESK, cause=cause, figure=Decimal(sum(hit.values())), bound=bound, unit="", about=about
        )
        return
    for member in hit:
        target = KillTarget(KillScope.MEMBER, member)
        own = _by_member(desk, cause, _counted_since(desk, target, window, now)).get(member, 0)
        yield Finding(
            target=target, cause=cause, figure=Decimal(own), bound=bound, unit="", about=f"of {member} alone {span}"
        )


def _by_member(desk: Desk, cause: KillCause, since: datetime) -> dict[UserId, int]:
    """Return how many there were after *since*, of those members that had any."""
    counts: dict[UserId, int] = {}
    for who, count in desk.tallies.each(cause, since):
        member = desk.member_of(who)
        counts[member] = counts.get(member, 0) + count
    return counts


def _counted_since(desk: Desk, target: KillTarget, window: timedelta, now: datetime) -> datetime:
    """Return since when it counts: not longer than the window, and not before a release of the target or the desk."""
    released = (desk.kills.released_at(target), desk.kills.released_at(THE_DESK))
    return max([now - window, *(at for at in released if at is not None)])


def _since(desk: Desk, target: KillTarget, began: datetime, now: datetime) -> Decimal:
    """Return for how long, in seconds; not longer than since the target was last released."""
    return _seconds(now - max(began, desk.kills.released_at(target) or began))


def _seconds(span: timedelta) -> Decimal:
    return Decimal(span // timedelta(milliseconds=1)) / 1_000


def _kill(found: Finding, rules: AutomaticRules, now: datetime) -> ev.KillEngaged:
    figure = f"{plain(found.figure.quantize(_STEP, ROUND_DOWN))}{found.unit}"
    threshold = f"{plain(found.bound)}{found.unit}"
    return ev.KillEngaged(
        target=found.target,
        depth=rules.depth,
        cause=found.cause,
        by=BY,
        reason=f"{found.cause}={figure} bound={threshold}: {found.about}",
        at=now,
        figure=figure,
        threshold=threshold,
    )
