"""Looks, again and again, whether the desk is to pull its kill switch by itself, or a strategy's circuit breaker moves.

Rule 1: of losses two looks in a row must say so: one odd quote marks every book that holds the symbol.
Rule 2: how late a look comes is how late everything on the desk's one loop comes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NoReturn

import structlog

from deskd.config import RiskAutomaticSection, RiskBreakerSection
from deskd.core import automatic, breakers
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.automatic import LAGS_IN_A_ROW, OFF, AutomaticRules, LossBounds, Seen
from deskd.domain.breaker import BreakerRules
from deskd.domain.kill import THE_DESK, KillCause, KillDepth, KillScope, KillTarget
from deskd.domain.market import MarketClock
from deskd.ports import Clock

LOOK_EVERY_S = 1.0  # some sums over the books
_LOSSES = frozenset({KillCause.DAILY_LOSS, KillCause.DRAWDOWN})

log = structlog.get_logger()


def rules_of(section: RiskAutomaticSection) -> AutomaticRules:
    """Return what is configured."""
    return AutomaticRules(
        depth=KillDepth(section.depth),
        losses={
            KillScope.STRATEGY: LossBounds(
                daily_loss_pct=section.strategy_daily_loss_pct, drawdown_pct=section.strategy_drawdown_pct
            ),
            KillScope.MEMBER: LossBounds(
                daily_loss_pct=section.member_daily_loss_pct, drawdown_pct=section.member_drawdown_pct
            ),
            KillScope.DESK: LossBounds(
                daily_loss_pct=section.desk_daily_loss_pct, drawdown_pct=section.desk_drawdown_pct
            ),
        },
        drift=timedelta(seconds=section.drift_s),
        stale=timedelta(seconds=section.stale_stream_s),
        window=timedelta(seconds=section.window_s),
        deaths_max=section.deaths_max,
        rejects_max=section.rejects_max,
        broker_errors_max=section.broker_errors_max,
        loop_lag=timedelta(seconds=section.loop_lag_s),
    )


def breaker_rules_of(section: RiskBreakerSection) -> BreakerRules:
    """Return what is configured."""
    return BreakerRules(
        window=timedelta(seconds=section.window_s),
        rejects_max=section.rejects_max,
        denials_max=section.denials_max,
        deaths_max=section.deaths_max,
        cooldown=timedelta(seconds=section.cooldown_s),
        cooldown_max=timedelta(seconds=section.cooldown_max_s),
        trips_max=section.trips_max,
    )


@dataclass(slots=True, kw_only=True)
class KillWatch:
    """One task of the desk."""

    desk: Desk
    rules: AutomaticRules
    breaker_rules: BreakerRules
    post: Callable[[ev.KillEngaged | ev.BreakerMoved], Awaitable[None]]
    clock: Callable[[], MarketClock | None]  # the broker's, as last heard
    wall: Clock
    is_clock_set: Callable[[], bool] = lambda: False  # just now, and the desk was not told yet
    failures: Callable[[timedelta], int] = lambda _: 0  # requests that failed at the broker, within so long
    look_every_s: float = LOOK_EVERY_S
    _lags: deque[timedelta] = field(default_factory=lambda: deque(maxlen=LAGS_IN_A_ROW))
    _lost: frozenset[tuple[KillTarget, KillCause]] = frozenset()  # what the look before found of losses

    async def run(self) -> NoReturn:
        """Look until canceled."""
        while True:
            due_at = self.wall.monotonic() + self.look_every_s
            await asyncio.sleep(self.look_every_s)
            await self.look(late_s=self.wall.monotonic() - due_at)

    async def look(self, *, late_s: float = 0.0) -> None:
        """Pull what is due; *late_s*: how late this look is."""
        if (
            self.is_clock_set()
        ):  # what has begun seems an hour ago, or still to come: the next event brings it to rights
            return
        self._lags.append(timedelta(seconds=max(late_s, 0.0)))
        clock, released_at = self.clock(), self.desk.kills.released_at(THE_DESK)
        window = self.rules.window
        if released_at is not None:
            window = min(max(self.wall.now() - released_at, OFF), window)
        seen = Seen(
            is_market_open=clock is not None and clock.is_open,
            lag=min(self._lags) if len(self._lags) == LAGS_IN_A_ROW else OFF,
            broker_errors=self.failures(window),
        )
        found = automatic.due(self.desk, self.rules, seen, self.wall.now())
        before, self._lost = self._lost, frozenset((k.target, k.cause) for k in found if k.cause in _LOSSES)
        for kill in found:
            if kill.cause not in _LOSSES or (kill.target, kill.cause) in before:
                await self.post(kill)
        now = self.wall.now()
        for move in breakers.due(self.desk, self.breaker_rules, now):
            await self.post(move)
        for kill in breakers.kills(self.desk, self.breaker_rules, now):
            await self.post(kill)
