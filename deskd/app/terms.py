"""What each strategy trades under: its limits, its schedule, its exits, and the capital that it has from the house."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from deskd.app.bounds import allocation_of, limits_in_words, limits_of, schedule_within
from deskd.app.exit_watch import rules_of
from deskd.config import Config
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.ids import HOUSE, StrategyId
from deskd.domain.money import Cash
from deskd.domain.notifications import Wishes
from deskd.domain.schedule import ALWAYS
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.ports import Clock

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Terms:
    """Sets them in the desk as strategies are read, and has them on record."""

    config: Config  # in force
    desk: Desk
    wall: Clock
    post: Callable[[ev.PlainFact], Awaitable[None]]
    keep: Callable[[ev.PlainFact], Awaitable[None]]  # return when it is on disk
    strategies: Callable[[], Sequence[StrategySpec | BrokenStrategy]]
    wish: Callable[[StrategyId, Wishes], None]  # of whoever is told about the strategy
    _read: set[StrategyId] = field(default_factory=set)  # since the desk began: their last good files count

    def spec_of(self, strategy_id: StrategyId) -> StrategySpec | None:
        """Return the strategy as it was last read; None where there is none that can run."""
        found = (one for one in self.strategies() if one.strategy_id == strategy_id)
        return next((one for one in found if isinstance(one, StrategySpec)), None)

    def on_spec(self, spec: StrategySpec) -> None:
        """Let the desk judge by what the strategy's files say now."""
        self._read.add(spec.strategy_id)
        limits = limits_of(spec, self.config.risk, self.config.market.stale_after_s)
        self.desk.limits[spec.strategy_id] = limits
        self.desk.schedules[spec.strategy_id] = spec.schedule
        self.desk.exit_rules[spec.strategy_id] = rules_of(spec, self.config.risk.exits)
        self.wish(spec.strategy_id, spec.wishes)
        listed = self.desk.instruments
        if listed and (unknown := sorted(set(spec.symbols) - listed.keys())):
            consequence = "no data and no orders for them: check the spelling in config.json"
            log.warning("symbols_unknown", strategy_id=spec.strategy_id, symbols=unknown, consequence=consequence)

    def stand_in(self) -> None:
        """Hold strategies whose files cannot be read to the desk's own exits and schedule: they may still hold something."""
        for strategy_id in self.desk.strategies.keys() - self._read:
            self.desk.schedules[strategy_id] = schedule_within(ALWAYS, self.config.risk.schedule)
            self.desk.exit_rules[strategy_id] = rules_of(None, self.config.risk.exits)

    def bound(self, spec: StrategySpec) -> None:
        """Bound a strategy by a configuration that is new, whether its own files still fit or not."""
        self.on_spec(spec)
        self.desk.schedules[spec.strategy_id] = schedule_within(spec.schedule, self.config.risk.schedule)

    async def on_run_fact(self, fact: ev.PlainFact) -> None:
        """Put on record what the supervisor says; a new strategy gets its capital before its first order."""
        if isinstance(fact, ev.StrategyStatusChanged) and fact.by_hand:
            await self.keep(fact)  # whoever stopped it is answered after this
            return
        await self.post(fact)
        if isinstance(fact, ev.StrategyRegistered):
            await self.allocate(fact.strategy_id, self.spec_of(fact.strategy_id))
            await self.tell_limits(fact.strategy_id)

    async def allocate(self, strategy_id: StrategyId, spec: StrategySpec | None, by: str = "desk.toml") -> None:
        """Give the strategy its allocation from the house, where that is not what it has."""
        risk = self.config.risk
        wanted = Cash(risk.strategy.allocation) if spec is None else allocation_of(spec, risk)
        book = self.desk.portfolio.books.get(strategy_id)
        if book is None or book.allocation != wanted:
            at = self.wall.now()
            await self.post(ev.AllocationChanged(strategy_id=strategy_id, allocation=wanted, by=by, at=at))

    async def tell_limits(self, strategy_id: StrategyId, by: str = "desk.toml and config.json") -> None:
        """Have the strategy's limits on record, where they are others than before."""
        limits = self.desk.limits.get(strategy_id)
        if limits is not None:
            told = ev.LimitsChanged(
                strategy_id=strategy_id,
                limits=limits_in_words(limits),
                by=by,
                at=self.wall.now(),
            )
            await self.post(told)

    def warn_of_overcommitment(self) -> None:
        """Say it where members were given more than the account has."""
        house = self.desk.account(HOUSE)
        if house is not None and house.cash < 0:
            remedy = "lower risk.strategy.allocation, or run fewer strategies"
            log.warning("allocations_exceed_account", house_cash=str(house.cash), remedy=remedy)
