"""alpaca-py's blocking clients, tamed."""

import asyncio
import time

import pytest
from aiohttp import web

from deskd.alpaca.cold import ColdPaths, parse_timeframe, refused
from deskd.domain.errors import WireError
from tests.alpaca.server import KEYS, FakeAlpaca, fake_alpaca


def some_cold(fake: FakeAlpaca, timeout_s: float = 1.0) -> ColdPaths:
    return ColdPaths(endpoints=fake.endpoints, keys=KEYS, timeout_s=timeout_s, feed="iex")


async def test_the_loop_turns_while_a_thread_waits() -> None:
    """A slow broker does not stop the market data."""
    async with fake_alpaca() as fake:

        async def slow(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(0.2)
            return web.json_response({})

        fake.answer("GET", "/v2/clock", slow)
        cold = some_cold(fake)
        await cold.clock()  # the first makes the client
        gaps: list[float] = []
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(cold.clock())
            while not asked.done():
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                gaps.append(time.perf_counter() - before)
        cold.close()
    assert len(gaps) > 20


async def test_a_request_is_sent_once_whatever_the_answer() -> None:
    """alpaca-py would send it four times, sleeping three seconds between."""
    async with fake_alpaca() as fake:
        fake.answer("GET", "/v2/account", web.Response(status=504, text="<html>"))
        cold = some_cold(fake)
        with pytest.raises(ConnectionError, match="HTTP 504: not in its own words"):
            await cold.account()
        cold.close()
    assert len(fake.requests) == 1


async def test_a_proxy_of_the_environment_is_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's keys go where the configuration says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with fake_alpaca() as fake:
        fake.answer("GET", "/v2/positions", [])
        cold = some_cold(fake)
        assert await cold.positions() == []
        cold.close()


def test_only_bad_keys_are_a_matter_of_permission() -> None:
    """A plan that lacks something is told in the broker's words, without advice about keys."""
    assert isinstance(refused(401, b'{"message":"unauthorized."}'), PermissionError)
    recent = refused(403, b'{"code":42210000,"message":"subscription does not permit querying recent SIP data"}')
    assert not isinstance(recent, PermissionError)
    assert "does not permit querying recent SIP data" in str(recent)


@pytest.mark.parametrize(
    ("text", "read"),
    [("1Min", (1, "Min")), ("15T", (15, "Min")), ("4H", (4, "Hour")), ("1D", (1, "Day")), ("3Month", (3, "Month"))],
)
def test_timeframes_are_read_as_alpaca_writes_them(text: str, read: tuple[int, str]) -> None:
    """Long and short names alike."""
    assert parse_timeframe(text) == read


@pytest.mark.parametrize("text", ["", "Min", "0Min", "1min", "100Min", "1 Min", "1Min; x"])
def test_other_timeframes_are_named(text: str) -> None:
    """The text shows what would be right."""
    with pytest.raises(WireError, match="must be like 1Min, 15Min, 1Hour or 1Day"):
        parse_timeframe(text)
