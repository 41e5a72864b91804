"""One run's standard input: writes without waiting, and keeps in a buffer what the pipe does not take.

A run that does not read costs the desk one failed write, then nothing until its pipe has room again. Whatever
happens to one pipe stays with its feed.
"""

import asyncio
import contextlib
import fcntl
import os
import termios
from array import array
from collections.abc import Callable

from deskd.domain.ids import RunId, Symbol
from deskd.domain.strategy import Delivery, StrategySpec
from deskd.market.buffer import Batch, Buffer
from deskd.ports import Clock

LINE_BYTES = 120  # of a line, where none was sent yet
PIPE_BYTES = 8_192  # some 60 lines: what lies in the pipe can be neither conflated nor overtaken


def _unread(fd: int) -> int:
    """Return how many bytes lie in the pipe."""
    count = array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:  # no pipe
        return 0
    return count[0]


def set_pipe_size(fd: int, size: int = PIPE_BYTES) -> None:
    """Give the pipe *size* bytes of room, where it is a pipe and the kernel allows it."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)


class Feed:
    """The write end of one run's standard input. It owns the descriptor."""

    def __init__(
        self,
        spec: StrategySpec,
        run_id: RunId,
        stdin: int,
        *,
        buffer: Buffer,
        clock: Clock,
        on_slow: Callable[[RunId], None],
    ) -> None:
        self.spec = spec
        self.run_id = run_id
        self.is_open = True  # the run can still read
        self.session = ""  # the phase that it was last told
        self.is_started = False  # its warm-up is out, or it asked for none
        self.bars_after: int | None = None  # it read when this stamp came; None: nothing has come since it is there
        self.history_until: dict[Symbol, int] = {}  # the stamp of the last minute bar of its warm-up
        self._stdin = stdin
        self._buffer = buffer
        self._clock = clock
        self._on_slow = on_slow
        self._loop = asyncio.get_running_loop()
        self._is_waiting = True  # for the history, later for room in the pipe: lines queue
        self._is_watched = False  # the loop tells when the pipe has room
        self._delivered = 0  # past the buffer
        self._sent_bytes = 0

    @property
    def delivered(self) -> int:
        """Return how many lines the pipe took."""
        return self._delivered + self._buffer.delivered

    def delivery(self) -> Delivery:
        """Return what became of the lines: of those that wait, how many there are is told by their bytes."""
        buffered = 0
        if self.is_started and self._buffer.size:
            mean = max(1, self._sent_bytes // (self.delivered or 1)) if self._sent_bytes else LINE_BYTES
            buffered = -(-self._buffer.size // mean)
        return Delivery(
            delivered=self.delivered,
            dropped=self.dropped,
            buffered=buffered,
            sent_bytes=self._sent_bytes,
            unread_bytes=_unread(self._stdin) if self.is_open else 0,
        )

    @property
    def dropped(self) -> int:
        """Return how many lines were conflated away."""
        return self._buffer.dropped

    @property
    def waiting_bytes(self) -> int:
        """Return how much waits for room in the pipe."""
        return self._buffer.size

    def start(self, history: Batch) -> None:
        """Let the lines flow: *history* first, then what came meanwhile."""
        self.is_started = True
        if self.is_open:
            self._buffer.push_history(history)
            self._drain()

    def write(self, batch: Batch) -> None:
        """Send the lines, or keep what the pipe does not take."""
        if not self.is_open:
            return
        if self._is_waiting:
            self._keep(batch, sent=0)
            return
        sent = self._send(batch.data)
        if sent == len(batch.data):
            self._delivered += len(batch.lines)
        elif sent is not None:
            self._is_waiting = True
            self._keep(batch, sent=sent)
            self._watch()

    def write_late(self, batch: Batch) -> None:
        """Send lines of a known size that are not the run's fault: its bounds grow by them until it has caught up."""
        self._buffer.allow(len(batch.data))
        self.write(batch)
        if not self._is_waiting:
            self._buffer.settle()

    def close(self) -> None:
        """Offer the pipe what still waits, once, then close it: the run sees the end of its input."""
        if self.is_open and self._is_watched:
            self._drain()
        self._shut()

    def _keep(self, batch: Batch, *, sent: int) -> None:
        if self._buffer.overflowed:
            return
        if not self._buffer.push(batch, sent=sent):
            self._on_slow(self.run_id)

    def _drain(self) -> None:
        sent = self._send(self._buffer.take(self._clock.monotonic()))
        if sent is not None:
            self._buffer.sent(sent)
            self._is_waiting = bool(self._buffer)
            self._watch()

    def _watch(self) -> None:
        """Have the loop call back exactly while something waits for room."""
        if self._is_waiting and not self._is_watched:
            self._loop.add_writer(self._stdin, self._drain)
        elif self._is_watched and not self._is_waiting:
            self._loop.remove_writer(self._stdin)
        self._is_watched = self._is_waiting

    def _send(self, data: bytes) -> int | None:
        """Write without waiting and return how much went; None once nobody can read any more."""
        try:
            sent = os.write(self._stdin, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:  # the run closed its input or is dead; its supervisor will see which
            self._shut()
            return None
        self._sent_bytes += sent
        return sent

    def _shut(self) -> None:
        if not self.is_open:
            return
        if self._is_watched:
            self._loop.remove_writer(self._stdin)
        self.is_open = self._is_watched = False
        os.close(self._stdin)
