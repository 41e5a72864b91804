"""The runtime's promises: durable before acting, answered after, alive whatever the broker does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from deskd.core.deciding import handle
from deskd.core.desk import DENIED_KEPT, Desk
from deskd.domain import events as ev
from deskd.domain.effects import OrderUpdate, Refuse
from deskd.domain.errors import LedgerError
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, Symbol
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.market import MarketClock, Quote
from deskd.domain.money import Price
from deskd.domain.order import Order, OrderRequest, OrderStatus, Replacement, Side
from deskd.domain.priority import Priority
from deskd.domain.reasons import RefusalReason, RejectReason
from deskd.domain.schedule import Schedule
from deskd.ports import Statement
from deskd.runtime import INBOX_MAX, LISTED_MAX, Runtime
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    NOON,
    a_broker_order,
    a_desk,
    a_limit_request,
    a_quote,
    a_request,
    a_snapshot,
    accepted,
    an_instrument,
    cash,
    filled,
    price,
    qty,
    requested,
    some_limits,
)

OID = a_request().client_order_id
DAY = timedelta(days=1)


@dataclass
class Wall:
    """A clock that stands, until a test moves it."""

    time: datetime = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


@dataclass
class SlowLedger:
    """Keeps its promise: returns only when the facts are stored, and takes its time."""

    facts: list[ev.Fact] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    is_full: bool = False

    async def append(self, facts: Sequence[ev.Fact], statements: Sequence[Statement]) -> None:
        await asyncio.sleep(0.005)
        if self.is_full:
            raise LedgerError("the ledger cannot be written (disk is full)")
        self.facts += facts
        self.batches.append(len(facts))


@dataclass
class CuriousBroker:
    """Looks, when an order arrives, at what the ledger knew; answers as it is told to."""

    ledger: SlowLedger
    known_at_submit: list[bool] = field(default_factory=list)
    submitted: list[ClientOrderId] = field(default_factory=list)
    canceled: list[ClientOrderId] = field(default_factory=list)
    replaced: list[tuple[ClientOrderId, BrokerOrderId]] = field(default_factory=list)
    looked_up: list[ClientOrderId] = field(default_factory=list)
    answers: bool = True
    finds: bool = True
    arrival: asyncio.Event = field(default_factory=asyncio.Event)
    clock_questions: int = 0
    holds: dict[ClientOrderId, asyncio.Future[str | None]] | None = (
        None  # orders that wait for their turn; None: none do
    )
    priorities: list[Priority] = field(default_factory=list)
    crowds: frozenset[StrategyId] = frozenset()

    async def submit(self, request: OrderRequest, *, priority: Priority, leaves: Callable[[], str | None]) -> Any:
        oid = request.client_order_id
        if self.holds is not None:  # its turn has not come
            turn = self.holds[oid] = asyncio.get_running_loop().create_future()
            self.arrival.set()
            if why := await turn:
                return ev.SubmitRejected(client_order_id=oid, message=why, at=NOON, was_sent=False)
        if why := leaves():
            return ev.SubmitRejected(client_order_id=oid, message=why, at=NOON, was_sent=False)
        self.priorities.append(priority)
        approved = [f for f in self.ledger.facts if isinstance(f, ev.OrderApproved)]
        self.known_at_submit.append(any(f.request.client_order_id == oid for f in approved))
        self.submitted.append(oid)
        self.arrival.set()
        if self.answers:
            return accepted(request)
        return ev.SubmitInDoubt(client_order_id=oid, why="timeout", at=NOON)

    async def cancel(self, client_order_id: ClientOrderId, broker_order_id: BrokerOrderId) -> Any:
        self.canceled.append(client_order_id)
        return ev.CancelAnswered(client_order_id=client_order_id, refusal=None, at=NOON)

    async def replace(self, request: OrderRequest, broker_order_id: BrokerOrderId, **how: Any) -> Any:
        self.replaced.append((request.client_order_id, broker_order_id))
        return await self.submit(request, **how)

    def crowded(self, strategy_id: StrategyId) -> tuple[float, str] | None:
        return (2.5, "orders_waiting=20") if strategy_id in self.crowds else None

    def withdraw(self, why: str, client_order_id: ClientOrderId | None = None) -> None:
        for oid, turn in (self.holds or {}).items():
            if client_order_id in {None, oid} and not turn.done():
                turn.set_result(why)

    async def look_up(self, client_order_id: ClientOrderId) -> Any:
        self.looked_up.append(client_order_id)
        order = a_broker_order(a_request(client_order_id=client_order_id)) if self.finds else None
        at = NOON + timedelta(minutes=1)
        return ev.OrderLookedUp(client_order_id=client_order_id, order=order, fills=(), at=at)

    async def clock(self) -> MarketClock:
        self.clock_questions += 1
        await asyncio.sleep(0)
        return MarketClock(timestamp=NOON, is_open=True, next_open=NOON + DAY, next_close=NOON + timedelta(minutes=3))

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Any:
        return [{"S": symbol}] * limit

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the runtime asked the broker for {name}")


@dataclass
class World:
    """A runtime and all that stands around it."""

    desk: Desk = field(default_factory=a_desk)
    ledger: SlowLedger = field(default_factory=SlowLedger)
    wall: Wall = field(default_factory=Wall)
    doubt_check: timedelta = timedelta(seconds=60)
    clock_age_max: timedelta = timedelta(0)
    fails: int = 0  # looks at the broker that fail before one succeeds
    told: list[tuple[StrategyId, str]] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    broker: CuriousBroker = field(init=False)
    runtime: Runtime = field(init=False)

    def __post_init__(self) -> None:
        self.broker = CuriousBroker(self.ledger)
        self.runtime = Runtime(
            desk=self.desk,
            ledger=self.ledger,
            broker=self.broker,
            take_snapshot=self.snapshot,
            quotes=self,
            marks=self,
            tells=self,
            wall=self.wall,
            doubt_check=self.doubt_check,
            reconcile_every=timedelta(seconds=60),
            clock_age_max=self.clock_age_max,
            closing=None,
        )

    def tell(self, strategy_id: StrategyId, update: OrderUpdate) -> None:
        self.told.append((strategy_id, update.event))

    def quote(self, symbol: Symbol) -> Quote | None:
        return a_quote()

    def is_halted(self, symbol: Symbol) -> bool:
        return False

    def marks(self) -> Mapping[Symbol, Price]:
        return {AAPL: price(101)}

    async def snapshot(self, orders: Sequence[Order], fill_count: Callable[[], int], why: str) -> ev.BrokerSnapshot:
        self.snapshots.append(why)
        if self.fails:
            self.fails -= 1
            raise ConnectionError("refused")
        return a_snapshot(fill_count=fill_count(), why=why)


@asynccontextmanager
async def a_world(**fields: Any) -> AsyncIterator[World]:
    world = World(**fields)
    running = asyncio.get_running_loop().create_task(world.runtime.run())
    try:
        yield world
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_nothing_reaches_the_broker_before_it_is_on_disk() -> None:
    """Recording comes first, however slow the disk."""
    async with a_world() as world:
        order = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(order, Order)
        assert order.status is OrderStatus.ACCEPTED
        assert world.broker.known_at_submit == [True]


async def test_a_burst_shares_the_cost_of_durability() -> None:
    """Twenty orders at once are a few commits, and every one is on disk before it leaves."""
    async with a_world() as world:
        requests = [a_request(client_order_id=ClientOrderId(f"o{i}"), qty=a_request().qty) for i in range(20)]
        async with asyncio.TaskGroup() as tasks:
            for request in requests:
                tasks.create_task(world.runtime.place(request, timeout_s=5))
        assert all(world.broker.known_at_submit)
        approvals = sum(isinstance(f, ev.OrderApproved) for f in world.ledger.facts)
        assert len(world.broker.submitted) == approvals > 0
        assert len(world.ledger.batches) < 20


async def test_a_strategy_hears_of_a_fact_only_when_it_is_on_disk() -> None:
    """Record, then act, then tell."""
    async with a_world() as world:
        seen: list[int] = []
        world.runtime.on_fact.append(lambda fact: seen.append(world.ledger.facts.index(fact)))
        request = a_request()
        await world.runtime.place(request, timeout_s=5)
        await world.runtime.post(filled(request, 10))
        await world.runtime.until(lambda desk: desk.orders[OID].status is OrderStatus.FILLED)
        assert world.told == [(ALICE, "accepted"), (ALICE, "fill")]
        assert seen == sorted(seen)


async def test_an_order_in_doubt_is_answered_as_pending_and_found_later() -> None:
    """The timeout of the strategy's question is not the end of the order."""
    async with a_world() as world:
        world.broker.answers = False
        world.broker.finds = True
        order = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(order, Order)
        assert order.status is OrderStatus.ACCEPTED
        assert world.broker.submitted == [OID]
        assert world.broker.looked_up == [OID]


