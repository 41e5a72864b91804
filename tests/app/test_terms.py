"""What strategies trade under: by their files and the configuration in force, on record, and before the first order."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from structlog.testing import capture_logs

from deskd.app.terms import Terms, shared_out
from deskd.config import (
    Config,
    RiskExitsSection,
    RiskScheduleSection,
    RiskSection,
    RiskStrategySection,
)
from deskd.config.risk import RiskMemberSection
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.exits import ExitRules
from deskd.domain.ids import HOUSE, StrategyId, Symbol, UserId
from deskd.domain.notifications import Wishes
from deskd.domain.run import StrategyStatus
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from tests.app.test_bounds import a_spec
from tests.factories import AAPL, ALICE, BOB, NOON, a_desk, cash, price, qty, registered
from tests.fixed_clock import FixedClock


@dataclass
class Given:
    """Terms of a desk, and what they put on record."""

    config: Config = field(default_factory=Config)
    desk: Desk = field(default_factory=a_desk)
    found: list[StrategySpec | BrokenStrategy] = field(default_factory=lambda: [a_spec()])
    posted: list[ev.Fact] = field(default_factory=list)
    kept: list[ev.Fact] = field(default_factory=list)
    wishes: list[tuple[StrategyId, Wishes]] = field(default_factory=list)
    terms: Terms = field(init=False)

    def __post_init__(self) -> None:
        self.terms = Terms(
            config=self.config,
            desk=self.desk,
            wall=FixedClock(),
            post=self._post,
            keep=self._keep,
            strategies=self._strategies,
            wish=lambda who, wishes: self.wishes.append((who, wishes)),
        )

    async def _post(self, fact: ev.PlainFact) -> None:
        self.posted.append(fact)

    async def _keep(self, fact: ev.PlainFact) -> None:
        self.kept.append(fact)

    def _strategies(self) -> Sequence[StrategySpec | BrokenStrategy]:
        return self.found


def given_allocation(allocation: str) -> Config:
    return Config(risk=RiskSection(strategy=RiskStrategySection(allocation=Decimal(allocation))))


def test_the_desk_judges_by_what_the_files_say_now() -> None:
    """Limits, schedule, exits and wishes are there as soon as the strategy is read."""
    given = Given()
    given.terms.on_spec(a_spec(order_qty_max="7"))
    assert given.desk.limits[ALICE].order_qty_max == 7
    assert given.desk.schedules[ALICE] == a_spec().schedule
    assert ALICE in given.desk.exit_rules
    assert given.wishes == [(ALICE, a_spec().wishes)]


def test_whose_files_cannot_be_read_is_held_to_the_desks_own_exits_and_schedule() -> None:
    """A folder that is broken or gone at the start leaves no position without the stop that officers want."""
    risk = RiskSection(
        exits=RiskExitsSection(stop_loss_pct=Decimal(3)), schedule=RiskScheduleSection(flatten_before_close_min=10)
    )
    given = Given(config=Config(risk=risk))
    given.terms.on_spec(replace(a_spec(), exits=ExitRules(stop_loss_pct=Decimal(1))))
    given.terms.stand_in()
    assert given.desk.exit_rules[ALICE].stop_loss_pct == 1  # its last good files count
    assert given.desk.exit_rules[BOB].stop_loss_pct == 3
    assert given.desk.schedules[BOB].flatten_before_close == timedelta(minutes=10)


def test_a_symbol_that_the_broker_does_not_list_is_said_when_the_strategy_is_read() -> None:
    """A spelling mistake would otherwise be a strategy that never hears anything."""
    given = Given()
    with capture_logs() as told:
        given.terms.on_spec(replace(a_spec(), symbols=(Symbol("APPL"),)))
    assert [(line["event"], line["symbols"]) for line in told] == [("symbols_unknown", ["APPL"])]


def test_a_tighter_schedule_of_the_desk_bounds_what_already_runs() -> None:
    """Its own config.json was judged by the old one."""
    given = Given(Config(risk=RiskSection(schedule=RiskScheduleSection(no_new_before_close_min=5))))
    given.terms.bound(a_spec())
    assert given.desk.schedules[ALICE].no_new_before_close == timedelta(minutes=5)


async def test_a_new_strategy_has_its_capital_and_limits_on_record_before_its_first_order() -> None:
    """Right behind the fact that it is there."""
    given = Given(given_allocation("500"))
    given.terms.on_spec(a_spec())
    fact = registered(ALICE)
    await given.terms.on_run_fact(fact)
    assert [type(one) for one in given.posted] == [ev.StrategyRegistered, ev.AllocationChanged, ev.LimitsChanged]
    assert given.posted[0] == fact
    assert isinstance(given.posted[1], ev.AllocationChanged)
    assert given.posted[1].allocation == 500


async def test_who_stops_a_strategy_by_hand_is_answered_when_that_is_on_disk() -> None:
    """Everything else is on its way while the supervisor goes on."""
    given = Given()
    by_hand = ev.StrategyStatusChanged(
        strategy_id=ALICE, status=StrategyStatus.STOPPED, why="stopped by ada", at=NOON, by_hand=True
    )
    await given.terms.on_run_fact(by_hand)
    await given.terms.on_run_fact(replace(by_hand, by_hand=False))
    assert given.kept == [by_hand]
    assert given.posted == [replace(by_hand, by_hand=False)]


async def test_capital_that_is_as_it_should_be_is_no_fact() -> None:
    """A start of the desk writes nothing that did not change; a strategy without files has the desk's."""
    given = Given(given_allocation("10000"))
    await given.terms.allocate(ALICE, a_spec())
    await given.terms.allocate(BOB, None)
    assert given.posted == []
    given.terms.config = given_allocation("9000")
    await given.terms.allocate(BOB, None, by="ada")
    assert given.posted == [ev.AllocationChanged(strategy_id=BOB, allocation=cash(9000), by="ada", at=NOON)]


