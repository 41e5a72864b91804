"""The desk's own fan-out as a process of the bench: its market stream and its hub, and nothing else of the desk.

usage: python -m tests.bench.hub_alone PORT LOOP FD...      LOOP: uvloop or asyncio
"""

import asyncio
import sys
from pathlib import PurePath
from typing import NoReturn

import uvloop

from deskd.alpaca.endpoints import Keys
from deskd.alpaca.stream import MarketStream
from deskd.config import MarketSection
from deskd.domain.ids import RunId, StrategyId, Symbol, UserId
from deskd.domain.strategy import Channel, StrategySpec
from deskd.market.hub import Hub
from deskd.ports import RawMarketMessage, SystemClock
from tests.bench.source import SYMBOLS
from tests.bench.tools import no_gap, no_time


async def no_bars(symbol: Symbol, timeframe: str, limit: int) -> NoReturn:
    raise AssertionError((symbol, timeframe, limit))


async def say_nothing(is_up: bool, why: str) -> None:
    pass


async def main(port: int, fds: list[int]) -> None:
    stream: MarketStream | None = None

    def on_messages(messages: list[RawMarketMessage]) -> None:
        hub.on_messages(messages)

    stream = MarketStream(
        url=f"ws://127.0.0.1:{port}/v2/iex",
        keys=Keys("k", "s"),
        on_messages=on_messages,
        on_state=say_nothing,
        stale_after_s=60,
    )
    hub = Hub(
        MarketSection(),
        clock=SystemClock(),
        bars=no_bars,
        bars_between=no_gap,
        market_now=no_time,
        on_wanted=stream.set_symbols,
        on_slow=lambda _: None,
    )
    for n, fd in enumerate(fds):
        spec = StrategySpec(
            strategy_id=StrategyId(f"s{n}"),
            user_id=UserId("bench"),
            name="",
            description="",
            version="0",
            path=PurePath(),
            code_hash="",
            symbols=tuple(Symbol(symbol) for symbol in SYMBOLS),
            channels=frozenset({Channel.TRADES}),
            env={},
            limits={},
            history=None,
            is_enabled=True,
        )
        await hub.attach(spec, RunId(f"r{n}"), fd)
    await stream.run()


if __name__ == "__main__":
    port, loop, *fds = sys.argv[1:]
    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(main(int(port), [int(fd) for fd in fds]))
