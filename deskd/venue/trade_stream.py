"""The `/stream` websocket: who may listen to the account's order events, and the sending of each to all of them.

1. Clients write JSON text; answers are JSON in binary frames, or msgpack where the handshake asked for it.
2. `listen` replaces the set of streams. There is no replay: who was not listening asks by REST.
3. An event is encoded once per codec, not per client. A client that reads too slowly is cut off, never waited for.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgpack
import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from deskd.exchange.order import OrderEvent
from deskd.venue.faults import Faults, StreamOrder
from deskd.venue.settings import Keys
from deskd.venue.stream_faults import open_way, refused_handshake, switch_reading, turn
from deskd.wire.alpaca.venue_replies import trade_update

PATHS = ("/stream", "/stream/")  # the older SDK adds the slash
STREAMS = ("trade_updates",)
QUEUE_MAX = 10_000  # events that a client may be behind: minutes of a busy desk, then it is cut off
CONNECTIONS_MAX = 64  # beyond it the handshake answers 429, as Alpaca does on bursts
HEARTBEAT_S = 54.0  # as observed on the live service
MESSAGE_MAX = 64 * 1024  # bytes of one message from a client

log = structlog.get_logger()

type Message = Mapping[str, object]

_JSON: Callable[[object], bytes] = msgspec.json.encode
_MSGPACK: Callable[[object], bytes] = msgpack.Packer().pack


class TradeStream:
    """All `/stream` connections of the account."""

    def __init__(self, keys: Keys, faults: Faults | None = None) -> None:
        self._keys = keys
        self._faults = faults
        self._through = open_way()
        self._clients: set[_Client] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return every route."""
        return [web.get(path, self.handle) for path in PATHS]

    def publish(self, events: Sequence[OrderEvent]) -> None:
        """Send the events, in order, to every client that listens; return without waiting for any of them."""
        if not any(client.streams for client in self._clients):
            return
        messages = [trade_update(event) for event in events]
        if self._faults is None:
            self._send(messages)
            return
        wrong = self._faults.trade_stream
        shaped = wrong.shape(messages)
        if wrong.delay_s:
            asyncio.get_running_loop().call_later(wrong.delay_s, self._send, shaped)
        else:
            self._send(shaped)

    def do(self, order: StreamOrder) -> None:
        """Cut or close every connection, for a test."""
        for client in self._clients:
            if order.drop:
                client.cut()
            elif order.close is not None:
                client.close_code = order.close
                client.send(b"")
            elif order.error is not None:
                client.send(client.encode(_error(f"{order.error}: as a test wants it")))

    def black_hole(self, *, is_open: bool) -> None:
        """Swallow whatever comes and goes, on every connection there is and to come, or let it through again."""
        turn(self._through, is_open=not is_open)
        for client in self._clients:
            client.read(is_on=not is_open)

    async def close(self) -> None:
        """Close every connection."""
        for client in list(self._clients):
            await client.socket.close(code=WSCloseCode.GOING_AWAY)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it ends."""
        await self._through.wait()
        if self._faults and (refusal := refused_handshake(self._faults.trade_stream)):
            return refusal
        if len(self._clients) >= CONNECTIONS_MAX:
            return web.json_response({"message": "too many requests."}, status=429)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_MAX)
        await socket.prepare(request)
        if request.transport is None:  # it left while the handshake was answered
            return socket
        is_msgpack = request.headers.get("Content-Type") == "application/msgpack"
        client = _Client(socket, request.transport, _MSGPACK if is_msgpack else _JSON, self._through)
        client.is_authorized = self._may(
            request.headers.get("APCA-API-KEY-ID"), request.headers.get("APCA-API-SECRET-KEY")
        )
        self._clients.add(client)
        try:
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(client.send_all(), name="trade_stream_sender")
                with suppress(ConnectionError):  # it left while its ping was being answered
                    async for message in socket:
                        if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                            client.send(client.encode(self._answer(client, message.data)))
                sender.cancel()
        finally:
            self._clients.discard(client)
        return socket

    def _send(self, messages: Sequence[Message]) -> None:
        encoded: dict[Callable[[object], bytes], list[bytes]] = {}
        for client in self._clients:
            if not client.streams:
                continue
            frames = encoded.get(client.encode)
            if frames is None:
                frames = encoded[client.encode] = [client.encode(message) for message in messages]
            for frame in frames:
                client.send(frame)

    def _may(self, key_id: object, secret_key: object) -> bool:
        return key_id == self._keys.key_id and secret_key == self._keys.secret_key

    def _answer(self, client: "_Client", text: str | bytes) -> Message:
        try:
            message: Any = msgspec.json.decode(text)
        except msgspec.DecodeError:
            message = None
        if not isinstance(message, dict):
            return _error("invalid syntax")
        data = message.get("data")
        if not isinstance(data, dict):
            data = message  # the flat form
        match message.get("action"):
            case "authenticate" | "auth":
                is_refused = self._faults is not None and self._faults.trade_stream.refuses_auth()
                key_id, secret_key = data.get("key_id", data.get("key")), data.get("secret_key", data.get("secret"))
                client.is_authorized = not is_refused and self._may(key_id, secret_key)
                return _authorization(is_authorized=client.is_authorized, action="authenticate")
            case "listen" if not client.is_authorized:
                return _authorization(is_authorized=False, action="listen")
            case "listen":
                wanted = data.get("streams")
                if not isinstance(wanted, list):
                    return _error("listen needs data.streams, a list")
                client.streams = [stream for stream in STREAMS if stream in wanted]
                return {"stream": "listening", "data": {"streams": client.streams}}
            case _:
                return _error("invalid action: write authenticate or listen")


class _Client:
    """One connection and what waits to be sent on it."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        encode: Callable[[object], bytes],
        through: asyncio.Event,
    ) -> None:
        self.socket = socket
        self.encode = encode
        self.is_authorized = False
        self.streams: list[str] = []
        self.close_code: int | None = None
        self._transport = transport
        self._through = through
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_MAX)

    def send(self, frame: bytes) -> None:
        """Queue the frame; cut the connection where it is too far behind."""
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            log.warning("trade_stream_client_cut", reason="too slow", events_behind=QUEUE_MAX)
            self.cut()

    def read(self, *, is_on: bool) -> None:
        """Take bytes from the connection, or leave them where they are."""
        switch_reading(self._transport, is_on=is_on)

    def cut(self) -> None:
        """End the connection without a word."""
        self.streams = []
        self._transport.abort()

    async def send_all(self) -> None:
        """Send what is queued, in order, until the connection ends."""
        while True:
            frame = await self._queue.get()
            await self._through.wait()
            try:
                if self.close_code is not None:
                    await self.socket.close(code=self.close_code)
                    return
                await self.socket.send_bytes(frame)
            except ConnectionError:  # the peer is gone; the receiving side sees it too and ends the connection
                return


def _authorization(*, is_authorized: bool, action: str) -> Message:
    status = "authorized" if is_authorized else "unauthorized"
    return {"stream": "authorization", "data": {"status": status, "action": action}}


def _error(text: str) -> Message:
    return {"stream": "error", "data": {"error": text}}
