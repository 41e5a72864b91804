"""A door bears any peer: half-open, dribbling, deaf, greedy, or gone."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deskd.api.connection import Bounds
from deskd.api.door import Door, listen_unix
from deskd.api.rate import TokenBucket
from deskd.api.request import Answer, BadRequest, Request
from deskd.ports import SystemClock
from tests.api.client import Client, a_call, a_client


@asynccontextmanager
async def a_door(directory: Path, *, body: bytes = b"hello", **bounds: Any) -> AsyncIterator[Path]:
    """Open a door that answers every request with *body*, and `/wait` never."""
    limits: dict[str, Any] = {"connections_max": 4, "body_max": 100}

    async def answer(request: Request) -> Answer:
        if request.path == ("wait",):
            await asyncio.Event().wait()
        return Answer(status=200, body=body, content_type="text/plain")

    def refuse(bad: BadRequest) -> Answer:
        return Answer(status=bad.status, body=bad.message.encode(), content_type="text/plain")

    path = directory / "order.sock"
    accepts = TokenBucket(1000, SystemClock())
    listener = listen_unix(path, None)
    door = Door(listener, Bounds(**limits | bounds), accepts, admit=lambda _: None, answer=answer, refuse=refuse)
    async with asyncio.TaskGroup() as tasks:
        door.start(tasks, "test")
        try:
            yield path
        finally:
            await door.close()


async def test_a_connection_is_kept(tmp_path: Path) -> None:
    """Many requests, one connection."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        for _ in range(3):
            assert (await client.ask("GET", "/")).body == b"hello"


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    """A client need not wait between its requests; the desk takes them one at a time."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        await client.send(a_call("GET", "/") * 500)
        assert [(await client.answer()).status for _ in range(500)] == [200] * 500


async def test_a_client_that_wants_to_leave_may(tmp_path: Path) -> None:
    """`Connection: close` is honoured."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        answer = await client.ask("GET", "/", Connection="close")
        assert answer.headers["connection"] == "close"
        assert await client.is_closed()


async def test_garbage_is_answered_and_ends_the_connection(tmp_path: Path) -> None:
    """After bytes that are no request, nothing more is read as one."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        await client.send(b"\x16\x03\x01 no http\r\n\r\n" + a_call("GET", "/"))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert await client.is_closed()


async def test_an_oversized_message_is_refused_unread(tmp_path: Path) -> None:
    """A sender of a megabyte hears 413, though he never stops to listen."""
    async with a_door(tmp_path, linger_s=0.2) as path, a_client(path) as client:
        sending = asyncio.ensure_future(client.send(a_call("POST", "/", b"x" * 1_000_000)))  # noqa: TID251  a test's own
        answer = await client.answer()
        assert (answer.status, b"at most 100 are allowed" in answer.body) == (413, True)
        sending.cancel()


async def test_a_request_that_dribbles_in_is_refused(tmp_path: Path) -> None:
    """A slow loris holds a connection for read_s, and no longer, however it feeds it."""
    async with a_door(tmp_path, read_s=0.1) as path, a_client(path) as client:
        for byte in a_call("GET", "/")[:8]:
            await client.send(bytes([byte]))
        answer = await client.answer()
        assert (answer.status, b"within 0.1 s" in answer.body) == (408, True)
        assert await client.is_closed()


async def test_who_sends_nothing_is_let_go(tmp_path: Path) -> None:
    """A half-open connection ends without a word when it has been idle for too long."""
    async with a_door(tmp_path, idle_s=0.05) as path, a_client(path) as client:
        assert await client.is_closed()


async def test_who_does_not_listen_is_let_go(tmp_path: Path) -> None:
    """A peer that asks and never reads is cut off when the kernel's buffer is full; others are served meanwhile."""
    async with a_door(tmp_path, body=b"x" * 1_000_000, write_s=0.1) as path, a_client(path) as polite:
        deaf = socket.socket(socket.AF_UNIX)
        deaf.connect(str(path))
        deaf.sendall(a_call("GET", "/"))
        assert (await polite.ask("GET", "/")).status == 200
        await asyncio.sleep(0.2)
        deaf.setblocking(True)
        received = 0
        while data := await asyncio.to_thread(deaf.recv, 65536):
            received += len(data)
        assert received < 1_000_000
        deaf.close()


