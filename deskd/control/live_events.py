"""The drop copy of what happens now: derived and encoded once, however many follow.

Rule 1: an event is here only when its fact is on disk.
Rule 2: a follower is a place in the ledger, not a queue: what is no longer kept here is read from the ledger, so that a
        slow one loses nothing and costs nobody anything.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import structlog

from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger.fact_reader import FactReader
from deskd.wire.drop_copy import DropCopy
from deskd.wire.event_line import EventLine, encode

KEPT = 4_096  # facts whose events are kept in memory: seconds of the busiest desk, some 2 MB
TAKEN_MAX = 256  # facts handed to a follower at a time

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Encoded:
    """One event, and what a filter needs of it."""

    event: EventLine
    line: bytes


type OfFact = tuple[Encoded, ...]


@dataclass(slots=True, eq=False)
class LiveEvents:
    """Listens to facts (a ports.OnFact): they come one by one, each after its commit."""

    copy: DropCopy
    last_seq: int  # of the ledger
    history: FactReader
    is_closed: bool = False  # no more will come
    _kept: deque[OfFact] = field(default_factory=lambda: deque(maxlen=KEPT))
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def __call__(self, fact: ev.Fact) -> None:
        """Take the next fact of the ledger."""
        self.last_seq += 1
        self._recall(fact)
        self._kept.append(tuple(Encoded(e, encode(e) + b"\n") for e in self.copy.events(self.last_seq, fact)))
        self._wake()

    def close(self) -> None:
        """Let followers take what is there, and end."""
        self.history.close()
        self.is_closed = True
        self._wake()

    def _recall(self, fact: ev.Fact) -> None:
        """Look up what came before of an order that is not in memory: a late word on one that ended long ago.

        It is rare, and an indexed read of some tenths of a millisecond: the one time that the loop asks the ledger.
        """
        oid = self.copy.lacks(fact)
        if oid is None:
            return
        try:
            for earlier in self.history.of_order(oid, before=self.last_seq):
                self.copy.events(earlier.seq, earlier.fact)
        except LedgerError as error:  # a drop copy is no reason to end the desk: the event names the order alone
            log.warning("order_not_recalled", client_order_id=oid, error=str(error))

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def after(self, seq: int) -> Sequence[OfFact] | None:
        """Return the events of the next facts after the place *seq*, by fact; None where they are kept no more."""
        behind = max(self.last_seq - seq, 0)  # a place that is yet to come has nothing after it
        if behind > len(self._kept):
            return None
        first = len(self._kept) - behind
        return list(islice(self._kept, first, first + TAKEN_MAX))

    async def news(self) -> None:
        """Return when the next fact has come, or none will."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future
