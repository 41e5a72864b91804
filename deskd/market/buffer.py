"""What waits for one run that does not read fast enough: bounded, in order, conflated. Pure: no pipe, no clock.

1. Lines leave in the order they came, whole, however little the pipe takes at a time.
2. A price line is dropped only where a newer one of its kind and symbol waits behind it, and only once the buffer is
   over its bound, or the line has waited longer than `lag_max_s`. So the newest of each always arrives.
3. Bars, status and order lines are never dropped. Where they alone break a bound, the buffer has `overflowed`: it takes
   nothing more, and the run must be stopped.
4. Before the lines that follow a drop stands one gap line: how many were dropped, and the stamp of the first.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import msgspec

from deskd.wire.alpaca.market import rfc3339
from deskd.wire.lines import gap_line

CHUNK_BYTES = 4_096  # offered to a pipe at once: what stays here can still be conflated, what is offered cannot


class Line(msgspec.Struct, frozen=True, gc=False):
    """One encoded line on its way to a run. A struct, for it is made for every message of the market."""

    data: bytes
    key: str | None  # kind and symbol of a trade or quote; None: never dropped
    sent_at: int  # nanoseconds since 1970: the market's stamp
    arrived: float  # seconds of the desk's monotonic clock
    is_order: bool = False


class Buffer:
    """The unread lines of one run."""

    def __init__(self, *, bytes_max: int, order_lines_max: int, lag_max_s: float) -> None:
        self._bytes_max = bytes_max
        self._order_lines_max = order_lines_max
        self._lag_max_s = lag_max_s
        self._rest = b""  # of a line that the pipe took in part: it must come next
        self._lines: OrderedDict[int, Line] = OrderedDict()  # by their number; a dict is slow to lose its first
        self._newest: dict[str, int] = {}  # the number of the newest waiting price line of each key
        self._next = 0
        self._bytes = 0
        self._kept_bytes = 0  # of lines that are never dropped
        self._order_lines = 0
        self._is_conflating = False  # from the bound's breach until nothing waits
        self._is_warming = False  # from the history until nothing waits: a start is no slowness
        self._gap = 0  # dropped since the last gap line
        self._gap_since = 0  # the stamp of the first of them
        self._offered = b""  # the gap line in the chunk that was last taken
        self.delivered = 0  # whole lines the pipe took
        self.dropped = 0
        self.overflowed = False

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._lines or self._rest or self._gap)

    @property
    def size(self) -> int:
        """Return the bytes that wait."""
        return self._bytes + len(self._rest)

    def push(self, lines: Sequence[Line], *, sent: int = 0) -> bool:
        """Queue the lines, of which the pipe took the first *sent* bytes, and tell whether that keeps the bounds."""
        taken = 0
        while sent > 0:
            sent = self._cut(lines[taken].data, sent)
            taken += 1
        for line in lines[taken:] if taken else lines:
            if self.overflowed:
                break
            if self._is_conflating and line.key is not None and line.key in self._newest:
                self._drop(self._newest[line.key])
            self._add(line)
            if self._bytes > self._bytes_max and not self._is_conflating:
                self._is_conflating = True
                self._drop_superseded(waiting_since=None)
        return not self.overflowed

    def push_history(self, lines: Iterable[Line]) -> None:
        """Queue the warm-up before all else; the bound grows by it, for it is asked for and of a known size."""
        live = list(self._lines.values())
        assert not self._rest, "history comes before the first write"
        self._lines.clear()
        self._newest.clear()
        self._bytes = self._kept_bytes = self._order_lines = 0
        for line in lines:
            self._bytes_max += len(line.data)
            self._add(line)
        for line in live:
            self._add(line)
        self._is_warming = bool(self)

    def take(self, now: float) -> bytes:
        """Return what to write next: about CHUNK_BYTES of lines, after what is left of the last one and its gap line.

        Say with `sent` how much of it went, before anything else is asked of the buffer.
        """
        if not self._is_warming:
            self._drop_superseded(waiting_since=now - self._lag_max_s)
        self._offered = gap_line(self._gap, rfc3339(self._gap_since)) if self._gap else b""
        chunk = [self._rest, self._offered]
        room = CHUNK_BYTES - len(self._rest)
        for line in self._lines.values():
            chunk.append(line.data)
            room -= len(line.data)
            if room <= 0:
                break
        return b"".join(chunk)

    def sent(self, count: int) -> None:
        """Forget the first *count* bytes of what `take` returned."""
        if count == 0:
            return
        if count < len(self._rest):
            self._rest = self._rest[count:]
            return
        if self._rest:
            count -= len(self._rest)
            self._rest = b""
            self.delivered += 1
        if self._offered and count:
            self._gap = 0
            count = self._cut(self._offered, count)
        while count > 0:
            count = self._cut(self._remove(next(iter(self._lines))).data, count)
        if not self:
            self._is_conflating = self._is_warming = False

    def _cut(self, data: bytes, count: int) -> int:
        """Count *data* as sent, keep what of it is beyond *count*, and return how many bytes more were sent."""
        if count < len(data):
            self._rest = data[count:]
        else:
            self.delivered += 1
        return count - len(data)

    def _add(self, line: Line) -> None:
        number = self._next
        self._next += 1
        self._lines[number] = line
        self._bytes += len(line.data)
        if line.key is not None:
            self._newest[line.key] = number
            return
        self._kept_bytes += len(line.data)
        self._order_lines += line.is_order
        self.overflowed = self._kept_bytes > self._bytes_max or self._order_lines > self._order_lines_max

    def _remove(self, number: int) -> Line:
        line = self._lines.pop(number)
        self._bytes -= len(line.data)
        if line.key is None:
            self._kept_bytes -= len(line.data)
            self._order_lines -= line.is_order
        elif self._newest[line.key] == number:
            del self._newest[line.key]
        return line

    def _drop(self, number: int) -> None:
        line = self._remove(number)
        if not self._gap:
            self._gap_since = line.sent_at
        self._gap += 1
        self.dropped += 1

    def _drop_superseded(self, waiting_since: float | None) -> None:
        """Drop each price line that has a newer one behind it, of those that arrived before *waiting_since* or all."""
        old: list[int] = []
        for number, line in self._lines.items():
            if waiting_since is not None and line.arrived >= waiting_since:
                break
            if line.key is not None and self._newest[line.key] != number:
                old.append(number)
        for number in old:
            self._drop(number)