async def test_small_answers_that_nobody_takes_are_not_kept(tmp_path: Path) -> None:
    """Nor does a peer that asks a thousand times, says goodbye and never reads leave a connection behind."""
    async with a_door(tmp_path, body=b"x" * 1000, write_s=0.1) as path:
        deaf = socket.socket(socket.AF_UNIX)
        deaf.connect(str(path))
        await asyncio.to_thread(deaf.sendall, a_call("GET", "/") * 1000 + a_call("GET", "/", Connection="close"))
        async with a_client(path) as other:
            assert (await other.ask("GET", "/")).status == 200
        await asyncio.sleep(0.3)
        received = 0
        while data := await asyncio.to_thread(deaf.recv, 65536):
            received += len(data)
        assert received < 1_000_000
        deaf.close()


async def test_who_has_said_all_of_his_still_hears_the_answer(tmp_path: Path) -> None:
    """A peer may close its side of the connection after its request."""
    async with a_door(tmp_path, body=b"x" * 1_000_000) as path, a_client(path) as client:
        await client.send(a_call("GET", "/"))
        client.writer.write_eof()
        assert len((await client.answer()).body) == 1_000_000
        assert await client.is_closed()


async def test_who_leaves_in_the_middle_disturbs_nobody(tmp_path: Path) -> None:
    """A peer that vanishes before, during or after its request is forgotten."""
    async with a_door(tmp_path, connections_max=16) as path, a_client(path) as other:
        for sent in (b"", b"GET / HT", a_call("GET", "/"), a_call("POST", "/", b"x" * 50)[:-10]):
            async with a_client(path) as client:
                await client.send(sent)
        assert (await other.ask("GET", "/")).status == 200


async def test_too_many_connections_hear_the_limit(tmp_path: Path) -> None:
    """Connection number connections_max + 1 is told the rule; the others go on; a freed place can be taken."""
    async with a_door(tmp_path) as path, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(a_client(path)) for _ in range(4)]
        assert [(await client.ask("GET", "/")).status for client in clients] == [200] * 4
        async with a_client(path) as fifth:
            answer = await fifth.answer()
            assert (answer.status, b"connections=4 connections_max=4" in answer.body) == (503, True)
            assert await fifth.is_closed()
        await clients[0].ask("GET", "/", Connection="close")
        assert await clients[0].is_closed()
        async with a_client(path) as again:
            assert (await again.ask("GET", "/")).status == 200


async def test_a_flood_on_one_connection_leaves_the_others_their_turn(tmp_path: Path) -> None:
    """While one client pipelines thousands of requests, another is answered between any two of them."""
    async with a_door(tmp_path) as path, a_client(path) as flooder, a_client(path) as polite:
        flooder.writer.write(a_call("GET", "/") * 3000)
        for _ in range(5):
            assert (await polite.ask("GET", "/")).status == 200
        answered = 0
        while flooder.reader._buffer:  # type: ignore[attr-defined]  # what has come without waiting
            await flooder.answer()
            answered += 1
        assert answered < 3000


async def test_who_waits_for_continue_is_asked_for_the_body(tmp_path: Path) -> None:
    """Curl with a long body gets its `100 Continue`."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: desk\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await client.answer()).status == 100
        await client.send(b"ab")
        assert (await client.answer()).status == 200


async def test_a_closed_door_leaves_nobody_waiting(tmp_path: Path) -> None:
    """Connections end with the door, even those whose request has no answer yet."""
    async with AsyncExitStack() as stack:
        async with a_door(tmp_path) as path:
            client: Client = await stack.enter_async_context(a_client(path))
            await client.ask("GET", "/")
            await client.send(a_call("GET", "/wait"))
        assert await client.is_closed()


def test_a_socket_left_by_a_killed_desk_is_replaced(tmp_path: Path) -> None:
    """SIGKILL leaves the file behind; the next start takes its place, for the owner alone."""
    listen_unix(tmp_path / "order.sock", None).close()
    with listen_unix(tmp_path / "order.sock", None):
        assert (tmp_path / "order.sock").stat().st_mode & 0o777 == 0o600


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """The supervisor makes the directory; a wrong one is not made up here."""
    with pytest.raises(FileNotFoundError):
        listen_unix(tmp_path / "missing" / "order.sock", None)


def test_a_socket_that_cannot_be_bound_leaves_nothing_open(tmp_path: Path) -> None:
    """The kernel's error reaches the caller; the half-made socket does not outlive it."""
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        listen_unix(tmp_path / ("x" * 200), None)
