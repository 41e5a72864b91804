"""How a test tells the exchange to misbehave, and that nobody else can."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.hang import HANG_S
from tests.venue.serving import KEYS, served, settings, write_tape

BUY = {"symbol": "AAPL", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"}
AUTH = {"action": "authenticate", "data": {"key_id": KEYS.key_id, "secret_key": KEYS.secret_key}}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with served(settings(write_tape(tmp_path / "tape"))) as (_, session):
        yield session


async def wrong(session: aiohttp.ClientSession, **order: Any) -> Any:
    async with session.post("/faults", json=order) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_without_faults_the_route_is_not_there(tmp_path: Path) -> None:
    """An exchange that was not started for tests answers 404 to everything about faults."""
    async with served(settings(write_tape(tmp_path / "tape"), faults=False)) as (_, session):
        for method in ("GET", "POST", "DELETE"):
            async with session.request(method, "/faults", json={}) as answer:
                assert answer.status == 404


async def test_faults_are_set_shown_and_cleared(session: aiohttp.ClientSession) -> None:
    """What is set is shown until it is cleared; what is not a fault is refused by name."""
    shown = await wrong(session, trade_stream={"mute": True}, rest=[{"status": 500, "path": "/v2/clock"}])
    assert shown["trade_stream"]["mute"] is True
    async with session.get("/v2/clock") as answer:
        assert answer.status == 500
    async with session.delete("/faults") as answer:
        assert (await answer.json())["trade_stream"]["mute"] is False
    async with session.post("/faults", json={"mood": "bad"}) as answer:
        assert answer.status == 400
        assert "mood" in (await answer.json())["message"]


async def test_an_order_whose_answer_is_lost_exists_once(session: aiohttp.ClientSession) -> None:
    """After a 504 that came after accepting, the order is found by its client id, and its id is taken."""
    await wrong(session, rest=[{"method": "POST", "path": "/v2/orders", "status": 504, "after_accepting": True}])
    async with session.post("/v2/orders", json=BUY | {"client_order_id": "mine"}) as answer:
        assert answer.status == 504
    async with session.get("/v2/orders:by_client_order_id?client_order_id=mine") as answer:
        assert (await answer.json())["status"] == "filled"
    async with session.post("/v2/orders", json=BUY | {"client_order_id": "mine"}) as answer:
        assert answer.status == 422


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ({"rest": [{"method": "POST", "answer_delay_s": 0.3}]}, "event"),
        ({"trade_stream": {"delay_s": 0.3}}, "answer"),
    ],
)
async def test_answer_and_first_event_come_in_either_order(
    session: aiohttp.ClientSession, order: dict[str, Any], first: str
) -> None:
    """A late answer lets the events overtake it; late events let the answer go first."""
    await wrong(session, **order)
    came: list[str] = []
    async with session.ws_connect("/stream") as socket:
        for message in (AUTH, LISTEN):
            await socket.send_json(message)
            await socket.receive_bytes(timeout=HANG_S)

        async def hear() -> None:
            await socket.receive_bytes(timeout=HANG_S)
            came.append("event")

        async def post() -> None:
            async with session.post("/v2/orders", json=BUY) as answer:
                await answer.read()
            came.append("answer")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hear())
            tasks.create_task(post())
    assert came[0] == first


async def test_streams_are_ended_as_told(session: aiohttp.ClientSession) -> None:
    """Both streams can be cut, or closed with a code; the data stream says its error first."""
    async with session.ws_connect("/stream") as socket:
        await wrong(session, trade_stream_now={"close": 1012})
        assert (await socket.receive(timeout=HANG_S)).data == 1012
    async with session.ws_connect("/v2/iex") as socket:
        assert await socket.receive_json(timeout=HANG_S) == [{"T": "success", "msg": "connected"}]
        await wrong(session, data_stream_now={"close": 406})
        messages = await socket.receive_json(timeout=HANG_S)
        if messages[0].get("msg") == "authenticated":  # the session's headers show the keys
            messages = await socket.receive_json(timeout=HANG_S)
        assert messages == [{"T": "error", "code": 406, "msg": "connection limit exceeded"}]


async def test_an_error_after_the_login_is_said_and_no_more(session: aiohttp.ClientSession) -> None:
    """The connections stay: what the client makes of it is its own matter."""
    async with session.ws_connect("/v2/iex") as data, session.ws_connect("/stream") as trade:
        assert await data.receive_json(timeout=HANG_S) == [{"T": "success", "msg": "connected"}]
        assert await data.receive_json(timeout=HANG_S) == [{"T": "success", "msg": "authenticated"}]
        await wrong(session, data_stream_now={"error": 407}, trade_stream_now={"error": 500})
        assert await data.receive_json(timeout=HANG_S) == [{"T": "error", "code": 407, "msg": "slow client"}]
        assert b"error" in await trade.receive_bytes(timeout=HANG_S)
        await data.send_json({"action": "subscribe", "trades": ["AAPL"]})
        assert (await data.receive_json(timeout=HANG_S))[0]["T"] == "subscription"


@pytest.mark.parametrize(("stream", "path"), [("trade_stream", "/stream"), ("data_stream", "/v2/iex")])
async def test_a_black_hole_swallows_everything_and_closes_nothing(
    session: aiohttp.ClientSession, stream: str, path: str
) -> None:
    """No ping is answered, no new handshake ends; once it is filled, what was sent meanwhile is answered."""
    async with session.ws_connect(path, autoping=False) as socket, asyncio.TaskGroup() as tasks:
        await wrong(session, **{stream: {"black_hole": True}})
        await socket.ping()
        await socket.send_json(AUTH | LISTEN if path == "/stream" else {"action": "subscribe"})
        swallowed = tasks.create_task(_until_pong(socket))
        assert not (await asyncio.wait([swallowed], timeout=0.3))[0]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), session.ws_connect(path):
                pass
        assert not socket.closed
        await wrong(session, **{stream: {"black_hole": False}})
        await asyncio.wait_for(swallowed, HANG_S)


async def _until_pong(socket: aiohttp.ClientWebSocketResponse) -> None:
    while (await socket.receive()).type is not aiohttp.WSMsgType.PONG:
        pass


async def test_a_storm_of_429_tells_when_to_come_again(session: aiohttp.ClientSession) -> None:
    """Handshakes of both streams, and REST, are refused for so long as told."""
    storm = {"refuse_handshakes_s": 0.3, "retry_after_s": 2}
    await wrong(session, data_stream=storm, trade_stream=storm, rest=[{"path": "/v2", "status": 429, "for_s": 0.3}])
    for path in ("/stream", "/v2/iex"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(path)
        assert refused.value.headers is not None
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "2")
    async with session.get("/v2/clock") as answer:
        assert answer.status == 429
    await asyncio.sleep(0.35)
    for path in ("/stream", "/v2/iex"):
        await (await session.ws_connect(path)).close()
    async with session.get("/v2/clock") as answer:
        assert answer.status == 200


async def test_others_use_up_the_accounts_requests(session: aiohttp.ClientSession) -> None:
    """One is left of this minute's, and then 429 with the headers of Alpaca's limit."""
    await wrong(session, crowd={"per_minute": 200, "used": 199})
    answers = []
    for _ in range(2):
        async with session.get("/v2/clock") as answer:
            answers.append(
                (answer.status, answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"])
            )
    assert answers == [(200, "200", "0"), (429, "200", "0")]
