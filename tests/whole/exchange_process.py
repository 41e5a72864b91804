"""The exchange as a process of its own, and the desk's configuration that points at it as if it were Alpaca."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.whole.desk_process import ROOT
from tests.whole.made_before import lay_calendar

KEYS = {"APCA_API_KEY_ID": "a-key", "APCA_API_SECRET_KEY": "a-secret"}


class Exchange:
    """The exchange alone, started with its fault switches."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    @property
    def broker_keys(self) -> str:
        """Return the lines of [broker] in desk.toml that point here."""
        return self.broker_keys_of(self.url)

    @staticmethod
    def broker_keys_of(url: str) -> str:
        """Return the lines of [broker] that point at *url*."""
        address = url.removeprefix("http")
        return f"""
            mode = "alpaca"
            trading_url = "{url}"
            data_url = "{url}"
            data_stream_url = "ws{address}/v2/iex"
            trade_stream_url = "ws{address}/stream"
        """

    async def misbehave(self, fault: Mapping[str, Any]) -> None:
        """Have it do so from now on."""
        async with self._session.post(f"{self.url}/faults", json=fault) as answer:
            assert answer.status == 200, await answer.text()

    async def behave(self) -> None:
        """Have it do well again."""
        async with self._session.delete(f"{self.url}/faults") as answer:
            assert answer.status == 200


def exchange_command(
    state: Path, *, fills: str = "immediate", speed: int = 5, listen: str = "127.0.0.1:0"
) -> list[str]:
    """Return how `deskd exchange` is started with its switches; its account is the file *state*."""
    options = ["--state", str(state), "--fills", fills, "--speed", str(speed), "--rate-limit", "0", "--faults"]
    return [sys.executable, "-m", "deskd", "exchange", "--listen", listen, *options]


def keys_headers(keys: Mapping[str, str] = KEYS) -> dict[str, str]:
    """Return what a request to it must carry."""
    return {"APCA-API-KEY-ID": keys["APCA_API_KEY_ID"], "APCA-API-SECRET-KEY": keys["APCA_API_SECRET_KEY"]}


@asynccontextmanager
async def an_exchange(
    state: Path, *, speed: int = 5, listen: str = "127.0.0.1:0", keys: Mapping[str, str] = KEYS
) -> AsyncIterator[Exchange]:
    """Run `deskd exchange` with its switches; its account is the file *state*."""
    lay_calendar(state.parent)
    process = await asyncio.create_subprocess_exec(
        *exchange_command(state, speed=speed, listen=listen),
        cwd=ROOT,
        env=os.environ | dict(keys),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        url = json.loads(await process.stdout.readline())["url"]
        async with aiohttp.ClientSession(headers=keys_headers(keys)) as session:
            yield Exchange(url, session)
    finally:
        process.kill()
        await process.wait()
