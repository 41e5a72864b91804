"""What strategies print, in the systemd journal under their names: `journalctl DESK_STRATEGY=alice_momentum -f`.

Their own logs (`deskctl logs`) have every line within [sandbox] log_bytes_per_s; the journal is everybody's, and gets no
more of them than it can carry. It drops what a unit writes beyond 10,000 entries in 30 seconds, the desk's own among
them: so all prints together stay well under that, and no strategy takes all of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from deskd.domain.ids import RunId
from deskd.domain.shown import one_line
from deskd.domain.strategy import StrategySpec
from deskd.journal import Fields
from deskd.ports import Clock

LINES_PER_S = 20  # of one run; more is in its log
BURST_S = 5.0  # a traceback or a table at once
ALL_PER_S = 150  # of all runs together: 4,500 in 30 seconds
CHARS_MAX = 2_048  # of one line
TELL_EVERY_S = 10.0  # how much is not there

_PRINTED, _NOT_THERE = "strategy_printed", "strategy_prints_not_in_journal"


class Printing(Protocol):
    """Where prints go beside the strategies' own logs."""

    def of(self, spec: StrategySpec, run_id: RunId) -> Callable[[str, Sequence[bytes]], None]:
        """Return what takes the run's lines, by stream."""


@dataclass(slots=True)
class _Room:
    """How many lines may still go: a token bucket."""

    per_s: int
    clock: Clock
    left: float = field(init=False)
    filled_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.left, self.filled_at = self.per_s * BURST_S, self.clock.monotonic()

    def has(self) -> bool:
        """Tell whether a line may go."""
        now = self.clock.monotonic()
        self.left = min(self.left + (now - self.filled_at) * self.per_s, self.per_s * BURST_S)
        self.filled_at = now
        return self.left >= 1


@dataclass(slots=True)
class Prints:
    """The way of all runs' prints to the journal."""

    send: Callable[[Fields], object]  # to the journal
    clock: Clock
    hide: Callable[[str], str]  # the desk's secrets: no run has them, and none gets out by way of one
    left_out: int = 0  # lines that did not go, of all runs
    _all: _Room = field(init=False)

    def __post_init__(self) -> None:
        self._all = _Room(ALL_PER_S, self.clock)

    def of(self, spec: StrategySpec, run_id: RunId) -> Callable[[str, Sequence[bytes]], None]:
        """Return what takes the run's lines, by stream."""
        return _OfRun(self, spec, run_id, _Room(LINES_PER_S, self.clock)).take

    def take_room(self, own: _Room) -> bool:
        """Tell whether a line of a run may go, and count it."""
        if not own.has() or not self._all.has():
            return False
        own.left -= 1
        self._all.left -= 1
        return True


@dataclass(slots=True)
class _OfRun:
    prints: Prints
    spec: StrategySpec
    run_id: RunId
    room: _Room
    missing: int = 0
    told_at: float | None = None

    def take(self, stream: str, lines: Sequence[bytes]) -> None:
        for line in lines:
            if not self.prints.take_room(self.room):
                self.missing += 1
                self.prints.left_out += 1
                continue
            text = line[: CHARS_MAX * 4].decode("utf-8", "replace")
            text = text if len(text) <= CHARS_MAX else text[:CHARS_MAX] + "…"
            self._send(_PRINTED, one_line(self.prints.hide(text)), 6, ("DESK_STREAM", stream))
        now = self.prints.clock.monotonic()
        if self.missing and (self.told_at is None or now - self.told_at >= TELL_EVERY_S):
            missing, self.missing, self.told_at = self.missing, 0, now
            text = f"{missing} lines of prints are not in the journal: deskctl logs {self.spec.strategy_id}"
            self._send(_NOT_THERE, text, 5, ("DESK_COUNT", str(missing)))

    def _send(self, event: str, text: str, priority: int, more: tuple[str, str]) -> None:
        self.prints.send(
            [
                ("MESSAGE", text),
                ("PRIORITY", str(priority)),
                ("SYSLOG_IDENTIFIER", self.spec.strategy_id),
                ("DESK_EVENT", event),
                ("DESK_STRATEGY", self.spec.strategy_id),
                ("DESK_USER", self.spec.user_id),
                ("DESK_RUN", self.run_id),
                more,
            ]
        )