async def test_limits_of_a_strategy_that_was_never_read_are_not_told() -> None:
    """There are none yet."""
    given = Given()
    await given.terms.tell_limits(StrategyId("nobody"))
    assert given.posted == []


def test_a_strategy_that_cannot_run_has_no_spec() -> None:
    """A door opens for what was read whole."""
    broken = BrokenStrategy(strategy_id=BOB, path=Path("/strategies/bob"), problem="strategy.py is missing")
    given = Given(found=[a_spec(), broken])
    assert given.terms.spec_of(ALICE) == a_spec()
    assert given.terms.spec_of(BOB) is None
    assert given.terms.spec_of(StrategyId("nobody")) is None


def test_more_given_than_there_is_is_said() -> None:
    """With what is left of the house, and the remedy."""
    given = Given()
    with capture_logs() as told:
        given.terms.warn_of_overcommitment()
        given.desk.portfolio.book(HOUSE).cash = cash(-1)
        given.terms.warn_of_overcommitment()
    assert [(line["event"], line["house_cash"]) for line in told] == [("allocations_exceed_account", "-1")]


def a_capped_member(together: int) -> Config:
    return Config(risk=RiskSection(member=RiskMemberSection(allocation=Decimal(together))))


async def test_a_members_strategies_have_so_much_together() -> None:
    """Who came first has his first; what changes is a fact that says why, and nothing else is one."""
    given = Given(a_capped_member(15_000))
    given.desk.apply(replace(registered(BOB), user_id=UserId("alice")))
    given.found = [replace(a_spec(), strategy_id=BOB), a_spec()]
    await given.terms.allocate(BOB, replace(a_spec(), strategy_id=BOB))
    [fact] = given.posted
    assert isinstance(fact, ev.AllocationChanged)
    assert (fact.strategy_id, fact.allocation) == (BOB, cash(5_000))
    assert fact.by == "desk.toml: all of alice's strategies together have 15000"
    given.desk.apply(fact)
    await given.terms.allocate(ALICE, a_spec())
    assert len(given.posted) == 1
    new = StrategyId("alice_2")
    given.found.append(replace(a_spec(), strategy_id=new))
    await given.terms.on_run_fact(replace(registered(new), user_id=UserId("alice")))
    [fact] = [one for one in given.posted[1:] if isinstance(one, ev.AllocationChanged)]
    assert (fact.strategy_id, fact.allocation) == (new, cash(0))


async def test_a_folder_that_is_gone_has_capital_only_for_what_it_holds() -> None:
    """A name that a member left behind takes no capital from the new one; what it still holds does."""
    given = Given(a_capped_member(15_000), found=[])
    new = StrategyId("alice_2")
    given.found = [replace(a_spec(), strategy_id=new)]
    await given.terms.allocate(new, replace(a_spec(), strategy_id=new))
    [fact] = given.posted
    assert isinstance(fact, ev.AllocationChanged)
    assert (fact.strategy_id, fact.allocation) == (new, cash(10_000))
    given.desk.portfolio.book(ALICE).trade(AAPL, qty(1), price(100), NOON)
    await given.terms.allocate(new, replace(a_spec(), strategy_id=new))
    assert [getattr(one, "allocation", None) for one in given.posted] == [10_000, 5_000]


async def test_what_is_broken_keeps_its_share() -> None:
    """Another strategy's start does not take the capital of one that an editor has open."""
    broken = BrokenStrategy(strategy_id=BOB, path=Path("bob"), problem="x")
    given = Given(a_capped_member(15_000), found=[a_spec(), broken])
    given.desk.apply(replace(registered(BOB), user_id=UserId("alice")))
    given.desk.apply(ev.AllocationChanged(strategy_id=BOB, allocation=cash(5_000), by="", at=NOON))
    await given.terms.allocate(ALICE, a_spec())
    await given.terms.allocate(BOB, None)
    assert given.posted == []


def test_nobody_gets_more_than_is_left() -> None:
    """Nothing is shared out twice."""
    wanted = {ALICE: cash(7), BOB: cash(5), StrategyId("carol"): cash(1)}
    assert list(shared_out(cash(10), wanted).values()) == [7, 3, 0]
