"""HTTP/1.1, as much of it as the order channel needs, and strictly: what is doubtful is refused, never guessed.

Pure: bytes in, requests out; an answer's parts in, bytes out. After a `BadRequest` the connection must end, because
nobody knows where the next request would begin. All sizes are bounded before anything is parsed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

HEAD_MAX = 8 * 1024  # bytes of request line and headers; ours are under 300
HEADERS_MAX = 50

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,2048}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):([\x20-\x7e\t\x80-\xff]*)")  # never backtracks
_LENGTH = re.compile(r"[0-9]{1,9}")
_PHRASES = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One whole request. Header names are in lower case."""

    method: str
    path: tuple[str, ...]  # segments, percent-decoded one by one: an order's id may hold a slash
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool

    @property
    def wants_json(self) -> bool:
        """Tell whether the client asked for JSON rather than protobuf."""
        return "application/json" in self.headers.get("accept", "")


@dataclass(frozen=True, slots=True)
class BadRequest:
    """Bytes that are no request of ours: the status to answer with, and why. The connection ends after it."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    length: int
    keep_alive: bool


class RequestReader:
    """Turns a connection's bytes into requests, however they are cut."""

    def __init__(self, body_max: int) -> None:
        self._body_max = body_max
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._has_continued = False

    @property
    def waiting(self) -> int:
        """Return how many bytes have come and are not yet read."""
        return len(self._buffer)

    @property
    def is_midway(self) -> bool:
        """Tell whether part of a request has come, and not all of it."""
        return bool(self._buffer) or self._head is not None

    @property
    def wants_continue(self) -> bool:
        """Tell once per request whether the client waits for `100 Continue` before it sends the body."""
        head = self._head
        if head is None or self._has_continued or head.headers.get("expect", "").lower() != "100-continue":
            return False
        self._has_continued = True
        return len(self._buffer) < head.length

    def feed(self, data: bytes) -> None:
        """Take more bytes. The caller feeds no more than it must before it asks for the next request."""
        self._buffer += data

    def next(self) -> Request | BadRequest | None:
        """Return the next whole request, None while it is incomplete."""
        if self._head is None:
            head = self._read_head()
            if not isinstance(head, _Head):
                return head
            self._head = head
        head = self._head
        if len(self._buffer) < head.length:
            return None
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        self._head, self._has_continued = None, False
        return Request(
            method=head.method,
            path=head.path,
            query=head.query,
            headers=head.headers,
            body=body,
            keep_alive=head.keep_alive,
        )

    def _read_head(self) -> _Head | BadRequest | None:
        end = self._buffer.find(b"\r\n\r\n", 0, HEAD_MAX + 4)
        if end < 0:
            too_long = len(self._buffer) > HEAD_MAX
            return BadRequest(431, f"headers: are over {HEAD_MAX} bytes") if too_long else None
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        start = _REQUEST_LINE.fullmatch(lines[0])
        if start is None:
            return BadRequest(400, "request line: is not METHOD /path HTTP/1.1")
        headers = _headers(lines[1:])
        if isinstance(headers, BadRequest):
            return headers
        length = _length(headers, self._body_max)
        if isinstance(length, BadRequest):
            return length
        target, _, query = start[2].decode("ascii").partition("?")
        return _Head(
            method=start[1].decode("ascii"),
            path=tuple(unquote(segment) for segment in target[1:].split("/")),
            query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            headers=headers,
            length=length,
            keep_alive=_keep_alive(headers, is_old=start[3] == b"0"),
        )


def _headers(lines: list[bytes]) -> dict[str, str] | BadRequest:
    if len(lines) > HEADERS_MAX:
        return BadRequest(431, f"headers: are more than {HEADERS_MAX}")
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            return BadRequest(400, "headers: a line is not `Name: value`")
        name = match[1].decode("ascii").lower()
        if name in headers:  # two readers could take different ones
            return BadRequest(400, f"{name}: is given twice")
        headers[name] = match[2].decode("latin-1").strip(" \t")
    return headers


def _length(headers: Mapping[str, str], body_max: int) -> int | BadRequest:
    if "transfer-encoding" in headers:
        return BadRequest(400, "Transfer-Encoding: is not taken here; send Content-Length")
    text = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(text):
        return BadRequest(400, "Content-Length: is not a number of bytes")
    if int(text) > body_max:
        return BadRequest(413, f"message: is {text} bytes long, at most {body_max} are allowed")
    return int(text)


def _keep_alive(headers: Mapping[str, str], *, is_old: bool) -> bool:
    wish = headers.get("connection", "").lower()
    return wish == "keep-alive" if is_old else wish != "close"


def response(
    status: int, body: bytes, content_type: str, *, keep_alive: bool = True, retry_after_s: int | None = None
) -> bytes:
    """Return the answer's bytes."""
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"{'' if retry_after_s is None else f'Retry-After: {retry_after_s}\r\n'}"
        f"{'' if keep_alive else 'Connection: close\r\n'}\r\n"
    )
    return head.encode("ascii") + body
