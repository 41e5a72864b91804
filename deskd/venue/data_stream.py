"""Alpaca's market-data websocket: who listens to which symbols, and the sending of each step's messages to them.

1. One step of the market is one frame a client. A message is encoded once a codec, however many clients want it.
2. Control messages are answered one by one; an acknowledgement is always the full set. An error changes nothing.
3. A client that does not keep up is told 407 and cut off; on a tape at speed 0 the market waits for it instead.
4. `/v2/test` knows nothing of the market: it sends FAKEPACA, around the clock.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from math import sin
from typing import Final

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from deskd.domain.errors import WireError
from deskd.ports import Clock
from deskd.venue.faults import Faults, StreamOrder
from deskd.venue.settings import Keys
from deskd.venue.stream_faults import open_way, refused_handshake, switch_reading, turn
from deskd.wire.alpaca import market as wire
from deskd.wire.alpaca.market import Codec, Message

FEEDS: Final = ("iex", "sip", "delayed_sip")
TEST_FEED, TEST_SYMBOL, TEST_PERIOD_S = "test", "FAKEPACA", 1.0
AUTH_S: Final = 10.0  # as on Alpaca
HEARTBEAT_S: Final = 54.0  # as observed on the live service
BEHIND_MAX_BYTES: Final = 8 * 1024 * 1024  # some ten seconds of a busy market; beyond it a client is slow
PATIENT_BYTES: Final = 256 * 1024  # at speed 0 the market waits while a client has so much to read
STUCK_S: Final = 30.0  # but not for ever: who reads nothing for so long is slow at any speed
LAST_WORDS_S: Final = 1.0  # for an error to be read before the connection is cut

ERRORS: Final = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    408: "v2 not enabled",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    411: "insufficient scope",
    500: "internal error",
}
_ENDING: Final = frozenset({402, 404, 406, 407})  # the connection ends with them
_FOLLOWING: Final = ("corrections", "cancelErrors")  # always as `trades`
_TEST_CHANNELS: Final = frozenset({"trades", "quotes", "bars"})

log = structlog.get_logger()

type Readers = dict[Codec, list["_Client"]]


class DataStream:
    """All market-data connections. Limits of 0 are off, as they are for the embedded exchange."""

    def __init__(
        self,
        keys: Keys,
        clock: Clock,
        *,
        is_patient: bool,
        faults: Faults | None = None,
        feeds: Collection[str] = FEEDS,
        connections_max: int = 0,
        symbols_max: int = 0,
        auth_s: float = AUTH_S,
        behind_max_bytes: int = BEHIND_MAX_BYTES,
        stuck_s: float = STUCK_S,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._is_patient = is_patient
        self._faults = faults
        self._feeds = feeds
        self._connections_max = connections_max
        self._symbols_max = symbols_max
        self._auth_s = auth_s
        self._behind_max_bytes = behind_max_bytes
        self._stuck_s = stuck_s
        self._clients: set[_Client] = set()
        self._readers: dict[str, dict[str, Readers]] = {}  # by message type and symbol; "*" for all others
        self._through = open_way()
        self.listened = asyncio.Event()  # somebody has subscribed to something

    def routes(self) -> list[web.RouteDef]:
        """Return every route."""
        return [web.get(f"/v2/{{feed:{'|'.join((*FEEDS, TEST_FEED))}}}", self.handle)]

    def subscriptions(self) -> dict[str, set[str]]:
        """Return what is listened to at present, by channel, over all connections to the market."""
        held: dict[str, set[str]] = {}
        for client in self._clients:
            if client.feed != TEST_FEED and not client.is_ending:
                for channel, symbols in client.held.items():
                    if symbols:
                        held.setdefault(channel, set()).update(symbols)
        return held

    # -- the market goes out

    async def publish(self, messages: Sequence[Message]) -> None:
        """Send one step's messages to everybody who wants them; wait for the slowest where the market is patient."""
        if self._faults is None:
            self._send(messages)
        else:
            wrong = self._faults.data_stream
            shaped = wrong.shape(messages)
            if wrong.delay_s:
                asyncio.get_running_loop().call_later(wrong.delay_s, self._send, shaped)
            else:
                self._send(shaped)
        if self._is_patient:
            for client in [client for client in self._clients if client.behind > PATIENT_BYTES]:
                try:
                    async with asyncio.timeout(self._stuck_s):
                        await client.has_caught_up()
                except TimeoutError:
                    self._fail(client, 407)

    def _send(self, messages: Sequence[Message]) -> None:
        readers = self._readers
        if not readers:
            return
        due: dict[_Client, list[bytes]] = {}
        for message in messages:
            by_symbol = readers.get(message["T"])
            if by_symbol is None:
                continue
            wanted = by_symbol.get(message["S"]) or by_symbol.get("*")
            if not wanted:
                continue
            for codec, clients in wanted.items():
                encoded = wire.encode_message(message, codec)
                for client in clients:
                    due.setdefault(client, []).append(encoded)
        for client, encoded_messages in due.items():
            client.send(wire.frame(encoded_messages, client.codec))
            if client.behind > self._behind_max_bytes and not self._is_patient:
                self._fail(client, 407)

    def do(self, order: StreamOrder) -> None:
        """Cut every connection, or end it with an error, for a test."""
        for client in list(self._clients):
            if order.drop:
                client.cut()
            elif order.close is not None:
                client.say(wire.error(order.close, ERRORS.get(order.close, "error")))
                client.end()
            elif order.error is not None:
                client.say(wire.error(order.error, ERRORS.get(order.error, "error")))

    def black_hole(self, *, is_open: bool) -> None:
        """Swallow whatever comes and goes, on every connection there is and to come, or let it through again."""
        turn(self._through, is_open=not is_open)
        for client in self._clients:
            client.read(is_on=not is_open)

    async def close(self) -> None:
        """Close every connection."""
        for client in list(self._clients):
            await client.socket.close(code=WSCloseCode.GOING_AWAY)

    # -- one connection

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it ends."""
        await self._through.wait()
        if self._faults and (refusal := refused_handshake(self._faults.data_stream)):
            return refusal
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=wire.CONTROL_MAX_BYTES)
        await socket.prepare(request)
        if request.transport is None:  # it left while the handshake was answered
            return socket
        codec: Codec = "msgpack" if request.headers.get("Content-Type") == "application/msgpack" else "json"
        client = _Client(socket, request.transport, codec, request.match_info["feed"], self._through)
        self._clients.add(client)
        client.say(wire.success("connected"))
        if key := request.headers.get("APCA-API-KEY-ID"):
            self._authenticate(client, key, request.headers.get("APCA-API-SECRET-KEY"))
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [tasks.create_task(client.send_all(), name="data_stream_sender")]
                if client.feed == TEST_FEED:
                    helpers.append(tasks.create_task(self._send_fakepaca(client), name="fakepaca"))
                await self._listen(client)
                for helper in helpers:
                    helper.cancel()
        finally:
            self._clients.discard(client)
            self._route()
        return socket

    async def _listen(self, client: "_Client") -> None:
        deadline = asyncio.get_running_loop().time() + self._auth_s
        while True:
            try:
                async with asyncio.timeout_at(None if client.is_authenticated else deadline):
                    message = await client.socket.receive()
            except TimeoutError:
                self._fail(client, 404)
                await client.ended.wait()
                return
            except ConnectionError:  # it left while its ping was being answered
                return
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                return
            try:
                self._answer(client, wire.decode_control(message.data, client.codec))
            except WireError:
                self._fail(client, 400)

    def _answer(self, client: "_Client", message: Message) -> None:
        action = message["action"]
        if action == "auth":
            self._authenticate(client, message.get("key"), message.get("secret"))
        elif action not in {"subscribe", "unsubscribe"}:
            self._fail(client, 400)
        elif not client.is_authenticated:
            self._fail(client, 401)
        else:
            self._change(client, wire.subscription_change(message), is_more=action == "subscribe")

    def _authenticate(self, client: "_Client", key: object, secret: object) -> None:
        connected = sum(other.is_authenticated for other in self._clients)
        if client.is_authenticated:
            self._fail(client, 403)
        elif self._faults is not None and (code := self._faults.data_stream.auth_error()):
            self._fail(client, code)
        elif (key, secret) != (self._keys.key_id, self._keys.secret_key):
            self._fail(client, 402)
        elif client.feed not in (*self._feeds, TEST_FEED):
            self._fail(client, 409)
        elif self._connections_max and connected >= self._connections_max:
            self._fail(client, 406)
        else:
            client.is_authenticated = True
            client.say(wire.success("authenticated"))

    def _change(self, client: "_Client", change: dict[str, set[str]], *, is_more: bool) -> None:
        """Add or take away symbols; corrections and cancelled trades follow the trades."""
        is_served = change.keys() <= _TEST_CHANNELS if client.feed == TEST_FEED else "imbalances" not in change
        if is_more and not is_served and client.feed != "sip":
            self._fail(client, 410)
            return
        held = {channel: set(symbols) for channel, symbols in client.held.items()}
        for channel, symbols in change.items():
            before = held.get(channel, set())
            held[channel] = before | symbols if is_more else before - symbols
        for channel in _FOLLOWING:
            held[channel] = set(held.get("trades", ()))
        priced = held.get("trades", set()) | held.get("quotes", set())
        if is_more and self._symbols_max and ("*" in priced or len(priced) > self._symbols_max):
            self._fail(client, 405)
            return
        client.held = held
        self._route()
        if any(held.values()):
            self.listened.set()
        client.say(wire.subscription(held))

    def _fail(self, client: "_Client", code: int) -> None:
        if code == 407:
            client.forget()
            log.warning("data_stream_client_cut", reason="slow client", behind_bytes_max=self._behind_max_bytes)
        client.say(wire.error(code, ERRORS.get(code, "error")))
        if code in _ENDING:
            client.end()

    def _route(self) -> None:
        """Work out anew who reads what: a message then finds its readers with one look."""
        readers: dict[str, dict[str, Readers]] = {}
        listening = [client for client in self._clients if client.feed != TEST_FEED and not client.is_ending]
        for kind, channel in wire.CHANNEL_OF.items():
            named = {symbol for client in listening for symbol in client.held.get(channel, ())}
            for symbol in named:
                found: Readers = {}
                for client in listening:
                    if client.held.get(channel, set()) & {symbol, "*"}:
                        found.setdefault(client.codec, []).append(client)
                readers.setdefault(kind, {})[symbol] = found
        self._readers = readers

    async def _send_fakepaca(self, client: "_Client") -> None:
        number = 0
        while True:
            messages = _fakepaca(number, wire.to_ns(self._clock.now()))
            wanted = [m for m in messages if client.held.get(wire.CHANNEL_OF[m["T"]], set()) & {TEST_SYMBOL, "*"}]
            if wanted:
                client.send(
                    wire.frame([wire.encode_message(message, client.codec) for message in wanted], client.codec)
                )
            number += 1
            await asyncio.sleep(TEST_PERIOD_S)


class _Client:
    """One connection, and what waits to be sent on it."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        codec: Codec,
        feed: str,
        through: asyncio.Event,
    ) -> None:
        self.socket = socket
        self.codec = codec
        self.feed = feed
        self.held: dict[str, set[str]] = {}
        self.is_authenticated = False
        self.is_ending = False
        self.behind = 0  # bytes not yet taken by the connection
        self.ended = asyncio.Event()
        self._transport = transport
        self._through = through
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._caught_up = asyncio.Event()

    def send(self, data: bytes) -> None:
        """Queue a frame."""
        if not self.is_ending:
            self._queue.append(data)
            self.behind += len(data)
            self._wake.set()

    def say(self, message: Message) -> None:
        """Queue a control message: a frame of its own."""
        self.send(wire.frame([wire.encode_message(message, self.codec)], self.codec))

    def end(self) -> None:
        """Send what is queued, then close; cut the connection where the peer does not even read that."""
        self.is_ending = True
        self._wake.set()
        asyncio.get_running_loop().call_later(LAST_WORDS_S, self.cut)

    def read(self, *, is_on: bool) -> None:
        """Take bytes from the connection, or leave them where they are."""
        switch_reading(self._transport, is_on=is_on)

    def cut(self) -> None:
        """End the connection without a word."""
        self.is_ending = True
        self.forget()
        self.ended.set()
        self._transport.abort()

    def forget(self) -> None:
        """Drop what is queued."""
        self._queue.clear()
        self.behind = 0
        self._caught_up.set()

    async def has_caught_up(self) -> None:
        """Return when everything queued was taken by the connection, or it is gone."""
        while self.behind:
            self._caught_up.clear()
            await self._caught_up.wait()

    async def send_all(self) -> None:
        """Send what is queued, in order, until the connection ends."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._through.wait()
                    if not self._queue:  # cut meanwhile
                        break
                    data = self._queue.popleft()
                    await (
                        self.socket.send_str(data.decode()) if self.codec == "json" else self.socket.send_bytes(data)
                    )
                    self.behind = max(self.behind - len(data), 0)
                self._caught_up.set()
                if self.is_ending:
                    await self.socket.close()
                    return
        except ConnectionError:  # the peer is gone; the receiving side sees it too and ends the connection
            return
        finally:
            self.forget()
            self.ended.set()


def _fakepaca(number: int, now: int) -> list[Message]:
    """Return a trade, a quote and a bar of a stock that does not exist."""
    price = round(133.5 + sin(number / 20), 2)
    trade: Message = {"T": "t", "S": TEST_SYMBOL, "i": number + 1, "x": "V", "p": price, "s": 10 + number % 90}
    quote: Message = {"T": "q", "S": TEST_SYMBOL, "bx": "V", "bp": round(price - 0.01, 2), "bs": 100, "ax": "V"}
    bar: Message = {"T": "b", "S": TEST_SYMBOL, "o": price, "h": price, "l": price, "c": price, "v": 100, "n": 1}
    minute = now // (60 * wire.SECOND) * 60 * wire.SECOND
    return [
        {**trade, "c": ["@"], "z": "C", "t": now},
        {**quote, "ap": round(price + 0.01, 2), "as": 100, "c": ["R"], "z": "C", "t": now},
        *([{**bar, "vw": price, "t": minute - 60 * wire.SECOND}] if number % 60 == 0 else []),
    ]
