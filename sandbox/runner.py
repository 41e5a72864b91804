"""Runs a member's script inside the jail: `python -P -s -u -B runner.pyc PROGRESS_FD STATE_FD SCRIPT`.

The script must not see a difference from `python SCRIPT`: it is `__main__`, `sys.argv` and `sys.path` are its own,
its traceback starts with its own line. Two things are added: how many lines of standard input it has handled, and the
last of them, is kept in a page of memory that the desk shares (an inherited memfd; deskd/supervision/page.py has its
form), which the desk reads when it likes; and a crash in compiled code prints which line of the script it was in.
The page is sealed just before the script's first line: from then on whatever happens is the script's doing.
Every import here is a millisecond of every start.

In lock-step, which a backtest asks for in the page, each wish for the next line is also told: one byte through a pipe,
and then one line comes. So whoever drives the market knows that the line before is done with, whatever the script is.

Before the script begins, /state gets back what the strategy kept, and the desk a hold on it, over the socket STATE_FD
(-1: there is no /state). The form of what was kept is described in deskd/supervision/state.py.
"""

from __future__ import annotations

import faulthandler
import fcntl
import io
import mmap
import os
import sys
from time import monotonic

PAGE_BYTES = 4096
STATE = b"/state/"
STATE_HEAD_BYTES = 32
CHUNK = 1_048_576
STEP_AT = 4092  # of the page, two bytes: the pipe by which each wish for a line is told; 0: it is not
WAITS_AT = 4095  # of the page: 1 where the desk wants a warm jail; see deskd/supervision/prewarmed.py
OWN_PACKAGES = "/packages/own"
_ONLY_AST = 0x400
# What a warm jail imports before the script does: packages of the desk's environment, and of the standard library what
# says and does nothing by being imported.
_AHEAD = frozenset(
    b"__future__ abc asyncio bisect collections contextlib csv dataclasses datetime decimal desk_client enum "
    b"fractions functools google heapq io itertools json logging math numpy operator os pandas pathlib polars "
    b"random re scipy statistics string sys talib talipp time typing zoneinfo".split()
)
LAST_LINE_MAX = 512
READ_BYTES = 16_384
PIECE_MAX = 16  # lines
FAST_S = 0.02


class CountingInput(io.FileIO):
    """Standard input, handed on in pieces of whole lines. Whoever asks for the next piece has handled the one before.

    A piece is one line for a script that takes its time, so that its progress shows line by line, and up to PIECE_MAX
    for one that is fast, so that a burst costs it little.
    """

    def __init__(self, page: mmap.mmap) -> None:
        super().__init__(0, "rb", closefd=False)
        self._page = page
        self._step = int.from_bytes(page[STEP_AT : STEP_AT + 2], "little")
        self._data = b""  # what was read
        self._start = 0  # and not yet handed on
        self._read = 0  # lines
        self._handed = 0
        self._last = b""  # the last line that was handed on
        self._piece = 1
        self._asked_at = 0.0

    read = io.RawIOBase.read  # type: ignore[assignment]  # FileIO's own would pass by what we hold
    readall = io.RawIOBase.readall

    def readinto(self, buffer: memoryview, /) -> int | None:  # type: ignore[override]  # BufferedReader hands one over
        """Note that all before is handled, then hand on what comes next."""
        page, last = self._page, self._last
        page[:8] = self._handed.to_bytes(8, "little")
        page[24 : 26 + len(last)] = len(last).to_bytes(2, "little") + last
        page[540:542] = page[1054:1056] = b"\0\0"
        is_fast = monotonic() - self._asked_at < FAST_S
        self._piece = min(self._piece * 2, PIECE_MAX) if is_fast else 1
        end = self._data.find(b"\n", self._start) + 1
        if self._step and not end:
            os.write(self._step, b".")
        while not end:
            try:
                more = os.read(0, READ_BYTES)
            except BlockingIOError:
                return None
            self._data = self._data[self._start :] + more
            self._start = 0
            self._read += more.count(b"\n")
            page[16:24] = self._read.to_bytes(8, "little")
            end = self._data.find(b"\n") + 1
            if not more or len(self._data) > READ_BYTES:
                end = end or len(self._data)
                break
        room = min(self._start + len(buffer), len(self._data))
        start = line_at = self._start
        for _ in range(self._piece - 1):
            further = self._data.find(b"\n", end, room) + 1
            if not further:
                break
            line_at, end = end, further
        piece = self._data[start : min(end, room)]
        self._last = self._data[line_at : min(line_at + LAST_LINE_MAX, end)]
        self._start += len(piece)
        count = piece.count(b"\n")
        self._handed += count
        buffer[: len(piece)] = piece
        last = self._last
        if line_at == start:  # one line: the script is at work on it
            page[540 : 542 + len(last)] = len(last).to_bytes(2, "little") + last
        else:  # on one of these, the last of which is known
            head = count.to_bytes(2, "little") + len(last).to_bytes(2, "little")
            page[1054 : 1058 + len(last)] = head + last
        self._asked_at = monotonic()
        return len(piece)