async def test_an_order_that_the_broker_never_saw_ends_as_rejected() -> None:
    """The broker's own answer closes it; it is never sent again."""
    async with a_world() as world:
        world.broker.answers = world.broker.finds = False
        order = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(order, Order)
        assert (order.status, order.reason) == (OrderStatus.REJECTED, RejectReason.NEVER_ARRIVED)
        assert world.broker.submitted == [OID]


async def test_an_order_without_an_answer_is_asked_after() -> None:
    """A submit that hangs does not hang the order: the desk asks by its id."""
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        forever = asyncio.Event()

        async def hangs(request: OrderRequest, *, leaves: Callable[[], str | None], **how: Any) -> Any:
            assert leaves() is None
            await forever.wait()

        world.broker.submit = hangs  # type: ignore[method-assign]
        asking = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await world.runtime.until(lambda desk: OID in desk.orders)
        world.wall.time += timedelta(seconds=1)
        order = await asking
        assert isinstance(order, Order)
        assert order.status is OrderStatus.ACCEPTED


async def test_an_order_that_waits_at_the_desk_is_looked_at_again_when_its_wait_is_over() -> None:
    """Nobody is sent, nobody is asked after; at its end whoever placed the order is answered."""
    resting = a_limit_request("99", strategy_id=BOB, client_order_id=ClientOrderId("bob-1"))
    async with a_world() as world, asyncio.TaskGroup() as tasks:
        world.desk.lane = LaneRules(conflict=ConflictPolicy.HOLD, hold_max=timedelta(milliseconds=20))
        await world.runtime.place(resting, timeout_s=5)
        world.desk.portfolio.book(ALICE).trade(AAPL, qty(10), price(100), NOON)
        placed = tasks.create_task(world.runtime.place(a_request(side=Side.SELL), timeout_s=5))
        await world.runtime.until(lambda desk: bool(desk.held_ids))
        world.wall.time += timedelta(milliseconds=20)
        outcome = await placed
    assert isinstance(outcome, Order)
    assert (outcome.status, outcome.reason) == (OrderStatus.REJECTED, RejectReason.HELD_TOO_LONG)
    assert world.broker.submitted == [resting.client_order_id]
    assert not world.broker.looked_up


