"""The broker's request limit, counted from our side. Pure: the time is an argument.

Rule 1: in no minute, wherever it begins, leave more requests than the limit allows. A request counts from when it is
        sent until a minute after its answer: whenever in between the broker counts it, ours is never the smaller number.
Rule 2: a reserve is kept that no order can use: for cancels and kills all of it, for look-ups and reconciles a part.
Rule 3: orders have a bucket of their own: a burst, then an even rate. So no burst leaves a minute of silence behind it;
        and its last quarter is for strategies that asked for little of late.
Rule 4: what the broker says is believed: its limit, what is left (others may use the same account), and how long to
        wait after a 429. Where it does not say, the waits grow, with jitter.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from deskd.domain.priority import Priority

MINUTE_S = 60.0
UNLIMITED = 1_000_000  # a limit so high is none: what our own exchange says where it counts nothing
OTHERS_SHARE = 0.1  # of the limit, for what is no order: orders never plan with it
HISTORY_SHARE = 0.2  # of the limit, at most, for bars and quotes
BURST_SHARE = 0.25  # of what a minute has for orders, at once; the rest evenly over the minute
NEWCOMERS_SHARE = 0.25  # of a burst: who asked for much of late leaves it to who did not
LIGHT_STRATEGIES = 8  # a strategy is a light one up to an eighth of a minute's orders, or less where more are busy
PAUSE_MAX_S = 60.0  # no limit of the broker's lasts longer; a stranger reset time is not believed
URGENT_PAUSE_MAX_S = 2.0  # then a cancel tries all the same: being turned away costs nothing, staying in may
URGENT_STORM_S = 0.1  # the same, where the broker says that requests are left: then nothing is used up by trying
BACK_OFF_S = 0.25  # after the first 429 that does not say how long; doubles
BACK_OFF_MAX_S = 5.0  # twelve tries a minute are no burden to a broker that turns all away
_SLICE_S = 0.05  # requests of so short a time are counted as one, at its end


@dataclass(slots=True)
class Minute:
    """How often something happened in the last minute: never too few."""

    total: int = 0
    _slices: deque[tuple[float, float, int]] = field(default_factory=deque)  # first, last, count

    def add(self, now: float) -> None:
        """Count one."""
        first, count = now, 0
        if self._slices and now - self._slices[-1][0] < _SLICE_S:
            first, _, count = self._slices.pop()
        self._slices.append((first, now, count + 1))
        self.total += 1

    def forget(self, now: float) -> None:
        """Let go of what is a minute old."""
        while self._slices and self._slices[0][1] + MINUTE_S <= now:
            self.total -= self._slices.popleft()[2]

    def frees_at(self, count: int) -> float:
        """Return when *count* of them will be a minute old."""
        for _, last, here in self._slices:
            count -= here
            if count <= 0:
                return last + MINUTE_S
        return math.inf


@dataclass(slots=True, kw_only=True)
class Budget:
    """One account's requests."""

    limit: int
    reserve_share: float
    jitter: Callable[[], float]  # 0 to 1
    learns: bool = True  # False: whatever the broker says, there is no limit
    in_flight: int = 0
    refused_count: int = 0  # answers 429 so far
    _spent: Minute = field(default_factory=Minute)
    _others: Minute = field(default_factory=Minute)  # of them, what was no order
    _history: Minute = field(default_factory=Minute)
    _by_flow: dict[str, Minute] = field(default_factory=dict)  # orders sent, by strategy
    _tokens: float = field(default=math.inf)
    _grown_at: float = -math.inf
    _foreign: int = 0  # used by others of the same account, by the broker's count
    _foreign_until: float = -math.inf
    _pause_until: float = -math.inf
    _urgent_until: float = -math.inf
    _streak: int = 0  # answers 429 since the last other one

    # --- figures -----------------------------------------------------------------------------------------------------

    @property
    def reserve(self) -> int:
        """Return how many requests of a minute no order can use."""
        return math.ceil(self.limit * self.reserve_share)

    def used(self, now: float) -> int:
        """Return how many requests count at the moment, others' of the same account included."""
        self._spent.forget(now)
        foreign = self._foreign if now < self._foreign_until else 0
        return min(self.limit, self._spent.total + self.in_flight + foreign)

    def left(self, now: float) -> int:
        """Return how many requests could leave at once."""
        return self.limit - self.used(now)

    def pause_s(self, now: float) -> float:
        """Return for how long nothing but what is urgent leaves."""
        return max(0.0, self._pause_until - now)

    def orders_per_min(self, now: float) -> int:
        """Return how many orders a minute has room for, beside what else is asked of the broker."""
        self._others.forget(now)
        foreign = self._foreign if now < self._foreign_until else 0
        others = max(self._others.total, math.ceil(self.limit * OTHERS_SHARE))
        return max(1, self.limit - self.reserve - foreign - others)

    def burst(self, now: float) -> float:
        """Return how many orders may leave at once after a quiet time."""
        return max(1.0, self.orders_per_min(now) * BURST_SHARE)

    def orders_per_s(self, now: float) -> float:
        """Return the even rate of orders."""
        return max(1.0, self.orders_per_min(now) - self.burst(now)) / MINUTE_S

    # --- may it go? --------------------------------------------------------------------------------------------------

    def wait_s(self, priority: Priority, now: float, *, is_light: bool = True) -> float:
        """Return 0 where such a request may go now, else for how long it may not, at least; inf: until an answer."""
        pause = self._urgent_until if priority.is_urgent else self._pause_until
        wait = max(0.0, pause - now)
        if self._streak and self.in_flight:
            return math.inf  # one tries; the others wait for what it hears
        lacking = self._floor(priority) + 1 - self.left(now)
        if lacking > 0:
            frees_at = self._spent.frees_at(lacking)
            if now < self._foreign_until and self._foreign:
                frees_at = min(frees_at, self._foreign_until)
            wait = max(wait, frees_at - now)
        if priority is Priority.HISTORY:
            self._history.forget(now)
            over = self._history.total + 1 - math.ceil(self.limit * HISTORY_SHARE)
            wait = max(wait, self._history.frees_at(over) - now if over > 0 else 0.0)
        if priority.is_order:
            self._grow(now)
            kept = 0.0 if is_light else self.burst(now) * NEWCOMERS_SHARE // 1
            lacking_tokens = 1.0 + kept - self._tokens
            wait = max(wait, lacking_tokens / self.orders_per_s(now))
        return wait

    def is_light(self, flow: str, weight: float, weights: float, now: float, *, more: int = 0) -> bool:
        """Tell whether *flow* sent less than its share of the last minute; *weights*: of all that are busy."""
        sent = self._by_flow.get(flow)
        if sent is not None:
            sent.forget(now)
            more += sent.total
            if not sent.total:
                del self._by_flow[flow]
        return more < max(1.0, self.orders_per_min(now) * weight / max(weights, LIGHT_STRATEGIES))

    def _floor(self, priority: Priority) -> int:
        """Return how many requests must stay left for others."""
        if priority.is_urgent:
            return 0
        if priority is Priority.LOOK_UP:
            return self.reserve // 4
        return self.reserve // 2 if priority is Priority.RECONCILE else self.reserve

    def _grow(self, now: float) -> None:
        most = self.burst(now)
        if self._tokens == math.inf:
            self._tokens = most
        elif now > self._grown_at:
            self._tokens = min(most, self._tokens + (now - self._grown_at) * self.orders_per_s(now))
        self._grown_at = max(now, self._grown_at)

    # --- it goes, and is answered ------------------------------------------------------------------------------------

    def begin(self, priority: Priority, flow: str, now: float) -> None:
        """Count a request that leaves now."""
        self.in_flight += 1
        if priority.is_order:
            self._grow(now)
            self._tokens -= 1
            self._by_flow.setdefault(flow, Minute()).add(now)
            return
        self._others.add(now)
        if priority is Priority.HISTORY:
            self._history.add(now)

    def end(self, now: float) -> None:
        """Count it as one of the minute that begins with its answer, or with the end of the wait for it."""
        self.in_flight -= 1
        self._spent.add(now)

    def give_back(self) -> None:
        """Take back a request that did not leave after all."""
        self.in_flight -= 1

    def learn(self, status: int, headers: Mapping[str, str], now: float, wall: datetime) -> None:
        """Believe an answer's headers; after a 429 wait."""
        if not self.learns:
            return
        limit, remaining = _number(headers, "X-RateLimit-Limit"), _number(headers, "X-RateLimit-Remaining")
        reset = _number(headers, "X-RateLimit-Reset")
        until_reset = MINUTE_S if reset is None else min(max(reset - wall.timestamp(), 0.0), PAUSE_MAX_S)
        if limit:
            self.limit = limit
        if remaining is not None:
            self._spent.forget(now)
            self._foreign = max(0, self.limit - remaining - self._spent.total - self.in_flight)
            self._foreign_until = now + until_reset
        if status != 429:
            self._streak = 0
            self._pause_until = self._urgent_until = -math.inf
            return
        self._turned_away(_number(headers, "Retry-After"), remaining, None if reset is None else until_reset, now)

    def _turned_away(self, retry_after: int | None, remaining: int | None, reset_s: float | None, now: float) -> None:
        self.refused_count += 1
        self._streak += 1
        longest = min(BACK_OFF_S * 2.0 ** min(self._streak, 10), BACK_OFF_MAX_S)
        pause = longest * (1 + self.jitter()) / 2
        if retry_after is not None:
            pause = max(pause, min(float(retry_after), PAUSE_MAX_S))
        elif not remaining:  # with some left it was something else than our number: a storm, which may be over soon
            pause = max(pause, reset_s or 0.0)
        if not remaining and self.limit < UNLIMITED:  # nobody tells of it where a proxy cuts headers off
            self._foreign = max(self._foreign, self.limit - self._spent.total - self.in_flight)
            self._foreign_until = now + (pause if reset_s is None else reset_s)
        self._pause_until = now + pause
        # It may be turned away for its number as well, so its own waits grow, but not as long.
        self._urgent_until = now + min(pause, longest, URGENT_STORM_S if remaining else URGENT_PAUSE_MAX_S)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
