"""Guarantees of the market-data websocket, seen by the official client with its models on, and by plain ones."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgpack
import pytest
from aiohttp import WSMsgType, web
from alpaca.data.live import StockDataStream

from deskd.ports import SystemClock
from deskd.venue.data_stream import ERRORS, PATIENT_BYTES, DataStream
from deskd.venue.faults import Faults, StreamFaults, StreamOrder
from deskd.venue.settings import Keys
from deskd.wire.alpaca import market as wire
from deskd.wire.alpaca.market import CHANNELS, Codec, Message
from tests.hang import HANG_S
from tests.venue.markets import OPEN, a_quote, a_trade, at, ns

KEYS = Keys(key_id="key", secret_key="secret")
AUTH = {"action": "auth", "key": "key", "secret": "secret"}
MSGPACK = {"Content-Type": "application/msgpack"}
HEADERS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}


@asynccontextmanager
async def served(**told: Any) -> AsyncIterator[tuple[DataStream, str]]:
    stream = DataStream(KEYS, SystemClock(), **{"is_patient": False} | told)
    app = web.Application()
    app.add_routes(stream.routes())
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield stream, f"ws://127.0.0.1:{runner.addresses[0][1]}/v2"
    finally:
        await stream.close()
        await runner.cleanup()


class Peer:
    """A plain client."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, codec: Codec) -> None:
        self.socket = socket
        self.codec = codec

    async def say(self, message: Message) -> None:
        if self.codec == "json":
            await self.socket.send_str(json.dumps(message))
        else:
            await self.socket.send_bytes(msgpack.packb(message))

    async def hear(self) -> list[Message]:
        frame = await self.socket.receive(timeout=HANG_S)
        assert frame.type is (WSMsgType.TEXT if self.codec == "json" else WSMsgType.BINARY), frame
        return wire.decode_frame(frame.data, self.codec)

    async def ask(self, message: Message) -> Message:
        await self.say(message)
        (answer,) = await self.hear()
        return answer

    async def subscribe(self, **channels: Sequence[str]) -> Message:
        return await self.ask({"action": "subscribe", **{name: list(symbols) for name, symbols in channels.items()}})

    async def is_closed(self) -> bool:
        frame = await self.socket.receive(timeout=HANG_S)
        return frame.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR}


@asynccontextmanager
async def connected(
    url: str, feed: str = "iex", codec: Codec = "json", headers: dict[str, str] | None = None
) -> AsyncIterator[Peer]:
    content = MSGPACK if codec == "msgpack" else {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/{feed}", headers=content | (headers or {}), autoping=True) as socket,
    ):
        peer = Peer(socket, codec)
        assert await peer.hear() == [wire.success("connected")]
        yield peer


@asynccontextmanager
async def authenticated(url: str, feed: str = "iex", codec: Codec = "json") -> AsyncIterator[Peer]:
    async with connected(url, feed, codec) as peer:
        assert await peer.ask(AUTH) == wire.success("authenticated")
        yield peer


def error(code: int) -> Message:
    return wire.error(code, ERRORS[code])


