"""Bytes give requests however they are cut; what is doubtful is refused."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.api.http import HEAD_MAX, HEADERS_MAX, BadRequest, Request, RequestReader, response

BODY_MAX = 100
POST = b"POST /order HTTP/1.1\r\nHost: desk\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /orders?status=open HTTP/1.1\r\nHost: desk\r\n\r\n"


def read(data: bytes) -> Request | BadRequest | None:
    reader = RequestReader(BODY_MAX)
    reader.feed(data)
    return reader.next()


def test_a_request_is_read_whole() -> None:
    """Method, path, query, headers and body arrive as they were sent."""
    assert read(POST) == Request(
        method="POST",
        path=("order",),
        query={},
        headers={"host": "desk", "content-length": "5"},
        body=b"hello",
        keep_alive=True,
    )


@given(st.lists(st.integers(0, len(POST + GET + POST)), max_size=20))
def test_how_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    """One byte at a time or three requests at once: the same requests come out, in order."""
    data = POST + GET + POST
    reader = RequestReader(BODY_MAX)
    found: list[Request | BadRequest] = []
    bounds = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(bounds):
        reader.feed(data[start:end])
        while (request := reader.next()) is not None:
            found.append(request)
    assert found == [read(POST), read(GET), read(POST)]
    assert not reader.is_midway


@given(st.binary(max_size=300))
def test_any_bytes_give_a_request_a_refusal_or_nothing_yet(data: bytes) -> None:
    """No bytes do anything else."""
    assert isinstance(read(data), Request | BadRequest | None)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_header_gives_a_request_a_refusal_or_nothing_yet(name: bytes, value: bytes) -> None:
    """Nor does any header in an otherwise good request."""
    assert isinstance(read(b"GET / HTTP/1.1\r\n" + name + b":" + value + b"\r\n\r\n"), Request | BadRequest | None)


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"hello\r\n\r\n", 400, "request line"),
        (b"GET /order\r\n\r\n", 400, "request line"),
        (b"GET http://desk/order HTTP/1.1\r\n\r\n", 400, "request line"),
        (b"GET / HTTP/2.0\r\n\r\n", 400, "request line"),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400, "request line"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "Name: value"),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400, "Name: value"),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400, "Name: value"),
        (b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", 400, "Name: value"),
        (b"GET / HTTP/1.1\r\nA: b\nB: c\r\n\r\n", 400, "Name: value"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400, "content-length: is given twice"),
        (b"POST / HTTP/1.1\r\nX-User-ID: a\r\nx-user-id: b\r\n\r\n", 400, "x-user-id: is given twice"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "Transfer-Encoding"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "Transfer-Encoding"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413, "message: is 101 bytes long, at most 100"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (HEADERS_MAX + 1) + b"\r\n", 431, "more than 50"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * HEAD_MAX, 431, "over 8192 bytes"),
    ],
)
def test_what_is_doubtful_is_refused(data: bytes, status: int, text: str) -> None:
    """Two readers of the same bytes could not disagree about where a request ends."""
    found = read(data)
    assert isinstance(found, BadRequest)
    assert found.status == status
    assert text in found.message


def test_a_header_full_of_spaces_costs_no_time() -> None:
    """No pattern here backtracks: 8 KiB of the worst are read in microseconds."""
    data = b"GET / HTTP/1.1\r\nA:" + b" " * (HEAD_MAX - 100) + b"\x00\r\n\r\n"
    started = time.perf_counter()
    assert isinstance(read(data), BadRequest)
    assert time.perf_counter() - started < 0.5


def test_a_path_is_decoded_segment_by_segment() -> None:
    """An order's id may hold a slash."""
    found = read(b"GET /orders/a%2Fb%3F?status=a%20b&x HTTP/1.1\r\n\r\n")
    assert isinstance(found, Request)
    assert (found.path, found.query) == (("orders", "a/b?"), {"status": "a b", "x": ""})


@pytest.mark.parametrize(
    ("version", "header", "keep_alive"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: Close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
    ],
)
def test_a_connection_lives_as_long_as_its_client_wants(version: bytes, header: bytes, *, keep_alive: bool) -> None:
    """HTTP/1.1 keeps it, HTTP/1.0 does not, and either may ask for the other."""
    found = read(b"GET / HTTP/" + version + b"\r\n" + header + b"\r\n")
    assert isinstance(found, Request)
    assert found.keep_alive is keep_alive


def test_who_waits_for_continue_hears_of_it_once() -> None:
    """A client that sends `Expect: 100-continue` is asked for the body once per request."""
    reader = RequestReader(BODY_MAX)
    reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert reader.next() is None
    assert (reader.is_midway, reader.wants_continue, reader.wants_continue) == (True, True, False)
    reader.feed(b"ab")
    assert isinstance(reader.next(), Request)
    assert not reader.wants_continue


def test_json_is_for_who_asks_for_it() -> None:
    """Protobuf is the default."""
    found = read(b"GET / HTTP/1.1\r\nAccept: text/html, application/json;q=0.9\r\n\r\n")
    assert isinstance(found, Request)
    assert found.wants_json
    plain = read(GET)
    assert isinstance(plain, Request)
    assert not plain.wants_json


def test_an_answer_says_how_long_it_is_and_what_follows() -> None:
    """Content-Length always; Retry-After and Connection where they say something."""
    assert response(200, b"ab", "text/plain") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nab"
    )
    refused = response(429, b"", "text/plain", keep_alive=False, retry_after_s=1)
    assert b"Retry-After: 1\r\nConnection: close\r\n\r\n" in refused
