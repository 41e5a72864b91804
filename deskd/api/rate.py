"""How often a strategy may ask. Who asks too often waits himself, and nobody else does."""

from deskd.api.request import Request
from deskd.ports import Clock

REFUSALS_PER_S = 500  # answers `429` to one strategy: some microseconds of the desk each, so at most 2 % of a core
BROKER_READS_PER_MIN = 10  # GET /bars and /clock go to the broker, whose 200 requests a minute are everybody's

_FROM_BROKER = ("bars", "clock")


class TokenBucket:
    """Lets *per_second* requests through each second, and after a quiet time *burst* at once (a second's worth)."""

    def __init__(self, per_second: float, clock: Clock, *, burst: float | None = None) -> None:
        self._per_second = per_second
        self._burst = max(per_second, 1.0) if burst is None else burst
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


class Budget:
    """One strategy's share of the order channel. Cancels have their own: a flood of orders can still be called back."""

    def __init__(self, requests_per_s: float, clock: Clock) -> None:
        self._requests_per_s = requests_per_s
        self._requests = TokenBucket(requests_per_s, clock)
        self._cancels = TokenBucket(requests_per_s, clock)
        self._broker_reads = TokenBucket(BROKER_READS_PER_MIN / 60, clock, burst=BROKER_READS_PER_MIN)
        self._refusals = TokenBucket(REFUSALS_PER_S, clock)

    def take(self, request: Request) -> tuple[float, str]:
        """Take one request; return 0, or the seconds to wait, and the rule by which."""
        rule = f"requests_per_s={self._requests_per_s:g}"
        if request.method == "DELETE":
            return self._cancels.take(), rule
        if request.path[0] in _FROM_BROKER and (wait := self._broker_reads.take()):
            return wait, f"{' and '.join(_FROM_BROKER)} together: {BROKER_READS_PER_MIN} a minute"
        return self._requests.take(), rule

    def refuse(self) -> float:
        """Return for how long a connection that was just refused is not read."""
        return self._refusals.take()