def take_state(socket_fd: int) -> None:
    """Fill /state, then let the desk hold it: it keeps what is there when we are gone."""
    import _socket

    desk = _socket.socket(fileno=socket_fd)
    try:
        try:
            _, rights, *_ = desk.recvmsg(1, _socket.CMSG_SPACE(4), _socket.MSG_DONTWAIT)
        except BlockingIOError:  # nothing was kept
            rights = []
        for _, _, descriptor in rights:
            fill_state(int.from_bytes(descriptor[:4], sys.byteorder))
        hold = os.open(STATE, os.O_RDONLY | os.O_DIRECTORY)
        desk.sendmsg([b"s"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, hold.to_bytes(4, sys.byteorder))])
        os.close(hold)
    finally:
        desk.close()


def fill_state(kept: int) -> None:
    """Make all that was kept anew; end where it cannot be, before the script begins."""
    try:
        with open(kept, "rb") as file:
            _fill(file)
    except (OSError, EOFError) as error:
        sys.exit(f"what was kept of /state cannot be put back: {error}")


def _fill(file: io.BufferedReader) -> None:
    import _blake2
    import _struct

    entry, extent = _struct.Struct("<cHHqQI"), _struct.Struct("<QQ")
    digest = _blake2.blake2b(digest_size=16)
    folders: list[tuple[bytes, int, int]] = []

    def take(count: int) -> bytes:
        data = file.read(count)
        if len(data) != count:
            raise EOFError("it is cut short")
        digest.update(data)
        return data

    file.read(STATE_HEAD_BYTES)
    while True:
        kind, length, mode, time, size, extents = entry.unpack(take(entry.size))
        if kind == b"e":
            break
        path = STATE + take(length)
        if kind == b"d":
            os.mkdir(path, 0o700)  # noqa: PTH102
            folders.append((path, mode, time))
            continue
        if kind == b"l":
            os.symlink(take(size), path)  # noqa: PTH211
        elif kind == b"h":
            os.link(STATE + take(size), path, follow_symlinks=False)
            continue
        else:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            os.ftruncate(made, size)
            for _ in range(extents):
                start, left = extent.unpack(take(extent.size))
                while left:
                    data = take(min(left, CHUNK))
                    written = os.pwrite(made, data, start)
                    if written != len(data):
                        raise OSError("no room for all of it")
                    start, left = start + written, left - written
            os.fchmod(made, mode)
            os.close(made)
        os.utime(path, ns=(time, time), follow_symlinks=False)
    for path, mode, time in reversed(
        folders
    ):  # a folder may be shut to ourselves, and its time changes with what is made in it
        os.chmod(path, mode)  # noqa: PTH101
        os.utime(path, ns=(time, time))
    if file.read() != digest.digest():
        raise EOFError("it is damaged")


def wait_for_go(page: mmap.mmap, script: str) -> None:
    """Import what the script imports first, and wait for the desk's byte; leave the page as a cold start finds it."""
    try:
        for name in leading_imports(script):
            __import__(name)
    except Exception:  # noqa: BLE001, S110  the script will see the same, and say where
        pass
    page[WAITS_AT] = 2
    if not os.read(0, 1):
        os._exit(0)  # nobody wants it any more
    page[WAITS_AT] = 0


def leading_imports(script: str) -> list[str]:
    """Return what the script imports before it does anything else, as far as that is the same without its folder.

    A module of the member's own is not imported: that would run his code. Nor is anything after it, or anything at all
    where one of his modules has the name of another: what is imported first may decide what comes of the rest. Who has
    packages of his own gets none: any of the others may look for one of those.
    """
    if OWN_PACKAGES in sys.path:
        return []
    folder = os.path.dirname(script)  # noqa: PTH120
    own = {name.partition(".")[0] for name in os.listdir(folder)}  # noqa: PTH208
    others = set(sys.stdlib_module_names)
    for place in sys.path:
        if os.path.isdir(place):  # noqa: PTH112
            others.update(name.partition(".")[0] for name in os.listdir(place))  # noqa: PTH208
    if own & others:
        return []
    with io.open_code(script) as file:
        tree = compile(file.read(), script, "exec", _ONLY_AST, dont_inherit=True)
    found: list[str] = []
    for node in tree.body:
        kind = type(node).__name__
        if kind == "Import":
            names = [alias.name for alias in node.names]
        elif kind == "ImportFrom":
            names = [] if node.level or not node.module else [node.module]
        elif kind == "Expr" and type(node.value).__name__ == "Constant":
            continue  # the docstring
        else:
            break
        if not names or any(name.partition(".")[0].encode() not in _AHEAD for name in names):
            break
        found += names
    return found


def main() -> None:
    """Run the script, and end as it ends."""
    progress_fd, state_fd, script = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    page = mmap.mmap(progress_fd, PAGE_BYTES)
    if page[WAITS_AT]:
        wait_for_go(page, script)
    if state_fd >= 0:
        take_state(state_fd)
    faulthandler.enable()
    source = io.BufferedReader(CountingInput(page), 65_536)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(source, encoding="utf-8", errors="surrogateescape")  # type: ignore[misc]
    sys.argv = [script]
    sys.path.insert(0, os.path.dirname(script))  # noqa: PTH120  pathlib costs 3 ms of start-up
    module = type(sys)("__main__")
    module.__file__ = script
    module.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    fcntl.fcntl(progress_fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
    os.close(progress_fd)
    try:
        with io.open_code(script) as file:
            code = compile(file.read(), script, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102  a member's code is what this process is for
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001  the last stop: print it as Python would, without our own frames
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code is main.__code__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)


if __name__ == "__main__":
    main()
