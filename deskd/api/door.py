"""One listening socket: who may come in, how often, and how many; aiohttp serves them.

Who floods waits himself: connections are accepted at a bounded rate, and the rest wait in the kernel.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

from aiohttp import web

from deskd.api.connection import Bounds, Connection, Service
from deskd.api.rate import TokenBucket
from deskd.api.request import Answer, BadRequest, Request


class Door:
    """Serves one listening socket until it is closed."""

    def __init__(
        self,
        listener: socket.socket,
        bounds: Bounds,
        accepts: TokenBucket,
        *,
        admit: Callable[[socket.socket], Answer | None],
        answer: Callable[[Request], Awaitable[Answer]],
        refuse: Callable[[BadRequest], Answer],
        cut: Callable[[str], None],
    ) -> None:
        self._listener = listener
        self._bounds = bounds
        self._accepts = accepts
        self._admit = admit
        self._answer = answer
        self._refuse = refuse
        self._cut = cut
        self._server = web.Server(_respond)
        self._accepting: asyncio.Task[None] | None = None

    def start(self, tasks: asyncio.TaskGroup, name: str) -> None:
        """Begin to accept. A mistake of ours in answering ends *tasks*: aiohttp alone would log it and go on."""

        def crash(mistake: Exception) -> None:
            tasks.create_task(_fail(mistake), name=f"crash at door {name}")

        service = Service(answer=self._answer, refuse=self._refuse, on_cut=self._cut, on_crash=crash)
        self._listener.setblocking(False)
        self._listener.listen(self._bounds.connections_max)
        self._accepting = tasks.create_task(self._accept(service), name=f"door {name}")

    async def close(self) -> None:
        """Close the socket and every connection; return when nothing is answered any more."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        self._listener.close()
        if working := [work for connection in self._connections() if (work := connection.end()) is not None]:
            await asyncio.wait(working)

    def _connections(self) -> list[Connection]:
        return [connection for connection in self._server.connections if isinstance(connection, Connection)]

    async def _accept(self, service: Service) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except OSError:  # out of descriptors, or the peer has left again: the queue keeps the others
                await asyncio.sleep(0.1)
                continue
            accepted.setblocking(False)
            refusal = self._admit(accepted) or self._too_many()
            if refusal is None:
                await loop.connect_accepted_socket(lambda: Connection(self._server, self._bounds, service), accepted)
            else:
                with contextlib.suppress(OSError):  # a fresh socket's buffer is empty: it takes the answer, or is dead
                    accepted.send(refusal.last_words())
                accepted.close()
            await asyncio.sleep(self._accepts.take())

    def _too_many(self) -> Answer | None:
        open_now = len(self._server.connections)
        if open_now < self._bounds.connections_max:
            return None
        text = (
            f"connections={open_now} connections_max={self._bounds.connections_max}: close some; desk_client needs one"
        )
        return self._refuse(BadRequest(503, text))


async def _respond(message: web.BaseRequest) -> web.StreamResponse:
    connection = message.protocol
    assert isinstance(connection, Connection)
    return await connection.respond(message)


async def _fail(mistake: Exception) -> NoReturn:
    raise mistake


def listen_unix(path: Path, gid: int | None) -> socket.socket:
    """Return a socket bound to *path* that only its owner, and the group *gid*, can connect to."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # nobody listens yet, so nobody can have connected before this
        if gid is not None:
            os.chown(path, -1, gid)
            path.chmod(0o660)
    except OSError:
        listener.close()
        raise
    return listener
