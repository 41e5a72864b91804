"""Restarts: what the table allows, and that every path ends."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deskd.config import RestartSection
from deskd.domain.run import ExitReason, RunStatus
from deskd.supervision.lifecycle import TRANSITIONS, Life, Step, after_end, backoff, started_by_hand, step

RULES = RestartSection(backoff_initial_s=1, backoff_max_s=60, healthy_after_s=30, give_up_after=3)
SHORT, LONG = timedelta(seconds=1), timedelta(seconds=31)
DEATHS = sorted(set(ExitReason) - {ExitReason.CLEAN, ExitReason.STOPPED, ExitReason.SANDBOX_FAILURE})


def a_running(**fields: int) -> Life:
    return Life(status=RunStatus.RUNNING, **fields)


@pytest.mark.parametrize("reason", DEATHS)
def test_a_strategy_that_keeps_dying_is_given_up(reason: ExitReason) -> None:
    """After give_up_after deaths in a row it is left alone, whatever it dies of."""
    life = a_running()
    for death in range(1, 4):
        life = after_end(life, reason, SHORT, RULES)
        assert life.deaths == death
        if life.status is RunStatus.BACKOFF:
            life = step(step(life, Step.START), Step.UP)
    assert life.status is RunStatus.FATAL


def test_a_healthy_life_starts_the_count_anew() -> None:
    """A strategy that dies once a day is always started again."""
    life = after_end(a_running(deaths=2), ExitReason.ERROR, LONG, RULES)
    assert (life.status, life.deaths) == (RunStatus.BACKOFF, 1)


def test_the_desks_own_failures_are_never_counted_against_it() -> None:
    """A sandbox failure only lengthens the wait."""
    life = a_running()
    for _ in range(20):
        life = after_end(life, ExitReason.SANDBOX_FAILURE, SHORT, RULES)
        assert (life.status, life.deaths) == (RunStatus.BACKOFF, 0)
        life = step(step(life, Step.START), Step.UP)


def test_zero_means_never_restart() -> None:
    """give_up_after = 0: the first death is the last."""
    never = RestartSection(give_up_after=0)
    assert after_end(a_running(), ExitReason.ERROR, LONG, never).status is RunStatus.FATAL


@pytest.mark.parametrize("status", [RunStatus.STARTING, RunStatus.RUNNING, RunStatus.STOPPING])
def test_a_clean_end_is_no_death(status: RunStatus) -> None:
    """A script that came to its end, or was stopped, rests; it is not started again."""
    for reason in (ExitReason.CLEAN, ExitReason.STOPPED):
        assert after_end(Life(status=status, deaths=2), reason, SHORT, RULES) == Life()


def test_whatever_ends_a_stopping_run_it_stops() -> None:
    """A crash while stopping is not answered by a restart."""
    for reason in ExitReason:
        assert after_end(Life(status=RunStatus.STOPPING), reason, SHORT, RULES).status is RunStatus.STOPPED


def test_what_is_not_in_the_table_cannot_happen() -> None:
    """A mistake of ours is seen, not smoothed over."""
    with pytest.raises(KeyError):
        step(Life(status=RunStatus.STOPPED), Step.UP)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1))
def test_the_wait_is_bounded_and_grows(deaths: int, failures: int, jitter: float) -> None:
    """Never longer than backoff_max_s, never under three quarters of the first wait."""
    wait = backoff(Life(deaths=deaths, failures=failures), RULES, lambda: jitter).total_seconds()
    assert 0.75 <= wait <= 60
    more = backoff(Life(deaths=deaths + 1, failures=failures), RULES, lambda: jitter).total_seconds()
    assert more >= wait


class Lives(RuleBasedStateMachine):
    """Any order of starts, stops and deaths."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life()

    @precondition(lambda self: (self.life.status, Step.START) in TRANSITIONS)
    @rule()
    def start(self) -> None:
        was_backing_off = self.life.status is RunStatus.BACKOFF
        self.life = step(self.life, Step.START) if was_backing_off else started_by_hand(self.life)

    @precondition(lambda self: (self.life.status, Step.STOP) in TRANSITIONS)
    @rule()
    def stop(self) -> None:
        self.life = step(self.life, Step.STOP)

    @precondition(lambda self: self.life.status is RunStatus.STARTING)
    @rule()
    def up(self) -> None:
        self.life = step(self.life, Step.UP)

    @precondition(lambda self: self.life.status in {RunStatus.STARTING, RunStatus.RUNNING, RunStatus.STOPPING})
    @rule(reason=st.sampled_from(ExitReason), lived=st.sampled_from([SHORT, LONG]))
    def end(self, reason: ExitReason, lived: timedelta) -> None:
        self.life = after_end(self.life, reason, lived, RULES)
        assert self.life.status in {RunStatus.STOPPED, RunStatus.BACKOFF, RunStatus.FATAL}

    @invariant()
    def never_tried_more_often_than_allowed(self) -> None:
        assert self.life.deaths <= RULES.give_up_after
        assert (self.life.deaths == RULES.give_up_after) == (self.life.status is RunStatus.FATAL) or (
            self.life.status is RunStatus.STOPPED
        )

    @invariant()
    def every_status_has_a_way_to_rest(self) -> None:
        seen, frontier = set(), {self.life.status}
        while frontier:
            seen |= frontier
            frontier = {TRANSITIONS[key] for key in TRANSITIONS if key[0] in frontier} - seen
        assert RunStatus.STOPPED in seen


TestLives = Lives.TestCase
