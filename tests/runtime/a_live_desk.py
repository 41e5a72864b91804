"""A runtime between a ledger that takes its time, a broker that does as it is told, and a clock that stands."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import OrderUpdate
from deskd.domain.errors import LedgerError
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, Symbol
from deskd.domain.market import MarketClock, Quote
from deskd.domain.money import Price
from deskd.domain.order import Order, OrderRequest, Replacement
from deskd.domain.priority import Priority
from deskd.ports import Statement
from deskd.runtime import Runtime
from tests.factories import AAPL, NOON, a_broker_order, a_desk, a_quote, a_request, a_snapshot, accepted, price

OID = a_request().client_order_id


DAY = timedelta(days=1)


@dataclass
class Wall:
    """A clock that stands, until a test moves it."""

    time: datetime = NOON
    set_by: timedelta = timedelta()  # somebody set it by so much

    def now(self) -> datetime:
        return self.time + self.set_by

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

    async def cancel_all(self, orders: Sequence[tuple[ClientOrderId, BrokerOrderId]]) -> Any:
        answers = [ev.CancelAnswered(client_order_id=oid, refusal=None, at=NOON) for oid, _ in orders]
        return [*answers, ev.CancelAllAnswered(canceled=len(orders), refused=0, unnamed=0, strangers=(), at=NOON)]

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


def a_wish(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"client_order_id": ClientOrderId("new"), "by": "alice", "timeout_s": 5}
    return fields | changes


LOWER = Replacement(replaces=OID, limit_price=price(99))
