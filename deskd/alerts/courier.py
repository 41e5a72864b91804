"""Sends what is due: which route, how often, and what follows from a failure. It waits for nobody.

Rule 1: one message at a time on a route; a route that hangs or fails holds up no other.
Rule 2: after a failure the route is left alone, ever longer, with jitter; what waited goes along in one digest.
Rule 3: a send without an end for SEND_MAX counts as failed. Should it succeed after all, that counts.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from deskd.alerts.digest import Message, message
from deskd.alerts.outbox import Outbox
from deskd.alerts.plan import Plan

BACKOFF_FIRST = timedelta(seconds=5)
BACKOFF_MAX = timedelta(minutes=15)
SEND_MAX = timedelta(seconds=60)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One message on its way."""

    number: int
    route: str
    ids: tuple[int, ...]
    message: Message
    began_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A route failed; *dead* of its notifications are not tried again by themselves."""

    route: str
    problem: str
    failures: int
    next_at: datetime
    dead: int


@dataclass(slots=True, kw_only=True)
class Courier:
    """Decides what is sent next; *start* begins a send somewhere else, and its end comes back through `ended`."""

    outbox: Outbox
    desk: str
    plan: Plan
    start: Callable[[Attempt], None]
    jitter: Callable[[], float]  # from 0 to 1
    routes: Iterable[str]  # that have an address; others wait
    _busy: dict[str, Attempt] = field(default_factory=dict)
    _lost: dict[int, Attempt] = field(default_factory=dict)  # counted as failed, and not ended yet
    _begun: dict[str, deque[datetime]] = field(default_factory=dict)
    _count: int = 0

    def step(self, now: datetime) -> list[Trouble]:
        """Begin every send that is due and may leave; return what failed for having hung."""
        hung = [one for one in self._busy.values() if now - one.began_at >= SEND_MAX]
        troubles = []
        for attempt in hung:
            del self._busy[attempt.route]
            self._lost[attempt.number] = attempt
            troubles.append(self._failed(attempt, f"no answer within {SEND_MAX.total_seconds():.0f} s", now))
        for route in self.outbox.due_routes(now):
            if route in self.routes and route not in self._busy and self._may_send(route, now):
                self._send(route, now)
        return troubles

    def wake_at(self, now: datetime) -> datetime | None:
        """Return when the next `step` has something to do; None: not before something new comes."""
        times = [one.began_at + SEND_MAX for one in self._busy.values()]
        times += [begun[0] + MINUTE for begun in self._begun.values() if len(begun) >= self.plan.per_minute]
        if (due := self.outbox.next_due(now)) is not None:
            times.append(due)
        return min((at for at in times if at > now), default=None)

    def ended(self, attempt: Attempt, problem: str | None, now: datetime) -> Trouble | None:
        """Take note of how a send ended; None as *problem*: the receiver has it."""
        was_lost = self._lost.pop(attempt.number, None) is not None
        if not was_lost:
            self._busy.pop(attempt.route, None)
        if problem is None:
            self.outbox.sent(attempt.route, attempt.ids, now)
            return None
        return None if was_lost else self._failed(attempt, problem, now)

    @property
    def is_idle(self) -> bool:
        """Tell whether no message is on its way."""
        return not self._busy

    @property
    def lost(self) -> int:
        """Return how many sends hang: each holds a thread."""
        return len(self._lost)

    def _may_send(self, route: str, now: datetime) -> bool:
        begun = self._begun.setdefault(route, deque())
        while begun and now - begun[0] >= MINUTE:
            begun.popleft()
        return len(begun) < self.plan.per_minute

    def _send(self, route: str, now: datetime) -> None:
        pending = self.outbox.pending(route, now)
        assert pending is not None, "a due route has something"
        self._count += 1
        attempt = Attempt(
            number=self._count,
            route=route,
            ids=pending.ids,
            message=message(self.desk, pending.notes),
            began_at=now,
        )
        self._begun[route].append(now)
        self._busy[route] = attempt
        self.start(attempt)

    def _failed(self, attempt: Attempt, problem: str, now: datetime) -> Trouble:
        failures = self.outbox.failures(attempt.route)
        wait = min(BACKOFF_FIRST * 2 ** min(failures, 20), BACKOFF_MAX) * (0.5 + self.jitter() / 2)
        dead = self.outbox.failed(
            attempt.route, attempt.ids, problem, next_at=now + wait, tries_max=self.plan.tries_max, now=now
        )
        return Trouble(route=attempt.route, problem=problem, failures=failures + 1, next_at=now + wait, dead=len(dead))
