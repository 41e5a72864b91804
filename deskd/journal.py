"""The systemd journal, by its native protocol: an entry is fields with values, one datagram each.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. Small enough to have here: a binding would need libsystemd beside Python.

1. Nobody waits for the journal: an entry that its socket does not take at once is lost, counted, and told of by the next.
2. An entry too large for a datagram goes as a sealed memfd.
3. Where the journal is gone, `send` says so: the entry belongs to stderr, and the socket is tried again.
"""

import errno
import fcntl
import os
import re
import socket
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

SOCKET = "/run/systemd/journal/socket"
FIELD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_GONE = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.ENOTCONN, errno.ECONNRESET})

type Fields = Iterable[tuple[str, str]]


def is_journal(environment: Mapping[str, str], stream: TextIO) -> bool:
    """Tell whether *stream* leads to the journal, as JOURNAL_STREAM says: `device:inode`.

    The variable alone is no proof: whoever started us may have sent the stream elsewhere.
    """
    try:
        at = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file
        return False
    return environment.get("JOURNAL_STREAM") == f"{at.st_dev}:{at.st_ino}"


def encode(fields: Fields) -> bytes:
    """Return the fields as the journal reads them; a value of several lines is given with its length."""
    found = bytearray()
    for name, value in fields:
        data = value.encode("utf-8", "backslashreplace")
        if b"\n" in data:
            found += name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
        else:
            found += name.encode() + b"=" + data + b"\n"
    return bytes(found)


class Journal:
    """The sender's end."""

    def __init__(self, address: str = SOCKET) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self.lost = 0  # since the last entry that went
        self.lost_ever = 0

    def send(self, fields: Fields) -> bool:
        """Hand the entry over, or lose it where the journal is busy; return False where there is no journal."""
        if self.lost and self._put(encode(_lost(self.lost))) is True:
            self.lost = 0
        outcome = self._put(encode(fields))
        if outcome is None:
            self.lost += 1
            self.lost_ever += 1
        return outcome is not False

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def _put(self, data: bytes) -> bool | None:
        """Return True where it went, None where it is lost, False where there is no journal."""
        try:
            try:
                self._socket.sendto(data, self._address)
            except OSError as error:
                if error.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                    raise
                self._put_large(data)
        except OSError as error:
            return False if error.errno in _GONE else None
        return True

    def _put_large(self, data: bytes) -> None:
        page = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(page, "wb", closefd=False) as file:
                file.write(data)
            fcntl.fcntl(page, fcntl.F_ADD_SEALS, _SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, page.to_bytes(4, sys.byteorder))
            self._socket.sendmsg([b""], [rights], 0, self._address)  # socket.send_fds forgets the address
        finally:
            os.close(page)


def _lost(count: int) -> Fields:
    text = f"journal_entries_lost count={count}: the journal did not take them in time"
    return [
        ("MESSAGE", text),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "deskd"),
        ("DESK_EVENT", "journal_entries_lost"),
        ("DESK_COUNT", str(count)),
    ]
