"""Kills are carried out to their end, however often the broker says no; what cannot be closed is told by name."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

from deskd.app.kill_keeper import AGAIN_MAX_S, ALL_ALONE_MAX, MARKET_CLOSED, KillKeeper
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId
from deskd.domain.kill import THE_DESK, KillDepth
from deskd.domain.market import MarketClock
from deskd.domain.order import Order, OrderRequest, OrderStatus, OrderType, Side
from deskd.domain.reasons import RefusalReason
from tests.factories import (
    AAPL,
    ALICE,
    NOON,
    a_broker_order,
    a_kill,
    a_limit_request,
    a_release,
    a_request,
    accepted,
    filled,
    of_strategy,
    price,
    qty,
    updated,
)
from tests.hang import HANG_S
from tests.runtime.a_live_desk import World, a_world

DAY = timedelta(days=1)
OPEN = MarketClock(timestamp=NOON, is_open=True, next_open=NOON + DAY, next_close=NOON + DAY)
CLOSED = MarketClock(timestamp=NOON, is_open=False, next_open=NOON + DAY, next_close=NOON + DAY)


@dataclass
class Obliging:
    """A broker that fills, cancels, or says no so many times first."""

    world: World
    no_cancels: int = 0
    no_orders: int = 0
    no_bulks: int = 0
    bulks: list[list[ClientOrderId]] = field(default_factory=list)
    fills: bool = True
    sent: list[OrderRequest] = field(default_factory=list)
    known: dict[ClientOrderId, OrderRequest] = field(default_factory=dict)

    async def submit(self, request: OrderRequest, **_: Any) -> Any:
        self.sent.append(request)
        oid = request.client_order_id
        if request.for_kill and self.no_orders:
            self.no_orders -= 1
            return ev.SubmitRejected(client_order_id=oid, message="rate limit exceeded", at=NOON)
        self.known[oid] = request
        if request.order_type is OrderType.MARKET and self.fills:
            assert request.qty is not None
            await self.world.runtime.post(filled(request, str(request.qty)))
        return accepted(request)

    def crowded(self, strategy_id: StrategyId) -> None:
        """Say that there is room."""

    def withdraw(self, why: str, oid: ClientOrderId | None = None) -> None:
        """Let nothing wait."""

    async def cancel_all(self, orders: Sequence[tuple[ClientOrderId, BrokerOrderId]]) -> Any:
        self.bulks.append([oid for oid, _ in orders])
        if self.no_bulks:
            self.no_bulks -= 1
            return [ev.CancelInDoubt(client_order_id=oid, why="HTTP 500", at=NOON) for oid, _ in orders]
        answers = [await self.cancel(oid, broker_order_id) for oid, broker_order_id in orders]
        canceled = sum(isinstance(answer, ev.CancelAnswered) for answer in answers)
        unnamed = len(answers) - canceled
        return [
            *answers,
            ev.CancelAllAnswered(canceled=canceled, refused=0, unnamed=unnamed, strangers=(), at=NOON),
        ]

    async def cancel(self, oid: ClientOrderId, broker_order_id: BrokerOrderId) -> Any:
        if self.no_cancels:
            self.no_cancels -= 1
            return ev.CancelInDoubt(client_order_id=oid, why="HTTP 429", at=NOON)
        order = a_broker_order(self.known[oid], status=BrokerStatus.CANCELED)
        await self.world.runtime.post(updated(order))
        return ev.CancelAnswered(client_order_id=oid, refusal=None, at=NOON)


@dataclass
class Killed:
    """A running desk with its keeper."""

    world: World
    broker: Obliging
    keeper: KillKeeper
    clock: MarketClock | None = OPEN

    async def kill(self, kill: ev.KillEngaged) -> None:
        await self.world.runtime.keep(kill)

    async def until_told(self, kind: type[ev.Fact]) -> Any:
        """Return the first fact of the kind; time passes for the keeper meanwhile."""
        while True:
            for fact in self.world.ledger.facts:
                if isinstance(fact, kind):
                    return fact
            self.world.wall.time += timedelta(seconds=1)
            await asyncio.sleep(0.001)


@asynccontextmanager
async def a_killed_desk(**broker: Any) -> AsyncIterator[Killed]:
    async with a_world() as world:
        obliging = Obliging(world, **broker)
        world.runtime.sending.broker = obliging  # type: ignore[assignment]  # what is not asked of it, it has not
        clock = OPEN
        keeper = KillKeeper(runtime=world.runtime, wall=world.wall, market=lambda: killed.clock, step_s=0.001)
        world.runtime.on_fact.append(keeper.on_fact)
        killed = Killed(world, obliging, keeper, clock)
        running = asyncio.get_running_loop().create_task(keeper.run())
        try:
            async with asyncio.timeout(HANG_S):
                yield killed
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_a_desk_is_flat_after_a_broker_said_no_again_and_again() -> None:
    """Every cancel and every closing order is asked for again, until nothing is open and nothing is held."""
    async with a_killed_desk(no_cancels=3, no_orders=3) as desk:
        await desk.world.runtime.place(a_request(), timeout_s=5)
        await desk.world.runtime.place(a_limit_request("90", client_order_id=ClientOrderId("alice-2")), timeout_s=5)
        await desk.world.runtime.until(lambda d: bool(d.portfolio.qty(ALICE, AAPL)))
        await desk.kill(a_kill(depth=KillDepth.FLATTEN))
        done = await desk.until_told(ev.FlattenCompleted)
        assert done.target == THE_DESK
        assert not desk.world.desk.open_ids
        assert desk.world.desk.portfolio.qty(ALICE, AAPL) == 0
        closings = [request for request in desk.broker.sent if request.for_kill]
        assert (len(closings), len({request.client_order_id for request in closings})) == (4, 4)
        assert all(request.strategy_id == ALICE for request in closings)
        refused = await desk.world.runtime.place(a_request(client_order_id=ClientOrderId("alice-3")), timeout_s=5)
        assert isinstance(refused, Refuse)
        assert refused.reason == RefusalReason.KILLED


async def some_resting(desk: Killed, count: int) -> list[ClientOrderId]:
    """Have so many limit orders open."""
    ids = [ClientOrderId(f"alice-{number}") for number in range(count)]
    for number, oid in enumerate(ids):
        await desk.world.runtime.place(a_limit_request(str(50 + number), client_order_id=oid), timeout_s=5)
    return ids


async def test_a_kill_of_the_desk_cancels_with_one_request() -> None:
    """Each order's wish is on disk before it; a strategy's kill cancels one by one: others' orders stay."""
    async with a_killed_desk() as desk:
        ids = await some_resting(desk, 4)
        await desk.kill(a_kill(depth=KillDepth.CANCEL))
        answered = await desk.until_told(ev.CancelAllAnswered)
        await desk.world.runtime.until(lambda d: not d.open_ids)
        assert (desk.broker.bulks, answered.canceled) == ([ids], 4)
        facts = desk.world.ledger.facts
        [asked] = [place for place, fact in enumerate(facts) if isinstance(fact, ev.CancelAllRequested)]
        wishes = [place for place, fact in enumerate(facts) if isinstance(fact, ev.OrderCancelRequested)]
        assert len(wishes) == 4
        assert max(wishes) < asked
    async with a_killed_desk() as desk:
        await some_resting(desk, 4)
        await desk.kill(a_kill(of_strategy(ALICE), KillDepth.CANCEL))
        await desk.world.runtime.until(lambda d: not d.open_ids)
        assert desk.broker.bulks == []


