"""The door: who may come in, what may be sent, and what officers alone may do."""

import asyncio
import socket
from pathlib import Path

import pytest

from deskd.cli.client import Desk, DeskNotReachable
from deskd.domain.errors import ConfigError
from tests.control.a_running_desk import MEMBER, a_running_desk
from tests.control.questions import command, look, refused


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00",
        b"[1]",
        b"",
        b"[" * 60_000,
        b'{"names": ',
        b'{"all": "yes", "names": {}}',
        b"x" * 100_000,
        b'{"all": true, "reason": "\\udcff"}',  # half a character, as a shell passes on a byte that is no UTF-8
    ],
)
async def test_a_body_that_is_no_command_is_refused(tmp_path: Path, body: bytes) -> None:
    """Hostile bytes get an answer, and the door stays open."""
    async with a_running_desk(tmp_path) as desk:
        for kind in (b"application/json", b"text/plain; charset=nonsense"):
            reader, writer = await asyncio.open_unix_connection(desk.socket)
            head = b"POST /cancel HTTP/1.0\r\nHost: desk\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % (kind, len(body)) + body)
            answer = await reader.read()
            assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.0 413"))
            assert b'"error"' in answer
            writer.close()
            await writer.wait_closed()
        assert not desk.commands


async def test_callers_that_leave_at_once_harm_nobody(tmp_path: Path) -> None:
    """A connection that is cut anywhere ends alone."""
    async with a_running_desk(tmp_path) as desk:
        whole = b'POST /start HTTP/1.0\r\nHost: desk\r\nContent-Length: 18\r\n\r\n{"names": ["bob"]}'
        for end in (0, 10, 40, len(whole) - 5, len(whole)):
            _reader, writer = await asyncio.open_unix_connection(desk.socket)
            writer.write(whole[:end])
            writer.transport.abort()
        assert (await look(desk, "/status"))["desk"]["name"] == "testdesk"


async def test_a_second_desk_is_refused_and_a_dead_ones_socket_is_replaced(tmp_path: Path) -> None:
    """Two desks never share a runtime folder; a desk that was killed leaves nothing in the way."""
    run = tmp_path / "run"
    run.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(run / "control.sock"))
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(ConfigError, match="a desk is running already"):
            async with desk.control.serve(run):
                pass
        assert (await look(desk, "/status"))["desk"]["name"] == "testdesk"


async def test_a_folder_with_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    """A socket's address has 107 bytes; the checkout may lie deeper."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with a_running_desk(deep) as desk:
        assert len(str(desk.socket)) > 200
        assert (await look(desk, "/status"))["desk"]["name"] == "testdesk"
    with pytest.raises(DeskNotReachable):
        await look(desk, "/status")


async def test_an_officer_hands_out_tokens(tmp_path: Path) -> None:
    """Who asked for whose is on record, the token is not; where there are none, it is said why."""
    async with a_running_desk(tmp_path) as desk:
        answer = await command(desk, "/token", name="ali")
        none = await refused(lambda: Desk(desk.socket).command("/token", {"name": "bob"}))
        wrong = await refused(lambda: Desk(desk.socket).command("/token", {"name": 3}))
    assert answer.body == {"strategy_id": "alice", "token": "alice.0123"}
    assert none == "no token is needed here"
    assert wrong == "a token for which strategy? Give its name"
    assert [(c.command, c.arguments) for c in desk.commands] == [("token", "alice")]


async def test_a_member_is_given_no_token(tmp_path: Path) -> None:
    """Not for his own strategy either: a token goes on when he is no longer let near the desk."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        why = await refused(lambda: Desk(desk.socket).command("/token", {"name": "alice"}))
    assert why == "tokens are given out by officers: alice is none"
    assert desk.commands == []