async def test_a_retry_with_the_same_id_gets_the_same_answer_and_no_second_order() -> None:
    """Also while the first is still on its way."""
    async with a_world() as world:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(world.runtime.place(a_request(), timeout_s=5)) for _ in range(3)]
        assert {a.result() for a in asking} == {world.runtime.desk.orders[OID]}
        assert world.broker.submitted == [OID]
        again = await world.runtime.place(a_request(), timeout_s=5)
        assert again == world.runtime.desk.orders[OID]


def a_wish(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"client_order_id": ClientOrderId("new"), "by": "alice", "timeout_s": 5}
    return fields | changes


LOWER = Replacement(replaces=OID, limit_price=price(99))


async def test_a_replacement_is_on_disk_before_it_leaves_and_leaves_once() -> None:
    """By either id of the old order; whoever asks for the same again gets the same answer."""
    async with a_world() as world:
        placed = await world.runtime.place(a_limit_request(), timeout_s=5)
        assert isinstance(placed, Order)
        assert placed.broker_order_id is not None
        by_broker_id = replace(LOWER, replaces=ClientOrderId(placed.broker_order_id))
        async with asyncio.TaskGroup() as tasks:
            asking = [
                tasks.create_task(world.runtime.replace(ALICE, wanted, **a_wish())) for wanted in (LOWER, by_broker_id)
            ]
        assert {a.result() for a in asking} == {world.desk.orders[ClientOrderId("new")]}
        assert world.broker.known_at_submit == [True, True]
        assert world.broker.replaced == [("new", placed.broker_order_id)]
        assert world.desk.orders[OID].status is OrderStatus.PENDING_REPLACE


async def test_what_is_not_ones_own_is_not_replaced() -> None:
    """404, for a strategy; an officer names any order."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        refused = await world.runtime.replace(BOB, LOWER, **a_wish())
        assert isinstance(refused, Refuse)
        assert refused.reason == RefusalReason.NOT_FOUND
        assert isinstance(await world.runtime.replace(None, LOWER, **a_wish()), Order)


async def test_a_replacement_without_an_answer_is_answered_as_it_stands() -> None:
    """In doubt, under its own id; one that was refused by the desk is refused to who asked."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        forever = asyncio.Event()

        async def hangs(request: OrderRequest, broker_order_id: BrokerOrderId, **how: Any) -> Any:
            await forever.wait()

        world.broker.replace = hangs  # type: ignore[method-assign]
        order = await world.runtime.replace(ALICE, LOWER, **a_wish(timeout_s=0.05))
        assert isinstance(order, Order)
        assert (order.status, order.request.client_order_id) == (OrderStatus.SUBMITTED, "new")
        again = await world.runtime.replace(ALICE, LOWER, **a_wish(client_order_id=ClientOrderId("newer")))
        assert isinstance(again, Refuse)
        assert again.reason == RefusalReason.NOT_REPLACEABLE
        other = await world.runtime.replace(ALICE, replace(LOWER, limit_price=price(98)), **a_wish())
        assert isinstance(other, Refuse)
        assert other.reason == RefusalReason.CONFLICT


