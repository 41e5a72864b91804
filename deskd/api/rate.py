"""How often a strategy may ask."""

from deskd.ports import Clock


class TokenBucket:
    """Lets *per_second* requests through each second, and as many at once after a quiet second."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._per_second = per_second
        self._burst = max(per_second, 1.0)
        self._tokens = self._burst
        self._clock = clock
        self._filled_at = clock.monotonic()

    def take(self) -> float:
        """Take one request; return 0, or the seconds to wait where there is none."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_second
        self._tokens -= 1
        return 0.0
