"""What a whole ledger is: entries without a gap, each hashed over the one before, each a fact that this program knows.

Damage is a value that names table, row and column. Whoever reads entries (a start, a rebuild, an audit, an import) reads
them through `Chain`, so that all of them find the same.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deskd.domain.errors import LedgerError
from deskd.domain.events import Fact
from deskd.ledger import codec

_COLUMNS = "SELECT seq, at, kind, body, prev_hash, hash FROM facts NOT INDEXED"
SELECT = f"{_COLUMNS} ORDER BY seq"
SELECT_AFTER = f"{_COLUMNS} WHERE seq > ? ORDER BY seq"


# What a damaged file raises: SQLite names in its message what it found, and that may be no text.
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)


class Entry(NamedTuple):
    """One row of `facts`."""

    seq: int
    at: str
    kind: str
    body: str
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One place where the ledger is not what the desk wrote."""

    table: str  # or `schema`, `file`, `roots`
    key: str  # of the row, as `seq=5`
    column: str | None
    expected: str
    actual: str

    def __str__(self) -> str:
        """Return it as one line."""
        place = " ".join(part for part in (self.table, self.key, self.column) if part)
        return " ".join(f"{place}: expected {self.expected}, actual {self.actual}".splitlines())


def of_entry(seq: int, column: str | None, expected: object, actual: object) -> Damage:
    """Return damage to an entry of `facts`."""
    return Damage(table="facts", key=f"seq={seq}", column=column, expected=str(expected), actual=str(actual))


@dataclass(slots=True)
class Chain:
    """How far the entries were read and found whole."""

    seq: int = 0
    hash: str = codec.GENESIS

    def take(self, entry: Entry) -> Fact | Damage:
        """Return the fact of the next entry, or what is wrong with it."""
        seq, at, kind, body, prev_hash, entry_hash = entry
        if seq != self.seq + 1:
            return of_entry(self.seq + 1, None, "an entry", f"none: the next is seq={seq}")
        if prev_hash != self.hash:
            return of_entry(seq, "prev_hash", self.hash, prev_hash)
        if (known := codec.chain(prev_hash, seq, at, kind, body)) != entry_hash:
            return of_entry(seq, "hash", f"{known} (of what the entry holds now)", entry_hash)
        try:
            fact = codec.decode(kind, body)
        except LedgerError as error:
            return of_entry(seq, "body" if kind in codec.KINDS else "kind", "a fact that this deskd knows", error)
        if (stamp := codec.stamp(fact.at)) != at:
            return of_entry(seq, "at", f"{stamp} (as in the body)", at)
        self.seq, self.hash = seq, entry_hash
        return fact

    def fact(self, entry: Entry, path: Path) -> Fact:
        """Return the fact of the next entry; raise LedgerError, which names the ledger at *path*, where it is off."""
        fact = self.take(entry)
        if isinstance(fact, Damage):
            text = (
                f"{path}: entry {self.seq + 1} is not what the desk wrote: somebody changed the ledger, or the disk did"
            )
            raise LedgerError(f"{text}; restore a backup ({fact})")
        return fact
