"""The turn of each request to the broker: who waits, for how long at most, and what is told to who cannot go.

Rule 1: a wait is bounded. Who would wait longer is told so at once; who has waited so long goes no more.
Rule 2: what waits may be unwanted by the time its turn comes (canceled, no fill could be seen): then it does not go.
Rule 3: who got a turn gives it back once: `answered`, `unanswered`, or `not_sent`.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import SystemRandom

import structlog

from deskd.alpaca.budget import UNLIMITED, Budget
from deskd.alpaca.line import Claim, Line
from deskd.domain.ids import StrategyId
from deskd.domain.priority import Priority
from deskd.ports import Clock, RequestFigures

RESERVE_SHARE = 0.1  # of a minute's requests, for what is urgent
LINE_MAX = 20  # orders of one strategy that wait; more would wait longer than their quotes are worth
_TIMER_MIN_S = 0.001

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Waiter:
    claim: Claim
    turn: "asyncio.Future[str | None]"  # None: it goes; else why not
    name: str
    leaves: Callable[[], str | None]


def _at_once() -> str | None:
    return None


@dataclass(slots=True, kw_only=True)
class Pacer:
    """One account's turns. *per_min* None: there is no limit, whatever the broker says."""

    per_min: int | None
    clock: Clock
    reserve_share: float = RESERVE_SHARE
    weights: Mapping[StrategyId, float] = field(default_factory=dict)
    jitter: Callable[[], float] = SystemRandom().random
    budget: Budget = field(init=False)
    _line: Line = field(init=False)
    _waiters: dict[Claim, _Waiter] = field(default_factory=dict, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        limit = UNLIMITED if self.per_min is None else self.per_min
        self.budget = Budget(
            limit=limit, reserve_share=self.reserve_share, jitter=self.jitter, learns=self.per_min is not None
        )
        self._line = Line(self.budget)

    async def take(
        self,
        priority: Priority,
        *,
        wait_max_s: float,
        flow: str = "",
        name: str = "",
        leaves: Callable[[], str | None] = _at_once,
    ) -> str | None:
        """Return None as soon as the request may go; else why it does not, at the latest after *wait_max_s*."""
        claim = self._claim(priority, flow)
        now = self.clock.monotonic()
        if self._line.is_empty() and not self.budget.wait_s(priority, now):  # as ever but in a rush
            self._line.join(claim)
            if self._line.next(now) is not None:
                if (why := leaves()) is not None:
                    self.budget.give_back()
                return why
            self._line.leave(claim)
        if self._line.expected_wait_s(claim, now) > wait_max_s:
            return self.used_up()
        if priority.is_order and self._line.waiting_for(flow) >= LINE_MAX:
            return f"{LINE_MAX} orders of this strategy wait for their turn already"
        loop = asyncio.get_running_loop()
        waiter = _Waiter(claim, loop.create_future(), name, leaves)
        self._line.join(claim)
        self._waiters[claim] = waiter
        self._go_on()
        late = loop.call_later(wait_max_s, self._give_up, waiter)
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if claim in self._waiters:
                self._give_up(waiter)
            elif waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.result() is None:
                self.not_sent()
            raise
        finally:
            late.cancel()

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Count a turn as used, and learn from the answer."""
        self.budget.end(self.clock.monotonic())
        self.learn(status, headers)

    def learn(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer."""
        self.budget.learn(status, headers, self.clock.monotonic(), self.clock.now())
        if status == 429:
            pause_s = self.budget.pause_s(self.clock.monotonic())
            log.warning("broker_limit_reached", pause_s=round(pause_s, 1), limit=self.budget.limit)
        self._go_on()

    def unanswered(self) -> None:
        """Count a turn as used: nobody knows whether the broker counted it."""
        self.budget.end(self.clock.monotonic())
        self._go_on()

    def not_sent(self) -> None:
        """Take a turn back: nothing left the desk."""
        self.budget.give_back()
        self._go_on()

    def withdraw(self, why: str, name: str | None = None) -> None:
        """Let the order of that name not go, if it waits; None: any order that does."""
        for waiter in tuple(self._waiters.values()):
            if waiter.name == name or (name is None and waiter.claim.priority.is_order):
                self._give_up(waiter, why)

    def order_wait_s(self, flow: str) -> float:
        """Return how long a new order of the strategy would wait, about; inf where its line is full."""
        if self._line.waiting_for(flow) >= LINE_MAX:
            return math.inf
        return self._line.expected_wait_s(self._claim(Priority.ORDER, flow), self.clock.monotonic())

    def order_pace_s(self) -> float:
        """Return how long it takes until the next order of anybody goes, where many wait."""
        return 1 / self.budget.orders_per_s(self.clock.monotonic())

    def used_up(self) -> str:
        """Return what to tell who cannot go in time."""
        now, budget = self.clock.monotonic(), self.budget
        if pause := budget.pause_s(now):
            return f"the broker turned requests away and is left alone for {pause:.0f} s more; try again later"
        return (
            f"the broker's limit of {budget.limit} requests a minute is used up: used={budget.used(now)}"
            f" reserve={budget.reserve} orders_per_min={budget.orders_per_min(now)}; try again later"
        )

    def figures(self) -> RequestFigures:
        """Return how the budget stands, for people."""
        now = self.clock.monotonic()
        return RequestFigures(
            limit=None if self.budget.limit >= UNLIMITED else self.budget.limit,
            used=self.budget.used(now),
            reserve=self.budget.reserve,
            waiting=self._line.waiting(),
            turned_away=self.budget.refused_count,
            pause_s=self.budget.pause_s(now),
        )

    def _claim(self, priority: Priority, flow: str) -> Claim:
        return Claim(priority=priority, flow=flow, weight=self.weights.get(StrategyId(flow), 1.0))

    def _give_up(self, waiter: _Waiter, why: str | None = None) -> None:
        if self._waiters.pop(waiter.claim, None) is not None:
            self._line.leave(waiter.claim)
            if not waiter.turn.done():
                waiter.turn.set_result(why or self.used_up())

    def _go_on(self) -> None:
        """Give turns to whom may go now, and come back when the next may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiters:
            return
        while (claim := self._line.next(self.clock.monotonic())) is not None:
            waiter = self._waiters.pop(claim)
            why = None if waiter.turn.done() else waiter.leaves()
            if why is not None or waiter.turn.done():  # or whoever waited was canceled in this very turn of the loop
                self.budget.give_back()
            if not waiter.turn.done():
                waiter.turn.set_result(why)
        wait_s = self._line.wait_s(self.clock.monotonic())
        if wait_s < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(wait_s, _TIMER_MIN_S), self._go_on)
