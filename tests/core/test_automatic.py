"""The desk pulls the kill switch by itself: each cause has a figure and a bound, and a release is final for what was."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import cycle, islice

import hypothesis.strategies as st
import pytest
from hypothesis import given

from deskd.core import automatic
from deskd.core.deciding import handle
from deskd.core.desk import MARKET, TRADES, Desk
from deskd.domain import events as ev
from deskd.domain.automatic import AutomaticRules, LossBounds, Seen
from deskd.domain.ids import RunId, StrategyId
from deskd.domain.kill import THE_DESK, KillCause, KillDepth, KillScope, KillTarget
from deskd.domain.run import ExitReason, RunEnd, StrategyStatus
from deskd.ledger import codec, fold
from tests.core.test_losses import a_desk_that_lost
from tests.core.test_records import a_day
from tests.factories import AAPL, ALICE, BOB, MONDAY, NOON, a_desk, a_kill, a_release, of_strategy, price

SECOND = timedelta(seconds=1)
OPEN = Seen(is_market_open=True)
LOSS = AutomaticRules(losses={KillScope.STRATEGY: LossBounds(daily_loss_pct=Decimal(5))})
DRAWDOWN = AutomaticRules(losses={KillScope.DESK: LossBounds(drawdown_pct=Decimal(2))}, depth=KillDepth.FLATTEN)
DRIFT, STALE = AutomaticRules(drift=60 * SECOND), AutomaticRules(stale=60 * SECOND)
DEATHS, REJECTS = AutomaticRules(deaths_max=3), AutomaticRules(rejects_max=3)
BOBS = KillTarget(KillScope.MEMBER, "bob")
LAG = AutomaticRules(loop_lag=SECOND)


def pulled(
    desk: Desk, rules: AutomaticRules, seen: Seen = OPEN, at: datetime = NOON
) -> list[tuple[KillTarget, KillCause]]:
    """Return what the rules pull."""
    return [(kill.target, kill.cause) for kill in automatic.due(desk, rules, seen, at)]


def found(desk: Desk, subject: str, at: datetime = NOON) -> None:
    """Let a difference be found."""
    desk.apply(ev.DiscrepancyFound(subject=subject, expected="0", actual="5", action="house", at=at, more=Decimal(5)))


def died(desk: Desk, times: int, at: datetime = NOON, of: Sequence[StrategyId] = (BOB, ALICE)) -> None:
    """Let runs die, of each in turn."""
    end = RunEnd(reason=ExitReason.ERROR, detail="boom")
    for who in islice(cycle(of), times):
        desk.apply(ev.RunEnded(run_id=RunId("r"), strategy_id=who, end=end, at=at, deaths=1))


def refused(desk: Desk, times: int, at: datetime = NOON) -> None:
    """Let the broker reject orders, of each strategy in turn."""
    for who in islice(cycle((BOB, ALICE)), times):
        desk.tallies.count(KillCause.REJECTS, who, at)


def runs(desk: Desk, status: StrategyStatus = StrategyStatus.ACTIVE) -> Desk:
    """Let both members have a strategy."""
    for who in (ALICE, BOB):
        desk.apply(ev.StrategyStatusChanged(strategy_id=who, status=status, why="", at=NOON))
    return desk


def test_a_desk_where_nothing_is_wrong_pulls_nothing() -> None:
    """And one where nothing is configured neither, whatever is wrong."""
    rules = AutomaticRules(
        losses={scope: LossBounds(daily_loss_pct=Decimal(1), drawdown_pct=Decimal(1)) for scope in KillScope},
        drift=SECOND,
        stale=SECOND,
        deaths_max=1,
        rejects_max=1,
        broker_errors_max=1,
        loop_lag=SECOND,
    )
    assert pulled(a_desk(), rules) == []
    desk = a_desk_that_lost("10")
    found(desk, "cash")
    died(desk, 10)
    late = Seen(is_market_open=True, lag=timedelta(hours=1), broker_errors=1_000)
    assert pulled(desk, AutomaticRules(), late, NOON + timedelta(days=1)) == []


def test_a_loss_kills_who_lost_it_with_figure_and_bound() -> None:
    """Of the day, in percent of the allocation; the fact says both, for people and for machines."""
    assert pulled(a_desk_that_lost("51"), LOSS) == []
    [kill] = automatic.due(a_desk_that_lost("49"), LOSS, OPEN, NOON)
    assert (kill.target, kill.cause, kill.depth) == (of_strategy(ALICE), KillCause.DAILY_LOSS, KillDepth.STOP_NEW)
    assert (kill.figure, kill.threshold, kill.by) == ("5.1 %", "5 %", "automatic")
    assert kill.reason == "daily_loss=5.1 % bound=5 %: of the allocation, today"


def test_a_drawdown_of_all_kills_the_desk_as_deep_as_configured() -> None:
    """Under the peak of all books together."""
    [kill] = automatic.due(a_desk_that_lost("49"), DRAWDOWN, OPEN, NOON)
    assert (kill.target, kill.cause, kill.depth) == (THE_DESK, KillCause.DRAWDOWN, KillDepth.FLATTEN)
    assert (kill.figure, kill.threshold) == ("2.55 %", "2 %")


def test_what_is_in_force_is_not_pulled_again_but_deeper() -> None:
    """The kill that holds already says who pulled it."""
    desk = a_desk_that_lost("49")
    desk.apply(a_kill(of_strategy(ALICE), KillDepth.REDUCE_ONLY))
    assert pulled(desk, LOSS) == [(of_strategy(ALICE), KillCause.DAILY_LOSS)]
    desk.apply(a_kill(of_strategy(ALICE), KillDepth.CANCEL))
    assert pulled(desk, LOSS) == []


def test_a_difference_that_stays_kills_its_symbol_and_one_of_cash_the_desk() -> None:
    """Not before it stays so long; settled, it kills nothing."""
    desk = a_desk()
    found(desk, "AAPL")
    found(desk, "cash", NOON + SECOND)
    assert pulled(desk, DRIFT, at=NOON + 59 * SECOND) == []
    symbol = (KillTarget(KillScope.SYMBOL, AAPL), KillCause.DRIFT)
    assert pulled(desk, DRIFT, at=NOON + 60 * SECOND) == [symbol]
    assert pulled(desk, DRIFT, at=NOON + 61 * SECOND) == [symbol, (THE_DESK, KillCause.DRIFT)]
    desk.apply(ev.DiscrepancyResolved(subject="AAPL", by="ada", reason="a split", at=NOON))
    assert pulled(desk, DRIFT, at=NOON + 61 * SECOND) == [(THE_DESK, KillCause.DRIFT)]


@pytest.mark.parametrize("stream", [MARKET, TRADES])
def test_a_stream_that_stays_away_in_an_open_market_kills_the_desk(stream: str) -> None:
    """At night it may; and so it may while nobody knows whether the market is open."""
    desk = a_desk()
    later = NOON + 60 * SECOND
    desk.apply(ev.StreamChanged(stream=stream, is_up=False, why="silent", at=NOON))
    assert pulled(desk, STALE, at=later - SECOND) == []
    assert pulled(desk, STALE, Seen(), later) == []
    assert pulled(desk, STALE, at=later) == [(THE_DESK, KillCause.STALE_STREAM)]
    desk.apply(ev.StreamChanged(stream=stream, is_up=True, why="listening", at=later))
    assert pulled(desk, STALE, at=later) == []


def test_runs_that_die_and_orders_that_are_rejected_kill_the_desk_at_their_number() -> None:
    """Within the window, of all strategies together, where no other member's stand by."""
    desk = a_desk()
    died(desk, 2)
    assert pulled(desk, DEATHS) == []
    died(desk, 1)
    assert pulled(desk, DEATHS) == [(THE_DESK, KillCause.ERRORS)]
    assert pulled(desk, DEATHS, at=NOON + timedelta(minutes=2)) == []
    for who in (ALICE, BOB, BOB):
        desk.tallies.count(KillCause.REJECTS, who, NOON)
    assert pulled(desk, REJECTS) == [(THE_DESK, KillCause.REJECTS)]


