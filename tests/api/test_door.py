"""A door lets in as many as it has room for, and closes behind them."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from deskd.api.door import listen_unix
from tests.api.client import Client, a_call, a_client
from tests.api.doors import a_door


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


async def test_a_mistake_of_ours_is_heard_by_who_runs_the_door(tmp_path: Path) -> None:
    """It ends the tasks the door is among; it is not logged and forgotten. The peer hears that it was not his."""

    async def crash() -> None:
        async with a_door(tmp_path) as path, a_client(path) as client:
            assert (await client.ask("GET", "/crash")).status == 500
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await crash()
    assert caught.group_contains(AssertionError, match="crash")


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
