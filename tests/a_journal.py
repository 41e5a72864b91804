"""A journal as the desk sees it: a datagram socket that reads the native protocol, large entries by memfd included."""

import os
import socket
from pathlib import Path


def decoded(data: bytes) -> list[tuple[str, str]]:
    """Read one entry as journald does."""
    fields = []
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
            data = rest
        else:
            name, size = line, int.from_bytes(rest[:8], "little")
            value, data = rest[8 : 8 + size], rest[8 + size + 1 :]
            assert rest[8 + size : 8 + size + 1] == b"\n", "journald drops a field without its line end"
        fields.append((name.decode(), value.decode()))
    return fields


class FakeJournal:
    """Keeps what arrives, until somebody reads it."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "journal.sock")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)

    def read(self) -> list[list[tuple[str, str]]]:
        """Return every entry that has arrived."""
        found: list[list[tuple[str, str]]] = []
        while True:
            try:
                data, pages, _, _ = socket.recv_fds(self._socket, 1 << 20, 4)
            except BlockingIOError:
                return found
            for page in pages:
                assert not data
                data = os.pread(page, os.fstat(page).st_size, 0)
                os.close(page)
            found.append(decoded(data))

    def entries(self) -> list[dict[str, str]]:
        return [dict(entry) for entry in self.read()]

    def close(self) -> None:
        self._socket.close()
        Path(self.address).unlink()