def test_whose_runs_alone_die_is_stopped_alone() -> None:
    """One member with many strategies that crash stops nobody else; a release counts anew, for the member as for the desk."""
    desk = runs(a_desk())
    for cause, rules in ((KillCause.ERRORS, DEATHS), (KillCause.REJECTS, REJECTS)):
        for _ in range(100):
            desk.tallies.count(cause, BOB, NOON)
        assert pulled(desk, rules) == [(BOBS, cause)]
    [kill] = automatic.due(desk, DEATHS, OPEN, NOON)
    assert kill.reason == "errors=100 bound=3: of bob alone in 60 s"
    later = NOON + SECOND
    desk.apply(a_kill(BOBS))
    desk.apply(a_release(BOBS, at=later))
    assert pulled(desk, DEATHS, at=later) == []
    died(desk, 3, later + SECOND, of=[BOB])
    assert pulled(desk, DEATHS, at=later + SECOND) == [(BOBS, KillCause.ERRORS)]
    desk.apply(a_release(THE_DESK, at=later + SECOND))
    assert pulled(desk, DEATHS, at=later + SECOND) == []


def test_what_befalls_most_members_is_the_desks_own_fault() -> None:
    """A desk that kills everybody's runs is stopped, however few of them die of each member; who only stands by does not count."""
    desk = runs(a_desk())
    died(desk, 2, of=[BOB])
    assert pulled(desk, DEATHS) == []
    desk.tallies.count(KillCause.ERRORS, ALICE, NOON)
    [kill] = automatic.due(desk, DEATHS, OPEN, NOON)
    assert (kill.target, kill.reason) == (THE_DESK, "errors=3 bound=3: of 2 of 2 members in 60 s")
    desk = runs(a_desk(), StrategyStatus.STOPPED)
    died(desk, 3, of=[BOB])
    assert pulled(desk, DEATHS) == [(THE_DESK, KillCause.ERRORS)]


