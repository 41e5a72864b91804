"""Each strategy's circuit breaker: opens at its bound, cools down, tries again, and outlives a restart."""

from datetime import datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given

from deskd.core import breakers
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.breaker import MOVES, BreakerRules, BreakerState
from deskd.domain.effects import Record
from deskd.domain.ids import ClientOrderId
from deskd.domain.kill import KillCause, KillDepth, TradingState
from deskd.domain.order import OrderStatus, Side
from deskd.domain.reasons import DenialReason
from deskd.ledger import codec, fold
from tests.core.test_records import traded
from tests.factories import ALICE, BOB, NOON, a_desk, a_kill, a_release, a_request, of_strategy, requested

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
RULES = BreakerRules(
    rejects_max=20, denials_max=3, deaths_max=5, cooldown=5 * MINUTE, cooldown_max=15 * MINUTE, trips_max=4
)
CAUSES = (KillCause.REJECTS, KillCause.DENIALS, KillCause.ERRORS)


def went_wrong(desk: Desk, cause: KillCause, times: int, at: datetime) -> None:
    """Count it for alice."""
    for _ in range(times):
        desk.tallies.count(cause, ALICE, at)


def looked(desk: Desk, at: datetime, rules: BreakerRules = RULES) -> list[BreakerState]:
    """Let what is due happen; return where breakers went."""
    moves = breakers.due(desk, rules, at)
    for move in moves:
        assert handle(desk, move) == [Record(move)]
    return [move.state for move in moves]


def an_open_one() -> Desk:
    desk = a_desk()
    went_wrong(desk, KillCause.DENIALS, 3, NOON)
    assert looked(desk, NOON) == [BreakerState.OPEN]
    return desk


@pytest.mark.parametrize(("cause", "bound"), list(zip(CAUSES, (20, 3, 5), strict=True)))
def test_it_opens_at_its_bound_of_rejects_denials_or_deaths(cause: KillCause, bound: int) -> None:
    """Not below, not for another strategy, and not for what is older than the window; the fact says the figures."""
    desk = a_desk()
    went_wrong(desk, cause, bound - 1, NOON)
    assert looked(desk, NOON) == []
    went_wrong(desk, cause, 1, NOON)
    assert looked(desk, NOON + MINUTE) == []
    [move] = breakers.due(desk, RULES, NOON)
    assert (move.strategy_id, move.state, move.cause) == (ALICE, BreakerState.OPEN, cause)
    assert (move.figure, move.threshold, move.trips, move.until) == (str(bound), str(bound), 1, NOON + 5 * MINUTE)
    assert breakers.due(desk, BreakerRules(), NOON) == []


def test_while_it_is_open_only_what_reduces_passes_and_others_trade_on() -> None:
    """The denial says until when, and that it lifts by itself."""
    desk = a_desk()
    traded(desk, "a", Side.BUY, 10)
    went_wrong(desk, KillCause.DENIALS, 3, NOON)
    looked(desk, NOON)
    assert desk.kills.state_of(ALICE, None) is TradingState.REDUCE_ONLY
    assert desk.kills.state_of(BOB, None) is TradingState.ACTIVE
    more, less = (a_request(client_order_id=ClientOrderId(side), side=side) for side in (Side.BUY, Side.SELL))
    for request in (more, less):
        handle(desk, requested(request))
    denied = desk.orders[more.client_order_id]
    assert (denied.status, denied.reason) == (OrderStatus.DENIED, DenialReason.REDUCE_ONLY)
    assert "until=2026-01-05T17:05:00Z" in (denied.message or "")
    assert "by itself" in (denied.message or "")
    assert desk.orders[less.client_order_id].status is OrderStatus.SUBMITTED
    assert desk.kills.over(BOB, None, less.symbol) is None


def test_after_the_cool_down_it_lets_the_strategy_try_and_closes_after_a_quiet_probation() -> None:
    """Then the next trip is a first one again."""
    desk = an_open_one()
    assert looked(desk, NOON + 5 * MINUTE - SECOND) == []
    assert looked(desk, NOON + 5 * MINUTE) == [BreakerState.HALF_OPEN]
    assert desk.kills.state_of(ALICE, None) is TradingState.ACTIVE
    assert looked(desk, NOON + 6 * MINUTE - SECOND) == []
    assert looked(desk, NOON + 6 * MINUTE) == [BreakerState.CLOSED]
    went_wrong(desk, KillCause.DENIALS, 3, NOON + 7 * MINUTE)
    [move] = breakers.due(desk, RULES, NOON + 7 * MINUTE)
    assert move.trips == 1


def test_on_probation_a_tenth_opens_it_again_for_twice_as_long_but_no_longer_than_the_longest() -> None:
    """What was before the probation does not count."""
    desk = an_open_one()
    at, waits = NOON + 5 * MINUTE, []
    for _ in range(3):
        assert looked(desk, at) == [BreakerState.HALF_OPEN]
        at += SECOND
        went_wrong(desk, KillCause.REJECTS, 1, at)
        assert looked(desk, at) == []
        went_wrong(desk, KillCause.REJECTS, 1, at)
        assert looked(desk, at) == [BreakerState.OPEN]
        until = desk.kills.breakers[ALICE].until
        assert until is not None
        waits.append(until - at)
        at = until
    assert waits == [10 * MINUTE, 15 * MINUTE, 15 * MINUTE]


