"""A strategy's log, for a reader: its last lines, and what comes after. Rotation is followed; nothing is polled."""

import asyncio
import codecs
import ctypes
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deskd.domain.shown import printable

LINES_MAX = 10_000
CHUNK = 65_536
SETTLE_S = 0.05  # a busy log wakes its followers so often, not once for each line

_BROKEN = "backslashreplace"  # bytes that are no text are shown as \\xNN
_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_libc = ctypes.CDLL(None, use_errno=True)


def tail(path: Path, lines: int) -> tuple[str, int]:
    """Return the last *lines* lines, safe to show, older files included, and where in the newest file they end."""
    newest = _read(path)
    text = newest
    for age in (1, 2):
        if text.count(b"\n") >= lines:
            break
        text = _read(path.with_name(f"{path.name}.{age}")) + text
    *whole, rest = text.split(b"\n")
    kept = b"".join(line + b"\n" for line in whole[-lines:]) if lines else b""
    return printable((kept + rest).decode(errors=_BROKEN)), len(newest)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()  # bounded: the supervisor rotates at a third of [sandbox] log_kept_bytes
    except FileNotFoundError:
        return b""


async def follow(path: Path, offset: int) -> AsyncIterator[str]:
    """Yield what is written to the log from *offset* on, safe to show, for ever, through rotations."""
    decode = codecs.getincrementaldecoder("utf-8")(_BROKEN).decode
    with ExitStack() as stack:
        changed = stack.enter_context(_watching(path.parent))
        current: int | None = None
        stack.callback(lambda: None if current is None else os.close(current))
        while True:
            if current is None:
                current = _open(path, offset)
            if current is not None:
                while chunk := os.read(current, CHUNK):
                    yield printable(decode(chunk))
                if _is_rotated(path, current):
                    os.close(current)
                    current, offset = None, 0
                    continue
            await changed.wait()
            changed.clear()
            await asyncio.sleep(SETTLE_S)


def _open(path: Path, offset: int) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    os.lseek(descriptor, min(offset, os.fstat(descriptor).st_size), os.SEEK_SET)
    return descriptor


def _is_rotated(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False  # between the old file's renaming and the new one's first byte


@contextmanager
def _watching(folder: Path) -> Iterator[asyncio.Event]:
    """Give an event that is set whenever a file in *folder* is written, made or renamed."""
    descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        _raise_errno(folder)
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def on_change() -> None:
        os.read(descriptor, CHUNK)
        changed.set()

    try:
        if _libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE) < 0:
            _raise_errno(folder)
        loop.add_reader(descriptor, on_change)
        yield changed
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _raise_errno(folder: Path) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), str(folder))
