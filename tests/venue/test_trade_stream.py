"""The trade stream's protocol, over real sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import msgpack
import pytest
from aiohttp import web

from deskd.domain.events import BrokerStatus
from deskd.domain.order import OrderType, Side, TimeInForce
from deskd.exchange.order import ExchangeOrder, OrderEvent, OrderWord, PositionIntent
from deskd.venue.faults import Faults, StreamFaults, StreamOrder
from deskd.venue.settings import Keys
from deskd.venue.trade_stream import TradeStream
from deskd.wire.alpaca.venue_replies import trade_update
from tests.hang import HANG_S

KEYS = Keys(key_id="id", secret_key="secret")
AUTH = {"action": "authenticate", "data": {"key_id": "id", "secret_key": "secret"}}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}
AUTHORIZED = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
AT = datetime(2026, 10, 8, 15, 10, tzinfo=UTC)


def an_event(number: int = 0, *, padding: int = 0) -> OrderEvent:
    order = ExchangeOrder(
        id=str(number),
        client_order_id="x" * padding,
        status=BrokerStatus.NEW,
        created_at=AT,
        updated_at=AT,
        submitted_at=AT,
        asset_id="asset",
        symbol="KO",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        position_intent=PositionIntent.BUY_TO_OPEN,
    )
    return OrderEvent(event=OrderWord.NEW, event_id=str(number), execution_id="e", at=AT, order=order)


EVENT = an_event()
MESSAGE = trade_update(EVENT)


@asynccontextmanager
async def served(stream: TradeStream) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/stream", stream.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/stream"
    finally:
        await stream.close()
        await runner.cleanup()


async def ask(socket: aiohttp.ClientWebSocketResponse, message: object) -> object:
    await socket.send_str(json.dumps(message))
    return json.loads(await socket.receive_bytes(timeout=HANG_S))


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await ask(socket, AUTH)
        await ask(socket, LISTEN)
        yield socket


async def test_a_client_authenticates_listens_and_hears() -> None:
    """The documented conversation, word for word, in binary frames, without a welcome."""
    stream = TradeStream(KEYS)
    async with served(stream) as url, aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        assert await ask(socket, AUTH) == AUTHORIZED
        assert await ask(socket, LISTEN) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        stream.publish([EVENT])
        assert json.loads(await socket.receive_bytes(timeout=HANG_S)) == MESSAGE


@pytest.mark.parametrize(
    "message",
    [
        {"action": "auth", "key": "id", "secret": "secret"},
        {"action": "authenticate", "key_id": "id", "secret_key": "secret"},
    ],
)
async def test_the_flat_form_authenticates_too(message: object) -> None:
    """Both spellings of a flat authentication are taken."""
    async with served(TradeStream(KEYS)) as url, aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        assert await ask(socket, message) == AUTHORIZED


async def test_wrong_keys_and_no_keys_are_unauthorized() -> None:
    """Wrong keys are told so, and listening before authentication answers for `listen`."""
    wrong = {"action": "authenticate", "data": {"key_id": "id", "secret_key": "guess"}}
    async with served(TradeStream(KEYS)) as url, aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        assert await ask(socket, wrong) == {
            "stream": "authorization",
            "data": {"status": "unauthorized", "action": "authenticate"},
        }
        assert await ask(socket, LISTEN) == {
            "stream": "authorization",
            "data": {"status": "unauthorized", "action": "listen"},
        }


async def test_listen_replaces_the_set() -> None:
    """Unknown streams are missing from the answer, and an empty list ends the events."""
    stream = TradeStream(KEYS)
    async with served(stream) as url, listening(url) as socket:
        unknown = {"action": "listen", "data": {"streams": ["trade_updates", "account_updates"]}}
        assert await ask(socket, unknown) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        nothing = {"action": "listen", "data": {"streams": []}}
        assert await ask(socket, nothing) == {"stream": "listening", "data": {"streams": []}}
        stream.publish([EVENT])
        assert await ask(socket, AUTH) == AUTHORIZED  # the next frame is the answer: no event came before it


async def test_msgpack_is_spoken_where_the_handshake_asks_for_it() -> None:
    """With Content-Type application/msgpack the same messages come as msgpack."""
    headers = {"Content-Type": "application/msgpack"}
    async with (
        served(TradeStream(KEYS)) as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(url, headers=headers) as socket,
    ):
        await socket.send_str(json.dumps(AUTH))
        assert msgpack.unpackb(await socket.receive_bytes(timeout=HANG_S)) == AUTHORIZED


async def test_keys_in_the_handshake_authorize() -> None:
    """A client that showed its keys in the handshake may listen at once."""
    headers = {"APCA-API-KEY-ID": "id", "APCA-API-SECRET-KEY": "secret"}
    async with (
        served(TradeStream(KEYS)) as url,
        aiohttp.ClientSession() as session,
        session.ws_connect(url, headers=headers) as socket,
    ):
        assert await ask(socket, LISTEN) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "1", '{"action": "levitate"}', '{"action": "listen"}', "\x00"])
async def test_nonsense_is_answered_and_harms_nobody(text: str) -> None:
    """Whatever a client writes, it gets an error message and the connection goes on."""
    async with served(TradeStream(KEYS)) as url, listening(url) as socket:
        await socket.send_str(text)
        answer = json.loads(await socket.receive_bytes(timeout=HANG_S))
        assert answer["stream"] == "error"
        assert answer["data"]["error"]
        assert await ask(socket, AUTH) == AUTHORIZED


async def test_every_listener_hears_every_event_in_order() -> None:
    """Two clients hear the same hundred events in the order of publication."""
    stream = TradeStream(KEYS)
    events = [an_event(number) for number in range(100)]
    async with served(stream) as url, listening(url) as one, listening(url) as other:
        stream.publish(events[:1])
        stream.publish(events[1:])
        for socket in (one, other):
            heard = [json.loads(await socket.receive_bytes(timeout=HANG_S)) for _ in events]
            assert heard == [trade_update(event) for event in events]


async def test_a_delayed_muted_or_refusing_stream_does_as_told() -> None:
    """Muted events never come, delayed ones do, refused handshakes get 429 and refused keys `unauthorized`."""
    faults = Faults()
    stream = TradeStream(KEYS, faults)
    async with served(stream) as url, listening(url) as socket:
        faults.trade_stream = StreamFaults(mute=True)
        stream.publish([EVENT])
        faults.trade_stream = StreamFaults(delay_s=0.01, refuse_handshakes=1, refuse_auth=1)
        late = an_event(7)
        stream.publish([late])
        assert json.loads(await socket.receive_bytes(timeout=HANG_S)) == trade_update(late)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            async with aiohttp.ClientSession() as session, session.ws_connect(url):
                pass
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as second:
            refused = await ask(second, AUTH)
            assert refused == {"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}}
            assert await ask(second, AUTH) == AUTHORIZED


async def test_connections_end_as_told() -> None:
    """A drop cuts without a word; a close arrives with its code."""
    stream = TradeStream(KEYS, Faults())
    async with served(stream) as url:
        async with listening(url) as socket:
            stream.do(StreamOrder(close=1012))
            message = await socket.receive(timeout=HANG_S)
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
        async with listening(url) as socket:
            stream.do(StreamOrder(drop=True))
            message = await socket.receive(timeout=HANG_S)
            assert message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE}


async def test_a_client_that_never_reads_is_cut_off_and_delays_nobody() -> None:
    """More unread events than the bound end that client's connection; the other hears them all."""
    stream = TradeStream(KEYS)
    event = an_event(padding=1_000)
    async with served(stream) as url, listening(url) as stuck, listening(url) as reader:
        transport = stuck.get_extra_info("transport") or stuck._response.connection.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.pause_reading()
        for _ in range(25):
            stream.publish([event] * 1_000)
            for _ in range(1_000):
                await reader.receive_bytes(timeout=HANG_S)
        transport.resume_reading()
        unread = 0
        while (await stuck.receive(timeout=HANG_S)).type is aiohttp.WSMsgType.BINARY:
            unread += 1
        assert unread < 25_000