def test_a_desk_that_does_not_keep_up_kills_itself() -> None:
    """Strategies would trade on prices that are old by then."""
    assert pulled(a_desk(), LAG, Seen(lag=SECOND / 2)) == []
    assert pulled(a_desk(), LAG, Seen(lag=SECOND)) == [(THE_DESK, KillCause.LOOP_LAG)]


def test_of_several_causes_one_kill_of_a_target_comes() -> None:
    """One fact says enough; an officer looks at the rest."""
    desk = a_desk()
    died(desk, 3)
    rules = replace(DEATHS, loop_lag=SECOND)
    assert pulled(desk, rules, Seen(lag=SECOND)) == [(THE_DESK, KillCause.ERRORS)]


def test_a_release_is_final_for_what_was_before_it() -> None:
    """The same deaths, rejects, outage, drift or loss do not pull again; further ones do, of the whole bound."""
    desk = a_desk_that_lost("49")
    died(desk, 3)
    refused(desk, 3)
    found(desk, "cash")
    desk.apply(ev.StreamChanged(stream=MARKET, is_up=False, why="silent", at=NOON))
    later = NOON + 60 * SECOND
    for rules in (LOSS, DRAWDOWN, DEATHS, REJECTS, DRIFT, STALE):
        assert pulled(desk, rules, at=later - SECOND / 2 if rules in (DEATHS, REJECTS) else later)
    for target in (of_strategy(ALICE), THE_DESK):
        desk.apply(a_kill(target))
        desk.apply(a_release(target, at=later))
    for rules in (LOSS, DRAWDOWN, DEATHS, REJECTS, DRIFT, STALE):
        assert pulled(desk, rules, at=later) == []
    assert pulled(desk, STALE, at=later + 60 * SECOND) == [(THE_DESK, KillCause.STALE_STREAM)]
    died(desk, 3, later + SECOND)
    assert pulled(desk, DEATHS, at=later + SECOND) == [(THE_DESK, KillCause.ERRORS)]
    refused(desk, 3, later + SECOND)
    assert pulled(desk, REJECTS, at=later + SECOND) == [(THE_DESK, KillCause.REJECTS)]
    tight = AutomaticRules(losses={KillScope.STRATEGY: LossBounds(daily_loss_pct=Decimal(2))})
    desk.apply(ev.PositionsMarked(marks=((AAPL, price("30")),), at=later))
    assert pulled(desk, tight, at=later) == []
    desk.apply(ev.PositionsMarked(marks=((AAPL, price("29")),), at=later))
    assert pulled(desk, tight, at=later) == [(of_strategy(ALICE), KillCause.DAILY_LOSS)]
    handle(desk, a_day(MONDAY + timedelta(days=1), at=later))
    assert pulled(desk, tight, at=later) == []


