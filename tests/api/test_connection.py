"""A connection hands on what comes and what goes, and keeps neither without bound."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deskd.api.connection import Connection
from deskd.api.http import HEAD_MAX, Request, RequestReader


@asynccontextmanager
async def a_connection() -> AsyncIterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    connection = Connection(RequestReader(100))
    await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
    try:
        with theirs:
            yield connection, theirs
    finally:
        connection.close()
        await asyncio.sleep(0)


async def test_what_comes_can_be_read() -> None:
    """Bytes become requests as they come; the end of them is told."""
    async with a_connection() as (connection, peer):
        peer.send(b"GET / HT")
        assert await connection.more()
        assert connection.requests.next() is None
        peer.send(b"TP/1.1\r\n\r\n")
        assert await connection.more()
        assert isinstance(connection.requests.next(), Request)
        peer.shutdown(socket.SHUT_WR)
        assert not await connection.more()
        assert not await connection.more()


async def test_a_peer_that_sends_without_end_is_not_read_without_end() -> None:
    """What nobody asks for stays in the kernel, whose buffer is bounded; asked for, it comes."""
    async with a_connection() as (connection, peer):
        sent = 0
        for _ in range(100):
            try:
                sent += peer.send(b"x" * 65_536)
            except BlockingIOError:
                await asyncio.sleep(0.001)
        assert connection.requests.waiting < sent < 100 * 65_536
        assert connection.requests.waiting > HEAD_MAX
        waiting = connection.requests.waiting
        assert await connection.more()
        assert connection.requests.waiting > waiting


async def test_a_peer_that_does_not_read_is_noticed() -> None:
    """`is_drained` says whether the kernel has taken it all; `drained` waits until it has, or the peer is gone."""
    async with a_connection() as (connection, peer):
        connection.write(b"x")
        small = connection.is_drained
        connection.write(b"x" * 2_000_000)
        assert (small, connection.is_drained) == (True, False)
        loop = asyncio.get_running_loop()

        async def read() -> None:
            received = 0
            while received < 2_000_001:
                received += len(await loop.sock_recv(peer, 65_536))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read())
            assert await connection.drained()
        connection.write(b"x" * 2_000_000)
        peer.close()
        assert not await connection.drained()


async def test_after_the_last_word_what_comes_is_thrown_away() -> None:
    """Nothing more is read as a request, and how much came is counted."""
    async with a_connection() as (connection, peer):
        connection.say_no_more()
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await connection.more()
        assert (connection.leftover, connection.requests.waiting) == (18, 0)
        assert await asyncio.get_running_loop().sock_recv(peer, 10) == b""


async def test_a_connection_that_was_never_made_can_be_closed() -> None:
    """Whatever happens before the loop has it."""
    connection = Connection(RequestReader(100))
    connection.write(b"x")
    connection.say_no_more()
    connection.close()
