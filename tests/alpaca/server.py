"""An Alpaca in this process that speaks its frames and does what a test tells it: refuse, drop, fall silent, lie."""

import asyncio
import socket
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgpack
import msgspec
from aiohttp import WSMsgType, web

from deskd.alpaca.endpoints import Endpoints, Keys, embedded
from tests.factories import NOON
from tests.hang import HANG_S

KEYS = Keys("PK123", "very-secret")
CHANNELS = ("trades", "quotes", "bars", "statuses")

type Row = dict[str, Any]
type Handler = Callable[[web.Request], web.StreamResponse | Awaitable[web.StreamResponse]]
type Behaviour = Handler | web.Response | Row | list[Row]


class NoonClock:
    """It is always noon; durations are real."""

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class FakeAlpaca:
    url: str = ""
    handshakes: deque[int] = field(default_factory=deque)  # HTTP statuses for the next websocket handshakes
    retry_after: str = ""  # in the header of these
    data_auth: deque[Row] = field(default_factory=deque)  # answers to the next auth messages; then: authenticated
    trade_auth: deque[str] = field(default_factory=deque)  # statuses; then: authorized
    symbol_limit: int = 10_000
    acks: bool = True  # of subscribe and listen
    heard: list[Row] = field(default_factory=list)  # what clients said on websockets
    held: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    data_sockets: list[web.WebSocketResponse] = field(default_factory=list)
    trade_sockets: list[web.WebSocketResponse] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    answers: dict[tuple[str, str], deque[Behaviour]] = field(default_factory=lambda: defaultdict(deque))
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def endpoints(self) -> Endpoints:
        return embedded(self.url, "iex")

    # --- what a test asks of it ------------------------------------------------------------------------------------

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANG_S), self._changed:
            await self._changed.wait_for(holds)

    async def send_data(self, *messages: Row) -> None:
        for ws in self.data_sockets:
            await ws.send_bytes(msgpack.packb(list(messages), datetime=True))

    async def send_raw(self, frame: bytes) -> None:
        for ws in self.data_sockets:
            await ws.send_bytes(frame)

    async def send_update(self, data: Row) -> None:
        await self.send_trade("trade_updates", data)

    async def send_trade(self, stream: str, data: Row) -> None:
        for ws in self.trade_sockets:
            await ws.send_bytes(msgspec.json.encode({"stream": stream, "data": data}))

    def drop(self) -> None:
        """Cut every websocket without a word."""
        for ws in self.data_sockets + self.trade_sockets:
            assert ws._req is not None
            transport = ws._req.transport
            assert transport is not None
            transport.abort()

    def answer(self, method: str, path: str, *behaviours: Behaviour) -> None:
        """Answer the next requests so; the last one stays."""
        self.answers[method, path].extend(behaviours)

    def asked(self, path: str) -> list[dict[str, str]]:
        return [params for _, where, params, _ in self.requests if where == path]

    # --- websockets ------------------------------------------------------------------------------------------------

    async def data(self, request: web.Request) -> web.StreamResponse:
        if self.handshakes:
            return self._refused()
        assert request.headers["Content-Type"] == "application/msgpack"
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await self._say(ws, {"T": "success", "msg": "connected"})
        self.held.clear()
        try:
            async for message in ws:
                if message.type is WSMsgType.BINARY:
                    await self._on_data_control(ws, msgpack.unpackb(message.data))
        finally:
            await self._gone(self.data_sockets, ws)
        return ws

    def _refused(self) -> web.Response:
        headers = {"Retry-After": self.retry_after} if self.retry_after else None
        return web.Response(status=self.handshakes.popleft(), headers=headers)

    async def _on_data_control(self, ws: web.WebSocketResponse, said: Row) -> None:
        action = said.pop("action")
        if action == "auth":
            answer = self.data_auth.popleft() if self.data_auth else {"T": "success", "msg": "authenticated"}
            await self._say(ws, answer)
            if answer["T"] != "error":
                self.data_sockets.append(ws)
        elif self.acks:
            now = {channel: set(symbols) for channel, symbols in self.held.items()}
            for channel, symbols in said.items():
                old = now.get(channel, set())
                now[channel] = old | set(symbols) if action == "subscribe" else old - set(symbols)
            if sum(map(len, now.values())) > self.symbol_limit:
                await self._say(ws, {"T": "error", "code": 405, "msg": "symbol limit exceeded"})
            else:
                self.held = defaultdict(set, now)
                await self._say(ws, {"T": "subscription"} | {c: sorted(s) for c, s in now.items() if s})
        await self._note({"action": action, **said})

    async def _say(self, ws: web.WebSocketResponse, message: Row) -> None:
        await ws.send_bytes(msgpack.packb([message]))

    async def trade(self, request: web.Request) -> web.StreamResponse:
        if self.handshakes:
            return self._refused()
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        try:
            async for message in ws:
                said = msgspec.json.decode(message.data)
                if said["action"] == "authenticate":
                    status = self.trade_auth.popleft() if self.trade_auth else "authorized"
                    answer = {"stream": "authorization", "data": {"status": status, "action": "authenticate"}}
                    await ws.send_bytes(msgspec.json.encode(answer))
                    self.trade_sockets.append(ws)
                elif self.acks:
                    await ws.send_bytes(msgspec.json.encode({"stream": "listening", "data": said["data"]}))
                await self._note(said)
        finally:
            await self._gone(self.trade_sockets, ws)
        return ws

    async def _note(self, said: Row) -> None:
        async with self._changed:
            self.heard.append(said)
            self._changed.notify_all()

    async def _gone(self, sockets: list[web.WebSocketResponse], ws: web.WebSocketResponse) -> None:
        if ws in sockets:
            sockets.remove(ws)
        async with self._changed:
            self._changed.notify_all()

    # --- REST ------------------------------------------------------------------------------------------------------

    async def rest(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        seen = msgspec.json.decode(body) if body else None
        self.requests.append((request.method, request.path, dict(request.query), seen))
        assert request.headers["APCA-API-KEY-ID"] == KEYS.key_id
        waiting = self.answers[request.method, request.path]
        if not waiting:
            return web.json_response({"code": 40410000, "message": "endpoint not found"}, status=404)
        behaviour = waiting.popleft() if len(waiting) > 1 else waiting[0]
        if isinstance(behaviour, web.Response):
            return _again(behaviour)
        if callable(behaviour):
            result = behaviour(request)
            return result if isinstance(result, web.StreamResponse) else await result
        return web.json_response(behaviour)


def _again(response: web.Response) -> web.Response:
    """Return a copy: a response can be sent once only."""
    headers = {k: v for k, v in response.headers.items() if k.lower() not in {"content-type", "content-length"}}
    return web.Response(status=response.status, body=response.body, content_type=response.content_type, headers=headers)


def refusal(status: int, message: str, code: int | None = None, **extras: Any) -> web.Response:
    body = {"code": code if code is not None else status * 100_000, "message": message, **extras}
    return web.json_response(body, status=status)


def cut(request: web.Request) -> web.StreamResponse:
    """Cut the connection in place of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def silence(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.sleep(3600)
    raise AssertionError


@asynccontextmanager
async def fake_alpaca() -> AsyncIterator[FakeAlpaca]:
    fake = FakeAlpaca()
    app = web.Application()
    app.router.add_get("/v2/iex", fake.data)
    app.router.add_get("/stream", fake.trade)
    app.router.add_route("*", "/{path:.*}", fake.rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield fake
    finally:
        fake.drop()
        await runner.cleanup()


class Hole:
    """A way through to a server that can become a black hole: bytes go in, none come out, nothing is closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += (writer, there_writer)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, there_writer))
                tasks.create_task(self._pump(there_reader, writer))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            there_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self.is_open.wait()
            writer.write(data)
        raise ConnectionError

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Hole"]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()


