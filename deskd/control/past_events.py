"""The drop copy of what is in the ledger already, derived from its facts by threads that only read."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from deskd.domain import events as ev
from deskd.domain.entry import Entry
from deskd.ledger.fact_reader import FactReader
from deskd.wire.drop_copy import DropCopy, order_of
from deskd.wire.event_line import SOURCES, DeskEvent, EventLine

WINDOW = 250  # facts read at a time: a few milliseconds of a thread
SCAN_MAX = 100_000  # facts that are looked at for the last events of a rare kind
REGISTRATIONS_MAX = 10_000  # more strategies than one machine runs

type Keeps = Callable[[EventLine], bool]


@dataclass(slots=True)
class PastEvents:
    """Reads on from one place in the ledger. Each call is one short read."""

    history: FactReader
    seq: int  # the last fact that was read
    kinds: frozenset[str] | None = None  # of facts; None: all
    window: int = WINDOW
    _copy: DropCopy = field(default_factory=DropCopy)
    _is_seeded: bool = False

    def read(self, *, until: int) -> Sequence[Sequence[EventLine]]:
        """Return the events of the next facts up to *until*, by fact; `seq` tells how far that went."""
        entries = self.history.after(self.seq, until=until, limit=self.window, kinds=self.kinds)
        self.seq = entries[-1].seq if len(entries) == self.window else max(until, self.seq)
        return self.derive(entries)

    def derive(self, entries: Sequence[Entry]) -> list[list[EventLine]]:
        """Return the events of *entries*, by fact; they follow what was read."""
        if entries and not self._is_seeded:
            self._is_seeded = True
            for entry in self.history.before(entries[0].seq, limit=REGISTRATIONS_MAX, kinds=("StrategyRegistered",)):
                self._copy.events(entry.seq, entry.fact)
        return [self._events(entry) for entry in entries]

    def _events(self, entry: Entry) -> list[EventLine]:
        if self.kinds is not None and (oid := order_of(entry.fact)) is not None:
            self._copy.forget(oid)  # other facts of it were passed over
        lacking = self._copy.lacks(entry.fact)
        if lacking is not None:
            for earlier in self.history.of_order(lacking, before=entry.seq):
                self._copy.events(earlier.seq, earlier.fact)
        return self._copy.events(entry.seq, entry.fact)


def last_events(
    history: FactReader, count: int, keeps: Keeps, *, until: int, kinds: frozenset[str] | None
) -> list[EventLine]:
    """Return the last *count* events up to *until* that *keeps* lets through, oldest first."""
    kept: list[EventLine] = []
    end, looked_at = until + 1, 0
    while len(kept) < count and looked_at < SCAN_MAX:
        entries = history.before(end, limit=WINDOW, kinds=kinds)
        if not entries:
            break
        end, looked_at = entries[0].seq, looked_at + len(entries)
        events = PastEvents(history, end - 1, kinds).derive(entries)
        kept = [line for lines in events for line in lines if keeps(line)] + kept
    return kept[-count:] if count else []


def kinds_of(events: Collection[DeskEvent]) -> frozenset[str] | None:
    """Return the kinds of facts that may give these events; None: all kinds. Registrations tell whose a strategy is."""
    if not events:
        return None
    return frozenset(kind.__name__ for event in events for kind in (*SOURCES[event], ev.StrategyRegistered))
