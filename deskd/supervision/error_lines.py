"""The last lines of a run's standard error, and with them how its last traceback began, however long it is.

A recursion of a thousand frames prints three thousand lines: the first say where it was entered, the last what it died of.
Of the errors that the last one came of (Python prints them before it) each keeps its first and last lines.
What is kept is bounded whatever a run prints; nothing is decoded before somebody reads it.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

LINES_MAX = 100
HEAD_MAX = 30  # of the last traceback
CAUSE_HEAD, CAUSE_TAIL = 20, 10  # of one that it came of
CAUSES_MAX = 3  # the first, and the last two
CHARS_MAX = 1_000  # of each line
_HEADERS = (b"Traceback (most recent call last):", b"  + Exception Group Traceback (most recent call last):")
_LINKS = (
    b"The above exception was the direct cause of the following exception:",
    b"During handling of the above exception, another exception occurred:",
)
_SPACE = b" \t"  # and nothing at all
_GROUP_ENDS = re.compile(rb"  \+-{20,}$")
_BYTES_MAX = CHARS_MAX * 4


@dataclass(slots=True)
class ErrorLines:
    """What is kept of them; iterate to read it, oldest first."""

    _last: deque[bytes] = field(default_factory=lambda: deque(maxlen=LINES_MAX))
    _causes: list[list[bytes]] = field(default_factory=list)  # of the last traceback
    _caused_by: int = 0  # lines that these had
    _head: list[bytes] = field(default_factory=list)  # of the last traceback; empty: there was none
    _tail: deque[bytes] = field(default_factory=lambda: deque(maxlen=CAUSE_TAIL))
    _count: int = 0  # lines since it began, with what came after it
    _is_group: bool = False
    _since_end: int | None = None  # lines; None: it is not over yet
    _is_linked: bool = False  # the next traceback is of an error that came of this one

    def take(self, lines: Sequence[bytes]) -> None:
        """Keep what belongs to the last lines, or to the last traceback."""
        self._last.extend(line[:_BYTES_MAX] for line in lines[-LINES_MAX:])
        left = iter(lines)
        for line in left:
            if line.startswith(_HEADERS):
                self._begin(line)
            elif not self._head:
                continue
            elif self._since_end is None and len(self._head) == HEAD_MAX:
                self._go_through(line, left)
            else:
                self._go_on(line)

    def __iter__(self) -> Iterator[str]:
        """Yield the lines as text, cut where they are long."""
        for line in self._lines():
            shown = line.decode("utf-8", "replace")
            yield shown if len(shown) <= CHARS_MAX else shown[:CHARS_MAX] + "…"

    def _begin(self, header: bytes) -> None:
        if self._is_linked:
            self._causes.append([*self._head[:CAUSE_HEAD], *_left_out(self._middle()), *self._cause_tail()])
            self._caused_by += self._count
            if len(self._causes) > CAUSES_MAX:
                del self._causes[1]
        else:
            self._causes, self._caused_by = [], 0
        self._head, self._count, self._since_end, self._is_linked = [header], 1, None, False
        self._is_group = header == _HEADERS[1]
        self._tail.clear()

    def _go_through(self, line: bytes, left: Iterator[bytes]) -> None:
        """Take *line*, and further ones up to the end of the traceback, or to another: there can be thousands."""
        ends, tail, count = self._ends, self._tail, self._count
        for one in chain((line,), left):
            if one.startswith(_HEADERS):
                self._count = count
                self._begin(one)
                return
            count += 1
            tail.append(one)
            if ends(one):
                self._since_end = 0
                break
        self._count = count

    def _ends(self, line: bytes) -> bool:
        """Say whether the traceback is over with that line."""
        return bool(_GROUP_ENDS.match(line)) if self._is_group else line[:1] not in _SPACE

    def _go_on(self, line: bytes) -> None:
        self._count += 1
        if self._since_end is not None:
            self._since_end += 1
            if self._since_end > LINES_MAX:
                return
        elif self._ends(line):
            self._since_end = 0
        if self._since_end and line.strip():
            self._is_linked = line in _LINKS
        (self._head if len(self._head) < HEAD_MAX else self._tail).append(line[:_BYTES_MAX])

    def _middle(self) -> int:
        """Return how many lines of a cause are not kept."""
        return self._count - min(CAUSE_HEAD, len(self._head)) - len(self._cause_tail())

    def _cause_tail(self) -> list[bytes]:
        return [*self._head[CAUSE_HEAD:], *self._tail][-CAUSE_TAIL:]

    def _lines(self) -> list[bytes]:
        last = list(self._last)
        is_whole = self._caused_by + self._count <= len(last)
        is_old = self._since_end is not None and self._since_end >= len(last)
        if not self._head or is_whole or is_old:
            return last
        causes = [line for cause in self._causes for line in cause]
        if self._count <= len(last):
            return causes + last[-self._count :]
        left = self._count - len(self._head) - len(last)
        return [*causes, *self._head, *_left_out(left), *last[max(0, -left) :]]


def _left_out(count: int) -> list[bytes]:
    return [f"  … {count} lines left out".encode()] if count > 0 else []