async def test_nothing_is_replaced_while_fills_could_not_be_seen() -> None:
    """A replacement is a new order."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
        await world.runtime.until(lambda desk: not desk.is_synced)
        refused = await world.runtime.replace(ALICE, LOWER, **a_wish())
        assert isinstance(refused, Refuse)
        assert refused.reason == RefusalReason.TRADE_STREAM_DOWN
        assert world.broker.replaced == []


async def test_a_stream_that_drops_behind_the_door_stops_the_order() -> None:
    """What was let in is decided again where everything is known: nothing is approved that nobody could watch."""
    async with a_world() as world:
        await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
        refused = await world.runtime.place(a_request(), timeout_s=5)  # the door has not heard of it yet
        assert isinstance(refused, Refuse)
        assert refused.reason == RefusalReason.TRADE_STREAM_DOWN
        assert world.broker.submitted == []


async def test_stuck_replaces_are_asked_after() -> None:
    """The stream lost its word on the old order."""
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        await world.runtime.replace(ALICE, LOWER, **a_wish())
        world.wall.time += timedelta(seconds=11)
        async with asyncio.timeout(5):
            while OID not in world.broker.looked_up:  # noqa: ASYNC110  the watch has no event of its own
                await asyncio.sleep(0.002)
        assert OID in world.broker.looked_up


async def test_no_order_is_taken_while_fills_could_not_be_seen() -> None:
    """503 with a reason while the trade stream is down; cancels pass."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
        await world.runtime.until(lambda desk: not desk.is_synced)
        other = await world.runtime.place(a_request(client_order_id=ClientOrderId("o2")), timeout_s=5)
        assert isinstance(other, Refuse)
        assert other.reason == RefusalReason.TRADE_STREAM_DOWN
        order = await world.runtime.cancel(ALICE, OID, by="alice")
        assert isinstance(order, Order)
        assert order.status is OrderStatus.PENDING_CANCEL
        assert world.broker.canceled == [OID]


async def test_an_outage_tells_how_many_orders_it_cost_each_strategy() -> None:
    """Alice was refused two, bob one; the next outage begins at none."""
    async with a_world() as world:
        for number in range(2):
            at = NOON + timedelta(minutes=number)
            await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="dropped", at=at))
            await world.runtime.until(lambda desk: not desk.is_synced)
            for who, count in ((ALICE, 2), (BOB, 1)) if number == 0 else ():
                for n in range(count):
                    request = a_request(strategy_id=who, client_order_id=ClientOrderId(f"{who}-{n}"))
                    assert isinstance(await world.runtime.place(request, timeout_s=5), Refuse)
            await world.runtime.post(ev.TradeStreamChanged(is_up=True, why="listening", at=at))
            await world.runtime.post(a_snapshot(at=at, asked_at=at))
            await world.runtime.until(lambda desk: desk.is_synced)
        ends = [f for f in world.ledger.facts if isinstance(f, ev.OutageEnded)]
    assert [end.refusals for end in ends] == [((ALICE, 2), (BOB, 1)), ()]


async def test_a_stream_that_does_not_bring_what_it_must_is_given_up() -> None:
    """The broker acknowledged an order, and no event comes: whoever keeps the stream is told, once."""
    given_up: list[str] = []
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        world.runtime.on_silence.append(given_up.append)
        await world.runtime.place(a_request(), timeout_s=5)
        await asyncio.sleep(0.05)
        assert given_up == []
        world.wall.time += timedelta(seconds=11)
        async with asyncio.timeout(5):
            while not given_up:  # noqa: ASYNC110  the watch looks again every 5 ms
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
    assert len(given_up) == 1
    assert OID in given_up[0]


async def test_a_closing_desk_takes_no_orders() -> None:
    """Starting and stopping are said in words."""
    async with a_world() as world:
        world.runtime.closing = "the desk is stopping"
        refusal = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.DESK_NOT_READY
        assert refusal.message.startswith("the desk is stopping")


async def test_a_disk_that_is_nearly_full_takes_cancels_and_no_orders() -> None:
    """The figures are in the answer; what is open can still be called back, and its fills still find room."""
    async with a_world() as world:
        assert isinstance(await world.runtime.place(a_request(), timeout_s=5), Order)
        world.runtime.disk_low = "disk_free_mb=12 disk_free_min_mb=100"
        refusal = await world.runtime.place(a_request(client_order_id=ClientOrderId("next")), timeout_s=5)
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.DISK_LOW
        assert refusal.message.startswith("disk_free_mb=12 disk_free_min_mb=100")
        order = await world.runtime.cancel(ALICE, OID, by="alice")
        assert isinstance(order, Order)
        assert order.status is OrderStatus.PENDING_CANCEL
        world.runtime.disk_low = None
        again = await world.runtime.place(a_request(client_order_id=ClientOrderId("next")), timeout_s=5)
        assert isinstance(again, Order)


