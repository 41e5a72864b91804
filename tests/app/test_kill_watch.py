"""The watch pulls what the core says, and knows how late it is itself."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from deskd.app.kill_watch import KillWatch, breaker_rules_of, rules_of
from deskd.config import RiskAutomaticSection, RiskBreakerSection
from deskd.core.deciding import handle
from deskd.core.desk import MARKET, TRADES, Desk
from deskd.domain import events as ev
from deskd.domain.automatic import LAGS_IN_A_ROW
from deskd.domain.breaker import BreakerState
from deskd.domain.ids import ClientOrderId, RunId
from deskd.domain.kill import THE_DESK, KillCause, KillDepth, KillScope, KillTarget
from deskd.domain.market import MarketClock
from deskd.domain.run import ExitReason, RunEnd
from tests.core.test_losses import a_desk_that_lost
from tests.factories import AAPL, ALICE, BOB, NOON, a_desk, a_release, a_request, of_strategy, price, qty, requested
from tests.runtime.a_live_desk import Wall

OPEN = MarketClock(
    timestamp=NOON, is_open=True, next_open=NOON + timedelta(days=1), next_close=NOON + timedelta(hours=3)
)


@dataclass
class World:
    """A watch, and what it pulled."""

    desk: Desk
    section: RiskAutomaticSection = field(default_factory=RiskAutomaticSection)
    clock: MarketClock | None = OPEN
    wall: Wall = field(default_factory=Wall)
    pulled: list[ev.KillEngaged] = field(default_factory=list)
    moved: list[ev.BreakerMoved] = field(default_factory=list)
    failed: dict[timedelta, int] = field(default_factory=dict)  # at the broker, within so long

    async def post(self, event: ev.KillEngaged | ev.BreakerMoved) -> None:
        if isinstance(event, ev.KillEngaged):
            self.pulled.append(event)
        else:
            self.moved.append(event)
        handle(self.desk, event)

    def watch(self) -> KillWatch:
        return KillWatch(
            desk=self.desk,
            rules=rules_of(self.section),
            breaker_rules=breaker_rules_of(RiskBreakerSection(denials_max=3, trips_max=2)),
            post=self.post,
            clock=lambda: self.clock,
            wall=self.wall,
            failures=lambda window: self.failed.get(window, 0),
        )


async def test_a_loss_pulls_when_two_looks_in_a_row_see_it() -> None:
    """One odd quote is no loss."""
    world = World(a_desk_that_lost("1"), RiskAutomaticSection(strategy_daily_loss_pct=Decimal(5)))
    watch = world.watch()
    await watch.look()
    world.desk.apply(ev.PositionsMarked(marks=((AAPL, price("100")),), at=NOON))
    await watch.look()
    world.desk.apply(ev.PositionsMarked(marks=((AAPL, price("1")),), at=NOON))
    await watch.look()
    assert world.pulled == []
    await watch.look()
    await watch.look()
    [kill] = world.pulled
    assert (kill.target, kill.cause) == (of_strategy(ALICE), KillCause.DAILY_LOSS)
    assert kill.at == NOON


async def test_looks_that_are_late_in_a_row_pull_and_a_single_one_does_not() -> None:
    """A process that was stopped for an hour has one late look."""
    world = World(a_desk())
    watch = world.watch()
    await watch.look(late_s=3_600)
    for _ in range(LAGS_IN_A_ROW - 2):
        await watch.look(late_s=2.5)
    await watch.look(late_s=0.1)
    for _ in range(LAGS_IN_A_ROW - 1):
        await watch.look(late_s=2.5)
    assert world.pulled == []
    await watch.look(late_s=2.5)
    assert [kill.cause for kill in world.pulled] == [KillCause.LOOP_LAG]
    assert world.pulled[0].figure == "2.5 s"


async def test_a_stream_pulls_only_while_the_market_is_known_to_be_open() -> None:
    """The broker's clock says so, as last heard."""
    world = World(a_desk(), clock=None)
    watch = world.watch()
    world.desk.apply(ev.StreamChanged(stream=MARKET, is_up=False, why="silent", at=NOON))
    world.wall.time = NOON + timedelta(seconds=300)
    await watch.look()
    assert world.pulled == []
    world.clock = OPEN
    await watch.look()
    assert [(kill.target, kill.cause) for kill in world.pulled] == [(THE_DESK, KillCause.STALE_STREAM)]


async def test_breakers_move_and_in_the_end_kill_by_the_same_look() -> None:
    """Open, on probation, open again for twice as long: and so often in a row is a kill."""
    world = World(a_desk())
    watch = world.watch()
    for _ in range(3):
        world.desk.tallies.count(KillCause.DENIALS, ALICE, world.wall.time)
    await watch.look()
    world.wall.time += timedelta(seconds=300)
    await watch.look()
    world.desk.tallies.count(KillCause.DENIALS, ALICE, world.wall.time + timedelta(seconds=1))
    await watch.look()
    assert [move.state for move in world.moved] == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.OPEN]
    assert world.moved[-1].until == world.wall.time + timedelta(seconds=600)
    assert [(kill.target, kill.cause) for kill in world.pulled] == [(of_strategy(ALICE), KillCause.BREAKER)]


