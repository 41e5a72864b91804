"""The broker's request limit, kept from our side: a burst is paced, and cancels always have room.

Rule 1: a request takes a token; tokens grow back at the limit's rate. The broker's headers correct the count.
Rule 2: the last tokens are reserved for what is urgent: cancels, look-ups, what a kill needs.
Rule 3: a wait is bounded. Who would wait longer is told so at once, and nothing was sent.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from deskd.ports import Clock

RESERVE = 0.1  # of a minute's requests, for what is urgent
PAUSE_MAX_S = 60.0  # no limit of the broker's lasts longer; a stranger reset time is not believed


@dataclass(slots=True, kw_only=True)
class Pacer:
    """One account's budget of requests. *per_min* None: there is none (the embedded exchange)."""

    per_min: int | None
    clock: Clock
    _tokens: float = field(init=False)
    _at: float = field(init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __post_init__(self) -> None:
        self._tokens = float(self.per_min or 0)
        self._at = self.clock.monotonic()

    async def take(self, *, wait_max_s: float, is_urgent: bool = False) -> bool:
        """Return True as soon as a request may go; False where that would be later than *wait_max_s*."""
        if self.per_min is None:
            return True
        until = self.clock.monotonic() + wait_max_s
        if is_urgent:
            return await self._take(until, floor=0.0)
        if self._turn.locked() and self._needed_s(self.per_min * RESERVE) > wait_max_s:
            return False
        try:
            async with asyncio.timeout(wait_max_s), self._turn:  # first come, first served
                return await self._take(until, floor=self.per_min * RESERVE)
        except TimeoutError:
            return False

    async def _take(self, until: float, *, floor: float) -> bool:
        while (wait_s := self._needed_s(floor)) > 0:
            if self.clock.monotonic() + wait_s > until:
                return False
            await asyncio.sleep(wait_s)
        self._tokens -= 1
        return True

    def _needed_s(self, floor: float) -> float:
        assert self.per_min is not None, "without a limit nobody waits"
        now, rate = self.clock.monotonic(), self.per_min / 60
        if now > self._at:  # in a pause, _at lies ahead: nothing grows until then
            self._tokens = min(float(self.per_min), self._tokens + (now - self._at) * rate)
            self._at = now
        lacking = floor + 1 - self._tokens
        return max(0.0, self._at - now + lacking / rate) if lacking > 0 else 0.0

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Correct the count by an answer's X-RateLimit headers; after a 429 wait until the limit is reset."""
        if self.per_min is None:
            return
        limit, remaining = _number(headers, "X-RateLimit-Limit"), _number(headers, "X-RateLimit-Remaining")
        if limit is not None and limit > 0:
            self._tokens += limit - self.per_min
            self.per_min = limit
        if remaining is not None:
            self._tokens = min(self._tokens, float(remaining))
        if status == 429:
            self._tokens = min(self._tokens, 0.0)
            reset = _number(headers, "X-RateLimit-Reset")
            pause = 0.0 if reset is None else reset - self.clock.now().timestamp()
            self._at = self.clock.monotonic() + min(max(pause, 0.0), PAUSE_MAX_S)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
