"""The desk and its tables from the facts alone: what a migration, an import and an audit have in common."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger import chain
from deskd.ledger.chain import UNREADABLE, Chain, Damage, Entry
from deskd.ledger.projections import BATCH_MOST, TABLES, Statement, project, write

type Progress = Callable[[int], None]  # is told up to which entry the work has come


@dataclass(slots=True)
class Fold:
    """Folds entries into a desk, and hands on the statements that its tables are made of."""

    write: Callable[[Sequence[Statement]], None]
    chain: Chain = field(default_factory=Chain)
    desk: Desk = field(default_factory=Desk)
    signed: list[ev.RootSigned] = field(default_factory=list)

    def take(self, entries: Sequence[Entry]) -> Damage | None:
        """Fold the next entries, at most BATCH_MOST; return what is wrong with the first that cannot be."""
        facts: list[ev.Fact] = []
        for entry in entries:
            fact = self.chain.take(entry)
            if isinstance(fact, Damage):
                return fact
            try:
                self.desk.apply(fact)
            except Exception as error:  # noqa: BLE001  a forged fact may do anything to the fold
                return chain.of_entry(entry.seq, "body", "a fact that can follow those before it", _said(error))
            facts.append(fact)
            if isinstance(fact, ev.RootSigned):
                self.signed.append(fact)
        self.write(project(facts, self.desk))
        return None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def chunks(db: sqlite3.Connection) -> Iterator[list[Entry]]:
    """Yield all entries, oldest first; where the file cannot be read further, all before that come first."""
    entries: list[Entry] = []
    try:
        for row in db.execute(chain.SELECT):
            entries.append(Entry(*row))
            if len(entries) == BATCH_MOST:
                yield entries
                entries = []
    except UNREADABLE:
        yield entries
        raise
    yield entries


def refill(db: sqlite3.Connection, *, on_progress: Progress | None = None) -> Chain:
    """Empty every projection and fill it by replay, in the transaction that is open; raise LedgerError for damage."""
    for table in TABLES:
        db.execute(f"DELETE FROM {table}")  # noqa: S608  our own names
    fold = Fold(lambda statements: write(db, statements))
    for entries in chunks(db):
        if damage := fold.take(entries):
            raise LedgerError(f"{damage}: the tables cannot be made from these facts; restore a backup")
        if on_progress is not None:
            on_progress(fold.chain.seq)
    return fold.chain