def an_order(**overrides: Any) -> Row:
    """Return an order as Alpaca's REST answers it (recorded on a paper account)."""
    order: Row = {
        "asset_class": "us_equity",
        "asset_id": "3795cafe-fd54-4f66-a31e-66774be875ca",
        "canceled_at": None,
        "client_order_id": "alice-1",
        "created_at": "2026-10-08T15:10:18.909428548Z",
        "expired_at": None,
        "expires_at": "2026-10-08T20:00:00Z",
        "extended_hours": False,
        "failed_at": None,
        "filled_at": None,
        "filled_avg_price": None,
        "filled_qty": "0",
        "hwm": None,
        "id": "61d1feca-aa11-4863-8b79-64c5e4731a98",
        "legs": None,
        "limit_price": None,
        "notional": None,
        "order_class": "",
        "order_type": "market",
        "position_intent": "buy_to_open",
        "qty": "10",
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "side": "buy",
        "source": None,
        "status": "pending_new",
        "stop_price": None,
        "submitted_at": "2026-10-08T15:10:18.909428548Z",
        "subtag": None,
        "symbol": "AAPL",
        "time_in_force": "day",
        "trail_percent": None,
        "trail_price": None,
        "type": "market",
        "updated_at": "2026-10-08T15:10:18.910283851Z",
    }
    return order | overrides


def an_activity(**overrides: Any) -> Row:
    """Return a FILL activity (recorded)."""
    row: Row = {
        "activity_type": "FILL",
        "cum_qty": "10",
        "id": "20261008111019061::5f19ad50-36aa-44e1-9313-094944098fd6",
        "leaves_qty": "0",
        "order_id": "61d1feca-aa11-4863-8b79-64c5e4731a98",
        "order_status": "filled",
        "price": "86.88",
        "qty": "10",
        "side": "buy",
        "symbol": "AAPL",
        "transaction_time": "2026-10-08T15:10:19.061299Z",
        "type": "fill",
    }
    return row | overrides


def an_update(event: str = "new", order: Mapping[str, Any] | None = None, **fields: Any) -> Row:
    """Return the data of one trade update."""
    return {
        "event": event,
        "execution_id": "5f19ad50-36aa-44e1-9313-094944098fd6",
        "timestamp": "2026-10-08T15:10:19.061298673Z",
        "order": an_order(status=event) | dict(order or {}),
        **fields,
    }


def a_tick(price: float = 150.25, symbol: str = "AAPL", second: int = 0) -> Row:
    stamp = msgpack.Timestamp(int(NOON.timestamp()) + second, 123_456_789)
    return {"T": "t", "S": symbol, "i": 1, "x": "V", "p": price, "s": 100, "c": ["@"], "z": "C", "t": stamp}


def states(told: Sequence[tuple[bool, str]]) -> list[bool]:
    return [is_up for is_up, _ in told]
