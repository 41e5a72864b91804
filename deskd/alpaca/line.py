"""Who waits for a request to the broker, and whose turn is next. Pure: the time is an argument.

Rule 1: the most pressing class goes first, as far as the budget has room for it.
Rule 2: strategies' orders are served by start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing",
        SIGCOMM 1996): of the strategies that wait, the one goes whose next order begins earliest in virtual time. A
        strategy with weight w gets w turns for every one of a strategy with weight 1; whoever begins to ask waits one
        round at most, however long the others' lines are.
Rule 3: each strategy's line is bounded, and so is each wait (`pacing`).
"""

import math
from collections import deque
from dataclasses import dataclass, field

from deskd.alpaca.budget import Budget
from deskd.domain.priority import Priority

_BEFORE_ORDERS = (Priority.KILL, Priority.CANCEL, Priority.LOOK_UP)
_AFTER_ORDERS = (Priority.RECONCILE, Priority.HISTORY)
_IDLE_KEPT = 1_000  # strategies without a claim that are remembered before the memory is swept


@dataclass(slots=True, eq=False, kw_only=True)
class Claim:
    """One request that wants to leave. *flow* is the strategy that an order is of, else empty."""

    priority: Priority
    flow: str = ""
    weight: float = 1.0


@dataclass(slots=True, eq=False)
class _Flow:
    """One strategy's orders that wait, those that close positions first."""

    weight: float
    start: float = 0.0  # virtual time at which its next order begins
    finish: float = 0.0  # at which the last one that went ends
    exits: deque[Claim] = field(default_factory=deque)
    orders: deque[Claim] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.exits) + len(self.orders)


@dataclass(slots=True)
class Line:
    """All claims that wait."""

    budget: Budget
    _classes: dict[Priority, deque[Claim]] = field(
        default_factory=lambda: {one: deque() for one in (*_BEFORE_ORDERS, *_AFTER_ORDERS)}
    )
    _flows: dict[str, _Flow] = field(default_factory=dict)
    _busy: dict[str, _Flow] = field(default_factory=dict)  # with orders that wait
    _virtual: float = 0.0

    def join(self, claim: Claim) -> None:
        """Let *claim* wait."""
        if not claim.priority.is_order:
            self._classes[claim.priority].append(claim)
            return
        flow = self._flows.get(claim.flow)
        if flow is None:
            self._sweep()
            flow = self._flows[claim.flow] = _Flow(claim.weight)
        flow.weight = claim.weight
        if not flow:
            flow.start = max(self._virtual, flow.finish)
            self._busy[claim.flow] = flow
        (flow.exits if claim.priority is Priority.EXIT else flow.orders).append(claim)

    def leave(self, claim: Claim) -> None:
        """Let *claim* wait no more: it does not go."""
        if not claim.priority.is_order:
            self._classes[claim.priority].remove(claim)
            return
        flow = self._busy[claim.flow]
        (flow.exits if claim.priority is Priority.EXIT else flow.orders).remove(claim)
        if not flow:
            del self._busy[claim.flow]

    def next(self, now: float) -> Claim | None:
        """Take the claim out whose turn it is, and count it as sent; None: nobody may go now."""
        claim = self._first(_BEFORE_ORDERS, now) or self._next_order(now) or self._first(_AFTER_ORDERS, now)
        if claim is not None:
            self.budget.begin(claim.priority, claim.flow, now)
        return claim

    def _first(self, classes: tuple[Priority, ...], now: float) -> Claim | None:
        for priority in classes:
            if (waiting := self._classes[priority]) and not self.budget.wait_s(priority, now):
                return waiting.popleft()
        return None

    def _next_order(self, now: float) -> Claim | None:
        if not self._busy or self.budget.wait_s(Priority.ORDER, now):
            return None
        may_all = not self.budget.wait_s(Priority.ORDER, now, is_light=False)
        ready = [(flow.start, name) for name, flow in self._busy.items() if may_all or self._is_light(name, flow, now)]
        if not ready:
            return None
        _, name = min(ready, key=lambda one: one[0])  # of several the one that waits longest
        flow = self._busy[name]
        claim = flow.exits.popleft() if flow.exits else flow.orders.popleft()
        self._virtual = max(self._virtual, flow.start)
        flow.start = flow.finish = flow.start + 1 / flow.weight
        if not flow:
            del self._busy[name]
            if not self._busy:
                self._virtual = max(self._virtual, flow.finish)
        return claim

    def _is_light(self, name: str, flow: _Flow, now: float) -> bool:
        weights = sum(one.weight for one in self._busy.values())
        return self.budget.is_light(name, flow.weight, weights, now)

    def wait_s(self, now: float) -> float:
        """Return for how long nobody who waits can go; inf: until an answer comes, or somebody joins."""
        waits = [self.budget.wait_s(priority, now) for priority, waiting in self._classes.items() if waiting]
        if self._busy:
            is_light = any(self._is_light(name, flow, now) for name, flow in self._busy.items())
            waits.append(self.budget.wait_s(Priority.ORDER, now, is_light=is_light))
        return min(waits, default=math.inf)

    def expected_wait_s(self, claim: Claim, now: float) -> float:
        """Return how long *claim* would wait, about, were it to join now; 0 where nobody can tell."""
        if not claim.priority.is_order:
            ahead = len(self._classes[claim.priority])
            wait = self.budget.wait_s(claim.priority, now)
            return 0.0 if wait == math.inf or ahead else wait
        flow = self._busy.get(claim.flow)
        before = 0 if flow is None else len(flow.exits) + (len(flow.orders) if claim.priority is Priority.ORDER else 0)
        weights = self._weights(claim)
        is_light = self.budget.is_light(claim.flow, claim.weight, weights, now, more=before)
        wait = self.budget.wait_s(Priority.ORDER, now, is_light=is_light)
        wait = 0.0 if wait == math.inf else wait
        share = claim.weight / weights
        return wait + before / (self.budget.orders_per_s(now) * share)

    def _weights(self, claim: Claim) -> float:
        return claim.weight + sum(flow.weight for name, flow in self._busy.items() if name != claim.flow)

    def waiting(self) -> dict[str, int]:
        """Return how many orders wait, by strategy."""
        return {name: len(flow) for name, flow in self._busy.items()}

    def waiting_for(self, flow: str) -> int:
        """Return how many orders of that strategy wait."""
        return len(self._busy[flow]) if flow in self._busy else 0

    def is_empty(self) -> bool:
        """Tell whether nobody waits."""
        return not self._busy and not any(self._classes.values())

    def _sweep(self) -> None:
        """Forget the strategies that are where they would be if they asked for the first time."""
        if len(self._flows) >= _IDLE_KEPT:
            self._flows = {n: f for n, f in self._flows.items() if f or f.finish > self._virtual}
