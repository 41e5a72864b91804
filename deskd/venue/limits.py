"""Alpaca's request limit: so many requests a minute for the whole account, told in three headers of every reply.

1. A window of a minute opens with its first request; its end is `X-RateLimit-Reset`.
2. A refused request counts for nothing: who waits for the reset gets through.
"""

import math
from dataclasses import dataclass

from deskd.ports import Clock

WINDOW_S = 60.0
UNLIMITED = 1_000_000  # what the headers say where no limit is set: a number that no client paces itself by


@dataclass(frozen=True, slots=True)
class Allowance:
    """The answer to one request: may it pass, and what the headers say."""

    is_allowed: bool
    headers: dict[str, str]


class RateLimit:
    """Counts requests of one account against *per_minute* (0: no limit)."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._ends_at = -math.inf  # monotonic
        self._reset = "0"  # epoch seconds: the same instant, for the header
        self._used = 0

    def fill(self, per_minute: int, used: int, ends_in_s: float) -> None:
        """Begin a window of that limit in which others have *used* so many; it ends so soon."""
        self._per_minute, self._used = per_minute, used
        self._ends_at = self._clock.monotonic() + ends_in_s
        self._reset = str(math.ceil(self._clock.now().timestamp() + ends_in_s))

    def take(self) -> Allowance:
        """Count one request and return whether it may pass."""
        now = self._clock.monotonic()
        if now >= self._ends_at:
            self._ends_at = now + WINDOW_S
            self._reset = str(math.ceil(self._clock.now().timestamp() + WINDOW_S))
            self._used = 0
        if not self._per_minute:
            return self._allowance(is_allowed=True, limit=UNLIMITED, remaining=UNLIMITED)
        is_allowed = self._used < self._per_minute
        if is_allowed:
            self._used += 1
        return self._allowance(is_allowed=is_allowed, limit=self._per_minute, remaining=self._per_minute - self._used)

    def _allowance(self, *, is_allowed: bool, limit: int, remaining: int) -> Allowance:
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": self._reset,
        }
        return Allowance(is_allowed, headers)