async def test_the_official_client_gets_every_kind_of_message() -> None:
    """With its models on: trades, quotes, bars, statuses, bands, corrections and cancels arrive as its own objects."""
    bar: Message = {"o": 1.0, "h": 2.0, "l": 1.0, "c": 2.0, "v": 5, "n": 2, "vw": 1.5, "S": "IBM", "t": ns(OPEN)}
    sent: list[Message] = [
        a_trade(p=100.5),
        a_quote(),
        {"T": "b", **bar},
        {"T": "u", **bar},
        {"T": "d", **bar},
        {"T": "s", "S": "IBM", "sc": "2", "sm": "Trading Halt", "rc": "M", "rm": "LULD", "z": "A", "t": ns(OPEN)},
        {"T": "l", "S": "IBM", "u": 3.24, "d": 2.65, "i": "B", "z": "A", "t": ns(OPEN)},
        {"T": "c", "S": "IBM", "x": "N", "oi": 1, "op": 1.0, "os": 4, "oc": [" "], "ci": 2, "cp": 1.1, "cs": 4, "cc": [" "], "z": "A", "t": ns(OPEN)},
        {"T": "x", "S": "IBM", "i": 4, "x": "N", "p": 1.5, "s": 5, "a": "C", "z": "A", "t": ns(OPEN)},
    ]  # fmt: skip
    heard: list[Any] = []
    everything = asyncio.Event()

    async def note(message: Any) -> None:
        heard.append(message)
        if len(heard) == len(sent):
            everything.set()

    async with served() as (stream, url):
        client = StockDataStream("key", "secret", url_override=f"{url}/iex", websocket_params={"close_timeout": 1})
        client.subscribe_trades(note, "IBM")
        client.subscribe_quotes(note, "IBM")
        client.subscribe_bars(note, "IBM")
        client.subscribe_updated_bars(note, "IBM")
        client.subscribe_daily_bars(note, "IBM")
        client.subscribe_trading_statuses(note, "IBM")
        client._handlers["lulds"]["IBM"] = note
        client.register_trade_corrections(note)
        client.register_trade_cancels(note)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(client._run_forever())
            while not stream.subscriptions():  # noqa: ASYNC110  the client says nowhere that it is connected
                await asyncio.sleep(0.01)
            await stream.publish(sent)
            async with asyncio.timeout(HANG_S):
                await everything.wait()
            await client.stop_ws()
            await client.close()
            await running
    assert [type(message).__name__ for message in heard] == [
        "Trade", "Quote", "Bar", "Bar", "Bar", "TradingStatus", "dict", "TradeCorrection", "TradeCancel",
    ]  # fmt: skip
    assert heard[0].price == 100.5
    assert heard[0].timestamp == at(OPEN)
    assert (heard[1].bid_price, heard[1].ask_size) == (99.99, 200)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_what_a_step_brought_comes_as_one_frame(codec: Codec) -> None:
    """In order, only what is subscribed, in the codec of the handshake, to the nanosecond."""
    precise = ns("2013-10-08T13:30:00.123456789Z")
    async with served() as (stream, url), authenticated(url, codec=codec) as peer:
        await peer.subscribe(trades=["IBM"], quotes=["SPY"])
        await stream.publish(
            [a_trade(t="2013-10-08T13:30:00Z", i=1), a_quote(), a_quote(S="SPY"), a_trade(i=2) | {"t": precise}]
        )
        assert await peer.hear() == [a_trade(i=1), a_quote(S="SPY"), a_trade(i=2) | {"t": precise}]
        await stream.publish([a_trade(S="KO")])
        await stream.publish([a_trade(i=3)])
        assert await peer.hear() == [a_trade(i=3)]


async def test_a_star_is_every_symbol_and_a_channel_of_its_own_each() -> None:
    """`*` on bars brings all bars and no trades; a client with star and symbol gets each message once."""
    bar: Message = {"T": "b", "S": "KO", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1, "n": 1, "vw": 1, "t": ns(OPEN)}
    async with served() as (stream, url), authenticated(url) as peer, authenticated(url) as other:
        await peer.subscribe(bars=["*", "KO"])
        await other.subscribe(bars=["KO"], trades=["*"])
        await stream.publish([bar, a_trade(), {**bar, "S": "IBM"}])
        assert await peer.hear() == [bar, {**bar, "S": "IBM"}]
        assert await other.hear() == [bar, a_trade()]


async def test_an_acknowledgement_is_always_the_full_set() -> None:
    """Subscribe adds, unsubscribe takes away; corrections and cancels follow the trades; nothing asked is answered too."""
    empty: Message = {channel: [] for channel in CHANNELS if channel != "imbalances"}
    async with served() as (_, url), authenticated(url) as peer:
        assert await peer.ask({"action": "subscribe"}) == {"T": "subscription", **empty}
        ack = await peer.subscribe(trades=["SPY", "AAPL"], bars=["*"])
        follow = {"trades": ["AAPL", "SPY"], "corrections": ["AAPL", "SPY"], "cancelErrors": ["AAPL", "SPY"]}
        assert ack == {"T": "subscription", **empty, **follow, "bars": ["*"]}
        assert (await peer.subscribe(quotes=["ZZQQTESTX"]))["quotes"] == ["ZZQQTESTX"]
        ack = await peer.ask({"action": "unsubscribe", "trades": ["SPY", "KO"], "bars": [], "quotes": ["ZZQQTESTX"]})
        assert (ack["trades"], ack["cancelErrors"], ack["quotes"], ack["bars"]) == (["AAPL"], ["AAPL"], [], ["*"])


