"""What was asked and what is answered, between aiohttp's messages and the routes.

aiohttp's parser has settled where a request ends. What it lets pass and two readers could still take differently is
refused here: a header given twice, Transfer-Encoding, a target that is no plain path.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from aiohttp import HttpVersion10, HttpVersion11, web

_VERSIONS = frozenset({HttpVersion10, HttpVersion11})
_TARGET = re.compile(r"/[!-~]*")  # bytes beyond ASCII would get as far as protobuf, which cannot encode them


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One whole request. Header names are found in any case."""

    method: str
    path: tuple[str, ...]  # segments, percent-decoded one by one: an order's id may hold a slash
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def wants_json(self) -> bool:
        """Tell whether the client asked for JSON rather than protobuf."""
        return "application/json" in self.headers.get("accept", "")


@dataclass(frozen=True, slots=True)
class BadRequest:
    """Bytes that are no request of ours: the status to answer with, and why. The connection ends after it."""

    status: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back for one request."""

    status: int
    body: bytes
    content_type: str
    retry_after_s: int | None = None
    pause_s: float = 0.0  # until it is sent, and with it the connection read again: the price of a refusal

    def response(self) -> web.Response:
        """Return it for aiohttp to send."""
        headers = {"Content-Type": self.content_type, "Server": "deskd"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return web.Response(status=self.status, body=self.body, headers=headers)

    def last_words(self) -> bytes:
        """Return it as the bytes to send where aiohttp has no request to answer, and the connection ends."""
        head = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode("ascii") + self.body


def problem(message: web.BaseRequest, body_max: int) -> BadRequest | None:
    """Return what is wrong with a request's head; nothing of its body has been read."""
    if message.version not in _VERSIONS or not _TARGET.fullmatch(message.raw_path):
        return BadRequest(400, "request line: is not METHOD /path HTTP/1.1")
    headers = message.headers
    if len(set(map(str.lower, headers))) < len(headers):  # two readers could take different ones
        twice = next(name for name in headers if len(headers.getall(name)) > 1)
        return BadRequest(400, f"{ascii(twice)[:80]}: is given twice")
    if "transfer-encoding" in headers:
        return BadRequest(400, "Transfer-Encoding: is not taken here; send Content-Length")
    length = message.content_length or 0
    if length > body_max:
        return BadRequest(413, f"message: is {length} bytes long, at most {body_max} are allowed")
    return None


def request_of(message: web.BaseRequest, body: bytes) -> Request:
    """Return the request of a message in which there is no problem."""
    target, _, query = message.raw_path.partition("?")
    return Request(
        method=message.method,
        path=tuple(unquote(segment) for segment in target[1:].split("/")),
        query=dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        headers=message.headers,
        body=body,
    )
