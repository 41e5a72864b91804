"""Has the ledger know of strategies: that there is one, that it was changed, that it runs, rests or failed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from deskd.domain.events import PlainFact, StrategyRegistered, StrategyStatusChanged
from deskd.domain.ids import StrategyId
from deskd.domain.run import StrategyStatus
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.domain.streak import Streak
from deskd.ports import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Posts facts of strategies; each is on record when the call returns."""

    clock: Clock
    post: Callable[[PlainFact], Awaitable[None]]
    registered: Callable[[StrategyId], StrategyRegistered | None]  # as the ledger has it
    on_spec: Callable[[StrategySpec], None]
    beside: Callable[[], tuple[StrategyId, ...]] = tuple  # the folders that are there, and could run

    async def found(self, found: StrategySpec | BrokenStrategy) -> None:
        """Have the ledger know the strategy, if it is new or was changed."""
        if isinstance(found, BrokenStrategy):
            log.warning("strategy_broken", strategy_id=found.strategy_id, problem=found.problem)
            return
        self.on_spec(found)
        fact = StrategyRegistered(
            strategy_id=found.strategy_id,
            user_id=found.user_id,
            name=found.name,
            version=found.version,
            path=str(found.path),
            code_hash=found.code_hash,
            at=self.clock.now(),
        )
        known = self.registered(found.strategy_id)
        if known is None:
            await self.post(replace(fact, beside=self.beside()))
        elif replace(known, at=fact.at, beside=None) != fact:
            await self.post(fact)

    async def active(self, strategy_id: StrategyId, why: str, *, counts_anew: bool) -> None:
        """Say that it runs from now on, and whether its deaths are forgotten."""
        await self.post(
            StrategyStatusChanged(
                strategy_id=strategy_id,
                status=StrategyStatus.ACTIVE,
                why=why,
                at=self.clock.now(),
                counts_anew=counts_anew,
            )
        )

    async def over(self, strategy_id: StrategyId, status: StrategyStatus, why: str, *, by_hand: bool = False) -> None:
        """Say that it runs no more."""
        now = self.clock.now()
        await self.post(StrategyStatusChanged(strategy_id=strategy_id, status=status, why=why, at=now, by_hand=by_hand))


def given_up(strategy_id: StrategyId, streak: Streak) -> str:
    """Return why it is not tried again, and what to do."""
    return f"{streak.story()}; mend it, and it is tried again by itself; or `deskctl start {strategy_id}`"
