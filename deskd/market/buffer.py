"""What waits for one run that does not read fast enough: bounded, in order, conflated. Pure: no pipe, no clock.

1. Lines leave in the order they came, whole, however little the pipe takes at a time.
2. A price line is dropped only where a newer one of its kind and symbol waits behind it, and only where the buffer is
   over its bound, or the line has waited longer than `lag_max_s`. So the newest of each always arrives. Looking is
   not free: the bound is passed by a quarter and one batch before it is looked again, the lag by half.
3. Bars, status and order lines are never dropped. Where they alone break a bound, the buffer has `overflowed`: it takes
   nothing more, and the run must be stopped.
4. Before the lines that follow a drop stands one gap line: how many were dropped, and the stamp of the first. It has
   no price, so only a run that expects lines without one gets it (`tells_gaps`).

Lines come in batches that all runs of an audience share, and wait as such: a run that is a little late costs an append.
Only conflation looks at single lines, and it makes one batch of what it leaves.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from deskd.wire.alpaca.market import rfc3339
from deskd.wire.lines import gap_line

CHUNK_BYTES = 8_192  # offered to a pipe at once: what stays here can still be conflated, what is offered cannot


class Line(msgspec.Struct, frozen=True, gc=False):
    """One encoded line on its way to runs. A struct, for it is made for every message of the market."""

    data: bytes
    key: str | None  # kind and symbol of a trade or quote; None: never dropped
    sent_at: int  # nanoseconds since 1970: the market's stamp
    arrived: float  # seconds of the desk's monotonic clock
    is_order: bool = False


class Batch(msgspec.Struct, frozen=True):
    """Lines that leave together."""

    data: bytes  # of all of them
    lines: Sequence[Line]
    kept_bytes: int  # of those that are never dropped
    order_lines: int


def batch_of(lines: Sequence[Line]) -> Batch:
    """Join the lines."""
    return Batch(
        data=b"".join([line.data for line in lines]),
        lines=lines,
        kept_bytes=sum([len(line.data) for line in lines if line.key is None]),
        order_lines=sum([line.is_order for line in lines]),
    )


class Buffer:
    """The unread lines of one run."""

    def __init__(self, *, bytes_max: int, order_lines_max: int, lag_max_s: float, tells_gaps: bool = True) -> None:
        self._bytes_max = bytes_max
        self._order_lines_max = order_lines_max
        self._lag_max_s = lag_max_s
        self._tells_gaps = tells_gaps
        self._rest = b""  # of a line that the pipe took in part: it must come next
        self._batches: deque[Batch] = deque()
        self._offset = 0  # what the pipe took of the first batch
        self._bytes = 0  # of all batches
        self._kept_bytes = 0
        self._order_lines = 0
        self._allowed = 0  # over its bound, for late lines
        self._conflate_over = bytes_max
        self._conflate_after = 0.0  # the clock's time
        self._is_warming = False  # from the history until nothing waits: a start is no slowness
        self._gap = 0  # dropped since the last gap line
        self._gap_since = 0  # the stamp of the first of them
        self._offered = b""  # the gap line in the chunk that was last taken
        self.delivered = 0  # whole lines the pipe took
        self.dropped = 0
        self.overflowed = False

    def __bool__(self) -> bool:
        """Tell whether anything waits."""
        return bool(self._batches or self._rest or self._gap)

    @property
    def size(self) -> int:
        """Return the bytes that wait."""
        return self._bytes - self._offset + len(self._rest)

    def push(self, batch: Batch, *, sent: int = 0) -> bool:
        """Queue the batch, of which the pipe took the first *sent* bytes, and tell whether that keeps the bounds."""
        if self.overflowed:
            return False
        self._add(batch)
        if sent:
            self._advance(sent)
        if self._bytes > self._conflate_over:
            self._conflate(float("inf"))
            self._conflate_over = max(self._bytes_max, self._bytes + self._bytes_max // 4)
        self.overflowed = self._kept_bytes > self._bytes_max or self._order_lines > self._order_lines_max
        return not self.overflowed

    def push_history(self, batch: Batch) -> None:
        """Queue the warm-up before all else; the bounds grow by it, for it is asked for and of a known size."""
        assert not self._rest, "history comes before the first write"
        assert not self._offset, "history comes before the first write"
        live, self._batches = self._batches, deque()
        self._bytes = self._kept_bytes = self._order_lines = 0
        self._bytes_max += len(batch.data)
        self._conflate_over += len(batch.data)
        for one in (batch, *live):
            self._add(one)
        self._is_warming = bool(self)

    def allow(self, size: int) -> None:
        """Let the bounds grow by *size* bytes, until nothing waits any more."""
        self._allowed += size
        self._bytes_max += size
        self._conflate_over += size

    def settle(self) -> None:
        """Go back to the bounds as they were: nothing waits."""
        self._bytes_max -= self._allowed
        self._allowed = 0
        self._conflate_over = self._bytes_max

    def take(self, now: float) -> bytes:
        """Return what to write next: about CHUNK_BYTES of lines, after what is left of the last one and its gap line.

        Say with `sent` how much of it went, before anything else is asked of the buffer.
        """
        if self._batches and not self._is_warming:
            late = now - self._lag_max_s
            if now >= self._conflate_after and self._batches[0].lines[0].arrived < late:
                self._conflate(late)
                self._conflate_after = now + self._lag_max_s / 2
        self._offered = gap_line(self._gap, rfc3339(self._gap_since)) if self._gap else b""
        chunk = [self._rest, self._offered]
        room, offset = CHUNK_BYTES - len(self._rest), self._offset
        for batch in self._batches:
            if room <= 0:
                break
            piece = batch.data[offset : offset + room]
            chunk.append(piece)
            room -= len(piece)
            offset = 0
        return b"".join(chunk)

    def sent(self, count: int) -> None:
        """Forget the first *count* bytes of what `take` returned."""
        if count < len(self._rest):
            self._rest = self._rest[count:]
            return
        if self._rest:
            count -= len(self._rest)
            self._rest = b""
            self.delivered += 1
        if self._offered and count:
            self._gap = 0
            if count < len(self._offered):
                self._rest = self._offered[count:]
                return
            count -= len(self._offered)
            self.delivered += 1
        self._advance(count)
        if not self:
            self._is_warming = False
            self.settle()

    def _advance(self, count: int) -> None:
        """Forget the first *count* bytes of the batches."""
        while count:
            first = self._batches[0]
            end = min(self._offset + count, len(first.data))
            self.delivered += first.data.count(b"\n", self._offset, end)
            count -= end - self._offset
            self._offset = end
            if end == len(first.data):
                self._batches.popleft()
                self._bytes -= end
                self._kept_bytes -= first.kept_bytes
                self._order_lines -= first.order_lines
                self._offset = 0

    def _add(self, batch: Batch) -> None:
        if batch.lines:
            self._batches.append(batch)
            self._bytes += len(batch.data)
            self._kept_bytes += batch.kept_bytes
            self._order_lines += batch.order_lines

    def _conflate(self, before: float) -> None:
        """Drop each price line that arrived before then and has a newer one behind it; make one batch of the rest."""
        waiting = self._waiting()
        newest = {line.key: number for number, line in enumerate(waiting)}
        kept = []
        for number, line in enumerate(waiting):
            if line.key is None or newest[line.key] == number or line.arrived >= before:
                kept.append(line)
                continue
            if not self._gap:
                self._gap_since = line.sent_at
            self._gap += self._tells_gaps
            self.dropped += 1
        self._batches.clear()
        self._bytes = self._kept_bytes = self._order_lines = 0
        self._add(batch_of(kept))

    def _waiting(self) -> list[Line]:
        """Return the lines of which the pipe has nothing yet; what is left of one it took in part becomes the rest."""
        lines = [line for batch in self._batches for line in batch.lines]
        gone, taken = 0, 0
        while taken < self._offset:
            taken += len(lines[gone].data)
            gone += 1
        if taken > self._offset:
            self._rest = lines[gone - 1].data[-(taken - self._offset) :]
        self._offset = 0
        return lines[gone:]
