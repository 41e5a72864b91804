"""Where a strategy's process is in its life. What is not in the table cannot happen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from deskd.config import RestartSection
from deskd.domain.run import ExitReason, RunStatus

JITTER = 0.25  # of the wait, up or down: fifty strategies that die together do not come back together
_FAULTS_OF_OURS = frozenset({ExitReason.SANDBOX_FAILURE})
_AT_REST = frozenset({ExitReason.CLEAN, ExitReason.STOPPED})
_DOUBLINGS_MAX = 30


class Step(StrEnum):
    """What can happen to it."""

    START = "start"  # somebody asked, or the wait is over
    UP = "up"  # the process exists
    STOP = "stop"  # somebody asked
    DIED = "died"  # and shall be tried again
    RESTED = "rested"  # ended as it should
    GAVE_UP = "gave_up"  # died too often


S = RunStatus
TRANSITIONS: dict[tuple[RunStatus, Step], RunStatus] = {
    (S.STOPPED, Step.START): S.STARTING,
    (S.BACKOFF, Step.START): S.STARTING,
    (S.FATAL, Step.START): S.STARTING,
    (S.STARTING, Step.UP): S.RUNNING,
    (S.STARTING, Step.STOP): S.STOPPING,
    (S.STARTING, Step.DIED): S.BACKOFF,
    (S.STARTING, Step.GAVE_UP): S.FATAL,
    (S.STARTING, Step.RESTED): S.STOPPED,
    (S.RUNNING, Step.STOP): S.STOPPING,
    (S.RUNNING, Step.DIED): S.BACKOFF,
    (S.RUNNING, Step.GAVE_UP): S.FATAL,
    (S.RUNNING, Step.RESTED): S.STOPPED,
    (S.STOPPING, Step.RESTED): S.STOPPED,
    (S.BACKOFF, Step.STOP): S.STOPPED,
    (S.FATAL, Step.STOP): S.STOPPED,
}


@dataclass(frozen=True, slots=True)
class Life:
    """The status, and how often it died since it was last healthy."""

    status: RunStatus = RunStatus.STOPPED
    deaths: int = 0  # counted against the member
    failures: int = 0  # ours: they only lengthen the wait


def step(life: Life, taken: Step) -> Life:
    """Return the life after the step; raise KeyError for what cannot happen."""
    return replace(life, status=TRANSITIONS[life.status, taken])


def started_by_hand(life: Life) -> Life:
    """Return the life of a strategy that somebody starts: it gets a fresh count."""
    return step(Life(status=life.status), Step.START)


def after_end(life: Life, reason: ExitReason, lived: timedelta, rules: RestartSection) -> Life:
    """Return the life after its process ended for *reason*, having lived so long."""
    if life.status is RunStatus.STOPPING or reason in _AT_REST:
        return Life(status=step(life, Step.RESTED).status)
    if lived.total_seconds() >= rules.healthy_after_s:
        life = replace(life, deaths=0, failures=0)
    if reason in _FAULTS_OF_OURS:
        return step(replace(life, failures=life.failures + 1), Step.DIED)
    life = replace(life, deaths=life.deaths + 1)
    gives_up = life.deaths >= rules.give_up_after
    return step(life, Step.GAVE_UP if gives_up else Step.DIED)


def backoff(life: Life, rules: RestartSection, jitter: Callable[[], float]) -> timedelta:
    """Return how long to wait before the next try; *jitter* gives numbers from 0 to 1."""
    doublings = min(max(life.deaths + life.failures - 1, 0), _DOUBLINGS_MAX)
    wait = min(rules.backoff_initial_s * 2**doublings, rules.backoff_max_s)
    return timedelta(seconds=min(wait * (1 + JITTER * (2 * jitter() - 1)), rules.backoff_max_s))
