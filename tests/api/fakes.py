"""A desk behind the doors, for tests: it keeps the promises of ports.Orders, and has no broker."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any

from deskd.api.connection import Bounds
from deskd.api.endpoint import Api
from deskd.config import ApiSection
from deskd.domain.book import Account, Position
from deskd.domain.effects import Refuse
from deskd.domain.ids import BrokerOrderId, ClientOrderId, RunId, StrategyId, Symbol, UserId
from deskd.domain.market import MarketClock
from deskd.domain.money import Cash
from deskd.domain.order import Order, OrderRequest, OrderStatus, Replacement
from deskd.domain.reasons import RefusalReason
from deskd.domain.strategy import Channel, StrategySpec
from deskd.ports import RawMarketMessage, SystemClock
from tests.factories import AAPL, ALICE, NOON, price, qty

RUN = RunId("alice-run-1")


def a_spec(strategy_id: StrategyId = ALICE, **overrides: Any) -> StrategySpec:
    fields: dict[str, Any] = {
        "strategy_id": strategy_id,
        "user_id": UserId(f"{strategy_id}_user"),
        "name": strategy_id,
        "description": "",
        "version": "0",
        "path": PurePath("strategies", strategy_id),
        "code_hash": "0" * 64,
        "symbols": (AAPL,),
        "channels": frozenset({Channel.TRADES}),
        "env": {},
        "limits": {},
        "history": None,
        "is_enabled": True,
    }
    return StrategySpec(**fields | overrides)


class SteppedClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Any:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class FakeOrders:
    """Accepts every order at once, unless a test says what becomes of it."""

    becomes: Callable[[OrderRequest], tuple[OrderStatus, str | None]] = lambda _: (OrderStatus.ACCEPTED, None)
    closed: Refuse | None = None
    market_is_down: bool = False
    answers: asyncio.Event | None = None  # where set: no order is answered before it, and no question for bars
    known: dict[ClientOrderId, Order] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)

    def refusal(self) -> Refuse | None:
        return self.closed

    def is_shut_out(self, order: Order) -> bool:
        return order.reason in {"PAUSED", "STRATEGY_NOT_ACTIVE", "KILLED"}

    async def place(self, request: OrderRequest, *, timeout_s: float) -> Order | Refuse:
        self.waited.append(timeout_s)
        oid = request.client_order_id
        if self.closed is not None:
            return replace(self.closed, client_order_id=oid)
        if (order := self.known.get(oid)) is not None:
            return order if order.request == request else Refuse(oid, RefusalReason.CONFLICT, "another order")
        status, reason = self.becomes(request)
        broker_id = None if status is OrderStatus.SUBMITTED else BrokerOrderId(f"broker-{len(self.known)}")
        order = Order(
            request=request,
            status=OrderStatus.SUBMITTED,
            requested_at=NOON,
            updated_at=NOON,
        )
        self.known[oid] = order
        if self.answers is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self.answers.wait()
            except TimeoutError:
                return order
        self.known[oid] = replace(order, status=status, reason=reason, broker_order_id=broker_id)
        return self.known[oid]

    async def replace(
        self,
        strategy_id: StrategyId | None,
        replacement: Replacement,
        *,
        client_order_id: ClientOrderId,
        by: str,
        timeout_s: float,
    ) -> Order | Refuse:
        old = self.find(strategy_id, replacement.replaces)
        if old is None:
            return Refuse(client_order_id, RefusalReason.NOT_FOUND, "no such order")
        if client_order_id not in self.known:
            if not old.status.is_open:
                return Refuse(client_order_id, RefusalReason.ORDER_FINAL, f"order is {old.status}")
            if old.status is OrderStatus.PENDING_CANCEL:
                return Refuse(client_order_id, RefusalReason.NOT_REPLACEABLE, "a cancel is under way")
            old_id = old.request.client_order_id
            self.known[old_id] = replace(old, status=OrderStatus.REPLACED, replaced_by=client_order_id)
        changed = replace(
            old.request,
            client_order_id=client_order_id,
            qty=replacement.qty or old.request.qty,
            limit_price=replacement.limit_price or old.request.limit_price,
            replacement=replacement,
        )
        return await self.place(changed, timeout_s=timeout_s)

    async def cancel(self, strategy_id: StrategyId | None, order_id: str, *, by: str) -> Order | Refuse:
        order = self.find(strategy_id, order_id)
        if order is None:
            return Refuse(ClientOrderId(""), RefusalReason.NOT_FOUND, "no such order")
        oid = order.request.client_order_id
        if not order.status.is_open:
            return Refuse(oid, RefusalReason.ORDER_FINAL, f"order is {order.status}")
        self.known[oid] = replace(order, status=OrderStatus.PENDING_CANCEL)
        return self.known[oid]

    def find(self, strategy_id: StrategyId | None, order_id: str) -> Order | None:
        for order in self.known.values():
            if strategy_id in {None, order.request.strategy_id} and order_id in {
                order.request.client_order_id,
                order.broker_order_id,
            }:
                return order
        return None

    def orders(self, strategy_id: StrategyId | None, *, is_open: bool | None = None) -> Sequence[Order]:
        return [
            order
            for order in self.known.values()
            if strategy_id in {None, order.request.strategy_id} and is_open in {None, order.status.is_open}
        ]

    def positions(self, strategy_id: StrategyId | None) -> Sequence[Position]:
        held = Position(
            strategy_id=strategy_id or ALICE,
            symbol=AAPL,
            qty=qty(10),
            avg_entry_price=price(100),
            realized_pnl=Cash(Decimal(0)),
            mark_price=price(101),
            updated_at=NOON,
        )
        return [held]

    def account(self, strategy_id: StrategyId) -> Account | None:
        return Account(
            strategy_id=strategy_id,
            allocation=Cash(Decimal(10000)),
            cash=Cash(Decimal(9000)),
            reserved=Cash(Decimal(100)),
            equity=Cash(Decimal(10010)),
            realized_pnl=Cash(Decimal(0)),
            unrealized_pnl=Cash(Decimal(10)),
        )

    async def clock(self) -> MarketClock:
        if self.market_is_down:
            raise TimeoutError
        return MarketClock(timestamp=NOON, is_open=True, next_open=NOON, next_close=NOON)

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        if self.market_is_down:
            raise ConnectionResetError
        if self.answers is not None:
            await self.answers.wait()
        bar = {"t": "2026-01-05T17:00:00Z", "o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 100, "vw": 1.4}
        return [bar] * limit


@dataclass
class OpenApi:
    """An Api with one door open, and where it is."""

    api: Api
    orders: FakeOrders
    clock: Any
    socket_path: Path


@asynccontextmanager
async def an_api(
    directory: Path,
    orders: FakeOrders | None = None,
    spec: StrategySpec | None = None,
    *,
    uid: int | None = None,
    clock: Any = None,
    requests_per_s: int = 1_000_000,
    **bounds: Any,
) -> AsyncIterator[OpenApi]:
    orders = orders or FakeOrders()
    clock = clock or SystemClock()
    limits: dict[str, Any] = {"connections_max": 16, "body_max": 16_384}
    async with asyncio.TaskGroup() as tasks:
        ids = iter(range(1_000_000))
        api = Api(
            orders,
            clock,
            tasks,
            config=ApiSection(),
            requests_per_s=requests_per_s,
            new_id=lambda: f"made-{next(ids)}",
            bounds=Bounds(**limits | bounds),
        )
        await api.open(spec or a_spec(), RUN, directory, uid)
        try:
            yield OpenApi(api, orders, clock, directory / "order.sock")
        finally:
            await api.close_all()
