"""A strategy and its runs: one life of its process is one run."""

from dataclasses import dataclass
from enum import StrEnum


class StrategyStatus(StrEnum):
    """What the desk does with a strategy (CONTRACTS 5)."""

    ACTIVE = "active"
    PAUSED = "paused"  # runs, but its orders are denied
    STOPPED = "stopped"
    FAILED = "failed"  # gave up after too many deaths


class RunStatus(StrEnum):
    """Where a strategy's process is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FATAL = "fatal"


class ExitReason(StrEnum):
    """Why a run ended (CONTRACTS 5). The last is the desk's own fault and never counted against the member."""

    CLEAN = "clean"
    ERROR = "error"
    SIGNAL = "signal"
    OOM = "oom"
    CPU_LIMIT = "cpu_limit"
    PIDS_LIMIT = "pids_limit"
    STALLED = "stalled"
    SLOW_CONSUMER = "slow_consumer"
    LOG_FLOOD = "log_flood"
    STOPPED = "stopped"
    SANDBOX_FAILURE = "sandbox_failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """What is known of a run's death."""

    reason: ExitReason
    detail: str  # one sentence that a student understands
    exit_code: int | None = None
    peak_memory_bytes: int | None = None
    cpu_seconds: float | None = None  # a duration, not money
