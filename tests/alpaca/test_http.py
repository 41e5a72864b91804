"""One request, three kinds of outcome."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from deskd.alpaca.http import Answer, Http, NotSent, Turn, Unanswered
from deskd.alpaca.pacing import Pacer
from deskd.domain.priority import Priority
from tests.alpaca.server import KEYS, FakeAlpaca, NoonClock, cut, fake_alpaca, silence

NOW = Turn(priority=Priority.ORDER)


@asynccontextmanager
async def some_http(timeout_s: float = 0.3) -> AsyncIterator[tuple[FakeAlpaca, Http]]:
    pacer = Pacer(per_min=None, clock=NoonClock())
    async with fake_alpaca() as fake, Http(url=fake.url, keys=KEYS, pacer=pacer, timeout_s=timeout_s) as http:
        yield fake, http


async def test_an_answer_is_whatever_the_server_said() -> None:
    """A refusal is an answer, too: what it means is the caller's to say."""
    async with some_http() as (fake, http):
        fake.answer("GET", "/x", web.Response(status=418, text="short and stout"))
        assert await http.send("GET", "/x", turn=NOW) == Answer(418, b"short and stout")


async def test_nobody_listening_is_not_sent() -> None:
    """No connection came to be: nothing left the desk."""
    pacer = Pacer(per_min=None, clock=NoonClock())
    async with Http(url="http://127.0.0.1:1", keys=KEYS, pacer=pacer, timeout_s=1) as http:
        assert isinstance(await http.send("POST", "/x", body=b"{}", turn=NOW), NotSent)


async def test_a_cut_or_silent_connection_is_unanswered() -> None:
    """It left, and nobody knows; the wait is bounded."""
    async with some_http() as (fake, http):
        fake.answer("POST", "/x", cut, silence)
        assert isinstance(await http.send("POST", "/x", body=b"{}", turn=NOW), Unanswered)
        async with asyncio.timeout(2):
            assert await http.send("POST", "/x", body=b"{}", turn=NOW) == Unanswered("no answer within 0.3 s")
        assert len(fake.requests) == 2, "each was sent once"


async def test_an_answer_that_breaks_off_is_unanswered() -> None:
    """Half an answer is none."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with some_http() as (fake, http):
        fake.answer("GET", "/x", half)
        assert isinstance(await http.send("GET", "/x", turn=NOW), Unanswered)


async def test_connections_are_kept() -> None:
    """A hundred requests, one connection: an order does not pay for a handshake."""
    peers = set()

    def note(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response()

    async with some_http() as (fake, http):
        fake.answer("GET", "/x", note)
        for _ in range(100):
            await http.send("GET", "/x", turn=NOW)
    assert len(peers) == 1


async def test_a_proxy_of_the_environment_is_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and orders go where the configuration says, and nowhere else."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with some_http() as (fake, http):
        fake.answer("GET", "/x", web.Response())
        assert isinstance(await http.send("GET", "/x", turn=NOW), Answer)


async def test_an_answer_that_quotes_the_keys_is_read_without_them() -> None:
    """An error that repeats what was sent reaches neither ledger nor log."""
    async with some_http() as (fake, http):
        fake.answer("GET", "/x", web.Response(status=401, text=f"no such secret: {KEYS.secret}"))
        assert await http.send("GET", "/x", turn=NOW) == Answer(401, b"no such secret: ***")


async def test_what_fails_at_the_broker_is_counted_for_a_while() -> None:
    """No answer, a fault of the broker's own, nobody there; a refusal is none, nor is a turn that never came."""
    async with some_http() as (fake, http):
        fake.answer("POST", "/x", cut, web.Response(status=503), web.Response(status=403), web.Response(status=429))
        for _ in range(4):
            await http.send("POST", "/x", turn=NOW)
        assert (http.failures.within(60), http.failures.within(0)) == (2, 0)
        await http.send("POST", "/x", turn=replace(NOW, leaves=lambda: "canceled"))
        assert http.failures.within(60) == 2
    pacer = Pacer(per_min=None, clock=NoonClock())
    async with Http(url="http://127.0.0.1:1", keys=KEYS, pacer=pacer, timeout_s=1) as http:
        await http.send("POST", "/x", turn=NOW)
        assert http.failures.within(60) == 1