async def test_a_full_inbox_refuses_and_forgets() -> None:
    """Beyond the bound the endpoint says 503 at once, and the order never was."""
    async with a_world() as world:
        world.runtime.inbox = asyncio.Queue(1)
        world.runtime.inbox.put_nowait(ev.DeskStopped(at=NOON))
        refusal = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.OVERLOADED
        assert OID not in world.runtime.desk.orders
        assert INBOX_MAX >= 10_000


async def test_a_ledger_that_cannot_be_written_ends_the_desk_before_anything_leaves() -> None:
    """Memory is ahead of the disk: only a replay is true now."""
    world = World(ledger=SlowLedger(is_full=True))
    asking = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=0.2))
    with pytest.raises(ExceptionGroup) as failure:
        await world.runtime.run()
    assert failure.group_contains(LedgerError, match="disk is full")
    assert world.broker.submitted == []
    await asking


async def test_a_stream_that_comes_up_is_followed_by_a_look_until_one_succeeds() -> None:
    """Up is not synced: the look is repeated while the broker cannot be reached."""
    desk = a_desk()
    desk.apply(ev.DeskStarted(version="0", broker="x", at=NOON))
    async with a_world(desk=desk, fails=1) as world:
        await world.runtime.post(ev.TradeStreamChanged(is_up=True, why="listening", at=NOON))
        async with asyncio.timeout(10):
            await world.runtime.until(lambda desk: desk.is_synced)
        assert world.snapshots == ["the trade stream came up", "the last look failed"]


async def test_orders_are_seen_by_their_own_strategy_alone() -> None:
    """A strategy finds, lists and cancels its own; an officer all."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        runtime = world.runtime
        assert runtime.find(ALICE, OID) is runtime.find(None, f"b-{OID}") is not None
        assert runtime.find(BOB, OID) is None
        refusal = await runtime.cancel(BOB, OID, by="bob")
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.NOT_FOUND
        assert len(runtime.orders(ALICE, is_open=True)) == len(runtime.orders(None)) == 1
        assert runtime.orders(BOB) == runtime.orders(ALICE, is_open=False) == []
        await runtime.post(filled(a_request(), 10))
        await runtime.until(lambda desk: not desk.open_ids)
        assert [p.qty for p in runtime.positions(ALICE)] == [10]
        account = runtime.account(ALICE)
        assert account is not None
        assert account.cash == 9000
        assert runtime.account(StrategyId("nobody")) is None
        assert (await runtime.clock()).is_open


async def test_an_id_that_another_uses_answers_nobody_else() -> None:
    """A stranger's request under my id is refused to the stranger alone, and shows nothing of my order."""
    async with a_world() as world:
        held, forever = asyncio.Event(), asyncio.Event()

        async def waits(request: OrderRequest, **how: Any) -> Any:
            held.set()
            await forever.wait()
            return accepted(request)

        world.broker.submit = waits  # type: ignore[method-assign]
        mine = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await held.wait()
        theirs = await world.runtime.place(a_request(strategy_id=BOB), timeout_s=5)
        assert isinstance(theirs, Refuse)
        assert theirs.reason == RefusalReason.CONFLICT
        assert not mine.done()
        too_late = asyncio.get_running_loop().create_task(world.runtime.place(a_request(strategy_id=BOB), timeout_s=0))
        undecided = await too_late
        assert isinstance(undecided, Refuse)
        forever.set()
        order = await mine
        assert isinstance(order, Order)
        assert (order.request.strategy_id, order.status) == (ALICE, OrderStatus.ACCEPTED)


async def test_a_cancel_is_answered_by_what_became_of_the_cancel() -> None:
    """The acknowledgement of the order, which comes at the same moment, is not its answer."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        request = a_request()
        await world.runtime.post(filled(request, 4))
        order = await world.runtime.cancel(ALICE, OID, by="alice")
        assert isinstance(order, Order)
        assert order.status is OrderStatus.PENDING_CANCEL
        await world.runtime.post(filled(request, 6, cumulative=10))
        final = await world.runtime.cancel(ALICE, OID, by="alice")
        assert isinstance(final, Refuse)
        assert final.reason == RefusalReason.ORDER_FINAL


async def test_a_cancel_does_not_answer_who_waits_for_the_broker() -> None:
    """Somebody cancels an order that is in doubt: who placed it is told the broker's word, when it comes."""
    async with a_world() as world:
        answer = asyncio.Event()

        async def late(request: OrderRequest, **how: Any) -> Any:
            await answer.wait()
            return ev.SubmitRejected(client_order_id=OID, message="unreachable", at=NOON)

        world.broker.submit = late  # type: ignore[method-assign]
        placing = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await asyncio.sleep(0)
        await world.runtime.until_idle()
        wish = await world.runtime.cancel(None, OID, by="an officer")
        again = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await asyncio.sleep(0)
        await world.runtime.until_idle()
        assert isinstance(wish, Order)
        assert wish.status is OrderStatus.PENDING_CANCEL
        assert not placing.done()
        assert not again.done()
        answer.set()
        for order in (await placing, await again):
            assert isinstance(order, Order)
            assert order.status is OrderStatus.REJECTED


