"""The examples do what their first lines say, unmodified, on a desk and on a laptop without one."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deskd.domain.book import Position
from deskd.domain.ids import STRATEGY_ID, StrategyId, Symbol
from deskd.domain.money import NO_CASH, Price, Qty
from deskd.domain.order import Order, OrderRequest, OrderStatus, Side
from tests.api.fakes import FakeOrders, a_spec, an_api
from tests.factories import NOON

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("strategies/*/strategy.py"))
MINUTES = 15  # of the market: long enough for each of them to have traded


@dataclass
class FillingOrders(FakeOrders):
    """Fills market orders at once, and limit orders, too."""

    becomes: Any = lambda _: (OrderStatus.FILLED, None)
    held: dict[Symbol, Decimal] = field(default_factory=dict)

    async def place(self, request: OrderRequest, *, timeout_s: float) -> Any:
        order = await super().place(request, timeout_s=timeout_s)
        if isinstance(order, Order) and order.status is OrderStatus.FILLED and request.qty is not None:
            self.held[request.symbol] = self.held.get(request.symbol, Decimal(0)) + request.side.sign * request.qty
        return order

    def positions(self, strategy_id: StrategyId | None) -> list[Position]:
        assert strategy_id is not None
        return [
            Position(
                strategy_id=strategy_id,
                symbol=symbol,
                qty=Qty(qty),
                avg_entry_price=Price(Decimal(100)),
                realized_pnl=NO_CASH,
                mark_price=Price(Decimal(100)),
                updated_at=NOON,
            )
            for symbol, qty in self.held.items()
            if qty
        ]


def config_of(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((ROOT / "strategies" / name / "config.json").read_text())
    return config


def a_market(symbols: list[str], channels: list[str]) -> Iterator[str]:
    """Make lines as the desk sends them: an even walk of some five basis points a minute, a trade and a quote a second."""
    source = random.Random(7)
    prices = dict.fromkeys(symbols, 100.0)
    for minute in range(MINUTES):
        for symbol in symbols:
            opened = prices[symbol]
            seen = [opened]
            for second in range(60):
                prices[symbol] *= 1 + source.gauss(0, 0.00008)
                price = round(prices[symbol], 2)
                seen.append(price)
                at = f"2026-01-05T15:{minute:02}:{second:02}Z"
                common = {"symbol": symbol, "timestamp": at}
                if "trades" in channels:
                    yield json.dumps({"type": "trade", **common, "price": price, "size": 100})
                if "quotes" in channels:
                    sides = {"bid": price - 0.01, "ask": price + 0.01}
                    sizes = {"bid_size": source.randint(1, 9) * 100, "ask_size": source.randint(1, 9) * 100}
                    yield json.dumps({"type": "quote", **common, "price": price, **sides, **sizes})
            if "bars" in channels:
                start = f"2026-01-05T15:{minute:02}:00Z"
                ohlc = {"open": seen[0], "high": max(seen), "low": min(seen), "close": seen[-1]}
                bar = {"type": "bar", "symbol": symbol, "price": seen[-1], **ohlc, "volume": 6000, "vwap": opened}
                yield json.dumps(bar | {"timeframe": "1Min", "timestamp": start})


async def start(name: str, environment: Mapping[str, str], *flags: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", *flags, str(ROOT / "strategies" / name / "strategy.py")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "sandbox"), **environment},
    )


async def run(name: str, lines: str, environment: Mapping[str, str], *flags: str) -> tuple[int | None, str, str]:
    process = await start(name, environment, *flags)
    out, err = await process.communicate(lines.encode())
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("name", EXAMPLES)
async def test_it_trades_within_minutes(name: str, tmp_path: Path) -> None:
    """A member who starts it sees orders soon: buys and sells, inside its symbols and its own bounds."""
    config = config_of(name)
    orders = FillingOrders()
    spec = a_spec(StrategyId(name), symbols=tuple(config["symbols"]))
    lines = "\n".join(a_market(config["symbols"], config.get("channels", ["trades", "bars"]))) + "\n"
    async with an_api(tmp_path, orders, spec) as desk:
        code, out, err = await run(name, lines, {**config["env"], "DESK_SERVER_URL": f"unix://{desk.socket_path}"})
    assert (code, err) == (0, ""), out
    requests = [order.request for order in orders.known.values()]
    assert requests, out
    assert {request.symbol for request in requests} <= set(config["symbols"])
    assert all(0 <= qty <= 10 for qty in orders.held.values())
    if name != "limit_order_strategy":  # waits for its `order` lines: see below
        assert {request.side for request in requests} == {Side.BUY, Side.SELL}, out
    assert len(requests) < 500, "the desk's bound on orders a day"


async def test_after_a_no_it_waits_and_tries_again(tmp_path: Path) -> None:
    """The first lesson does not order on every line while the desk says no, and does not give up, either."""
    orders = FillingOrders(becomes=lambda _: (OrderStatus.DENIED, "QUOTE_MISSING"))
    line = '{"symbol": "SPY", "price": 600.0}\n'
    async with an_api(tmp_path, orders) as desk:
        code, out, _ = await run("simple_strategy", line * 23, {"DESK_SERVER_URL": f"unix://{desk.socket_path}"})
    assert code == 0
    assert len(orders.known) == 3, out
    assert out.count("denied: QUOTE_MISSING") == 3


async def test_a_limit_order_is_followed_to_its_end(tmp_path: Path) -> None:
    """It waits for news of its order, calls it back when it has waited too long, and then places the next."""
    orders = FakeOrders()
    async with an_api(tmp_path, orders) as desk, AsyncExitStack() as stack:
        process = await start("limit_order_strategy", {"DESK_SERVER_URL": f"unix://{desk.socket_path}"})
        stack.push_async_callback(process.communicate)
        assert process.stdin is not None
        assert process.stdout is not None

        async def tell(line: Mapping[str, object], expected: str) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(line).encode() + b"\n")
            assert expected in (await process.stdout.readline()).decode()

        price = {"type": "trade", "symbol": "AAPL", "price": 100.0, "size": 1}
        await tell(price | {"timestamp": "2026-01-05T15:00:00Z"}, "sell 10 at 100.01: success")  # FakeOrders holds 10
        await tell(price | {"timestamp": "2026-01-05T15:00:21Z"}, "calling the order back")
        (first,) = orders.known.values()
        assert (first.request.order_type, first.status) == ("limit", OrderStatus.PENDING_CANCEL)
        update = {"type": "order", "symbol": "AAPL", "side": "sell", "qty": "10", "position_qty": "10"}
        update |= {"client_order_id": first.request.client_order_id, "status": "canceled"}
        await tell(update, "sell 10 is canceled; we hold 10")
        await tell(price | {"timestamp": "2026-01-05T15:00:22Z"}, "sell 10 at 100.01: success")
        assert len(orders.known) == 2


@pytest.mark.parametrize("name", EXAMPLES)
async def test_without_a_desk_it_says_so_and_ends(name: str) -> None:
    """On a laptop: one clear line instead of a traceback."""
    line = '{"symbol": "AAPL", "price": 145.50}\n'
    code, out, err = await run(name, line, {"DESK_SERVER_URL": "http://127.0.0.1:9"})
    assert (code, err) == (0, "")
    assert "no desk is reachable at http://127.0.0.1:9" in out
    assert "start one with `make run`" in out


@pytest.mark.parametrize("name", EXAMPLES)
async def test_without_the_library_it_says_how_to_get_it(name: str) -> None:
    """Before `pip install ./sandbox`: the command, not a traceback."""
    code, out, err = await run(name, "", {}, "-I", "-S")
    assert (code, out) == (1, "")
    assert err == "desk_client is not installed: run `pip install ./sandbox` in the desk's checkout\n"


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_config_is_complete(name: str) -> None:
    """Whoever copies an example finds every key he may want, and values that are strings where they must be."""
    config = config_of(name)
    assert STRATEGY_ID.fullmatch(name)
    assert {"user_id", "name", "description", "version", "symbols", "env"} <= set(config)
    assert all(isinstance(value, str) for value in config["env"].values())


def test_there_are_six() -> None:
    """The six that the desk is shown with."""
    assert EXAMPLES == [
        "example_alice",
        "example_bob",
        "limit_order_strategy",
        "momentum",
        "simple_strategy",
        "vwap_mean_reversion",
    ]
