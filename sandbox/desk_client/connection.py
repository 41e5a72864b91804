"""HTTP to the desk over a Unix or TCP socket, on kept-alive connections: a tenth of what `requests` takes an order.

Rule: a request is sent twice only where the second cannot do what the first has done. Reads and cancels are such;
an order is, because it carries its own id, under which the desk never places a second one.
"""

from __future__ import annotations

import os
import re
import socket
import time
from typing import NamedTuple

_IDLE_MAX = 4  # connections kept for the next request; one per thread that trades at the same time
_RECEIVE = 65_536
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nRetry-After: ([0-9]{1,4})\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes
    retry_after_s: int = 1  # of a 429


class NotSent(Exception):
    """Nothing has left: the desk cannot have seen the request."""


class NoAnswer(Exception):
    """The request has left, or may have; no answer came."""


class Wire:
    """The way to one desk. Threads may share it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = _address(url)
        self._idle: list[socket.socket] = []
        self._pid = os.getpid()

    @property
    def is_unix(self) -> bool:
        """Tell whether the socket itself says who we are."""
        return isinstance(self._address, str)

    @property
    def host(self) -> str:
        """Return what the Host header says."""
        return "desk" if isinstance(self._address, str) else f"{self._address[0]}:{self._address[1]}"

    def ask(self, request: bytes, timeout: float) -> Answer:
        """Send *request* and return the answer; raise NotSent or NoAnswer after at most *timeout* seconds."""
        deadline = time.monotonic() + timeout
        if self._pid != os.getpid():  # a fork shares our sockets: two would talk on one connection
            self.close()
            self._pid = os.getpid()
        may_have_left = False
        if self._idle:
            kept = self._idle.pop()
            try:
                return self._exchange(kept, request, deadline)
            except NotSent:
                pass  # the desk had closed it while it was idle
            except _Ended:
                may_have_left = True  # likewise, most probably; asking again is safe and settles it
        try:
            return self._exchange(self._connect(deadline), request, deadline)
        except NotSent as failed:
            if may_have_left:
                raise NoAnswer(str(failed)) from None
            raise

    def close(self) -> None:
        """Let the kept connections go; the next request makes a new one."""
        while self._idle:
            self._idle.pop().close()

    def _connect(self, deadline: float) -> socket.socket:
        family = socket.AF_UNIX if self.is_unix else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(_left(deadline))
            connection.connect(self._address)
            if family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as failed:
            connection.close()
            raise NotSent(failed.strerror or str(failed)) from None
        return connection

    def _exchange(self, connection: socket.socket, request: bytes, deadline: float) -> Answer:
        kept = False
        try:
            connection.settimeout(_left(deadline))
            try:
                connection.sendall(request)
                has_left = True
            except socket.timeout:
                raise NoAnswer("the desk did not take the request in time") from None
            except OSError:
                has_left = False  # closed, perhaps with a word why: it can still be read
            answer, kept = _read(connection, deadline, has_left=has_left)
        finally:
            if kept and len(self._idle) < _IDLE_MAX:
                self._idle.append(connection)
            else:
                connection.close()
        return answer


class _Ended(NoAnswer):
    """The desk closed the connection before the first byte of an answer."""


def _read(connection: socket.socket, deadline: float, *, has_left: bool) -> tuple[Answer, bool]:
    """Return the answer, and whether the connection can be used again."""
    data = b""
    head_end = -1
    total = None
    while total is None or len(data) < total:
        try:
            connection.settimeout(_left(deadline))
            more = connection.recv(_RECEIVE)
        except socket.timeout:
            raise NoAnswer("the desk did not answer in time") from None
        except OSError as failed:
            raise (NoAnswer if data else _Ended if has_left else NotSent)(str(failed)) from None
        if not more:
            raise (NoAnswer if data else _Ended if has_left else NotSent)("the desk closed the connection")
        data += more
        if total is None:
            head_end = data.find(b"\r\n\r\n")
            if head_end >= 0:
                length = _LENGTH.search(data, 0, head_end)
                if not data.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) or length is None:
                    raise NoAnswer("what answered is not a desk")
                total = head_end + 4 + int(length[1])
    is_open = has_left and len(data) == total and not _CLOSE.search(data, 0, head_end)
    wait = _RETRY_AFTER.search(data, 0, head_end)
    return Answer(int(data[9:12]), data[head_end + 4 :], int(wait[1]) if wait else 1), is_open


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)


def _address(url: str) -> str | tuple[str, int]:
    if url.startswith("unix://"):
        return url[len("unix://") :]
    tcp = re.fullmatch(r"http://([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?/?", url)
    if tcp is None:
        raise NotSent(f"DESK_SERVER_URL={url} is neither unix:///path nor http://host:port")
    return tcp[1], int(tcp[2] or 80)