async def test_what_is_kept_is_on_disk() -> None:
    """Who has something kept goes on when the fact is in the ledger, not when it is decided."""
    async with a_world() as world:
        fact = ev.CommandGiven(by="root", command="stop", arguments="alice", at=NOON)
        await world.runtime.keep(fact)
        assert fact in world.ledger.facts
        assert world.runtime._kept == []


async def test_who_stops_waiting_is_forgotten() -> None:
    """A caller that goes away, or waits long enough, leaves nothing behind."""
    async with a_world() as world:
        forever = asyncio.Event()

        async def hangs(request: OrderRequest, *, leaves: Callable[[], str | None], **how: Any) -> Any:
            assert leaves() is None
            await forever.wait()

        world.broker.submit = hangs  # type: ignore[method-assign]
        order = await world.runtime.place(a_request(), timeout_s=0.05)
        assert isinstance(order, Order)
        assert order.status is OrderStatus.SUBMITTED
        leaving = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await world.runtime.until_idle()
        leaving.cancel()
        await asyncio.wait([leaving])
        assert world.runtime._waiters == {}


async def test_an_old_denial_that_is_asked_for_again_in_a_flood_ends_nothing() -> None:
    """The memory of denials is bounded; who falls out of it is answered as undecided."""
    async with a_world() as world:
        first = a_request(qty=qty(999))
        await world.runtime.place(first, timeout_s=5)
        flood = [a_request(client_order_id=ClientOrderId(f"d{i}"), qty=qty(999)) for i in range(DENIED_KEPT - 1)]
        for request in flood:
            handle(world.desk, requested(request))
        async with asyncio.TaskGroup() as tasks:
            again = tasks.create_task(world.runtime.place(first, timeout_s=0.1))
            more = a_request(client_order_id=ClientOrderId("more"), qty=qty(999))
            tasks.create_task(world.runtime.place(more, timeout_s=5))
        undecided = again.result()
        assert isinstance(undecided, Refuse)
        assert undecided.reason == RefusalReason.TIMEOUT
        assert OID not in world.desk.orders


async def test_no_order_is_taken_before_it_is_known_what_can_be_traded() -> None:
    """A strategy that starts with the desk is not told that the broker does not list its symbol."""
    async with a_world() as world:
        world.desk.instruments = {}
        refusal = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.DESK_NOT_READY
        await world.runtime.post(ev.InstrumentsListed(instruments=(an_instrument(),), at=NOON))
        await world.runtime.until_idle()
        assert isinstance(await world.runtime.place(a_request(), timeout_s=5), Order)


async def test_the_brokers_clock_is_asked_once_for_many() -> None:
    """Twenty strategies share its answer; it moves on with time, and is asked anew when old or at a session's end."""
    async with a_world(clock_age_max=timedelta(minutes=5)) as world:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(world.runtime.clock()) for _ in range(20)]
        assert {a.result().timestamp for a in asking} == {NOON}
        world.wall.time += timedelta(minutes=2)
        assert (await world.runtime.clock()).timestamp == NOON + timedelta(minutes=2)
        assert world.broker.clock_questions == 1
        world.wall.time += timedelta(minutes=2)
        await world.runtime.clock()
        assert world.broker.clock_questions == 2
    async with a_world() as world:
        await world.runtime.clock()
        await world.runtime.clock()
        assert world.broker.clock_questions == 2


