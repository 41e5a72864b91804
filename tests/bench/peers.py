"""The peers of the fan-out bench: the same frames in, the same lines out, through somebody else's fan-out.

usage: python -m tests.bench.peers KIND PORT ADDRESS      KIND: redis, zmq, nats or grpc

Each decodes and encodes as the desk does (msgpack, `deskd.wire.lines`) on uvloop, so that only the fan-out differs.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import cast

import msgpack
import uvloop

from deskd.wire import lines
from tests.bench.readers import SUBJECT

HELLO = (
    b"GET /v2/iex HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Content-Type: application/msgpack\r\n\r\n"
)

type Sink = Callable[[list[bytes]], None]


class Client(asyncio.Protocol):
    """A websocket client that hands on the lines of all frames that one read brought."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._data = b""
        self._is_open = False
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one in all but name
        transport.write(HELLO)
        for said in (b'{"action":"auth"}', b'{"action":"subscribe"}'):
            transport.write(b"\x81" + bytes([0x80 | len(said)]) + bytes(4) + said)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._is_open:
            head, end, self._data = self._data.partition(b"\r\n\r\n")
            if not end:
                self._data = head
                return
            self._is_open = True
        found: list[bytes] = []
        while len(self._data) >= 4:
            size, head_size = self._data[1] & 127, 2
            if size == 126:
                size, head_size = int.from_bytes(self._data[2:4], "big"), 4
            if len(self._data) < head_size + size:
                break
            payload = self._data[head_size : head_size + size]
            self._data = self._data[head_size + size :]
            found += [
                lines.trade_line(message, lines.stamp_text(message["t"]))
                for message in msgpack.unpackb(payload)
                if message["T"] == "t"
            ]
        if found:
            self._sink(found)

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(None)


async def relay(port: int, sink: Sink) -> None:
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(sink), "127.0.0.1", port)
    await client.over


async def to_redis(port: int, address: str) -> None:
    import redis.asyncio

    queue: asyncio.Queue[list[bytes]] = asyncio.Queue()

    async def publish() -> None:
        connection = redis.asyncio.Redis(unix_socket_path=address)
        while True:
            pipeline = connection.pipeline(transaction=False)
            for line in await queue.get():
                pipeline.publish(SUBJECT, line)
            while not queue.empty():
                for line in queue.get_nowait():
                    pipeline.publish(SUBJECT, line)
            await pipeline.execute()

    async with asyncio.TaskGroup() as group:
        publishing = group.create_task(publish())
        await relay(port, queue.put_nowait)
        publishing.cancel()


async def to_zmq(port: int, address: str) -> None:
    import zmq

    publisher = zmq.Context().socket(zmq.PUB)
    publisher.bind(address)

    def publish(found: list[bytes]) -> None:
        for line in found:
            publisher.send(line, zmq.NOBLOCK)

    await relay(port, publish)


async def to_nats(port: int, address: str) -> None:
    import nats

    connection = await nats.connect(address)
    queue: asyncio.Queue[list[bytes]] = asyncio.Queue()

    async def publish() -> None:
        while True:
            for line in await queue.get():
                await connection.publish(SUBJECT, line)

    async with asyncio.TaskGroup() as group:
        publishing = group.create_task(publish())
        await relay(port, queue.put_nowait)
        publishing.cancel()


async def to_grpc(port: int, address: str) -> None:
    import grpc.aio

    subscribers: set[asyncio.Queue[bytes]] = set()

    async def subscribe(_: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        subscribers.add(queue)
        await context.send_initial_metadata(())
        while True:
            yield await queue.get()

    def publish(found: list[bytes]) -> None:
        for queue in subscribers:
            for line in found:
                queue.put_nowait(line)

    server = grpc.aio.server()
    method = grpc.unary_stream_rpc_method_handler(subscribe)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Lines", {"Subscribe": method}),))
    server.add_insecure_port(address)
    await server.start()
    await relay(port, publish)
    await server.stop(0)


if __name__ == "__main__":
    kind, port, address = sys.argv[1:]
    main = {"redis": to_redis, "zmq": to_zmq, "nats": to_nats, "grpc": to_grpc}[kind]
    uvloop.run(main(int(port), address))
