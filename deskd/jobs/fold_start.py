"""Where the fold of a day's report starts: at the ledger's first entry, or at the fold that an earlier report kept.

Rule 1: what is kept is a cache of a replay, as the desk's snapshot is: what is off about it is passed over, and the whole
        ledger is folded.
Rule 2: it stands before the day that was reported last: this day is short to report again, and so is the next one.
Rule 3: a report proves what it folds. What lies before is proved by the backup of the day, which is read from its first entry.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

from deskd.core.desk import Desk
from deskd.ledger import snapshot
from deskd.ledger.chain import Chain

KEPT = "fold.snapshot"  # beside the reports


def fold_before(db: sqlite3.Connection, first_seq: int, kept: Path | None) -> tuple[Desk, Chain]:
    """Return a desk, and how far its fold came: before entry *first_seq*, as far as is known."""
    head = None if kept is None else snapshot.head_of(kept)
    if kept is not None and isinstance(head, snapshot.Head) and head.seq < first_seq:
        found = snapshot.load(kept, head, stored_hash=_hash_of(db, head.seq))
        if isinstance(found, Desk):
            return found, Chain(head.seq, head.hash)
    return Desk(), Chain()


def keep(db: sqlite3.Connection, kept: Path, desk: Desk, seq: int, entry_hash: str) -> None:
    """Keep the fold as it stands at entry *seq*, unless a later one of this ledger is; a full disk costs only time."""
    head = snapshot.head_of(kept)
    is_later = isinstance(head, snapshot.Head) and head.seq >= seq and head.hash == _hash_of(db, head.seq)
    if seq and not is_later:
        with suppress(OSError):
            snapshot.take(kept, desk, seq=seq, entry_hash=entry_hash)


def _hash_of(db: sqlite3.Connection, seq: int) -> str | None:
    row = db.execute("SELECT hash FROM facts WHERE seq = ?", (seq,)).fetchone()
    return str(row[0]) if row else None
