"""A client without manners: it sends what a test says, byte by byte if need be."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deskd.wire.pb import order_pb2 as pb


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def order(self) -> pb.OrderResponse:
        return pb.OrderResponse.FromString(self.body)

    @property
    def error(self) -> pb.Error:
        return pb.Error.FromString(self.body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split()[1]), headers, body)

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        await self.send(a_call(method, path, body, **headers))
        return await self.answer()

    async def order(self, **overrides: Any) -> Answer:
        headers = overrides.pop("headers", {})
        return await self.ask("POST", "/order", an_order(**overrides), **headers)

    async def is_closed(self) -> bool:
        """Return when the desk has closed the connection."""
        try:
            return await self.reader.read() == b""
        except ConnectionResetError:
            return True


def a_call(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    lines = {"Host": "127.0.0.1", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def an_order(**overrides: Any) -> bytes:
    fields: dict[str, Any] = {"symbol": "AAPL", "qty": "10", "side": "buy"}
    return pb.OrderRequest(**fields | overrides).SerializeToString()


@asynccontextmanager
async def a_client(where: Path | int) -> AsyncIterator[Client]:
    opened = (
        asyncio.open_unix_connection(where) if isinstance(where, Path) else asyncio.open_connection("127.0.0.1", where)
    )
    reader, writer = await opened
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