async def test_a_subscription_may_come_in_pieces() -> None:
    """Thousands of symbols in fragments of one message, as the official client sends them."""
    symbols = [f"A{n}" for n in range(9_000)]
    packed = msgpack.packb({"action": "subscribe", "trades": symbols})
    async with served() as (stream, url), authenticated(url, codec="msgpack") as peer:
        writer = peer.socket._writer
        half = len(packed) // 2
        writer.transport.write(_fragment(0x02, packed[:half]))
        writer.transport.write(_fragment(0x80, packed[half:]))
        (ack,) = await peer.hear()
        assert ack["trades"] == sorted(symbols)
        assert stream.subscriptions()["trades"] == set(symbols)


def _fragment(head: int, payload: bytes) -> bytes:
    return bytes((head, 0x80 | 127)) + len(payload).to_bytes(8, "big") + bytes(4) + payload  # masked with zeros


@pytest.mark.parametrize(
    "said",
    ["{", "[]", "7", '{"action": 1}', '{"action": "levitate"}', '{"action": "subscribe", "news": ["A"]}',
     '{"action": "subscribe", "bars": "A"}', '{"action": "subscribe", "bars": [1]}'],
)  # fmt: skip
async def test_what_is_not_understood_is_a_400_and_changes_nothing(said: str) -> None:
    """The connection lives on with what it had."""
    async with served() as (_, url), authenticated(url) as peer:
        before = await peer.subscribe(trades=["IBM"])
        await peer.socket.send_str(said)
        assert await peer.hear() == [error(400)]
        assert await peer.ask({"action": "subscribe"}) == before


async def test_keys_come_first_and_once() -> None:
    """401 before, 403 after, 402 where they are wrong: then the connection ends."""
    async with served() as (_, url):
        async with connected(url) as peer:
            assert await peer.subscribe(trades=["IBM"]) == error(401)
            assert await peer.ask(AUTH) == wire.success("authenticated")
            assert await peer.ask(AUTH) == error(403)
        async with connected(url) as peer:
            assert await peer.ask({**AUTH, "secret": "guess"}) == error(402)
            assert await peer.is_closed()
        async with connected(url, headers=HEADERS) as peer:
            assert await peer.hear() == [wire.success("authenticated")]
        async with connected(url, headers=HEADERS | {"APCA-API-SECRET-KEY": "guess"}) as peer:
            assert await peer.hear() == [error(402)]
            assert await peer.is_closed()


async def test_who_says_nothing_is_asked_to_leave() -> None:
    """After the time for authentication: 404, and the end."""
    async with served(auth_s=0.05) as (_, url), connected(url) as peer:
        assert await peer.hear() == [error(404)]
        assert await peer.is_closed()


async def test_limits_are_off_unless_they_are_set() -> None:
    """Connections: 406, and the next may come when one is gone. Symbols of trades and quotes: 405, set unchanged."""
    async with served(connections_max=1, symbols_max=2) as (_, url):
        async with authenticated(url) as peer:
            before = await peer.subscribe(trades=["A"], quotes=["A", "B"], bars=["*"])
            assert await peer.subscribe(quotes=["C"]) == error(405)
            assert await peer.subscribe(trades=["*"]) == error(405)
            assert await peer.ask({"action": "subscribe"}) == before
            async with connected(url) as second:
                assert await second.ask(AUTH) == error(406)
                assert await second.is_closed()
        async with authenticated(url):
            pass


async def test_a_feed_of_another_plan_is_a_409_and_a_channel_of_another_feed_a_410() -> None:
    """The error is the whole answer; imbalances are the SIP's."""
    async with served(feeds=("iex",)) as (_, url):
        async with connected(url, "sip") as peer:
            assert await peer.ask(AUTH) == error(409)
        async with authenticated(url) as peer:
            assert await peer.subscribe(imbalances=["A"]) == error(410)
    async with served() as (_, url), authenticated(url, "sip") as peer:
        assert (await peer.subscribe(imbalances=["A"]))["imbalances"] == ["A"]


async def test_the_test_feed_is_fakepaca_around_the_clock() -> None:
    """Whatever the market does; channels it lacks are a 410."""
    async with served() as (stream, url), authenticated(url, "test", "msgpack") as peer:
        assert await peer.subscribe(statuses=["*"]) == error(410)
        await peer.subscribe(trades=["FAKEPACA"], quotes=["*"])
        await stream.publish([a_trade(S="FAKEPACA", p=7.0)])
        trade, quote = await peer.hear()
        assert (trade["T"], quote["T"], trade["S"], quote["S"]) == ("t", "q", "FAKEPACA", "FAKEPACA")
        assert trade["p"] != 7.0
        assert quote["bp"] < trade["p"] < quote["ap"]


