"""aiohttp's parser and our own look at the head, together: what is doubtful is refused; nothing is guessed."""

import asyncio
import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deskd.api.connection import FIELD_MAX, HEADERS_MAX, LINE_MAX
from deskd.api.request import Answer, Request
from tests.api.client import Client, a_call, a_client
from tests.api.doors import Asked, a_door

HOST = b"Host: desk\r\n"


def a_request(**overrides: object) -> Request:
    return Request(**{"method": "GET", "path": ("",), "query": {}, "headers": {}, "body": b""} | overrides)  # type: ignore[arg-type]


async def test_a_request_is_read_whole(tmp_path: Path) -> None:
    """Method, path, query, headers and body arrive as they were sent; an order's id may hold a slash."""
    asked: Asked = []
    async with a_door(tmp_path, asked=asked) as path, a_client(path) as client:
        await client.ask("POST", "/orders/a%2Fb%3F?status=a%20b&x", b"hello", X_User_ID="alice")
    (request,) = asked
    assert (request.method, request.path, request.query) == ("POST", ("orders", "a/b?"), {"status": "a b", "x": ""})
    assert (request.headers["x-user-id"], request.body) == ("alice", b"hello")


async def test_how_the_bytes_are_cut_does_not_matter(tmp_path: Path) -> None:
    """One byte at a time, or three requests at once: the same requests come out, in order."""
    data = a_call("POST", "/order", b"hello") + a_call("GET", "/orders?status=open") + a_call("POST", "/order", b"hi")
    seen: list[list[tuple[str, bytes]]] = []
    for size in (1, 7, len(data)):
        asked: Asked = []
        async with a_door(tmp_path, asked=asked) as path, a_client(path) as client:
            for start in range(0, len(data), size):
                await client.send(data[start : start + size])
                await asyncio.sleep(0)
            assert [(await client.answer()).status for _ in range(3)] == [200] * 3
        seen.append([(request.method, request.body) for request in asked])
    assert seen == [[("POST", b"hello"), ("GET", b""), ("POST", b"hi")]] * 3


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET /order\r\n\r\n", 400),
        (b"GET http://desk/order HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"CONNECT desk:80 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\x00c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\nB: c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"X-User-ID: a\r\nx-user-id: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1_0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5 5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: \xb2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 101\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (HEADERS_MAX + 1) + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * FIELD_MAX, 431),
        (b"GET /" + b"b" * LINE_MAX, 431),
    ],
)
async def test_what_is_doubtful_is_refused(tmp_path: Path, data: bytes, status: int) -> None:
    """Two readers of the same bytes could not disagree about where a request ends: it is refused, nothing follows it."""
    asked: Asked = []
    async with a_door(tmp_path, asked=asked, linger_s=0.05) as path, a_client(path) as client:
        await client.send(data)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert answer.body
        assert await client.is_closed()
    assert not asked


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400, b"HTTP: "),
        (b"GET http://desk/ HTTP/1.1\r\n" + HOST + b"\r\n", 400, b"request line: is not METHOD /path HTTP/1.1"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"X-User-ID: a\r\nx-user-id: b\r\n\r\n", 400, b"'X-User-ID': is given twice"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 400, b"send Content-Length"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 101\r\n\r\n", 413, b"is 101 bytes long, at most 100"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * FIELD_MAX, 431, b"is over 2048 or 1024 bytes"),
    ],
)
async def test_a_refusal_names_the_rule(tmp_path: Path, data: bytes, status: int, text: bytes) -> None:
    """Who wrote his own client hears what is wrong with it."""
    async with a_door(tmp_path, linger_s=0.05) as path, a_client(path) as client:
        await client.send(data)
        answer = await client.answer()
        assert (answer.status, text in answer.body) == (status, True), answer.body


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(lambda value: b"GET / HTTP/1.1\r\n" + value))
)
async def test_any_bytes_leave_the_door_standing(tmp_path: Path, data: bytes) -> None:
    """No bytes do anything but get an answer, or none yet."""
    async with a_door(tmp_path) as path:
        async with a_client(path) as client:
            await client.send(data + b"\r\n\r\n")
        async with a_client(path) as client:
            assert (await client.ask("GET", "/")).status == 200


async def test_a_header_full_of_spaces_costs_no_time(tmp_path: Path) -> None:
    """No reader here backtracks."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        started = time.perf_counter()
        await client.send(b"GET / HTTP/1.1\r\n" + HOST + b"A:" + b" " * (FIELD_MAX - 100) + b"\x00\r\n\r\n")
        assert (await client.answer()).status == 400
        assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("version", "header", "is_kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.1", "Connection: Close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ],
)
async def test_a_connection_lives_as_long_as_its_client_wants(
    tmp_path: Path, version: str, header: str, *, is_kept: bool
) -> None:
    """HTTP/1.1 keeps it, HTTP/1.0 does not, and either may ask for the other."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        await client.send(f"GET / HTTP/{version}\r\nHost: desk\r\n{header}\r\n".encode())
        assert (await client.answer()).status == 200
        assert await _is_kept(client) is is_kept


async def _is_kept(client: Client) -> bool:
    try:
        return (await client.ask("GET", "/")).status == 200
    except (asyncio.IncompleteReadError, OSError):
        return False


async def test_who_wants_another_protocol_gets_this_one(tmp_path: Path) -> None:
    """An upgrade is not taken, and what follows it is read as HTTP."""
    async with a_door(tmp_path) as path, a_client(path) as client:
        upgrade = a_call("GET", "/", Connection="Upgrade", Upgrade="websocket")
        await client.send(upgrade + a_call("GET", "/"))
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]


async def test_a_body_is_taken_as_it_is(tmp_path: Path) -> None:
    """Nothing is unpacked: a compressed message could be far longer than it says."""
    asked: Asked = []
    async with a_door(tmp_path, asked=asked) as path, a_client(path) as client:
        raw = os.urandom(50)
        assert (await client.ask("POST", "/", raw, Content_Encoding="gzip")).status == 200
    assert asked[0].body == raw


async def test_the_longest_id_fits(tmp_path: Path) -> None:
    """128 characters, percent-encoded, are within the bound of a line."""
    asked: Asked = []
    async with a_door(tmp_path, asked=asked) as path, a_client(path) as client:
        assert (await client.ask("GET", "/orders/" + quote("ü/" * 64, safe=""))).status == 200
    assert asked[0].path == ("orders", "ü/" * 64)


def test_json_is_for_who_asks_for_it() -> None:
    """Protobuf is the default."""
    assert a_request(headers={"accept": "text/html, application/json;q=0.9"}).wants_json
    assert not a_request().wants_json


def test_last_words_are_a_whole_answer() -> None:
    """They say how long they are, and that nothing follows."""
    answer = Answer(status=413, body=b"ab", content_type="text/plain")
    head, body = answer.last_words().split(b"\r\n\r\n")
    assert head.split(b"\r\n")[1:] == [b"Content-Type: text/plain", b"Content-Length: 2", b"Connection: close"]
    assert (head.startswith(b"HTTP/1.1 413 "), body) == (True, b"ab")