def test_the_configuration_names_every_bound() -> None:
    """Its defaults bound everything; off is what is said to be 0."""
    rules = rules_of(RiskAutomaticSection())
    assert rules.depth is KillDepth.STOP_NEW
    assert set(rules.losses) == {KillScope.STRATEGY, KillScope.MEMBER, KillScope.DESK}
    assert all(bounds.daily_loss_pct and bounds.drawdown_pct for bounds in rules.losses.values())
    assert all((rules.drift, rules.stale, rules.deaths_max, rules.rejects_max, rules.loop_lag))
    off = rules_of(RiskAutomaticSection(desk_drawdown_pct=Decimal(0), drift_s=0.0))
    assert (off.losses[KillScope.DESK].drawdown_pct, off.drift) == (Decimal(0), timedelta(0))


async def test_nothing_is_held_against_a_clock_that_was_just_set() -> None:
    """The desk takes it in with its next event; until then a loss is no older and an outage no longer than it was."""
    world = World(a_desk())
    world.desk.apply(ev.StreamChanged(stream=TRADES, is_up=False, why="lost", at=NOON))
    is_set = True
    watch = replace(world.watch(), is_clock_set=lambda: is_set)
    world.wall.time = NOON + timedelta(hours=1)
    await watch.look()
    assert world.pulled == []
    world.desk.apply(ev.ClockStepped(by_ms=3_600_000, at=world.wall.time))
    is_set = False
    await watch.look()
    assert world.pulled == []


async def test_requests_that_fail_at_the_broker_count_since_the_desk_was_released() -> None:
    """Within the window at first; after a release those before it do not pull the kill again."""
    world = World(a_desk(), RiskAutomaticSection(broker_errors_max=3))
    watch = world.watch()
    world.failed = {timedelta(seconds=60): 3}
    await watch.look()
    assert [kill.cause for kill in world.pulled] == [KillCause.BROKER_ERRORS]
    handle(world.desk, ev.KillReleased(target=THE_DESK, by="ada", reason="the broker is well", at=world.wall.now()))
    await watch.look()
    assert len(world.pulled) == 1


async def test_a_difference_that_nobody_settles_kills_its_symbol() -> None:
    """Not while it is young; pulled once, and no more after an officer's release."""
    world = World(a_desk(), RiskAutomaticSection(drift_s=60.0))
    watch = world.watch()
    found = ev.DiscrepancyFound(subject=AAPL, expected="0", actual="5", action="house", at=NOON, more=Decimal(5))
    world.desk.apply(found)
    world.wall.time = NOON + timedelta(seconds=59)
    await watch.look()
    assert world.pulled == []
    world.wall.time = NOON + timedelta(seconds=60)
    await watch.look()
    await watch.look()
    target = KillTarget(KillScope.SYMBOL, AAPL)
    assert [(kill.target, kill.cause, kill.at) for kill in world.pulled] == [(target, KillCause.DRIFT, world.wall.time)]
    handle(world.desk, a_release(target, at=world.wall.time))
    await watch.look()
    assert len(world.pulled) == 1


async def test_runs_that_die_kill_the_desk_at_their_number() -> None:
    """Deaths of the last window; they come as the supervisor tells them."""
    world = World(a_desk(), RiskAutomaticSection(deaths_max=3, window_s=60.0))
    watch = world.watch()
    end = RunEnd(reason=ExitReason.ERROR, detail="boom")
    for number, who in enumerate((ALICE, BOB, ALICE)):
        assert world.pulled == []
        run = RunId(f"r{number}")
        handle(world.desk, ev.RunEnded(run_id=run, strategy_id=who, end=end, at=world.wall.time, deaths=1))
        await watch.look()
    assert [(kill.target, kill.cause, kill.figure) for kill in world.pulled] == [(THE_DESK, KillCause.ERRORS, "3")]


async def test_orders_that_the_broker_rejects_kill_the_desk_at_their_number() -> None:
    """What it refused when it was asked; the gate's own denials count for breakers alone."""
    world = World(a_desk(), RiskAutomaticSection(rejects_max=3, window_s=60.0))
    watch = world.watch()
    for number, who in enumerate((ALICE, BOB, ALICE)):
        assert world.pulled == []
        oid = ClientOrderId(f"{who}-{number}")
        handle(world.desk, requested(a_request(strategy_id=who, client_order_id=oid, qty=qty(number + 1))))
        handle(world.desk, ev.SubmitRejected(client_order_id=oid, message="asset is not active", at=world.wall.time))
        await watch.look()
    assert [(kill.target, kill.cause, kill.figure) for kill in world.pulled] == [(THE_DESK, KillCause.REJECTS, "3")]
