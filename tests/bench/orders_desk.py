"""The whole desk as a process of the orders bench: its daemon, its embedded exchange, and a door for each of K callers.

usage: python -m tests.bench.orders_desk FOLDER K BROKER      BROKER: exchange, or none
    none      the broker's part ends where the call would start: the order is refused there, and is over
    exchange  the embedded exchange, `fills = "immediate"`, over real HTTP and websockets

A caller's socket is FOLDER/N/order.sock. Says `ready`; then `reset` forgets, and `report` answers `calls NS...`: for
each order since then the nanoseconds from the caller's sending, told in its client_order_id, to the broker's call.
"""

import asyncio
import os
import sys
import time
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any

import uvloop

from deskd import log as logs
from deskd.app.bounds import limits_of
from deskd.app.daemon import Daemon, opened
from deskd.config import Config
from deskd.domain import events as ev
from deskd.domain.events import SubmitAccepted, SubmitInDoubt, SubmitRejected
from deskd.domain.ids import RunId, StrategyId, Symbol, UserId
from deskd.domain.money import Cash
from deskd.domain.order import OrderRequest
from deskd.domain.run import StrategyStatus
from deskd.domain.strategy import Channel, StrategySpec
from deskd.ports import Broker, SystemClock

SYMBOL = Symbol("AAPL")
CLOCK = SystemClock()


class TimedBroker:
    """Notes when each call starts; passes it on, or refuses it there where there is no broker."""

    def __init__(self, inner: Broker, *, is_there: bool) -> None:
        self.inner = inner
        self.is_there = is_there
        self.took: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def submit(self, request: OrderRequest, **how: Any) -> SubmitAccepted | SubmitRejected | SubmitInDoubt:
        oid = request.client_order_id
        self.took.append(time.monotonic_ns() - int(oid.rpartition("-")[2]))
        if self.is_there:
            return await self.inner.submit(request, **how)
        # Not sent: a broker's own no, thousands of times, would open breakers and kill the desk.
        return SubmitRejected(client_order_id=oid, message="no broker in this bench", at=CLOCK.now(), was_sent=False)


def a_config(folder: Path) -> Config:
    (folder / "strategies").mkdir()
    return Config.model_validate(
        {
            "desk": {
                "state_dir": folder / "state",
                "runtime_dir": folder / "run",
                "strategies_dir": folder / "strategies",
            },
            "broker": {"reconcile_every_s": 3600},
            "exchange": {"fills": "immediate", "cash": Decimal(1_000_000_000)},
            "market": {"stale_after_s": 3600},
            "risk": {
                "strategy": {
                    "allocation": Decimal(10_000_000),
                    "order_notional_max": Decimal(100_000),
                    "position_qty_max": Decimal(1_000_000),
                    "position_notional_max": Decimal(10_000_000),
                    "open_orders_max": 1_000_000,
                    "orders_per_day_max": 1_000_000_000,
                    "order_qty_max": Decimal(1_000_000),
                    "position_share_max": Decimal(1),
                    "orders_per_minute_max": 1_000_000,
                    "daily_loss_max": Decimal(10_000_000),
                    "duplicate_window_s": 0,
                    "requests_per_s": 1_000_000,
                }
            },
        }
    )


def a_spec(n: int) -> StrategySpec:
    return StrategySpec(
        strategy_id=StrategyId(f"s{n}"),
        user_id=UserId(f"s{n}"),
        name=f"s{n}",
        description="",
        version="0",
        path=PurePath(f"s{n}"),
        code_hash="0",
        symbols=(SYMBOL,),
        channels=frozenset({Channel.ORDERS}),
        env={},
        limits={},
        history=None,
        is_enabled=True,
    )


async def let_in(daemon: Daemon, folder: Path, n: int) -> None:
    """Register the caller as a strategy that runs, feed it, and open its door."""
    spec, config, now = a_spec(n), daemon.config, CLOCK.now()
    who = spec.strategy_id
    daemon.runtime.desk.limits[who] = limits_of(spec, config.risk, config.market.stale_after_s)
    for fact in (
        ev.StrategyRegistered(
            strategy_id=who, user_id=spec.user_id, name=who, version="0", path=who, code_hash="0", at=now
        ),
        ev.StrategyStatusChanged(strategy_id=who, status=StrategyStatus.ACTIVE, why="bench", at=now),
        ev.AllocationChanged(strategy_id=who, allocation=Cash(config.risk.strategy.allocation), by="bench", at=now),
    ):
        await daemon.runtime.post(fact)
    await daemon.hub.attach(spec, RunId(who), os.open(os.devnull, os.O_WRONLY))
    directory = folder / str(n)
    directory.mkdir()
    await daemon.api.open(spec, RunId(who), directory, None)


async def commands() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def takes_orders(daemon: Daemon) -> bool:
    """Tell whether the gate would let an order pass: the market is open, which a synthetic day is after ten seconds."""
    quote, desk = daemon.hub.quote(SYMBOL), daemon.runtime.desk
    if quote is None or not desk.instruments:
        return False
    return any(day.open_at <= quote.quoted_at < day.close_at for day in desk.calendar.values())


async def main(folder: Path, count: int, *, is_there: bool) -> None:
    async with opened(a_config(folder), None) as daemon:
        await daemon.start()
        broker = TimedBroker(daemon.broker, is_there=is_there)
        daemon.runtime.sending.broker = broker
        for n in range(count):
            await let_in(daemon, folder, n)
        await daemon.runtime.until_idle()
        while not takes_orders(daemon):  # noqa: ASYNC110  a bench may poll
            await asyncio.sleep(0.01)
        await daemon.trade()
        said = await commands()
        print("ready", flush=True)
        while command := (await said.readline()).strip():
            if command == b"report":
                print("calls", *broker.took, flush=True)
            broker.took.clear()
        await daemon.stop()


if __name__ == "__main__":
    folder, count, broker = sys.argv[1:]
    logs.configure(level="info", format="json")
    uvloop.run(main(Path(folder), int(count), is_there=broker == "exchange"))
