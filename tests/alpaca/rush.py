"""A desk in a rush, simulated: claims that arrive at set times, a line, and the exchange's own limiter as the judge."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deskd.alpaca.budget import Budget
from deskd.alpaca.line import Claim, Line
from deskd.domain.priority import Priority
from deskd.venue.limits import RateLimit
from tests.factories import NOON


@dataclass
class HandClock:
    """A clock that stands until somebody moves it."""

    seconds: float = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def a_budget(limit: int = 200, *, reserve: float = 0.1, learns: bool = True) -> Budget:
    return Budget(limit=limit, reserve_share=reserve, jitter=lambda: 1.0, learns=learns)


@dataclass
class Rush:
    """What happened: when each claim arrived, when it left, and what the broker's limiter said to it."""

    clock: HandClock = field(default_factory=HandClock)
    limit: int = 200
    latency_s: float = 0.02
    line: Line = field(init=False)
    judge: RateLimit = field(init=False)
    left: list[tuple[float, Claim]] = field(default_factory=list)
    arrived: dict[Claim, float] = field(default_factory=dict)
    turned_away: int = 0
    _answers: list[tuple[float, int, int, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line = Line(a_budget(self.limit))
        self.judge = RateLimit(self.limit, self.clock)

    def run(self, arrivals: Iterable[tuple[float, Claim]], until: float) -> "Rush":
        """Let the claims come at their times, and time pass up to *until*."""
        coming = sorted(arrivals, key=lambda one: one[0])
        at = 0
        while True:
            now = self.clock.seconds
            while at < len(coming) and coming[at][0] <= now:
                self.line.join(coming[at][1])
                self.arrived[coming[at][1]] = coming[at][0]
                at += 1
            while self._answers and self._answers[0][0] <= now:
                _, _, status, headers = heapq.heappop(self._answers)
                self.line.budget.end(now)
                self.line.budget.learn(status, headers, now, self.clock.now())
            while (claim := self.line.next(now)) is not None:
                self._leave(claim, now)
            wait = self.line.wait_s(now)
            assert wait > 0, "who may go has gone"
            nexts = [now + max(wait, 1e-6), until]
            nexts += [coming[at][0]] if at < len(coming) else []
            nexts += [self._answers[0][0]] if self._answers else []
            self.clock.seconds = max(min(nexts), now)
            if self.clock.seconds >= until:
                return self

    def _leave(self, claim: Claim, now: float) -> None:
        said = self.judge.take()
        self.turned_away += not said.is_allowed
        self.left.append((now, claim))
        status = 200 if said.is_allowed else 429
        heapq.heappush(self._answers, (now + self.latency_s, len(self.left), status, said.headers))

    def waits(self, flow: str) -> list[float]:
        """Return how long each order of the strategy waited that left."""
        return [at - self.arrived[claim] for at, claim in self.left if claim.flow == flow]

    def busy_spans(self) -> list[tuple[float, float]]:
        """Return the times during which somebody waited all along."""
        spans: list[tuple[float, float]] = []
        for begin, end in sorted((self.arrived[claim], at) for at, claim in self.left if at > self.arrived[claim]):
            if spans and begin <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((begin, end))
        return spans

    def served(self, since: float = 0.0) -> Counter[str]:
        """Return how many orders of each strategy left since then."""
        return Counter(claim.flow for at, claim in self.left if at >= since and claim.priority.is_order)

    def most_in_a_minute(self, *, orders: bool = False) -> int:
        """Return the most requests that left within any minute."""
        times = [at for at, claim in self.left if claim.priority.is_order or not orders]
        return max((sum(at <= t < at + 60 for t in times) for at in times), default=0)


def order(flow: str, weight: float = 1.0) -> Claim:
    return Claim(priority=Priority.ORDER, flow=flow, weight=weight)


def a_flood(flow: str, per_s: float, until: float, weight: float = 1.0) -> list[tuple[float, Claim]]:
    return [(n / per_s, order(flow, weight)) for n in range(int(per_s * until))]


def jain(served: Iterable[float]) -> float:
    """Return Jain's fairness index: 1 where all got the same, 1/n where one got all (Jain, Chiu, Hawe 1984)."""
    got = list(served)
    return sum(got) ** 2 / (len(got) * sum(x * x for x in got))
