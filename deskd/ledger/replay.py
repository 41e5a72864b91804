"""The desk as it stood at an entry, made of the facts up to there; and whether the tables say the same.

Rule 1: nothing but the facts is believed, and those only as far as their chain holds.
Rule 2: the tables stand at the ledger's end: they are compared where the replay goes as far, and nowhere else.
Rule 3: nothing is written, and one read transaction sees one moment: a running desk is not disturbed.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deskd.core.desk import Desk
from deskd.ledger import codec, pages
from deskd.ledger.chain import UNREADABLE, Damage, Entry, of_entry
from deskd.ledger.comparing import first_difference
from deskd.ledger.migrating import migrations
from deskd.ledger.projections import TABLES, Statement, write
from deskd.ledger.queries import read_only
from deskd.ledger.rebuild import Fold, Progress, chunks

type Until = int | datetime | None  # the last entry; an instant, of which no later entry counts; all


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Where the replay came to."""

    desk: Desk
    seq: int  # of the last entry that counts; 0: of none
    at: str | None  # its stamp
    last_hash: str
    is_whole_ledger: bool  # no entry comes after it
    damage: Damage | None  # the first entry that is not what the desk wrote: nothing from there on counts
    tables: tuple[str, ...]  # that were compared
    differences: tuple[Damage, ...]  # the first of each table

    @property
    def is_as_written(self) -> bool:
        """Tell whether the facts hold, and the tables say what they say."""
        return self.damage is None and not self.differences


def replay(path: Path, *, until: Until = None, on_progress: Progress | None = None) -> Replayed:
    """Fold the facts up to *until*, and compare the tables where that is the ledger's end."""
    try:
        with closing(read_only(path)) as db:
            db.execute("BEGIN")
            return _replayed(db, until, on_progress)
    except UNREADABLE as error:
        damage = Damage(table="file", key="", column=None, expected="a SQLite file", actual=str(error))
        return _nothing(damage)


def _nothing(damage: Damage) -> Replayed:
    return Replayed(
        desk=Desk(),
        seq=0,
        at=None,
        last_hash=codec.GENESIS,
        is_whole_ledger=False,
        damage=damage,
        tables=(),
        differences=(),
    )


def _replayed(db: sqlite3.Connection, until: Until, on_progress: Progress | None) -> Replayed:
    with closing(pages.model(migrations())) as model:
        model.execute("BEGIN")

        def keep(statements: Sequence[Statement]) -> None:
            if until is None:  # of an earlier moment no table is left to compare with
                write(model, statements)

        fold = Fold(keep)
        at, is_cut, damage = None, False, None
        try:
            for entries in chunks(db):
                counted = list(_counted(entries, until))
                is_cut = len(counted) < len(entries)
                damage = fold.take(counted)
                if fold.chain.seq:
                    at = next((e.at for e in reversed(counted) if e.seq <= fold.chain.seq), at)
                if damage is not None or is_cut:
                    break
                if on_progress is not None:
                    on_progress(fold.chain.seq)
        except UNREADABLE as error:
            damage = of_entry(fold.chain.seq + 1, None, "an entry that can be read", error)
        # Of an older ledger the tables are made anew when a desk opens it: what stands in them is nobody's word.
        is_current = until is None and damage is None and pages.schema(db)[0] == migrations()[-1].version
        tables = TABLES if is_current else ()
        found = (first_difference(db, model, table) for table in tables)
        return Replayed(
            desk=fold.desk,
            seq=fold.chain.seq,
            at=at,
            last_hash=fold.chain.hash,
            is_whole_ledger=damage is None and not is_cut,
            damage=damage,
            tables=tables,
            differences=tuple(one for one in found if one is not None),
        )


def _counted(entries: Sequence[Entry], until: Until) -> Iterator[Entry]:
    """Yield the entries that count: up to the first that comes after *until*."""
    for entry in entries:
        match until:
            case datetime():
                is_later = entry.at > codec.stamp(until)
            case int():
                is_later = entry.seq > until
            case _:
                is_later = False
        if is_later:
            return
        yield entry
