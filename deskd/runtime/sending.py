"""What is on its way to the broker: each order, cancel and look-up is a task of its own, its answer comes as an event.

An order waits for its turn with the broker's adapter, and is asked about once more when that has come: what was right
when the desk decided may not be right when it would leave.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from deskd.core import killing
from deskd.core.asking import STREAM_DOWN
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId
from deskd.domain.order import OrderRequest, OrderStatus
from deskd.domain.priority import Priority
from deskd.domain.reasons import RefusalReason
from deskd.latency import Latency
from deskd.ports import Broker, Clock

CANCELED_WAITING = "it was canceled while it waited for its turn"


@dataclass(slots=True, kw_only=True)
class Sending:
    """The one way to the broker for what the desk decided. Whoever calls has the facts on disk."""

    desk: Desk
    broker: Broker
    wall: Clock
    post: Callable[[ev.Event], Awaitable[None]]
    tasks: asyncio.TaskGroup
    to_send: Latency = field(default_factory=Latency)  # from an order's request until it leaves for the broker
    to_answer: Latency = field(default_factory=Latency)  # from then until the broker has it
    waiting: set[ClientOrderId] = field(default_factory=set)  # for their turn to leave for the broker
    _left_at: dict[ClientOrderId, float] = field(default_factory=dict)  # of orders that the broker has to answer
    _canceling: set[ClientOrderId] = field(default_factory=set)
    is_canceling_all: bool = False  # the broker was asked to, and has not answered yet
    _looking_up: set[ClientOrderId] = field(default_factory=set)

    def submit(self, request: OrderRequest, priority: Priority) -> None:
        """Send the order in its turn."""
        self.waiting.add(request.client_order_id)
        self.tasks.create_task(self._submit(request, priority), name=f"submit {request.client_order_id}")

    def replace(self, request: OrderRequest, broker_order_id: BrokerOrderId) -> None:
        """Ask for the order in the place of the broker's, in its turn."""
        self.waiting.add(request.client_order_id)
        name = f"replace by {request.client_order_id}"
        self.tasks.create_task(self._replace(request, broker_order_id), name=name)

    def cancel(self, oid: ClientOrderId, broker_order_id: BrokerOrderId) -> None:
        """Ask for a cancel, once at a time, however often it is wanted."""
        if oid not in self._canceling:
            self._canceling.add(oid)
            self.tasks.create_task(self._cancel(oid, broker_order_id), name=f"cancel {oid}")

    def cancel_all(self, orders: Sequence[tuple[ClientOrderId, BrokerOrderId]]) -> None:
        """Ask for the cancel of all that is open in the account, once at a time."""
        if not self.is_canceling_all:
            self.is_canceling_all = True
            self.tasks.create_task(self._cancel_all(orders), name="cancel all")

    def look_up(self, oid: ClientOrderId) -> None:
        """Ask what became of the order, once at a time."""
        if oid not in self._looking_up:
            self._looking_up.add(oid)
            self.tasks.create_task(self._look_up(oid), name=f"look up {oid}")

    def withdraw(self, fact: ev.Fact) -> None:
        """Let orders not leave that wait for their turn, where *fact* is why."""
        if not self.waiting:
            return
        if isinstance(fact, ev.OrderCancelRequested):
            if fact.client_order_id in self.waiting:
                self.broker.withdraw(CANCELED_WAITING, fact.client_order_id)
        elif isinstance(fact, ev.StreamChanged) and not self.desk.is_trade_stream_up:
            self.broker.withdraw(f"while it waited for its turn {STREAM_DOWN}")

    def crowded(self, oid: ClientOrderId, who: StrategyId) -> Refuse | None:
        """Return the refusal of an order that would wait too long for its turn at the broker, behind its own."""
        crowded = self.broker.crowded(who)
        if crowded is None:
            return None
        wait_s, text = crowded
        return Refuse(oid, RefusalReason.RATE, text, retry_after_s=math.ceil(wait_s))

    def leaves(self, oid: ClientOrderId, priority: Priority) -> str | None:
        """Let an order leave whose turn has come; return why it does not after all."""
        if self.desk.orders[oid].status is not OrderStatus.SUBMITTED:
            return CANCELED_WAITING
        if why := killing.stops_leaving(self.desk, self.desk.orders[oid].request):
            return why
        if not self.desk.is_trade_stream_up and priority is not Priority.KILL:  # to be flat unseen beats to be in
            return f"while it waited for its turn {STREAM_DOWN}"
        if oid in self.waiting:  # else it leaves once more: the broker had turned it away
            self.to_send.observe((self.wall.now() - self.desk.orders[oid].requested_at).total_seconds())
            self.waiting.discard(oid)
        self._left_at[oid] = self.wall.monotonic()
        return None

    async def _submit(self, request: OrderRequest, priority: Priority) -> None:
        oid = request.client_order_id
        try:
            answer = await self.broker.submit(request, priority=priority, leaves=lambda: self.leaves(oid, priority))
            self._answered(oid, answer)
        finally:
            self.waiting.discard(oid)
            self._left_at.pop(oid, None)
        await self.post(answer)

    async def _replace(self, request: OrderRequest, broker_order_id: BrokerOrderId) -> None:
        oid = request.client_order_id
        priority = Priority.ORDER if self.desk.orders[oid].parent_id is None else Priority.EXIT
        try:
            answer = await self.broker.replace(
                request, broker_order_id, priority=priority, leaves=lambda: self.leaves(oid, priority)
            )
            self._answered(oid, answer)
        finally:
            self.waiting.discard(oid)
            self._left_at.pop(oid, None)
        await self.post(answer)

    def _answered(self, oid: ClientOrderId, answer: ev.SubmitAccepted | ev.SubmitRejected | ev.SubmitInDoubt) -> None:
        left_at = self._left_at.get(oid)
        if left_at is not None and isinstance(answer, ev.SubmitAccepted):
            self.to_answer.observe(self.wall.monotonic() - left_at)

    async def _cancel_all(self, orders: Sequence[tuple[ClientOrderId, BrokerOrderId]]) -> None:
        try:
            for answer in await self.broker.cancel_all(orders):
                await self.post(answer)
        finally:
            self.is_canceling_all = False

    async def _cancel(self, oid: ClientOrderId, broker_order_id: BrokerOrderId) -> None:
        try:
            answer = await self.broker.cancel(oid, broker_order_id)
        finally:
            self._canceling.discard(oid)
        await self.post(answer)

    async def _look_up(self, oid: ClientOrderId) -> None:
        try:
            answer = await self.broker.look_up(oid)
        finally:
            self._looking_up.discard(oid)
        if answer is not None:
            await self.post(answer)
