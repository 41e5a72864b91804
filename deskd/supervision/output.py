"""A run's prints: from its pipes to its log file, within bounds that a flood cannot break.

Lines are stored as they came, each behind its time and stream; whoever displays them escapes control characters.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deskd.ports import Clock
from deskd.supervision.error_lines import LINES_MAX as ERRORS_MAX
from deskd.supervision.error_lines import ErrorLines

FILES = 3  # the newest, .1 and .2
LINE_MAX = 8_192  # a longer line is cut into several: a line of 1 GB must not be 1 GB of memory
RECENT_MAX = 50  # lines of both streams
RECENT_CHARS_MAX = 1_000  # of each
LINE_COST = 30  # bytes of the log before each line: a flood of empty lines is one, too
NOISE_MAX = 16  # lines: our tools say two at a start; a member who prints the same is not listened to for nothing
QUIET_S = 2.0  # without a dropped line, and a flood is over
_TELL_EVERY_S = 1.0  # how much was dropped
_READ_BYTES = 16_384  # at once: as many lines are cut on the loop without holding it up
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
    flood_s: float  # so long over the bound without a pause is a flood
    is_noise: Callable[[bytes], bool]  # lines of our own tools on the run's standard error
    on_lines: Callable[[str, Sequence[bytes]], None] = lambda _stream, _lines: None  # that were stored
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_MAX))
    recent_errors: ErrorLines = field(default_factory=ErrorLines)
    dropped_bytes: int = 0  # since the run started
    flood: str | None = None  # what to say of a flood that did not end: the run should
    _room: float = 0.0  # of the token bucket
    _filled_at: float = 0.0
    _dropped_untold: int = 0
    _told_at: float = 0.0
    _over_since: float | None = None  # lines are being dropped
    _over_at: float = 0.0  # the last was
    _over_dropped: int = 0
    _over_printed: int = 0
    _noise_left: int = NOISE_MAX
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
        self._write(self._line("desk", text.encode("utf-8", "backslashreplace")))

    def _store(self, stream: str, lines: list[bytes]) -> bool:
        self._refill()
        head, stored, kept = self._head(stream), list[bytes](), list[bytes]()
        is_over = False
        for number, whole in enumerate(lines):
            for line in [whole[i : i + LINE_MAX] for i in range(0, len(whole), LINE_MAX)] or [b""]:
                if self._noise_left and self.is_noise(line):
                    self._noise_left -= 1
                    continue
                if len(line) + LINE_COST > self._room:
                    is_over = True
                    break
                if self._dropped_untold and self._filled_at - self._told_at >= _TELL_EVERY_S:
                    stored.append(self._told_drop())
                self._room -= len(line) + LINE_COST
                self._over_printed += len(line) + 1
                stored.append(b"%s%s\n" % (head, line))
                kept.append(line)
            if is_over:  # the story of the run's end has its last lines, whether or not the log has room for them
                self.on_lines(stream, tuple(kept))
                kept += lines[max(number, len(lines) - ERRORS_MAX) :]
                # The rest of the chunk goes, too: a flood is not looked through for what might still fit
                stored.append(self._drop(sum(map(len, lines[number:])) + len(lines) - number))
                break
        if kept and not is_over:
            self.on_lines(stream, kept)
        self._remember(stream, kept)
        self._write(b"".join(stored))
        return is_over

    def _drop(self, count: int) -> bytes:
        """Count what is dropped; return the line that says that it begins, and note a flood."""
        now, told = self._filled_at, b""
        if self._over_since is None or now - self._over_at > QUIET_S:
            told = self._told_drop()
            text = f"it prints more than [sandbox] log_bytes_per_s={self.bytes_per_s}: what is over that is dropped"
            told += self._line("desk", text.encode())
            self._over_since, self._told_at, self._over_dropped, self._over_printed = now, now, 0, 0
        self._over_at = now
        self.dropped_bytes += count
        self._dropped_untold += count
        self._over_dropped += count
        self._over_printed += count
        lasted = now - self._over_since
        if lasted >= self.flood_s and self.flood is None:
            self.flood = (
                f"it printed {self._over_printed / 1e6:.1f} MB in {lasted:.0f} s without a pause, and was held back by "
                f"[sandbox] log_bytes_per_s={self.bytes_per_s}; {self._over_dropped / 1e6:.1f} MB were dropped: print less"
            )
        return told

    def _refill(self) -> None:
        now = self.clock.monotonic()
        earned = (now - self._filled_at) * self.bytes_per_s
        self._room, self._filled_at = min(self._room + earned, self.bytes_per_s * _BURST_S), now

    def _told_drop(self) -> bytes:
        dropped, self._dropped_untold = self._dropped_untold, 0
        self._told_at = self._filled_at
        if not dropped:
            return b""
        text = f"{dropped} bytes of prints were dropped: [sandbox] log_bytes_per_s={self.bytes_per_s}; print less"
        return self._line("desk", text.encode())

    def _line(self, stream: str, line: bytes) -> bytes:
        self._remember(stream, [line])
        return b"%s%s\n" % (self._head(stream), line)

    def _head(self, stream: str) -> bytes:
        at = self.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return f"{at} {stream} ".encode()

    def _remember(self, stream: str, lines: list[bytes]) -> None:
        if stream == "desk":
            return
        for line in lines[-RECENT_MAX:]:
            shown = line[: RECENT_CHARS_MAX * 4].decode("utf-8", "replace")
            self.recent.append(shown if len(shown) <= RECENT_CHARS_MAX else shown[:RECENT_CHARS_MAX] + "…")
        if stream == "err":
            self.recent_errors.take(lines)

    def _write(self, data: bytes) -> None:
        if not data:
            return
        try:
            self.log.write(data)
        except OSError:  # a full disk: what a member prints is not worth a run, let alone the desk
            self.dropped_bytes += len(data)


async def pump(fd: int, stream: str, take: Callable[[str, bytes], bool]) -> None:
    """Hand on what comes through the pipe until its end; whoever made the pipe closes it. Rest a moment where *take* says so."""
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