async def test_where_the_one_request_brings_nothing_single_cancels_go() -> None:
    """A broker that does not know it must not keep anything open."""
    async with a_killed_desk(no_bulks=1_000) as desk:
        ids = await some_resting(desk, 4)
        await desk.kill(a_kill(depth=KillDepth.CANCEL))
        while desk.world.desk.open_ids:
            desk.world.wall.time += timedelta(seconds=1)
            await asyncio.sleep(0.001)
        assert desk.broker.bulks[:ALL_ALONE_MAX] == [ids] * ALL_ALONE_MAX


async def test_nothing_is_closed_while_all_that_is_open_is_being_canceled() -> None:
    """A closing order that is open then would go with the rest."""
    async with a_world() as world:
        obliging = Obliging(world)
        world.runtime.sending.broker = obliging  # type: ignore[assignment]
        await world.runtime.place(a_request(), timeout_s=5)
        await world.runtime.until(lambda d: bool(d.portfolio.qty(ALICE, AAPL)))
        await world.runtime.keep(a_kill(depth=KillDepth.FLATTEN))
        keeper = KillKeeper(runtime=world.runtime, wall=world.wall, market=lambda: OPEN)
        world.runtime.sending.is_canceling_all = True
        await keeper.step()
        assert [request for request in obliging.sent if request.for_kill] == []
        world.runtime.sending.is_canceling_all = False
        await keeper.step()
        await world.runtime.until(lambda d: d.kills.swept_at is not None)
        await keeper.step()
        await world.runtime.until(lambda d: not d.portfolio.qty(ALICE, AAPL))


