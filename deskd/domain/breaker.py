"""The words of circuit breakers: one for each strategy, which lets it only reduce for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class BreakerState(StrEnum):
    """Where a strategy's breaker stands."""

    CLOSED = "closed"  # everything passes
    OPEN = "open"  # only what reduces a position passes, until the cool-down is over
    HALF_OPEN = "half_open"  # everything passes, on probation: a tenth of the bound opens it again


# From where it may move to where; what is not here cannot happen.
MOVES: Mapping[BreakerState, frozenset[BreakerState]] = {
    BreakerState.CLOSED: frozenset({BreakerState.OPEN}),
    BreakerState.OPEN: frozenset({BreakerState.HALF_OPEN}),
    BreakerState.HALF_OPEN: frozenset({BreakerState.OPEN, BreakerState.CLOSED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """The bounds of every strategy's breaker. 0: none."""

    window: timedelta = timedelta(minutes=1)  # in which is counted, and the length of the probation
    rejects_max: int = 0
    denials_max: int = 0
    deaths_max: int = 0
    cooldown: timedelta = timedelta(minutes=5)  # doubles with each trip in a row
    cooldown_max: timedelta = timedelta(hours=1)
    trips_max: int = 0  # in a row: then the strategy is killed
