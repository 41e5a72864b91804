"""The exchange as the desk's child: it answers, comes back after a kill on the same address, and ends when told."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from deskd.domain.errors import ConfigError
from deskd.venue.child import EmbeddedExchange
from tests.hang import HANG_S
from tests.venue.serving import HEADERS, settings, write_tape


async def account_number(url: str) -> str:
    """Return the account's number, as soon as somebody answers."""
    async with asyncio.timeout(HANG_S), aiohttp.ClientSession(url, headers=HEADERS) as session:
        while True:
            try:
                async with session.get("/v2/account") as answer:
                    return str((await answer.json())["account_number"])
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def test_it_comes_back_on_the_same_address_with_the_same_account(tmp_path: Path) -> None:
    """After SIGKILL the desk's child is started again, and nobody has to be told a new address."""
    told = replace(settings(write_tape(tmp_path / "tape"), state=tmp_path / "x.db"), faults=False)
    exchange = EmbeddedExchange(told)
    url = await exchange.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(exchange.watch())
            before = await account_number(url)
            first = exchange._process
            assert first is not None
            os.kill(first.pid, signal.SIGKILL)
            await first.wait()
            assert await account_number(url) == before
            watching.cancel()
    finally:
        await exchange.stop()
    assert exchange._process is not None
    assert exchange._process.returncode == 0


async def test_a_child_that_fell_is_no_matter_of_configuration(tmp_path: Path) -> None:
    """What may go well the next time is not told as a wrong setting, which nobody would start again."""
    exchange = EmbeddedExchange(settings(write_tape(tmp_path / "tape")))
    async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(told_of(exchange))
        while exchange._process is None:  # noqa: ASYNC110  a process tells nobody that it was started
            await asyncio.sleep(0)
        exchange._process.kill()
    assert "did not start" in starting.result()


async def told_of(exchange: EmbeddedExchange) -> str:
    with pytest.raises(ChildProcessError) as caught:
        await exchange.start()
    return str(caught.value)


async def test_a_tapes_end_is_heard(tmp_path: Path) -> None:
    """By whoever waits for it; an exchange that dies before is an error."""
    tape = write_tape(tmp_path / "tape", minutes=40)
    exchange = EmbeddedExchange(replace(settings(tape, speed=100_000.0), start=None))
    await exchange.start()
    async with asyncio.timeout(HANG_S):
        await exchange.tape_ends()
    await exchange.stop()
    with pytest.raises(ChildProcessError, match="died before"):
        await exchange.tape_ends()


async def test_a_child_that_cannot_start_is_told(tmp_path: Path) -> None:
    """The desk hears that its exchange did not start; the child has said why."""
    exchange = EmbeddedExchange(settings(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="did not start"):
        await exchange.start()
