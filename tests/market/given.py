"""Market messages, strategies and a clock for the market's tests. Every default is valid."""

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

import msgpack

from deskd.config import MarketSection
from deskd.domain.ids import RunId, StrategyId, Symbol, UserId
from deskd.domain.strategy import Channel, StrategySpec
from deskd.market.buffer import Line
from deskd.market.hub import Hub, Wanted
from deskd.ports import RawMarketMessage
from tests.factories import AAPL, ALICE, NOON

NS = int(NOON.timestamp()) * 10**9


class HandClock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds - 1_000)

    def monotonic(self) -> float:
        return self.seconds


def stamp(second: float = 0.0) -> msgpack.Timestamp:
    return msgpack.Timestamp.from_unix_nano(int(NOON.timestamp()) * 10**9 + round(second * 10**9))


def a_trade(price: float = 150.25, symbol: str = "AAPL", **overrides: Any) -> RawMarketMessage:
    fields: RawMarketMessage = {"T": "t", "S": symbol, "i": 1, "x": "V", "p": price, "s": 100, "c": ["@"], "z": "C"}
    return fields | {"t": stamp()} | overrides


def a_quote(bid: float = 150.25, ask: float = 150.26, symbol: str = "AAPL", **overrides: Any) -> RawMarketMessage:
    fields: RawMarketMessage = {"T": "q", "S": symbol, "bx": "V", "bp": bid, "bs": 200, "ax": "V", "ap": ask, "as": 100}
    return fields | {"c": ["R"], "z": "C", "t": stamp()} | overrides


def a_bar(close: float = 150.31, symbol: str = "AAPL", **overrides: Any) -> RawMarketMessage:
    fields: RawMarketMessage = {"T": "b", "S": symbol, "o": 150.0, "h": 151.0, "l": 149.5, "c": close, "v": 12_000}
    return fields | {"n": 85, "vw": 150.2, "t": stamp()} | overrides


def a_status(code: str = "H", reason: str = "LUDP", symbol: str = "AAPL", **overrides: Any) -> RawMarketMessage:
    return {"T": "s", "S": symbol, "sc": code, "sm": "", "rc": reason, "rm": "", "z": "C", "t": stamp()} | overrides


def a_spec(*channels: Channel, symbols: Sequence[Symbol] = (AAPL,), **overrides: Any) -> StrategySpec:
    fields: dict[str, Any] = {
        "strategy_id": ALICE,
        "user_id": UserId("alice"),
        "name": "alice",
        "description": "",
        "version": "0",
        "path": PurePath("strategies/alice"),
        "code_hash": "0",
        "symbols": tuple(symbols),
        "channels": frozenset(channels or {Channel.TRADES}),
        "env": {},
        "limits": {},
        "history": None,
        "is_enabled": True,
    }
    return StrategySpec(**fields | overrides)


def line(text: str = "x", *, key: str | None = None, arrived: float = 1_000.0, is_order: bool = False) -> Line:
    return Line(f"{text}\n".encode(), key, NS, arrived, is_order)


class Run:
    """The strategy's side of a standard input: a real pipe that is read when the test says so."""

    def __init__(self, run_id: str = "run-1") -> None:
        self.run_id = RunId(run_id)
        self.stdout, self.stdin = os.pipe()
        os.set_blocking(self.stdout, False)
        self._rest = b""

    def read(self) -> list[dict[str, Any]]:
        """Return the lines that lie in the pipe; what is cut stays for the next read."""
        while True:
            try:
                data = os.read(self.stdout, 65_536)
            except BlockingIOError:
                break
            if not data:
                break
            self._rest += data
        *whole, self._rest = self._rest.split(b"\n")
        return [json.loads(text) for text in whole]

    async def read_all(self) -> list[dict[str, Any]]:
        """Return lines until the desk has closed the pipe, giving it room as it wants."""
        found: list[dict[str, Any]] = []
        while not self.is_at_end():
            found += self.read()
            await asyncio.sleep(0)
        return found + self.read()

    def is_at_end(self) -> bool:
        """Tell whether the desk has closed its end and nothing is left."""
        try:
            data = os.read(self.stdout, 65_536)
        except BlockingIOError:
            return False
        self._rest += data
        return not data

    def close(self) -> None:
        if self.stdout >= 0:
            os.close(self.stdout)
            self.stdout = -1


class Desk:
    """A hub and all that it told the rest of the desk."""

    def __init__(self, clock: HandClock | None = None, **settings: Any) -> None:
        self.clock = clock or HandClock()
        self.bars: dict[str, Sequence[RawMarketMessage]] = {}
        self.bars_come = asyncio.Event()
        self.bars_come.set()
        self.bars_asked = asyncio.Event()
        self.missed: dict[str, Sequence[RawMarketMessage]] = {}  # what history has of a gap
        self.between: list[tuple[list[Symbol], datetime, datetime]] = []  # what was asked of it
        self.market_time = NOON
        self.wanted: list[Wanted] = []
        self.slow: list[RunId] = []
        self.hub = Hub(
            MarketSection(**settings),
            clock=self.clock,
            bars=self._bars,
            bars_between=self._bars_between,
            market_now=self._market_now,
            on_wanted=self.wanted.append,
            on_slow=self.slow.append,
        )

    async def _bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        self.bars_asked.set()
        await self.bars_come.wait()
        if symbol not in self.bars:
            raise TimeoutError(f"no bars of {symbol} in time")
        return self.bars[symbol][-limit:]

    async def _bars_between(
        self, symbols: Sequence[Symbol], start: datetime, end: datetime
    ) -> dict[Symbol, Sequence[RawMarketMessage]]:
        self.between.append((list(symbols), start, end))
        self.bars_asked.set()
        await self.bars_come.wait()
        return {symbol: self.missed[symbol] for symbol in symbols if symbol in self.missed}

    async def _market_now(self) -> datetime:
        return self.market_time

    async def run(self, *channels: Channel, run_id: str = "run-1", **spec: Any) -> Run:
        """Attach a run that wants these channels."""
        run = Run(run_id)
        await self.hub.attach(a_spec(*channels, **spec), run.run_id, run.stdin)
        return run


BOB_RUN = {"strategy_id": StrategyId("bob"), "user_id": UserId("bob"), "run_id": "run-2"}
