"""A connection bears any peer: half-open, dribbling, deaf, greedy, or gone."""

import asyncio
import socket
import time
from pathlib import Path

from tests.api.client import a_call, a_client
from tests.api.doors import Asked, a_door


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


async def test_what_was_refused_as_too_late_is_not_done_all_the_same(tmp_path: Path) -> None:
    """A desk that was frozen finds the rest of a request and the end of its time at once: it is told no, and is no."""
    asked: Asked = []
    async with a_door(tmp_path, asked=asked, read_s=0.1) as path, a_client(path) as client:
        call = a_call("POST", "/", b"x" * 10)
        await client.send(call[:-10])
        await asyncio.sleep(0.02)  # the door has the head, and waits for the body
        client.writer.write(call[-10:])
        time.sleep(0.2)  # noqa: ASYNC251  the desk and its client are one loop here: this is the frost
        assert (await client.answer()).status == 408
        assert await client.is_closed()
        assert asked == []


async def test_who_sends_nothing_is_let_go(tmp_path: Path) -> None:
    """A half-open connection ends without a word when it has been idle for too long."""
    async with a_door(tmp_path, idle_s=0.05) as path, a_client(path) as client:
        assert await client.is_closed()


async def test_who_only_holds_a_place_gives_it_back(tmp_path: Path) -> None:
    """A connection that never says anything is ended before long, and the log can say why; one that spoke may rest."""
    cuts: list[str] = []
    async with a_door(tmp_path, first_s=0.1, cuts=cuts) as path, a_client(path) as silent, a_client(path) as slow:
        assert (await slow.ask("GET", "/")).status == 200
        assert await silent.is_closed()
        assert cuts == ["nothing was sent within 0.1 s of connecting"]
        await asyncio.sleep(0.15)
        assert (await slow.ask("GET", "/")).status == 200


async def test_who_does_not_listen_is_let_go(tmp_path: Path) -> None:
    """A peer that asks and never reads is cut off when the kernel's buffer is full; others are served meanwhile."""
    cuts: list[str] = []
    async with (
        a_door(tmp_path, body=b"x" * 1_000_000, write_s=0.1, cuts=cuts) as path,
        a_client(path) as polite,
    ):
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
        assert cuts == ["an answer was not taken within 0.1 s"]
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


async def test_who_waits_for_continue_is_asked_for_the_body(tmp_path: Path) -> None:
    """Curl with a long body gets its `100 Continue`."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: desk\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await client.answer()).status == 100
        await client.send(b"ab")
        assert (await client.answer()).status == 200


async def test_requests_sent_ahead_are_not_read_without_end(tmp_path: Path) -> None:
    """While one request is answered, what a peer sends behind it stays in the kernel, whose buffer is bounded."""
    async with a_door(tmp_path) as path:
        with socket.socket(socket.AF_UNIX) as greedy:
            greedy.connect(str(path))
            greedy.setblocking(False)
            greedy.send(a_call("GET", "/wait"))
            sent = 0
            for _ in range(200):
                try:
                    sent += greedy.send(a_call("GET", "/") * 1000)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
            assert sent < 3_000_000


async def test_a_body_sent_ahead_is_not_read_without_end(tmp_path: Path) -> None:
    """Nor is a long message behind it, or one that was refused for its length."""
    async with a_door(tmp_path, linger_s=30.0) as path:
        for first in (a_call("GET", "/wait"), b""):
            with socket.socket(socket.AF_UNIX) as greedy:
                greedy.connect(str(path))
                greedy.setblocking(False)
                greedy.send(first + b"POST / HTTP/1.1\r\nHost: desk\r\nContent-Length: 100000000\r\n\r\n")
                sent = 0
                for _ in range(200):
                    try:
                        sent += greedy.send(b"x" * 100_000)
                    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                        await asyncio.sleep(0.001)
                assert sent < 3_000_000


async def test_who_closes_his_side_hears_all_answers(tmp_path: Path) -> None:
    """`printf … | nc -U order.sock` works, with several requests in it too."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        await client.send(a_call("GET", "/") * 100)
        client.writer.write_eof()
        assert [(await client.answer()).status for _ in range(100)] == [200] * 100
        assert await client.is_closed()


async def test_a_body_that_dribbles_in_is_refused(tmp_path: Path) -> None:
    """Nor does a head that is whole give its body more time, even behind another request."""
    async with a_door(tmp_path, read_s=0.1) as path, a_client(path) as client:
        await client.send(a_call("GET", "/") + a_call("POST", "/", b"x" * 50)[:-10])
        assert (await client.answer()).status == 200
        await client.send(b"x")
        assert (await client.answer()).status == 408
        assert await client.is_closed()


async def test_a_kept_connection_may_take_its_time_between_requests(tmp_path: Path) -> None:
    """The time for a request begins with its first byte, however long the one before is ago."""
    async with a_door(tmp_path, read_s=0.1) as path, a_client(path) as client:
        for _ in range(3):
            assert (await client.ask("GET", "/")).status == 200
            await asyncio.sleep(0.06)
