"""Where a strategy's process is in its life. What is not in the table cannot happen.

What a run's end means for the next start is a table, too: deskd/domain/streak.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from deskd.config import RestartSection, SandboxSection
from deskd.domain.run import ExitReason, RunStatus
from deskd.domain.streak import AFTER, After

JITTER = 0.25  # of the wait, up or down: fifty strategies that die together do not come back together
FAULTS_MANY = 5  # of ours in a row: an officer must look
_DOUBLINGS_MAX = 30


class Step(StrEnum):
    """What can happen to it."""

    START = "start"  # somebody asked, or the wait is over
    UP = "up"  # the process exists
    STOP = "stop"  # somebody asked
    DIED = "died"  # and shall be tried again
    RESTED = "rested"  # ended as it should
    GAVE_UP = "gave_up"  # died too often
    HELD = "held"  # given up before the desk was started again, and nothing changed since


S = RunStatus
TRANSITIONS: dict[tuple[RunStatus, Step], RunStatus] = {
    (S.STOPPED, Step.START): S.STARTING,
    (S.STOPPED, Step.HELD): S.FATAL,
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
    failures: int = 0  # ours, in a row: they only lengthen the wait


def step(life: Life, taken: Step) -> Life:
    """Return the life after the step; raise KeyError for what cannot happen."""
    return replace(life, status=TRANSITIONS[life.status, taken])


def counted_anew(life: Life) -> Life:
    """Return the life of a strategy that somebody starts, or whose code or config changed: nothing counts any more."""
    return Life(status=life.status)


def started_by_hand(life: Life) -> Life:
    """Return the life of a strategy that somebody starts: it gets a fresh count."""
    return step(counted_anew(life), Step.START)


def after_end(life: Life, reason: ExitReason, lived: timedelta, rules: RestartSection) -> Life:
    """Return the life after its process ended for *reason*, having lived well for so long.

    A stop forgives nothing: who restarts the desk does not start the count anew.
    """
    if lived.total_seconds() >= rules.healthy_after_s:
        life = replace(life, deaths=0)
    after = AFTER[reason]
    if life.status is RunStatus.STOPPING or after is After.RESTS:
        deaths = 0 if reason is ExitReason.CLEAN else life.deaths
        return Life(status=step(life, Step.RESTED).status, deaths=deaths)
    if after is After.OURS:
        return step(replace(life, failures=life.failures + 1), Step.DIED)
    life = replace(life, deaths=life.deaths + 1, failures=0)  # the jail stood: the failures of ours are over
    gives_up = life.deaths >= rules.give_up_after
    return step(life, Step.GAVE_UP if gives_up else Step.DIED)


def went_well(reason: ExitReason, lived: timedelta, section: SandboxSection) -> timedelta:
    """Return how much of a life went well: standing still, spinning and flooding take long to be told for what they are."""
    trouble_s = {
        ExitReason.STALLED: section.stalled_after_s + section.stalled_end_after_s,
        ExitReason.CPU_LIMIT: section.busy_after_s,
        ExitReason.LOG_FLOOD: section.log_flood_s,
    }
    return max(lived - timedelta(seconds=trouble_s.get(reason, 0.0)), timedelta())


def backoff(life: Life, rules: RestartSection, jitter: Callable[[], float]) -> timedelta:
    """Return how long to wait before the next try; *jitter* gives numbers from 0 to 1.

    A failure of ours waits by the count of ours: what the strategy did before does not lengthen it.
    """
    count = life.failures or life.deaths
    doublings = min(max(count - 1, 0), _DOUBLINGS_MAX)
    wait = min(rules.backoff_initial_s * 2**doublings, rules.backoff_max_s)
    return timedelta(seconds=min(wait * (1 + JITTER * (2 * jitter() - 1)), rules.backoff_max_s))
