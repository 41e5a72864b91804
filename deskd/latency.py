"""How long things take, as counts between fixed bounds: what a histogram of Prometheus is made of.

Whatever is measured often keeps one of these: an observation is a search among a few bounds and two additions.
"""

from bisect import bisect_left
from collections.abc import Sequence

# From a tenth of a millisecond, which is a line's way through the desk, to what an officer would call an outage.
SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip


class Latency:
    """Durations, counted."""

    __slots__ = ("bounds", "counts", "sum_s")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last: longer than every bound
        self.sum_s = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count a duration, *times* over; one below zero, which a clock that was set back makes, is none at all."""
        seconds = max(seconds, 0.0)
        self.counts[bisect_left(self.bounds, seconds)] += times
        self.sum_s += seconds * times

    def cumulated(self) -> list[tuple[str, int]]:
        """Return each bound with how many durations were not longer, as Prometheus wants them."""
        total, found = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, total))
        return found

    @property
    def count(self) -> int:
        """Return how many durations were counted."""
        return sum(self.counts)
