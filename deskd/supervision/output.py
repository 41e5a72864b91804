"""A run's prints: from its pipes to its log file, within bounds that a flood cannot break.

Lines are stored as they came, each behind its time and stream; whoever displays them escapes control characters.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deskd.ports import Clock

FILES = 3  # the newest, .1 and .2
LINE_MAX = 8_192  # a longer line is cut into several: a line of 1 GB must not be 1 GB of memory
RECENT_MAX = 50
_READ_BYTES = 65_536  # what a pipe holds
_FLOOD_PAUSE_S = 0.05  # a flood costs the desk 20 reads a second, and blocks its own print()
_BURST_S = 2.0  # a traceback or a table at once is no flood


def is_jail_noise(line: bytes) -> bool:
    """Say whether the line is the loader's remark on nsjail's libraries: harmless, and cannot be silenced."""
    return b"/nsjail: " in line and b": no version information available (required by " in line


@dataclass(slots=True)
class RotatingLog:
    """One strategy's log over three files. Opened at the first line."""

    path: Path
    kept_bytes: int
    _fd: int | None = None
    _size: int = 0

    def write(self, data: bytes) -> None:
        """Append; turn over to a new file when this one holds its third."""
        if self._fd is None or self._size + len(data) > self.kept_bytes // FILES:
            self._turn_over()
        assert self._fd is not None
        self._size += os.write(self._fd, data)

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _turn_over(self) -> None:
        if self._fd is not None:
            self.close()
            for number in range(FILES - 1, 0, -1):
                older = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
                if older.exists():
                    older.replace(self.path.with_name(f"{self.path.name}.{number}"))
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        self._size = os.fstat(self._fd).st_size


@dataclass(slots=True, kw_only=True)
class Output:
    """What one run prints, on both streams, under one bound."""

    log: RotatingLog
    clock: Clock
    bytes_per_s: int
    is_noise: Callable[[bytes], bool]  # lines of our own tools on the run's standard error
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_MAX))
    recent_errors: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_MAX))
    dropped_bytes: int = 0  # since the run started
    _room: float = 0.0  # of the token bucket
    _filled_at: float = 0.0
    _dropped_untold: int = 0
    _partial: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._room, self._filled_at = self.bytes_per_s * _BURST_S, self.clock.monotonic()

    def take(self, stream: str, chunk: bytes) -> bool:
        """Store what came; say whether the bound is reached and the reader should wait a moment."""
        *lines, rest = (self._partial.pop(stream, b"") + chunk).split(b"\n")
        while len(rest) > LINE_MAX:
            lines.append(rest[:LINE_MAX])
            rest = rest[LINE_MAX:]
        self._partial[stream] = rest
        return self._store(stream, lines)

    def finish(self) -> None:
        """Store what was printed without an end of line, and tell what was dropped."""
        for stream, rest in list(self._partial.items()):
            if rest:
                self._store(stream, [rest])
        self._partial.clear()
        self._write(self._told_drop())
        self.log.close()

    def close(self, last: str) -> None:
        """Add the desk's last words about the run, and close the log."""
        self.note(last)
        self.log.close()

    def note(self, text: str) -> None:
        """Add a line of the desk's own."""
        self._write(self._line("desk", text.encode()))

    def _store(self, stream: str, lines: list[bytes]) -> bool:
        self._refill()
        stored: list[bytes] = []
        for whole in lines:
            for line in [whole[i : i + LINE_MAX] for i in range(0, len(whole), LINE_MAX)] or [b""]:
                if self.is_noise(line):
                    continue
                cost = len(line) + 1
                if cost > self._room:
                    self.dropped_bytes += cost
                    self._dropped_untold += cost
                    continue
                if self._dropped_untold:
                    stored.append(self._told_drop())
                self._room -= cost
                stored.append(self._line(stream, line))
        self._write(b"".join(stored))
        return self._dropped_untold > 0

    def _refill(self) -> None:
        now = self.clock.monotonic()
        earned = (now - self._filled_at) * self.bytes_per_s
        self._room, self._filled_at = min(self._room + earned, self.bytes_per_s * _BURST_S), now

    def _told_drop(self) -> bytes:
        dropped, self._dropped_untold = self._dropped_untold, 0
        if not dropped:
            return b""
        text = f"{dropped} bytes of prints were dropped: [sandbox] log_bytes_per_s={self.bytes_per_s}; print less"
        return self._line("desk", text.encode())

    def _line(self, stream: str, line: bytes) -> bytes:
        at = self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        shown = line.decode("utf-8", "replace")
        self.recent.append(shown)
        if stream == "err":
            self.recent_errors.append(shown)
        return b"%s %s %s\n" % (at.encode(), stream.encode(), line)

    def _write(self, data: bytes) -> None:
        if not data:
            return
        try:
            self.log.write(data)
        except OSError:  # a full disk: what a member prints is not worth a run, let alone the desk
            self.dropped_bytes += len(data)


async def pump(fd: int, stream: str, take: Callable[[str, bytes], bool]) -> None:
    """Hand on what comes through the pipe until its end; close the pipe. Rest a moment where *take* says so."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        while True:
            await ready.wait()
            ready.clear()
            try:
                chunk = os.read(fd, _READ_BYTES)
            except BlockingIOError:
                continue
            if not chunk:
                return
            if take(stream, chunk):
                loop.remove_reader(fd)
                await asyncio.sleep(_FLOOD_PAUSE_S)
                loop.add_reader(fd, ready.set)
    finally:
        loop.remove_reader(fd)
        os.close(fd)
