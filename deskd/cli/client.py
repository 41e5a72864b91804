"""Speaks with the running desk: HTTP/1.0 over its control socket, by the standard library's sockets alone.

An HTTP library would cost more start-up time than the whole command has.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER_TIMEOUT_S = 10.0  # a look: the desk answers within milliseconds
COMMAND_TIMEOUT_S = 120.0  # a stop takes every run's grace


_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")  # RFC 3986, unreserved

type Query = Mapping[str, str | Sequence[str] | None]  # None: not asked for; several: each is


class DeskNotReachable(Exception):
    """No desk answers. The text says which socket was tried, why not, and what to do."""


class NotDone(Exception):
    """The desk refused. The text is its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the desk said: `problem` where it did not do all that was asked."""

    status: int
    body: dict[str, Any]

    @property
    def is_done(self) -> bool:
        """Tell whether all that was asked for is done."""
        return self.status == 200


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk behind one control socket."""

    path: Path

    def look(self, what: str, query: Query | None = None, *, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
        """Return what the desk says of itself."""
        return self._ask("GET", _target(what, query), b"", timeout_s).body

    def command(self, what: str, arguments: Mapping[str, object], *, timeout_s: float = COMMAND_TIMEOUT_S) -> Answer:
        """Have the desk do something; the answer tells of each thing whether it is done."""
        return self._ask("POST", what, json.dumps(arguments).encode(), timeout_s)

    def upload(
        self, what: str, head: Mapping[str, object], contents: Sequence[bytes], *, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> Answer:
        """Have the desk do something with files: their names and sizes stand in the head."""
        text = json.dumps(head).encode()
        body = b"".join((b"%010d" % len(text), text, *contents))
        return self._ask("POST", what, body, timeout_s)

    def stream(self, what: str, query: Query, *, is_endless: bool) -> Iterator[bytes]:
        """Yield the text of an answer as it comes."""
        with self._connection(None if is_endless else ANSWER_TIMEOUT_S) as connection:
            connection.sendall(_request("GET", _target(what, query), b""))
            status, rest = _head(connection)
            if status != 200:
                raise NotDone(_error(_rest(connection, rest)))
            yield rest
            while chunk := connection.recv(65_536):
                yield chunk

    def _ask(self, method: str, target: str, body: bytes, timeout_s: float) -> Answer:
        with self._connection(timeout_s) as connection:
            connection.sendall(_request(method, target, body))
            status, rest = _head(connection)
            text = _rest(connection, rest)
        answer = json.loads(text) if text else {}
        if status != 200 and "error" in answer:
            raise NotDone(answer["error"])
        return Answer(status, answer)

    @contextmanager
    def _connection(self, timeout_s: float | None) -> Iterator[socket.socket]:
        try:
            # By way of the folder's descriptor: a socket's address has 107 bytes, a path often more.
            folder = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.settimeout(timeout_s)
                    connection.connect(f"/proc/self/fd/{folder}/{self.path.name}")
                    yield connection
            finally:
                os.close(folder)
        except TimeoutError:
            raise DeskNotReachable(
                f"the desk at {self.path} does not answer ({timeout_s:.0f} s waited): look at its log"
            ) from None
        except FileNotFoundError:
            raise DeskNotReachable(_how_to_start(self.path, "there is no such socket")) from None
        except ConnectionRefusedError:
            raise DeskNotReachable(_how_to_start(self.path, "nobody listens there: the desk was killed")) from None
        except PermissionError:
            raise DeskNotReachable(f"no desk is reachable at {self.path}: permission denied; ask an officer") from None
        except ConnectionError:
            raise DeskNotReachable(f"the desk at {self.path} ended while it answered; try again") from None


def _how_to_start(path: Path, why: str) -> str:
    return (
        f"no desk is reachable at {path}: {why}. "
        "Start it with `make run` (or `systemctl start deskd`), or name its configuration with --config"
    )


def _target(what: str, query: Query | None) -> str:
    given = {key: value for key, value in (query or {}).items() if value is not None}
    pairs = [(key, one) for key, value in given.items() for one in ([value] if isinstance(value, str) else value)]
    asked = "&".join(f"{quoted(key)}={quoted(one)}" for key, one in pairs)
    return f"{what}?{asked}" if asked else what


def quoted(text: str) -> str:
    """Return *text* as one part of an address; urllib does the same, and takes a tenth of deskctl's start to import."""
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def _request(method: str, target: str, body: bytes) -> bytes:
    return f"{method} {target} HTTP/1.0\r\nHost: desk\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _head(connection: socket.socket) -> tuple[int, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            raise ConnectionError
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), rest


def _rest(connection: socket.socket, data: bytes) -> bytes:
    chunks = [data]
    while chunk := connection.recv(65_536):
        chunks.append(chunk)
    return b"".join(chunks)


def _error(text: bytes) -> str:
    return str(json.loads(text)["error"])
