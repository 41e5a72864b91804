"""A desk of many strategies that hold shares and have resting orders, on an exchange that can be told to refuse."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp

from tests.whole.desk_process import DeskProcess, a_desk_process
from tests.whole.exchange_process import KEYS, Exchange, an_exchange, keys_headers

RESTING = 4  # orders of each strategy
BUSY_S = 120.0  # until all strategies have traded, on a machine that has other things to do
HOLDER = f"""
    import json, sys
    from desk_client import place_order

    has_bought = False
    for line in sys.stdin:
        message = json.loads(line)
        symbol = message["symbol"]
        if has_bought:
            continue
        has_bought = place_order(symbol, "1", "buy", timeout=10).status == "success"
        for step in range({RESTING} if has_bought else 0):
            price = str(round(message["price"] * 0.97 - step * 0.01, 2))
            place_order(symbol, "1", "buy", "limit", limit_price=price, timeout=10)
"""
REFUSING = {
    "rest": [
        {"method": "DELETE", "path": "/v2/orders", "status": 429, "times": 40},
        {"method": "POST", "path": "/v2/orders", "status": 429, "times": 10},
    ]
}


@asynccontextmanager
async def a_busy_desk(
    folder: Path, strategies: int, symbols: Sequence[str] = ("AAPL",)
) -> AsyncIterator[tuple[Exchange, DeskProcess]]:
    """Run exchange and desk until each strategy holds a share of one of *symbols* and has RESTING orders open."""
    (folder / "var").mkdir()
    async with an_exchange(folder / "var" / "exchange.db", speed=1) as exchange, a_desk_process(folder) as desk:
        desk.environment = KEYS
        desk.configure(f"""
            [broker]
            {exchange.broker_keys}
            [sandbox]
            unsafe_without_jail = true
            [restart]
            launches_max = 8
            [risk.strategy]
            allocation = "1900"
            duplicate_window_s = 0
            position_share_max = "1"
            gross_exposure_max = "1"
            net_exposure_max = "1"
            [risk.desk]
            concentration_max = "1"
        """)
        for number in range(strategies):
            desk.strategy(f"s{number:02}", HOLDER, {"symbols": [symbols[number % len(symbols)]]})
        await desk.start()
        async with asyncio.timeout(BUSY_S):
            while open_orders(desk.state) < strategies * RESTING:  # noqa: ASYNC110  the ledger's file has no event
                await asyncio.sleep(0.2)
        yield exchange, desk


def open_orders(state: Path) -> int:
    """Return how many orders the ledger has as accepted."""
    with closing(sqlite3.connect(state / "desk.db")) as db:
        [(count,)] = db.execute("SELECT count(*) FROM orders WHERE status = 'accepted'")
    return int(count)


async def at_the_broker(exchange: Exchange) -> tuple[int, int]:
    """Return how many orders are open there, and how many positions."""
    async with aiohttp.ClientSession(headers=keys_headers()) as session:
        counts = []
        for path in ("/v2/orders?status=open&limit=500", "/v2/positions"):
            async with session.get(exchange.url + path) as answer:
                counts.append(len(await answer.json()))
    return counts[0], counts[1]
