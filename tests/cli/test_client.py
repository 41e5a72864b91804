"""deskctl's side of the socket, against peers that are not a desk."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.cli.client import Desk, DeskNotReachable, _target, quoted


async def told(path: Path, serve: Callable[[socket.socket], None] | None) -> str:
    """Return what a look says when *serve* handles the connection (None: nobody listens)."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        if serve is not None:
            listener.listen()
        answering = asyncio.to_thread(_serve_one, listener, serve) if serve is not None else asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(answering)
            with pytest.raises(DeskNotReachable) as caught:
                await asyncio.to_thread(Desk(path).look, "/status")
    return str(caught.value)


def _serve_one(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        serve(connection)


async def test_a_dead_desks_socket_is_told_from_a_missing_one(tmp_path: Path) -> None:
    """The sentence says what was tried and why it failed."""
    assert "nobody listens there: the desk was killed" in await told(tmp_path / "dead.sock", None)
    with pytest.raises(DeskNotReachable, match=r"none\.sock: there is no such socket"):
        Desk(tmp_path / "none.sock").look("/status")
    with pytest.raises(DeskNotReachable, match="there is no such socket"):
        Desk(tmp_path / "no/folder/x.sock").look("/status")


async def test_a_desk_that_ends_while_it_answers_is_told(tmp_path: Path) -> None:
    """Half an answer is no answer."""
    said = await told(tmp_path / "x.sock", lambda connection: connection.sendall(b"HTTP/1.0 200"))
    assert "ended while it answered" in said


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_what_is_asked_for_arrives_as_it_was_typed(name: str, value: str) -> None:
    """Whatever a person types: spaces, slashes, umlauts, control characters."""
    assert unquote(quoted(name), errors="strict") == name
    assert parse_qs(
        _target("/x", {"a": value, "b": [name, "1"], "c": None}).partition("?")[2], keep_blank_values=True
    ) == {
        "a": [value],
        "b": [name, "1"],
    }


def test_nothing_to_ask_is_no_question() -> None:
    """`/status` alone."""
    assert _target("/status", {"strategy": None, "event": ()}) == "/status"