def test_one_that_opens_too_often_in_a_row_is_a_kill_which_only_a_release_lifts() -> None:
    """And the release closes the breaker, too: what was before does not count."""
    desk = an_open_one()
    assert list(breakers.kills(desk, RULES, NOON)) == []
    move = desk.kills.breakers[ALICE]
    desk.apply(ev.BreakerMoved(strategy_id=ALICE, state=move.state, why=move.why, trips=4, until=move.until, at=NOON))
    [kill] = breakers.kills(desk, RULES, NOON)
    assert (kill.target, kill.depth, kill.cause) == (of_strategy(ALICE), KillDepth.STOP_NEW, KillCause.BREAKER)
    assert (kill.figure, kill.threshold) == ("4", "4")
    handle(desk, kill)
    assert list(breakers.kills(desk, RULES, NOON)) == []
    handle(desk, a_release(of_strategy(ALICE), at=NOON))
    assert list(breakers.kills(desk, RULES, NOON)) == []
    assert looked(desk, NOON) == []


def test_an_officer_releases_an_open_breaker_like_a_kill() -> None:
    """A member's release is refused at the door, as that of any kill."""
    desk = an_open_one()
    assert desk.kills.of(of_strategy(BOB)) is None
    assert [kill.target for kill in desk.kills.all()] == [of_strategy(ALICE)]
    release = a_release(of_strategy(ALICE), at=NOON)
    assert handle(desk, release) == [Record(release)]
    assert desk.kills.all() == []
    assert handle(desk, release) == []


def test_a_deeper_kill_holds_over_an_open_breaker() -> None:
    """Of several that apply the deepest holds."""
    desk = an_open_one()
    desk.apply(a_kill(depth=KillDepth.CANCEL))
    found = desk.kills.over(ALICE, None, a_request().symbol)
    assert found is not None
    assert found.depth is KillDepth.CANCEL


def test_what_the_table_does_not_have_is_no_fact() -> None:
    """A move that comes twice changes nothing."""
    desk = an_open_one()
    assert handle(desk, desk.kills.breakers[ALICE]) == []
    closed = ev.BreakerMoved(strategy_id=ALICE, state=BreakerState.CLOSED, why="test", trips=0, at=NOON)
    assert handle(desk, closed) == []


def test_it_outlives_a_restart() -> None:
    """A strategy that restarts, or a desk that does, finds it as it was."""
    desk = an_open_one()
    again = fold.decode(fold.encode(desk))
    assert again == desk
    assert looked(again, NOON + MINUTE) == []
    assert looked(again, NOON + 5 * MINUTE) == [BreakerState.HALF_OPEN]
    move = desk.kills.breakers[ALICE]
    assert codec.decode(*codec.encode(move)) == move


@given(st.lists(st.tuples(st.sampled_from(CAUSES), st.integers(0, 5), st.integers(0, 400)), max_size=30))
def test_every_path_keeps_to_the_table_and_a_quiet_strategy_is_free_again(
    steps: list[tuple[KillCause, int, int]],
) -> None:
    """Whatever happens: no move that the table does not have, no cool-down over the longest, and an end to all."""
    desk, at = a_desk(), NOON
    for cause, times, wait_s in steps:
        before = desk.kills.breaker_state(ALICE)
        went_wrong(desk, cause, times, at)
        for state in looked(desk, at):
            assert state in MOVES[before]
        known = desk.kills.breakers.get(ALICE)
        if known is not None and known.until is not None:
            assert known.until - known.at <= RULES.cooldown_max
        at += wait_s * SECOND
    for _ in range(3):
        at += RULES.cooldown_max
        looked(desk, at)
    assert desk.kills.breaker_state(ALICE) is BreakerState.CLOSED


@given(st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))
def test_a_tighter_bound_opens_no_later(count: int, one: int, other: int) -> None:
    """Whatever opens a looser breaker opens the tighter one."""
    desk = a_desk()
    went_wrong(desk, KillCause.REJECTS, count, NOON)
    opened = [bool(breakers.due(desk, BreakerRules(rejects_max=b), NOON)) for b in (min(one, other), max(one, other))]
    assert opened[0] >= opened[1]


def test_a_cool_down_lasts_as_long_whatever_somebody_sets_the_clock_to() -> None:
    """Neither does it end at once, nor last for an hour; who looked at the clock too early is not believed."""
    desk = a_desk()
    by = timedelta(hours=1)
    opened = ev.BreakerMoved(
        strategy_id=ALICE, state=BreakerState.OPEN, why="test", trips=1, until=NOON + timedelta(minutes=5), at=NOON
    )
    handle(desk, opened)
    early = ev.BreakerMoved(strategy_id=ALICE, state=BreakerState.HALF_OPEN, why="", trips=1, at=NOON + by)
    handle(desk, ev.ClockStepped(by_ms=3_600_000, at=NOON + by))
    assert handle(desk, early) == []
    for seconds, count in ((299, 0), (300, 1)):
        due = breakers.due(desk, RULES, NOON + by + timedelta(seconds=seconds))
        assert len(due) == count
    handle(desk, ev.ClockStepped(by_ms=-7_200_000, at=NOON - by))
    assert breakers.due(desk, RULES, NOON - by + timedelta(seconds=299)) == []
    assert breakers.due(desk, RULES, NOON - by + timedelta(seconds=300))