async def test_a_list_of_orders_is_bounded_and_the_newest() -> None:
    """However long the history, a strategy's list is its own newest thousand, oldest first."""
    async with a_world() as world:
        world.desk.limits[ALICE] = world.desk.limits[BOB] = some_limits(orders_per_day_max=10_000)
        for i in range(LISTED_MAX + 5):
            request = a_request(client_order_id=ClientOrderId(f"o{i}"), qty=qty(1))
            handle(world.desk, requested(request))
            handle(world.desk, filled(request, 1))
        handle(world.desk, requested(a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob"), qty=qty(1))))
        listed = world.runtime.orders(ALICE)
        assert [o.request.client_order_id for o in listed] == [f"o{i}" for i in range(5, LISTED_MAX + 5)]
        assert world.runtime.orders(ALICE, is_open=False) == listed
        assert [o.request.client_order_id for o in world.runtime.orders(None, is_open=True)] == ["bob"]
        assert world.runtime.orders(None)[-1].request.strategy_id == BOB
        assert world.runtime.positions(StrategyId("nobody")) == []
        assert world.runtime.positions(None) == world.runtime.positions(ALICE)
        assert await world.runtime.bars(AAPL, "1Min", 2) == [{"S": AAPL}] * 2


async def test_positions_are_valued_and_stuck_cancels_asked_after() -> None:
    """What the clock brings, while nobody asks."""
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        await world.runtime.place(a_request(), timeout_s=5)
        await world.runtime.post(filled(a_request(), 4))
        await world.runtime.cancel(ALICE, OID, by="alice")
        world.wall.time += timedelta(seconds=11)
        await world.runtime.until(lambda desk: desk.portfolio.book(ALICE).positions[AAPL].mark_price == 101)
        async with asyncio.timeout(5):
            while len(world.broker.canceled) < 2:  # noqa: ASYNC110  the second cancel comes after a look-up
                await asyncio.sleep(0.002)
        assert OID in world.broker.looked_up


async def test_what_is_stuck_for_long_is_asked_after_ever_less_often() -> None:
    """Cancels that are stuck for a night must not use up the broker's requests."""
    async with a_world(doubt_check=timedelta(milliseconds=1)) as world, asyncio.timeout(10):
        await world.runtime.place(a_request(), timeout_s=5)
        await world.runtime.cancel(ALICE, OID, by="alice")
        for seconds, times in ((6, 1), (4, 1), (2, 2), (600, 3), (100, 3), (150, 4)):
            world.wall.time += timedelta(seconds=seconds)
            while world.broker.looked_up.count(OID) < times:  # noqa: ASYNC110  the watch has no event of its own
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.02)
            assert world.broker.looked_up.count(OID) == times


async def test_a_difference_is_looked_at_again_after_the_brokers_lag() -> None:
    """The second look is not taken at once: positions that lag would be believed."""
    async with a_world() as world:
        desk = world.desk
        await world.runtime.post(a_snapshot(cash=cash(1)))
        await world.runtime.until_idle()
        assert desk.last_reconciled is not None
        assert desk.last_reconciled.differences
        assert world.snapshots == []


async def test_a_look_is_answered_by_one_that_began_after_the_question() -> None:
    """Whoever asks hears what that look brought: its facts, on disk by then."""
    async with a_world() as world, asyncio.timeout(10):
        look = await world.runtime.look("an officer asked")
        assert world.snapshots == ["an officer asked"]
        assert look.problem is None
        assert [type(fact) for fact in look.facts] == [ev.AccountReconciled]
        assert world.ledger.facts[-1:] == list(look.facts)


async def test_a_look_that_fails_is_told_to_who_asked() -> None:
    """Nobody waits for a broker that does not answer; the next question is asked anew."""
    async with a_world(fails=1) as world, asyncio.timeout(10):
        assert (await world.runtime.look("first")).problem == "refused"
        assert (await world.runtime.look("second")).problem is None


async def test_a_stranger_who_trades_all_the_time_costs_one_look() -> None:
    """His next trades wait for a later look; what the desk itself asks for does not."""
    async with a_world() as world:
        for n in range(1, 30):
            stranger = a_request(client_order_id=ClientOrderId(f"by-hand-{n}"))
            await world.runtime.post(filled(stranger, 1))
        await world.runtime.until(lambda _: bool(world.snapshots))
        await world.runtime.until_idle()
        assert world.snapshots == ["order b-by-hand-1 is not the desk's"]
        await world.runtime.look("an officer asked")
        assert world.snapshots[1:] == ["an officer asked"]


# --- turns -------------------------------------------------------------------------------------------------------------


async def test_an_order_that_waits_for_its_turn_is_not_asked_after() -> None:
    """It never left, so there is nothing to look for: look-ups are for what the broker may have."""
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        world.broker.holds = {}
        async with asyncio.TaskGroup() as tasks:
            placing = tasks.create_task(world.runtime.place(a_request(), timeout_s=5))
            await world.broker.arrival.wait()
            world.wall.time += timedelta(seconds=30)
            await asyncio.sleep(0.05)
            assert world.broker.looked_up == []
            world.broker.holds[OID].set_result(None)
        outcome = placing.result()
    assert isinstance(outcome, Order)
    assert outcome.status is OrderStatus.ACCEPTED


async def test_an_order_that_is_canceled_while_it_waits_never_leaves() -> None:
    """It ends at once, as not sent; its reservation is free."""
    async with a_world() as world:
        world.broker.holds = {}
        async with asyncio.TaskGroup() as tasks:
            placing = tasks.create_task(world.runtime.place(a_request(), timeout_s=5))
            await world.broker.arrival.wait()
            await world.runtime.cancel(ALICE, OID, by="alice")
        outcome = placing.result()
        await world.runtime.until_idle()
        assert world.broker.submitted == []
        assert not world.desk.open_ids
    assert isinstance(outcome, Order)
    order = world.desk.orders[OID]
    assert (order.reason, order.message) == (
        RejectReason.NOT_SENT,
        "it was canceled while it waited for its turn",
    )


async def test_no_order_leaves_while_the_trade_stream_is_down() -> None:
    """What waits when it breaks is not sent: its fill could not be seen."""
    async with a_world() as world:
        world.broker.holds = {}
        async with asyncio.TaskGroup() as tasks:
            placing = tasks.create_task(world.runtime.place(a_request(), timeout_s=5))
            await world.broker.arrival.wait()
            await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="it broke", at=NOON))
        outcome = placing.result()
    assert isinstance(outcome, Order)
    assert outcome.reason == RejectReason.NOT_SENT
    assert outcome.message is not None
    assert outcome.message.startswith("while it waited for its turn the stream of trade updates is down")
    assert world.broker.submitted == []


