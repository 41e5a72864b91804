"""What went wrong of late, by strategy: the broker's rejects, the gate's denials, deaths of runs. A fold of facts.

Rule 1: it is counted on the desk's clock. Set to another time, that takes along what was counted: nothing is
        forgotten early, and nothing counts for longer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deskd.domain import events as ev
from deskd.domain.ids import StrategyId
from deskd.domain.kill import KillCause
from deskd.domain.reasons import DenialReason, RejectReason
from deskd.domain.streak import AFTER, After

WINDOW_MAX = timedelta(minutes=10)  # the longest window that can be configured
KEPT = 1_000  # of each kind and strategy: a bound over it bounds nothing
BROKERS_NO = frozenset({RejectReason.BROKER_REJECTED, RejectReason.BROKER_REFUSED_LATER})

FOR_A_KILL = frozenset({DenialReason.KILLED, DenialReason.REDUCE_ONLY})


@dataclass(slots=True)
class Tallies:
    """Everybody's."""

    by_cause: dict[KillCause, dict[StrategyId, list[datetime]]] = field(default_factory=dict)

    def count(self, cause: KillCause, who: StrategyId, at: datetime) -> None:
        """Count one."""
        times = self.by_cause.setdefault(cause, {}).setdefault(who, [])
        times.append(at)
        while len(times) > KEPT or times[0] <= at - WINDOW_MAX:
            del times[0]

    def step(self, by: timedelta) -> None:
        """Take what was counted along where the desk's clock was set."""
        for counted in self.by_cause.values():
            for times in counted.values():
                times[:] = [at + by for at in times]

    def reject(self, who: StrategyId, fact: ev.OrderRejected) -> None:
        """Count what the broker refused; what was never sent says nothing about the strategy."""
        if fact.reason in BROKERS_NO:
            self.count(KillCause.REJECTS, who, fact.at)

    def deny(self, fact: ev.OrderDenied) -> None:
        """Count what the gate refused, but for a kill: that would pull the next one."""
        if fact.reason not in FOR_A_KILL:
            self.count(KillCause.DENIALS, fact.request.strategy_id, fact.at)

    def end(self, fact: ev.RunEnded) -> None:
        """Count a death that counts against the strategy."""
        if fact.deaths and AFTER[fact.end.reason] is After.COUNTED:
            self.count(KillCause.ERRORS, fact.strategy_id, fact.at)

    def of(self, cause: KillCause, who: StrategyId, since: datetime) -> int:
        """Return how many there were of the strategy after *since*."""
        return _after(self.by_cause.get(cause, {}).get(who, ()), since)

    def each(self, cause: KillCause, since: datetime) -> Iterator[tuple[StrategyId, int]]:
        """Yield every strategy that had any after *since*, and how many."""
        for who, times in self.by_cause.get(cause, {}).items():
            if count := _after(times, since):
                yield who, count


def _after(times: Iterable[datetime], since: datetime) -> int:
    return sum(at > since for at in times)
