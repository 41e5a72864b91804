"""When the desk pulls the kill switch by itself: a look at the desk, and bounds.

Rule 1: a tighter bound kills no later: what is found is a figure, and it pulls where it reaches its bound.
Rule 2: an officer's release counts: what was before it pulls no kill of the same target again.
Rule 3: what is not configured pulls nothing; what pulls says figure and bound.
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
from deskd.domain.kill import THE_DESK, KillCause, KillScope, KillTarget
from deskd.domain.money import plain

BY = "automatic"
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
    since = max(now - rules.window, desk.kills.released_at(THE_DESK) or now - rules.window)
    for cause, bound in ((KillCause.ERRORS, rules.deaths_max), (KillCause.REJECTS, rules.rejects_max)):
        count = desk.tallies.of_all(cause, since)
        about = f"of all strategies in {rules.window.total_seconds():g} s"
        yield Finding(target=THE_DESK, cause=cause, figure=Decimal(count), bound=Decimal(bound), unit="", about=about)
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