async def test_what_flattens_leaves_even_when_no_fill_can_be_seen() -> None:
    """A kill gets out though the trade stream is down; an order beside it stays."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="it broke", at=NOON))
        await world.runtime.until_idle()
        waiting = replace(world.desk.orders[OID], status=OrderStatus.SUBMITTED)
        world.desk.orders[OID] = waiting
        assert world.runtime._leaves(OID, Priority.KILL) is None
        assert "is down" in str(world.runtime._leaves(OID, Priority.ORDER))


async def test_a_crowded_line_is_told_at_the_door() -> None:
    """429 with how long to wait: no order comes to be; a known id is still answered."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        world.broker.crowds = frozenset({ALICE})
        known = await world.runtime.place(a_limit_request(), timeout_s=5)
        refused = await world.runtime.place(a_request(client_order_id=ClientOrderId("more")), timeout_s=5)
        replaced = await world.runtime.replace(ALICE, LOWER, **a_wish())
    assert isinstance(known, Order)
    for said in (refused, replaced):
        assert isinstance(said, Refuse)
        assert (said.reason, said.message, said.retry_after_s) == (RefusalReason.RATE, "orders_waiting=20", 3)
    assert ClientOrderId("more") not in world.desk.orders


async def test_a_cancel_that_is_under_way_is_not_sent_twice() -> None:
    """However often a strategy asks, the broker is asked once until it has answered."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        go = asyncio.Event()

        async def slow(client_order_id: ClientOrderId, broker_order_id: BrokerOrderId) -> Any:
            world.broker.canceled.append(client_order_id)
            await go.wait()
            return ev.CancelAnswered(client_order_id=client_order_id, refusal=None, at=NOON)

        world.broker.cancel = slow  # type: ignore[method-assign]
        for _ in range(5):
            await world.runtime.cancel(ALICE, OID, by="alice")
        assert world.broker.canceled == [OID]
        go.set()
        await world.runtime.until_idle()


async def test_a_schedule_rests_on_a_clock_that_was_heard_within_a_minute() -> None:
    """Before the broker has told the time, and when it has not for long, nothing opens; in between it moves on."""
    async with a_world(desk=a_desk(limits=some_limits(quote_age_max=timedelta(hours=1)))) as world:
        world.desk.schedules[ALICE] = Schedule(no_new_before_close=timedelta(minutes=2, seconds=20))

        async def figure(name: str) -> str:
            outcome = await world.runtime.place(a_request(client_order_id=ClientOrderId(name), qty=qty(1)), timeout_s=5)
            assert isinstance(outcome, Order)
            return (outcome.message or "").partition(" ")[0]

        assert await figure("a") == "before_close_min=unknown"
        await world.runtime.clock()  # it closes in three minutes
        assert await figure("b") == ""
        world.wall.time += timedelta(seconds=45)
        assert await figure("c") == "before_close_min=2.2"
        world.wall.time += timedelta(seconds=16)
        assert await figure("d") == "before_close_min=unknown"


async def test_an_orders_way_is_timed() -> None:
    """From request to sending, from sending to the broker's answer, and each commit."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        runtime = world.runtime
        assert (runtime.to_send.count, runtime.to_answer.count) == (1, 1)
        assert runtime.commits.count == len(world.ledger.batches)
        assert runtime.to_send.sum_s == 0.0  # the clock stands


async def test_an_order_without_an_answer_is_not_timed_as_one_with() -> None:
    """What the broker did not answer says nothing of how fast it answers."""
    async with a_world() as world:
        world.broker.answers = False
        await world.runtime.place(a_request(), timeout_s=5)
        assert (world.runtime.to_send.count, world.runtime.to_answer.count) == (1, 0)


async def test_a_refusal_is_counted_by_its_code() -> None:
    """No fact tells of a request of which no order came to be: the count does."""
    async with a_world() as world:
        world.runtime.closing = "the desk is stopping"
        await world.runtime.place(a_request(), timeout_s=5)
        assert world.runtime.refusals == {RefusalReason.DESK_NOT_READY: 1}