async def test_a_kill_that_was_in_force_before_the_start_goes_on() -> None:
    """What is due is a look at the desk: nothing has to be pulled again."""
    async with a_world() as world:
        obliging = Obliging(world)
        world.runtime.sending.broker = obliging  # type: ignore[assignment]
        await world.runtime.place(a_request(), timeout_s=5)
        await world.runtime.until(lambda d: bool(d.portfolio.qty(ALICE, AAPL)))
        await world.runtime.keep(a_kill(of_strategy(ALICE), KillDepth.FLATTEN))
        keeper = KillKeeper(runtime=world.runtime, wall=world.wall, market=lambda: OPEN, step_s=0.001)
        running = asyncio.get_running_loop().create_task(keeper.run())
        async with asyncio.timeout(HANG_S):
            await world.runtime.until(lambda d: d.kills.in_force[of_strategy(ALICE)].flat_at is not None)
        running.cancel()
        await asyncio.wait([running])
        assert world.desk.portfolio.qty(ALICE, AAPL) == 0


async def test_what_cannot_be_closed_is_told_by_name_and_tried_on() -> None:
    """The broker's own words stand beside it; when it gives in, the desk is flat."""
    async with a_killed_desk(no_orders=1_000) as desk:
        await desk.world.runtime.place(a_request(), timeout_s=5)
        await desk.world.runtime.until(lambda d: bool(d.portfolio.qty(ALICE, AAPL)))
        await desk.kill(a_kill(depth=KillDepth.FLATTEN))
        await desk.world.runtime.until(lambda d: any(o.status is OrderStatus.REJECTED for o in d.orders.values()))
        told = await desk.until_told(ev.FlattenHindered)
        assert told.left == ("alice: 10 AAPL: rate limit exceeded",)
        desk.broker.no_orders = 0
        await desk.until_told(ev.FlattenCompleted)
        assert sum(isinstance(fact, ev.FlattenHindered) for fact in desk.world.ledger.facts) == 1


async def test_outside_market_hours_what_waits_for_the_open_is_told_at_once() -> None:
    """The order rests at the broker; a release calls it back."""
    async with a_killed_desk() as desk:
        await desk.world.runtime.place(a_request(), timeout_s=5)
        await desk.world.runtime.until(lambda d: bool(d.portfolio.qty(ALICE, AAPL)))
        desk.broker.fills, desk.clock = False, CLOSED
        await desk.kill(a_kill(depth=KillDepth.FLATTEN))
        await desk.world.runtime.until(
            lambda d: any(MARKET_CLOSED in line for kill in d.kills.in_force.values() for line in kill.left)
        )
        [closing] = desk.world.desk.open_orders()
        mine = await desk.world.runtime.cancel(ALICE, closing.request.client_order_id, by="alice")
        assert isinstance(mine, Refuse)
        assert mine.reason == RefusalReason.KILLED
        await desk.kill(a_release())  # type: ignore[arg-type]
        await desk.world.runtime.until(lambda d: not d.open_ids)
        assert desk.world.desk.portfolio.qty(ALICE, AAPL) == 10


async def test_the_same_is_asked_for_ever_less_often() -> None:
    """A broker that is over its limit is not flooded."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request("90"), timeout_s=5)
        await world.runtime.keep(a_kill(of_strategy(ALICE), KillDepth.CANCEL))
        keeper = KillKeeper(runtime=world.runtime, wall=world.wall, market=lambda: None)
        asked: list[float] = []
        for tenth in range(300):
            before = len(world.broker.canceled)
            await keeper.step()
            await world.runtime.until_idle()
            await asyncio.sleep(0)
            if len(world.broker.canceled) > before:
                asked.append(tenth / 10)
            world.wall.time += timedelta(milliseconds=100)
        gaps = [b - a for a, b in pairwise(asked)]
        assert gaps == sorted(gaps)
        assert AGAIN_MAX_S - 0.2 <= gaps[-1] <= AGAIN_MAX_S + 0.2


async def test_a_kill_that_only_stops_new_orders_asks_nothing_of_the_broker() -> None:
    """Where nothing that is open would open a position: what closes stays, and the keeper rests."""
    async with a_killed_desk() as desk:
        desk.world.desk.portfolio.book(ALICE).trade(AAPL, qty(10), price(100), NOON)
        placed = await desk.world.runtime.place(a_limit_request("110", side=Side.SELL), timeout_s=5)
        assert isinstance(placed, Order)
        await desk.kill(a_kill())
        await asyncio.sleep(0.01)
        assert desk.world.desk.open_ids
        assert not desk.world.broker.canceled


async def test_a_kill_that_only_stops_new_orders_has_the_broker_cancel_what_would_open() -> None:
    """An order that rests for hours is as good as a new one."""
    async with a_killed_desk() as desk:
        placed = await desk.world.runtime.place(a_limit_request("90"), timeout_s=5)
        assert isinstance(placed, Order)
        await desk.kill(a_kill(depth=KillDepth.REDUCE_ONLY))
        await desk.world.runtime.until(lambda core: not core.open_ids)
        assert desk.world.desk.orders[placed.request.client_order_id].status is OrderStatus.CANCELED
