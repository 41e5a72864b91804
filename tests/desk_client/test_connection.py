"""A request is never doubled where that could matter, and never waited for longer than asked."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import desk_client
import pytest
from desk_client.connection import Answer, NoAnswer, NotSent, Wire
from desk_client.pb import order_pb2 as pb

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

type Act = Callable[[socket.socket], None]


def answer(data: bytes = OK) -> Act:
    def act(connection: socket.socket) -> None:
        if connection.recv(65536):
            connection.sendall(data)

    return act


def listen(connection: socket.socket) -> None:
    connection.recv(65536)


def say(data: bytes) -> Act:
    return lambda connection: connection.sendall(data)


def hold(gate: threading.Event) -> Act:
    def act(_: socket.socket) -> None:
        gate.wait(5)

    return act


@contextmanager
def a_server(path: Path, *connections: Sequence[Act]) -> Iterator[Wire]:
    """Serve one connection after another, each by its script, closing it at the script's end."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for script in connections:
                connection, _ = listener.accept()
                with connection:
                    for act in script:
                        act(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        wire = Wire(f"unix://{path}")
        try:
            yield wire
        finally:
            wire.close()
            if desk_client.client._desk is not None:
                desk_client.client._desk.wire.close()
            thread.join(5)
            assert not thread.is_alive(), "the server's script was not used up"


def test_a_connection_is_kept_for_the_next_request(tmp_path: Path) -> None:
    """Three requests, one connection."""
    with a_server(tmp_path / "s", [answer(), answer(), answer()]) as wire:
        assert [wire.ask(REQUEST, 5) for _ in range(3)] == [Answer(200, b"ok")] * 3


def test_a_connection_that_the_desk_closed_is_made_anew(tmp_path: Path) -> None:
    """An idle connection may end at any time: the same request goes out again, on a new one."""
    with a_server(tmp_path / "s", [answer()], [answer()]) as wire:
        assert wire.ask(REQUEST, 5).body == b"ok"
        assert wire.ask(REQUEST, 5).body == b"ok"


def test_a_fresh_connection_that_ends_is_not_tried_again(tmp_path: Path) -> None:
    """The desk had the request and went away: nobody knows what became of it."""
    with a_server(tmp_path / "s", [listen]) as wire, pytest.raises(NoAnswer):
        wire.ask(REQUEST, 5)


def test_what_may_have_left_before_the_desk_went_is_in_doubt(tmp_path: Path) -> None:
    """Sent on a kept connection that then ended, and no desk to ask again: the first may have arrived."""
    with a_server(tmp_path / "s", [answer(), listen]) as wire:
        wire.ask(REQUEST, 5)
        (tmp_path / "s").unlink()
        with pytest.raises(NoAnswer):
            wire.ask(REQUEST, 5)


def test_an_answer_in_pieces_is_put_together(tmp_path: Path) -> None:
    """The kernel may cut anywhere."""
    pieces = [listen, *[say(OK[index : index + 1]) for index in range(len(OK))]]
    with a_server(tmp_path / "s", pieces) as wire:
        assert wire.ask(REQUEST, 5) == Answer(200, b"ok")


@pytest.mark.parametrize(
    "data",
    [b"", OK[:-1], b"HTTP/1.1 200 OK\r\n\r\n", b"220 smtp.example ready\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Len"],
)
def test_half_an_answer_is_none(tmp_path: Path, data: bytes) -> None:
    """What is cut short, or comes from something that is no desk, is no answer."""
    with a_server(tmp_path / "s", [listen, say(data)]) as wire, pytest.raises(NoAnswer):
        wire.ask(REQUEST, 5)


def test_a_connection_is_left_when_the_desk_says_close(tmp_path: Path) -> None:
    """`Connection: close` is honoured: the next request makes its own."""
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with a_server(tmp_path / "s", [answer(closing), listen], [answer()]) as wire:
        assert wire.ask(REQUEST, 5).body == b""
        assert wire.ask(REQUEST, 5).body == b"ok"


def test_a_refusal_at_the_door_is_read(tmp_path: Path) -> None:
    """A desk that has no room says so and closes, before it has read a word: the word is heard."""
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    with a_server(tmp_path / "s", [say(refusal)]) as wire:
        assert wire.ask(REQUEST * 100_000, 5) == Answer(503, b"no")


def test_a_wait_ends_in_time(tmp_path: Path) -> None:
    """A desk that says nothing holds nobody for longer than asked."""
    gate = threading.Event()
    with a_server(tmp_path / "s", [listen, hold(gate)]) as wire:
        started = time.monotonic()
        with pytest.raises(NoAnswer, match="did not answer in time"):
            wire.ask(REQUEST, 0.05)
        assert time.monotonic() - started < 2
        gate.set()


def test_a_desk_that_does_not_listen_holds_nobody(tmp_path: Path) -> None:
    """Nor does one that takes no bytes."""
    gate = threading.Event()
    with a_server(tmp_path / "s", [hold(gate)]) as wire:
        with pytest.raises(NoAnswer, match="did not take"):
            wire.ask(b"x" * 10_000_000, 0.05)
        gate.set()


def test_an_order_without_an_answer_is_pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """place_order raises only where nothing can have left."""
    monkeypatch.setenv("DESK_SERVER_URL", f"unix://{tmp_path / 's'}")
    with a_server(tmp_path / "s", [listen], [answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff"), listen]):
        for _ in range(2):  # no answer at all, and one that is no protobuf
            response = desk_client.place_order("AAPL", 1, "buy", client_order_id="x")
            assert (response.status, response.reason, response.client_order_id) == ("pending", "TIMEOUT", "x")
            assert "the order may live" in response.message


def test_a_retried_order_keeps_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second sending is the first, byte for byte: the desk knows it by its client_order_id."""
    monkeypatch.setenv("DESK_SERVER_URL", f"unix://{tmp_path / 's'}")
    seen: list[bytes] = []
    body = pb.OrderResponse(status="success").SerializeToString()
    success = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    def note(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))

    with a_server(tmp_path / "s", [answer(success), note], [note, say(success)]):
        desk_client.place_order("AAPL", 1, "buy")
        assert desk_client.place_order("AAPL", 1, "buy").status == "success"
    assert seen[0] == seen[1]


def test_a_forked_child_makes_its_own_connection(tmp_path: Path) -> None:
    """Two processes never talk on one connection."""
    with a_server(tmp_path / "s", [answer(), listen], [answer()]) as wire:
        wire.ask(REQUEST, 5)
        wire._pid = os.getppid()  # what the child of a fork finds
        (kept,) = wire._idle
        assert wire.ask(REQUEST, 5).body == b"ok"
        assert kept.fileno() == -1


@pytest.mark.parametrize("url", ["", "desk", "https://desk", "http://desk:port", "unix:/run/x", "http://a b"])
def test_a_wrong_url_is_named(url: str) -> None:
    """The two forms that there are, are said."""
    with pytest.raises(NotSent, match="is neither unix:///path nor http://host:port"):
        Wire(url)


def test_a_path_that_the_kernel_does_not_take_is_not_sent(tmp_path: Path) -> None:
    """Whatever is wrong with the way there, nothing has left."""
    with pytest.raises(NotSent):
        Wire(f"unix://{tmp_path / ('x' * 200)}").ask(REQUEST, 1)