def test_what_was_counted_and_forgiven_outlives_a_restart() -> None:
    """Both are in the fold; figure and bound are in the fact, and an old fact has none."""
    desk = a_desk_that_lost("49")
    died(desk, 3)
    desk.apply(a_kill(of_strategy(ALICE)))
    desk.apply(a_release(of_strategy(ALICE), at=NOON))
    again = fold.decode(fold.encode(desk))
    assert again == desk
    assert pulled(again, LOSS) == []
    assert pulled(again, DEATHS) == [(THE_DESK, KillCause.ERRORS)]
    [kill] = automatic.due(again, DEATHS, OPEN, NOON)
    assert codec.decode(*codec.encode(kill)) == kill


BOUNDS = st.integers(1, 20)


def test_a_broker_that_fails_too_often_kills_the_desk() -> None:
    """What it answers with its own fault, and what it does not answer, at the number that officers set."""
    rules = AutomaticRules(broker_errors_max=3)
    assert pulled(a_desk(), rules, Seen(broker_errors=2)) == []
    [kill] = automatic.due(a_desk(), rules, Seen(broker_errors=3), NOON)
    assert (kill.target, kill.cause) == (THE_DESK, KillCause.BROKER_ERRORS)
    assert kill.reason == "broker_errors=3 bound=3: requests that the broker failed or left unanswered in 60 s"


@given(
    at_price=st.integers(1, 200),
    deaths=st.integers(0, 20),
    rejects=st.integers(0, 20),
    lag_s=st.integers(0, 20),
    age_s=st.integers(0, 20),
    failed=st.integers(0, 20),
    bounds=st.tuples(BOUNDS, BOUNDS),
)
def test_a_tighter_bound_kills_no_later(
    *, at_price: int, deaths: int, rejects: int, lag_s: int, age_s: int, failed: int, bounds: tuple[int, int]
) -> None:
    """Whatever a looser bound pulls, the tighter one pulls, too: at every figure, of every cause."""
    desk = a_desk_that_lost(str(at_price))
    died(desk, deaths, NOON + age_s * SECOND)
    refused(desk, rejects, NOON + age_s * SECOND)
    found(desk, "cash")
    desk.apply(ev.StreamChanged(stream=MARKET, is_up=False, why="silent", at=NOON))
    seen, at = Seen(is_market_open=True, lag=lag_s * SECOND, broker_errors=failed), NOON + age_s * SECOND

    def pulls(bound: int) -> set[tuple[KillTarget, KillCause]]:
        percent = Decimal(bound)
        rules = AutomaticRules(
            losses={scope: LossBounds(daily_loss_pct=percent, drawdown_pct=percent) for scope in (*KillScope,)},
            drift=bound * SECOND,
            stale=bound * SECOND,
            deaths_max=bound,
            rejects_max=bound,
            broker_errors_max=bound,
            loop_lag=bound * SECOND,
        )
        return {(one.target, one.cause) for one in automatic.findings(desk, rules, seen, at) if one.pulls}

    assert pulls(min(bounds)) >= pulls(max(bounds))
