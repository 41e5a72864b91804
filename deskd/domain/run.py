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
    FATAL = "failed"  # the word of StrategyStatus, of the guides and of the ledger


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
    memory_max_bytes: int | None = None
    memory_growth_bytes: int | None = None  # in its last seconds
    throttled_seconds: float | None = None  # it waited, because its share of the CPU was used up
    throttled_periods: int | None = None  # of *periods*
    periods: int | None = None  # tenths of a second in which it wanted to work
    lines_delivered: int | None = None
    lines_handled: int | None = None  # as the run itself says
    last_line: str = ""  # the last that it handled, as the run itself says
    traceback: str = ""  # Python's own, bounded
    source_line: str = ""  # the member's line that the traceback points to: `strategy.py:14 in on_trade: 1 / 0`
    output: tuple[str, ...] = ()  # its last lines on both streams, bounded; control characters as they came
