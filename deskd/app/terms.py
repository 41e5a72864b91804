"""What each strategy trades under: its limits, its schedule, its exits, and the capital that it has from the house."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from deskd.app.bounds import allocation_of, allocations_of, limits_in_words, limits_of, schedule_within
from deskd.app.exit_watch import rules_of
from deskd.config import Config
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.ids import HOUSE, StrategyId, UserId
from deskd.domain.money import NO_CASH, Cash, plain
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
        """Give the strategy its allocation from the house, where that is not what it has.

        Where its member has so much for all strategies together, all of them have what is due to them now.
        """
        risk = self.config.risk
        wanted = Cash(risk.strategy.allocation) if spec is None else allocation_of(spec, risk)
        member = self.desk.member_of(strategy_id) if spec is None else spec.user_id
        together = allocations_of(member, risk)
        if together is None:
            await self._give(strategy_id, wanted, by)
            return
        claims = self._wanted(member)
        if spec is not None:
            claims[strategy_id] = wanted  # its last good files count, where they are broken now
        for one, given in shared_out(together, claims).items():
            await self._give(one, given, f"{by}: all of {member}'s strategies together have {plain(together)}")

    def _wanted(self, member: UserId) -> dict[StrategyId, Cash]:
        """Return what each of the member's strategies would have alone, the first that came first.

        One whose folder is gone or broken keeps what it has as long as it holds something, and has no claim after.
        """
        desk, here = self.desk, {one.strategy_id: one for one in self.strategies()}
        new = [one for one, found in here.items() if isinstance(found, StrategySpec) and found.user_id == member]
        wanted: dict[StrategyId, Cash] = {}
        for one in dict.fromkeys([*desk.members.get(member, ()), *new]):
            found, book = here.get(one), desk.portfolio.books.get(one)
            if isinstance(found, StrategySpec) and found.user_id == member:
                wanted[one] = allocation_of(found, self.config.risk)
            elif book is not None and (found is not None or book.held() or desk.reservations.count(one)):
                wanted[one] = book.allocation
        return wanted

    async def _give(self, strategy_id: StrategyId, given: Cash, by: str) -> None:
        book = self.desk.portfolio.books.get(strategy_id)
        if book is None or book.allocation != given:
            at = self.wall.now()
            await self.post(ev.AllocationChanged(strategy_id=strategy_id, allocation=given, by=by, at=at))

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


def shared_out(together: Cash, wanted: Mapping[StrategyId, Cash]) -> dict[StrategyId, Cash]:
    """Return what each gets of so much: in their order, each as much as it wants, and is left."""
    given: dict[StrategyId, Cash] = {}
    left = together
    for one, much in wanted.items():
        given[one] = min(much, left)
        left = max(Cash(left - given[one]), NO_CASH)
    return given
