"""What becomes of an order that the broker would refuse because of another strategy's order."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class ConflictPolicy(StrEnum):
    """The values of [orders] conflict."""

    DENY = "deny"  # the author hears no, and what is in the way
    HOLD = "hold"  # the order waits at the desk until nothing is in its way, for a bounded time
    CROSS = (
        "cross"  # what meets of both is exchanged at the desk at the midpoint; the rest waits. Never with real money
    )

    @property
    def lets_wait(self) -> bool:
        """Tell whether an order may wait for another's end."""
        return self is not ConflictPolicy.DENY


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRules:
    """[orders], as the core reads it."""

    conflict: ConflictPolicy = ConflictPolicy.DENY
    hold_max: timedelta = timedelta(seconds=30)
