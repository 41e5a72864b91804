"""The front door: keys, limits, headers, and what happens to the unforeseen."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from deskd.ports import SystemClock
from deskd.venue.faults import Faults, RestRule
from deskd.venue.server import BODY_MAX, FrontDoor, json_answer
from deskd.venue.settings import Keys

HEADERS = {"APCA-API-KEY-ID": "id", "APCA-API-SECRET-KEY": "secret"}


@dataclass
class Served:
    url: str
    session: aiohttp.ClientSession
    bug: "asyncio.Future[None]"
    bodies: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def served(*, limit: int = 0, faults: Faults | None = None) -> AsyncIterator[Served]:
    bodies: list[bytes] = []

    async def echo(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return json_answer({"ok": True})

    async def gone(_request: web.Request) -> web.Response:
        raise ConnectionResetError("Connection lost")  # what a websocket's handshake does when its peer has left

    async def broken(_request: web.Request) -> web.Response:
        raise AssertionError("an invariant")

    bug: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    door = FrontDoor(
        keys=Keys(key_id="id", secret_key="secret"),
        clock=SystemClock(),
        rate_limit_per_min=limit,
        sockets=("/stream", "/gone"),
        faults=faults,
        bug=bug,
    )
    routes = [
        web.post("/v2/orders", echo),
        web.patch("/v2/orders/{order_id}", echo),
        web.get("/v2/stocks/bars", echo),
        web.get("/stream", echo),
        web.get("/broken", broken),
        web.get("/gone", gone),
    ]
    runner = web.AppRunner(door.app(routes), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession(url, headers=HEADERS) as session:
            yield Served(url, session, bug, bodies)
    finally:
        await runner.cleanup()


async def test_without_the_keys_nobody_comes_in() -> None:
    """Missing or wrong keys get 401, without a code, and the handler never runs."""
    async with served() as it:
        for headers in ({}, HEADERS | {"APCA-API-SECRET-KEY": "guess"}, {"Authorization": "Basic !!"}):
            async with aiohttp.ClientSession(it.url, headers=headers) as session, session.post("/v2/orders") as answer:
                assert answer.status == 401
                assert await answer.text() == '{"message": "unauthorized."}\n'
        assert it.bodies == []


async def test_basic_authorization_is_taken() -> None:
    """Key and secret as user and password of a Basic authorization work as the headers do."""
    headers = {"Authorization": "Basic " + base64.b64encode(b"id:secret").decode()}
    async with (
        served() as it,
        aiohttp.ClientSession(it.url, headers=headers) as session,
        session.post("/v2/orders") as answer,
    ):
        assert answer.status == 200


async def test_websockets_come_through_for_their_own_check() -> None:
    """A socket's path is not asked for keys here: its protocol does that."""
    async with (
        served() as it,
        aiohttp.ClientSession(it.url) as session,
        session.get("/stream") as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/v2/sip2", "/", "/v2/orders"])
async def test_a_websocket_where_no_stream_is_is_told_so(path: str) -> None:
    """404 says that the address is wrong: 401 would send whoever mistyped it to look for other keys."""
    async with served() as it, aiohttp.ClientSession(it.url) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(path)
    assert refused.value.status == 404
    assert it.bodies == []


async def test_over_the_limit_is_429_with_each_sides_own_words() -> None:
    """Trading and data are limited apart; the refusal tells when to come back."""
    async with served(limit=2) as it:
        trading = [await it.session.post("/v2/orders") for _ in range(3)]
        assert [answer.status for answer in trading] == [200, 200, 429]
        assert await trading[2].json() == {"code": 42910000, "message": "rate limit exceeded"}
        assert trading[2].headers["X-RateLimit-Remaining"] == "0"
        data = [await it.session.get("/v2/stocks/bars") for _ in range(3)]
        assert [answer.status for answer in data] == [200, 200, 429]
        assert await data[2].json() == {"message": "too many requests."}


async def test_every_answer_carries_its_headers() -> None:
    """Limit, remaining, reset and a request id stand in every answer; ids differ."""
    async with served(limit=200) as it:
        first, second = await it.session.post("/v2/orders"), await it.session.post("/v2/orders")
        for name in ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-ID"):
            assert first.headers[name]
        assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
        assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("200", "199")


async def test_unknown_paths_methods_and_sizes_are_answered_in_json() -> None:
    """404, 405 and 413 have a body that names what is wrong."""
    async with served() as it:
        for method, path, status, data in (
            ("GET", "/v2/nothing", 404, None),
            ("PUT", "/v2/orders", 405, None),
            ("POST", "/v2/orders", 413, b"x" * (BODY_MAX + 1)),
        ):
            async with it.session.request(method, path, data=data) as answer:
                assert answer.status == status
                assert (await answer.json())["message"]


async def test_what_nobody_foresaw_reaches_the_process() -> None:
    """A handler's own bug is answered with 500 and ends the process through the future it was given."""
    async with served() as it:
        async with it.session.get("/broken") as answer:
            assert answer.status == 500
        with pytest.raises(AssertionError, match="an invariant"):
            await it.bug


async def test_faults_are_not_routed_unless_asked_for() -> None:
    """Without faults, /faults does not exist."""
    async with served() as it, it.session.get("/faults") as answer:
        assert answer.status == 404


async def test_a_failure_comes_instead_of_the_work_or_after_it() -> None:
    """A 504 in place of the order leaves it undone; a 504 after accepting has done it."""
    faults = Faults()
    async with served(faults=faults) as it:
        faults.rest = [RestRule(method="POST", status=504)]
        assert (await it.session.post("/v2/orders")).status == 504
        assert it.bodies == []
        faults.rest = [RestRule(method="POST", status=504, after_accepting=True)]
        assert (await it.session.post("/v2/orders", data=b"1")).status == 504
        assert it.bodies == [b"1"]
        assert (await it.session.post("/v2/orders", data=b"2")).status == 200


async def test_a_connection_is_cut_before_or_after_the_work() -> None:
    """The client sees a broken connection; whether the work was done is as told."""
    faults = Faults()
    async with served(faults=faults) as it:
        for after_accepting, bodies in ((False, []), (True, [b"1"])):
            faults.rest = [RestRule(cut=True, after_accepting=after_accepting)]
            with pytest.raises(aiohttp.ClientError):
                await it.session.post("/v2/orders", data=b"1")
            assert it.bodies == bodies


async def test_a_storm_of_429_passes() -> None:
    """So many requests as told get 429, though the limit is not reached."""
    faults = Faults()
    async with served(faults=faults) as it:
        faults.rest = [RestRule(status=429, times=3)]
        statuses = [(await it.session.post("/v2/orders")).status for _ in range(4)]
        assert statuses == [429, 429, 429, 200]


async def test_answers_come_late_as_told() -> None:
    """A delayed answer is the true answer."""
    faults = Faults()
    async with served(faults=faults) as it:
        faults.rest = [RestRule(delay_s=0.01, answer_delay_s=0.01)]
        assert (await it.session.post("/v2/orders")).status == 200


async def test_an_exchange_for_tests_notes_each_order_that_comes() -> None:
    """Whatever becomes of it: who tests a desk sees what it sent, and how often. Otherwise nothing is noted."""
    with capture_logs() as noted:
        async with served(faults=Faults()) as it:
            await it.session.post("/v2/orders", json={"client_order_id": "a"})
            await it.session.post("/v2/orders", data=b"no JSON")
            await it.session.patch("/v2/orders/1", json={"client_order_id": "c"})
        async with served() as it:
            await it.session.post("/v2/orders", json={"client_order_id": "b"})
    assert [line["client_order_id"] for line in noted if line["event"] == "order_came"] == ["a", "c"]


async def test_an_order_that_is_turned_away_unread_is_noted_as_that() -> None:
    """One that is one too many was not looked at; one that the broker took, and answers 429 for, was."""
    faults = Faults()
    with capture_logs() as noted:
        async with served(faults=faults) as it:
            faults.rest = [RestRule(status=429, times=1), RestRule(status=429, times=1, after_accepting=True)]
            for oid in ("away", "taken", "well"):
                await it.session.post("/v2/orders", json={"client_order_id": oid})
    assert [line["client_order_id"] for line in noted if line["event"] == "order_turned_away"] == ["away"]
    assert [line["client_order_id"] for line in noted if line["event"] == "order_came"] == ["away", "taken", "well"]


async def test_a_peer_that_leaves_during_the_handshake_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """It is nobody's mistake: nothing is logged, and nothing ends."""
    async with served() as it:
        async with it.session.get("/gone") as answer:
            assert answer.status == 400
        assert not it.bug.done()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
