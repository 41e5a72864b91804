"""A served exchange for tests: a small tape with prices that stand still, in this process or as one of its own."""

import asyncio
import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp

from deskd.venue.assembly import Venue, opened
from deskd.venue.calendar import load_calendar
from deskd.venue.settings import Keys, VenueSettings, encode
from tests.hang import HANG_S

KEYS = Keys(key_id="test-key", secret_key="test-secret")
HEADERS = {"APCA-API-KEY-ID": KEYS.key_id, "APCA-API-SECRET-KEY": KEYS.secret_key}
ROOT = Path(__file__).parents[2]

DAY = datetime(2013, 10, 8, tzinfo=UTC)
OPEN = DAY.replace(hour=13, minute=30)  # 09:30 in New York
PRICES = {"AAPL": Decimal("100.00"), "SPY": Decimal("50.00"), "IBM": Decimal("20.00")}  # bids; asks are a cent above

calendar = cache(load_calendar)


def write_tape(folder: Path, *, opens_at: datetime = OPEN - timedelta(minutes=30), minutes: int = 450) -> Path:
    """Write a day of quotes and trades in which nothing ever moves; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "quotes.csv").open("w") as quotes, (folder / "trades.csv").open("w") as trades:
        quote_rows, trade_rows = csv.writer(quotes), csv.writer(trades)
        quote_rows.writerow(["t", "S", "bx", "bp", "bs", "ax", "ap", "as", "c", "z"])
        trade_rows.writerow(["t", "S", "i", "x", "p", "s", "c", "z"])
        for minute in range(minutes):
            at = f"{opens_at + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%S}Z"
            for symbol, bid in PRICES.items():
                quote_rows.writerow([at, symbol, "Q", bid, 100, "Q", bid + Decimal("0.01"), 100, "R", "C"])
                trade_rows.writerow([at, symbol, minute + 1, "Q", bid, 100, "@", "C"])
    return folder


def settings(tape: Path, **changes: object) -> VenueSettings:
    """Return settings for a test: fast fills, no limit, memory only, market time 09:35."""
    plain = VenueSettings(
        listen="127.0.0.1:0",
        tape=(str(tape),),
        speed=1.0,
        loop=False,
        seed=1,
        cash=Decimal(100000),
        fills="immediate",
        start="09:35",
        state=None,
        keys=KEYS,
        rate_limit_per_min=0,
        faults=True,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # the names are the dataclass's own


@asynccontextmanager
async def served(told: VenueSettings) -> AsyncIterator[tuple[Venue, aiohttp.ClientSession]]:
    """Serve on this loop, with a session that shows the keys."""
    async with opened(told, calendar=calendar()) as venue, aiohttp.ClientSession(venue.url, headers=HEADERS) as session:
        yield venue, session


@asynccontextmanager
async def listening(session: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Listen to the trade updates."""
    async with session.ws_connect("/stream") as socket:
        await socket.send_json(
            {"action": "authenticate", "data": {"key_id": KEYS.key_id, "secret_key": KEYS.secret_key}}
        )
        await socket.receive_bytes(timeout=HANG_S)
        await socket.send_json({"action": "listen", "data": {"streams": ["trade_updates"]}})
        await socket.receive_bytes(timeout=HANG_S)
        yield socket


async def hear(socket: aiohttp.ClientWebSocketResponse, *, until: str) -> list[dict[str, Any]]:
    """Return the events up to the first *until*."""
    heard: list[dict[str, Any]] = []
    while not heard or heard[-1]["event"] != until:
        heard.append(json.loads(await socket.receive_bytes(timeout=HANG_S))["data"])
    return heard


@contextmanager
def served_in_thread(told: VenueSettings) -> Iterator[str]:
    """Serve from a loop in another thread, for clients that block; the value is the address."""
    url, is_ready, stop = "", threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        nonlocal url
        async with opened(told, calendar=calendar()) as venue:
            url = venue.url
            is_ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert is_ready.wait(30), "the exchange did not start"
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


class Process:
    """The exchange as a process of its own, as the desk starts it."""

    def __init__(self, told: VenueSettings) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "deskd.venue"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )
        assert self.popen.stdin is not None
        self.popen.stdin.write(encode(told))
        self.popen.stdin.close()

    def url(self) -> str:
        """Wait for the ready line and return its address."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, self.errors()
        ready = json.loads(line)
        assert ready["event"] == "exchange_ready"
        return str(ready["url"])

    def errors(self) -> str:
        """Wait for the end and return what went to standard error."""
        assert self.popen.stderr is not None
        return self.popen.stderr.read().decode()

    def end(self) -> int:
        """Make sure that it is gone; return how it ended."""
        if self.popen.poll() is None:
            self.popen.kill()
        for pipe in (self.popen.stdout, self.popen.stderr):
            assert pipe is not None
            pipe.close()
        return self.popen.wait(10)
