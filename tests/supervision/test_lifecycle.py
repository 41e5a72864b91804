"""Restarts: what the table allows, and that every path ends."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deskd.config import RestartSection, SandboxSection
from deskd.domain.run import ExitReason, RunEnd, RunStatus
from deskd.domain.streak import AFTER, After, Streak, given_up
from deskd.domain.streak import after_end as streak_after
from deskd.supervision.lifecycle import (
    TRANSITIONS,
    Life,
    Step,
    after_end,
    backoff,
    counted_anew,
    started_by_hand,
    step,
    went_well,
)
from tests.factories import NOON

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


@pytest.mark.parametrize(
    ("reason", "took_s"), [(ExitReason.LOG_FLOOD, 30), (ExitReason.CPU_LIMIT, 60), (ExitReason.STALLED, 90)]
)
def test_a_strategy_that_only_floods_spins_or_sleeps_is_given_up(reason: ExitReason, took_s: float) -> None:
    """What it takes to find out is no healthy life: by the default bounds each of them lives for 30 s and more."""
    life = a_running()
    for _ in range(3):
        lived = went_well(reason, timedelta(seconds=took_s + 2), SandboxSection())
        assert lived == timedelta(seconds=2)
        life = after_end(life, reason, lived, RULES)
        if life.status is RunStatus.BACKOFF:
            life = step(step(life, Step.START), Step.UP)
    assert life.status is RunStatus.FATAL


def test_any_other_end_leaves_its_whole_life() -> None:
    """An exception is one moment; and no life is shorter than none."""
    assert went_well(ExitReason.ERROR, LONG, SandboxSection()) == LONG
    assert went_well(ExitReason.STALLED, SHORT, SandboxSection()) == timedelta()


def test_the_desks_own_failures_are_never_counted_against_it() -> None:
    """A sandbox failure only lengthens the wait, by a count of its own; a death shows that the jail stands again."""
    life = a_running(deaths=2)
    for failure in range(1, 21):
        life = after_end(life, ExitReason.SANDBOX_FAILURE, SHORT, RULES)
        assert life == Life(status=RunStatus.BACKOFF, deaths=2, failures=failure)
        wait = backoff(life, RULES, lambda: 0.5).total_seconds()
        assert wait == min(2 ** (failure - 1), 60)
        life = step(step(life, Step.START), Step.UP)
    assert after_end(life, ExitReason.ERROR, SHORT, RULES) == Life(status=RunStatus.FATAL, deaths=3)


def test_every_reason_says_what_follows() -> None:
    """A reason that nobody thought of would restart for ever, or never."""
    assert AFTER.keys() == set(ExitReason)


def test_zero_means_never_restart() -> None:
    """give_up_after = 0: the first death is the last."""
    never = RestartSection(give_up_after=0)
    assert after_end(a_running(), ExitReason.ERROR, LONG, never).status is RunStatus.FATAL


@pytest.mark.parametrize("status", [RunStatus.STARTING, RunStatus.RUNNING, RunStatus.STOPPING])
def test_a_clean_end_is_no_death(status: RunStatus) -> None:
    """A script that came to its end, or was stopped, rests; it is not started again."""
    for reason in (ExitReason.CLEAN, ExitReason.STOPPED):
        assert after_end(Life(status=status, deaths=2), reason, SHORT, RULES).status is RunStatus.STOPPED


def test_a_clean_end_forgives_and_a_stop_does_not() -> None:
    """Who restarts the desk does not start the count anew; a run that was healthy, or came to its end, does."""
    assert after_end(a_running(deaths=2), ExitReason.CLEAN, SHORT, RULES) == Life()
    stopping = Life(status=RunStatus.STOPPING, deaths=2)
    assert after_end(stopping, ExitReason.STOPPED, SHORT, RULES) == Life(deaths=2)
    assert after_end(stopping, ExitReason.STOPPED, LONG, RULES) == Life()


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
    longer = Life(deaths=deaths + 1, failures=failures + (failures > 0))
    assert backoff(longer, RULES, lambda: jitter).total_seconds() >= wait


class Lives(RuleBasedStateMachine):
    """Any order of starts, stops, edits and deaths by hand, and of a desk that stops, or is killed, and starts again.

    Beside the process's own life stands the ledger's memory of it, folded from the facts that the supervisor posts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.life = Life()
        self.streak: Streak | None = None  # as the ledger has it
        self.tries = 0  # that ended in a death since the count last began anew

    def _forget(self) -> None:
        self.streak, self.tries = None, 0

    @precondition(lambda self: self.life.status in {RunStatus.STOPPED, RunStatus.FATAL, RunStatus.BACKOFF})
    @rule()
    def start_by_hand(self) -> None:
        self._forget()
        self.life = started_by_hand(self.life)

    @precondition(lambda self: self.life.status is RunStatus.BACKOFF)
    @rule()
    def the_wait_is_over(self) -> None:
        self.life = step(self.life, Step.START)

    @precondition(lambda self: self.life.status in {RunStatus.FATAL, RunStatus.BACKOFF})
    @rule()
    def edit(self) -> None:
        self._forget()
        self.life = step(counted_anew(self.life), Step.START)

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
        was_wished = self.life.status is not RunStatus.STOPPING
        self.life = after_end(self.life, reason, lived, RULES)
        self.streak = streak_after(self.streak, RunEnd(reason=reason, detail="x"), deaths=self.life.deaths, at=NOON)
        if self.life.status is RunStatus.FATAL:
            self.streak = given_up(self.streak)
        if lived is LONG or reason is ExitReason.CLEAN:
            self.tries = 0
        self.tries += was_wished and AFTER[reason] is After.COUNTED
        assert self.life.status in {RunStatus.STOPPED, RunStatus.BACKOFF, RunStatus.FATAL}
        assert was_wished or self.life.status is RunStatus.STOPPED

    @rule()
    def the_desk_is_killed_and_starts_again(self) -> None:
        count = self.streak.count if self.streak is not None else 0
        self.life = Life(deaths=count)
        is_held = self.streak is not None and self.streak.is_given_up
        self.life = step(self.life, Step.HELD if is_held else Step.START)

    @invariant()
    def never_tried_more_often_than_allowed(self) -> None:
        assert self.life.deaths == self.tries <= RULES.give_up_after
        if self.life.deaths == RULES.give_up_after:
            assert self.life.status in {RunStatus.FATAL, RunStatus.STOPPED}

    @invariant()
    def the_ledger_remembers_what_counts(self) -> None:
        assert (self.streak.count if self.streak is not None else 0) == self.life.deaths
        assert self.streak is None or len(self.streak.deaths) == self.streak.count

    @invariant()
    def failed_is_only_who_died_too_often(self) -> None:
        if self.life.status is RunStatus.FATAL:
            assert self.streak is not None
            assert self.streak.is_given_up
            assert self.streak.count == RULES.give_up_after

    @invariant()
    def every_status_has_a_way_to_rest(self) -> None:
        seen, frontier = set(), {self.life.status}
        while frontier:
            seen |= frontier
            frontier = {TRANSITIONS[key] for key in TRANSITIONS if key[0] in frontier} - seen
        assert RunStatus.STOPPED in seen


TestLives = Lives.TestCase
