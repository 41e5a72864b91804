"""The kill switch's words: on what it acts, how deep it goes, what pulled it."""

from dataclasses import dataclass
from enum import StrEnum


class KillScope(StrEnum):
    """On what a kill acts."""

    DESK = "desk"
    MEMBER = "member"
    STRATEGY = "strategy"
    SYMBOL = "symbol"


class KillDepth(StrEnum):
    """How deep a kill goes: each does what those before it do, and more."""

    REDUCE_ONLY = "reduce_only"  # only orders that reduce a position pass; open ones that do not are canceled
    STOP_NEW = "stop_new"  # no new order passes; what is open and only closes stays
    CANCEL = "cancel"  # and open orders are canceled
    FLATTEN = "flatten"  # and positions are closed

    def reaches(self, other: "KillDepth") -> bool:
        """Tell whether this depth does all that *other* does."""
        return _ORDER.index(self) >= _ORDER.index(other)


_ORDER = tuple(KillDepth)


class KillCause(StrEnum):
    """What pulled the kill switch."""

    COMMAND = "command"  # a person, over the control socket
    FILE = "file"  # a file named KILL
    SIGNAL = "signal"  # SIGUSR1
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    DRIFT = "drift"  # books and broker disagree, and nothing explains it
    STALE_STREAM = "stale_stream"  # prices or trade updates stay away
    ERRORS = "errors"  # runs die, again and again
    REJECTS = "rejects"  # the broker says no, again and again
    DENIALS = "denials"  # the gate says no, again and again
    LOOP_LAG = "loop_lag"  # the desk itself does not keep up
    BREAKER = "breaker"  # a circuit breaker tripped too often
    BROKER_ERRORS = "broker_errors"  # the broker fails, or leaves requests without an answer


class TradingState(StrEnum):
    """What a strategy, or the desk, may do (STYLE 3)."""

    ACTIVE = "ACTIVE"
    REDUCE_ONLY = "REDUCE_ONLY"
    KILLED = "KILLED"


@dataclass(frozen=True, slots=True, order=True)
class KillTarget:
    """The desk, or one member, strategy or symbol."""

    scope: KillScope
    name: str = ""  # empty for the desk

    def __str__(self) -> str:
        """Return the target as people write it."""
        return f"{self.scope} {self.name}".strip()


THE_DESK = KillTarget(KillScope.DESK)