async def flood(stream: DataStream, steps: int) -> None:
    step = [a_trade(c=["@"] * 200, i=n) for n in range(200)]
    for _ in range(steps):
        await stream.publish(step)
        await asyncio.sleep(0)


async def test_a_client_that_does_not_read_is_told_407_and_cut_off() -> None:
    """Its messages are not kept for ever, and another client's market goes on."""
    async with served(behind_max_bytes=500_000) as (stream, url), authenticated(url) as other:  # noqa: SIM117  too long
        async with authenticated(url) as stuck:
            await other.subscribe(quotes=["IBM"])
            await stuck.subscribe(trades=["IBM"])
            stuck.socket._conn.transport.pause_reading()  # type: ignore[union-attr]
            await flood(stream, 300)
            await stream.publish([a_quote()])
            assert await other.hear() == [a_quote()]
            async with asyncio.timeout(HANG_S):
                while stream.subscriptions().get("trades"):  # noqa: ASYNC110  the cut has no event of its own
                    await asyncio.sleep(0.01)
            stuck.socket._conn.transport.resume_reading()  # type: ignore[union-attr]


async def test_at_speed_zero_the_market_waits_for_a_slow_client() -> None:
    """Nothing is lost and nobody is cut: the next step waits until the client has read."""
    async with served(is_patient=True) as (stream, url), authenticated(url, codec="msgpack") as slow:
        await slow.subscribe(trades=["IBM"])
        async with asyncio.TaskGroup() as tasks:
            flooding = tasks.create_task(flood(stream, 300))
            await asyncio.sleep(0.05)
            heard = 0
            while heard < 300 * 200:
                heard += len(await slow.hear())
            await flooding
        assert heard == 300 * 200
        assert PATIENT_BYTES < 300 * 200 * 100


async def test_even_a_patient_market_does_not_wait_for_ever() -> None:
    """Who reads nothing at all is slow at any speed, and the market goes on."""
    async with served(is_patient=True, stuck_s=0.05) as (stream, url), authenticated(url) as stuck:
        await stuck.subscribe(trades=["IBM"])
        stuck.socket._conn.transport.pause_reading()  # type: ignore[union-attr]
        async with asyncio.timeout(HANG_S):
            await flood(stream, 300)
        assert stream.subscriptions() == {}
        stuck.socket._conn.transport.resume_reading()  # type: ignore[union-attr]


async def test_faults_do_what_tests_ask_for() -> None:
    """Mute, doubled, out of order, late, refused handshake and authentication, cut and closed with an error."""
    faults = Faults()
    one, two = a_trade(i=1), a_trade(i=2)
    async with served(faults=faults) as (stream, url):
        async with authenticated(url) as peer:
            await peer.subscribe(trades=["IBM"])
            faults.data_stream = StreamFaults(mute=True)
            await stream.publish([one])
            faults.data_stream = StreamFaults(duplicate=True)
            await stream.publish([two])
            assert await peer.hear() == [two, two]
            faults.data_stream = StreamFaults(reorder=True)
            await stream.publish([one, two])
            assert await peer.hear() == [two, one]
            faults.data_stream = StreamFaults(delay_s=0.01)
            await stream.publish([one])
            assert await peer.hear() == [one]
            faults.clear()
            stream.do(StreamOrder(close=500))
            assert await peer.hear() == [error(500)]
            assert await peer.is_closed()
        faults.data_stream = StreamFaults(refuse_handshakes=1, refuse_auth=1)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            async with connected(url):
                pass
        async with connected(url) as peer:
            assert await peer.ask(AUTH) == error(402)
        async with authenticated(url) as peer:
            stream.do(StreamOrder(drop=True))
            assert await peer.is_closed()


async def test_a_connection_that_is_gone_is_forgotten() -> None:
    """Publishing goes on without it."""
    async with served() as (stream, url):
        async with authenticated(url) as peer:
            await peer.subscribe(trades=["IBM"])
            assert stream.subscriptions() == {"trades": {"IBM"}, "corrections": {"IBM"}, "cancelErrors": {"IBM"}}
        async with asyncio.timeout(HANG_S):
            while stream.subscriptions():  # noqa: ASYNC110  the end has no event of its own
                await asyncio.sleep(0.01)
        await stream.publish([a_trade()])
