"""One listening socket and its connections.

Rules: 1. A connection has one request at a time; what it sends meanwhile waits in the kernel. 2. Every wait has a
bound. 3. Who floods waits himself: connections are accepted at a bounded rate, refusals are answered at a bounded
rate, and after each answer the loop serves everybody else first.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from deskd.api.connection import Connection
from deskd.api.http import CONTINUE, BadRequest, Request, RequestReader, response
from deskd.api.rate import TokenBucket

_LEFTOVER_MAX = 1_048_576  # bytes read and thrown away, so that a refused sender gets to read the refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back for one request."""

    status: int
    body: bytes
    content_type: str
    retry_after_s: int | None = None
    pause_s: float = 0.0  # until the connection is read again: the price of a refusal

    def encode(self, *, keep_alive: bool) -> bytes:
        """Return it as HTTP."""
        return response(
            self.status, self.body, self.content_type, keep_alive=keep_alive, retry_after_s=self.retry_after_s
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one door lets happen."""

    connections_max: int
    body_max: int
    idle_s: float = 300.0  # a strategy that has not traded for so long makes a new connection
    read_s: float = 5.0  # from a request's first byte to its last
    write_s: float = 5.0  # for the peer to take the answer
    linger_s: float = 1.0  # after a refusal, for the peer to read it


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
    ) -> None:
        self._listener = listener
        self._bounds = bounds
        self._accepts = accepts
        self._admit = admit
        self._answer = answer
        self._refuse = refuse
        self._tasks: set[asyncio.Task[None]] = set()  # the accept loop and one per connection

    def start(self, tasks: asyncio.TaskGroup, name: str) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._listener.listen(self._bounds.connections_max)
        self._keep(tasks.create_task(self._accept(tasks, name), name=f"door {name}"))

    async def close(self) -> None:
        """Close the socket and every connection; return when they are gone."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._listener.close()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, tasks: asyncio.TaskGroup, name: str) -> None:
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
                await self._begin(accepted, tasks, name)
            else:
                with contextlib.suppress(OSError):  # a fresh socket's buffer is empty: it takes the answer, or is dead
                    accepted.send(refusal.encode(keep_alive=False))
                accepted.close()
            await asyncio.sleep(self._accepts.take())

    async def _begin(self, accepted: socket.socket, tasks: asyncio.TaskGroup, name: str) -> None:
        connection = Connection(RequestReader(self._bounds.body_max))
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
        except asyncio.CancelledError:
            connection.close()
            raise
        task = tasks.create_task(self._serve(connection), name=f"connection {name}")
        task.add_done_callback(lambda _: connection.close())  # even where it was canceled before it began
        self._keep(task)

    def _too_many(self) -> Answer | None:
        open_now = len(self._tasks) - 1
        if open_now < self._bounds.connections_max:
            return None
        text = (
            f"connections={open_now} connections_max={self._bounds.connections_max}: close some; desk_client needs one"
        )
        return self._refuse(BadRequest(503, text))

    async def _serve(self, connection: Connection) -> None:
        while (request := await self._next(connection)) is not None:
            if isinstance(request, BadRequest):
                if await self._send(connection, self._refuse(request), keep_alive=False):
                    await self._linger(connection)
                return
            answer = await self._answer(request)
            if not await self._send(connection, answer, keep_alive=request.keep_alive) or not request.keep_alive:
                return
            await asyncio.sleep(answer.pause_s)  # 0 as well: everybody else's turn

    async def _next(self, connection: Connection) -> Request | BadRequest | None:
        """Return the connection's next request, None at its end; a request that dribbles in is refused."""
        reader = connection.requests
        if (request := reader.next()) is not None:
            return request
        is_started = False
        try:
            async with asyncio.timeout(self._bounds.idle_s) as limit:
                while (request := reader.next()) is None:
                    if reader.is_midway and not is_started:
                        is_started = True
                        limit.reschedule(asyncio.get_running_loop().time() + self._bounds.read_s)
                    if reader.wants_continue:
                        connection.write(CONTINUE)
                    if not await connection.more():
                        return None
                return request
        except TimeoutError:
            return BadRequest(408, f"request: did not arrive within {self._bounds.read_s:g} s") if is_started else None

    async def _send(self, connection: Connection, answer: Answer, *, keep_alive: bool) -> bool:
        """Send the answer; tell whether the peer took it."""
        connection.write(answer.encode(keep_alive=keep_alive))
        if connection.is_drained:  # nearly always
            return True
        try:
            async with asyncio.timeout(self._bounds.write_s):
                return await connection.drained()
        except TimeoutError:
            return False

    async def _linger(self, connection: Connection) -> None:
        """Let a refused peer finish sending, within bounds: a reset would take the refusal from it."""
        connection.say_no_more()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._bounds.linger_s):
                while connection.leftover < _LEFTOVER_MAX and await connection.more():
                    pass


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
