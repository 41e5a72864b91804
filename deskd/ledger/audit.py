"""Is the ledger whole? Everything is made anew from the facts alone and compared, entry by entry and row by row.

Rule 1: nothing is believed but the facts, and those only as far as their chain holds.
Rule 2: damage is named by table, row and column. What comes first in `damages` is what to look at first.
Rule 3: nothing is written, and one read transaction sees one moment: a running desk is not disturbed.
"""

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from deskd.domain.errors import LedgerError
from deskd.domain.events import RootSigned
from deskd.ledger import codec, pages
from deskd.ledger.chain import UNREADABLE, Chain, Damage, Entry, of_entry
from deskd.ledger.comparing import first_difference, shown
from deskd.ledger.migrating import migrations
from deskd.ledger.projections import TABLES, write
from deskd.ledger.queries import read_only
from deskd.ledger.rebuild import Fold, Progress, chunks
from deskd.ledger.roots import is_signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found."""

    facts: int  # entries that were read and found whole
    last_hash: str
    version: int  # of the ledger: its newest migration
    proved: RootSigned | None  # the newest root that stands, and its signature with it
    tables: tuple[str, ...]  # that were compared with the replay
    damages: tuple[Damage, ...]
    roots_after: int = 0  # kept elsewhere, of entries after the end of what is a backup

    @property
    def is_whole(self) -> bool:
        """Tell whether all is as the desk wrote it."""
        return not self.damages


def verify(
    path: Path,
    *,
    keys: Collection[str] | None = None,
    kept: Sequence[RootSigned] = (),
    is_backup: bool = False,
    on_progress: Progress | None = None,
) -> Verdict:
    """Hold the ledger against its facts, its roots, and those *kept* elsewhere; *keys*: whose signatures count.

    *is_backup*: it may end before the newest root. That is how somebody who removed entries would have it look, too.
    """
    try:
        with closing(read_only(path)) as db:
            db.execute("BEGIN")
            after = [root for root in kept if is_backup and root.seq > _last_seq(db)]
            verdict = _verified(db, keys, [root for root in kept if root not in after], on_progress)
            return replace(verdict, roots_after=len(after))
    except UNREADABLE as error:
        return _unreadable(error)


def _last_seq(db: sqlite3.Connection) -> int:
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM facts").fetchone()
    return int(last)


def _unreadable(error: sqlite3.Error | UnicodeDecodeError) -> Verdict:
    damage = Damage(table="file", key="", column=None, expected="a SQLite file", actual=str(error))
    return Verdict(facts=0, last_hash=codec.GENESIS, version=0, proved=None, tables=(), damages=(damage,))


def _verified(
    db: sqlite3.Connection, keys: Collection[str] | None, kept: Sequence[RootSigned], on_progress: Progress | None
) -> Verdict:
    version, schema = pages.schema(db)
    with closing(pages.model(migrations())) as model:  # a ledger of today's version, to be filled by the replay
        model.execute("BEGIN")
        fold = Fold(lambda statements: write(model, statements))
        broken = _fold(db, fold, on_progress)
        damages = [broken] if broken else []
        damages += schema
        proved, false = _roots(db, fold, keys, kept, is_cut=broken is not None)
        damages += false
        # Of an older ledger the tables are made anew when a desk opens it: what stands in them is nobody's word.
        is_current = version == migrations()[-1].version
        tables = TABLES if broken is None and is_current else ()
        for table in tables:
            if bad_row := first_difference(db, model, table):
                damages.append(bad_row)
    damages += pages.inspect(db)
    return Verdict(
        facts=fold.chain.seq,
        last_hash=fold.chain.hash,
        version=version,
        proved=proved,
        tables=tuple(tables),
        damages=tuple(damages),
    )


# --- facts ---------------------------------------------------------------------------------------------------------------


def _fold(db: sqlite3.Connection, fold: Fold, on_progress: Progress | None) -> Damage | None:
    try:
        for entries in chunks(db):
            if damage := fold.take(entries):
                at = fold.chain.seq
                return _refined(fold.chain, [e for e in entries if e.seq > at][:2], damage)
            if on_progress is not None:
                on_progress(fold.chain.seq)
    except UNREADABLE as error:
        return of_entry(fold.chain.seq + 1, None, "an entry that can be read", error)
    return None


def _refined(chain: Chain, entries: Sequence[Entry], damage: Damage) -> Damage:
    """Return the damage with the column that was changed, where the hashes tell which it is."""
    if damage.column != "hash":
        return damage
    entry, *after = entries
    seq, at, kind, body, prev_hash, entry_hash = entry
    if after and after[0].prev_hash == codec.chain(prev_hash, seq, at, kind, body):
        return damage  # all else fits together: it is the hash itself

    def fits(at: str, kind: str) -> bool:
        return codec.chain(chain.hash, seq, at, kind, body) == entry_hash

    for true_kind in codec.KINDS:
        if fits(at, true_kind):
            return of_entry(seq, "kind", true_kind, kind)
    try:
        true_at = codec.stamp(codec.decode(kind, body).at)
    except LedgerError:
        true_at = at
    if fits(true_at, kind):
        return of_entry(seq, "at", true_at, at)
    return of_entry(seq, "body", f"what has the entry's hash {entry_hash}", shown(body))


# --- roots ---------------------------------------------------------------------------------------------------------------


def _roots(
    db: sqlite3.Connection, fold: Fold, keys: Collection[str] | None, kept: Sequence[RootSigned], *, is_cut: bool
) -> tuple[RootSigned | None, list[Damage]]:
    """Return the newest root that stands, and what is wrong with the first of the ledger, and of those kept."""
    proved: RootSigned | None = None
    damages: list[Damage] = []
    for table, roots in (("roots", fold.signed), ("roots kept elsewhere", kept)):
        for root in roots:
            if root.seq > fold.chain.seq and is_cut:
                continue  # behind the first bad entry nothing can be judged
            if wrong := _root(db, fold.chain, root, keys):
                expected, actual = wrong
                key = f"market_day={root.market_day} seq={root.seq}"
                damages.append(Damage(table=table, key=key, column=None, expected=expected, actual=actual))
                break
            if proved is None or root.seq >= proved.seq:
                proved = root
    return proved, damages


def _root(
    db: sqlite3.Connection, chain: Chain, root: RootSigned, keys: Collection[str] | None
) -> tuple[str, str] | None:
    """Return what was expected of the root, and what is."""
    if not is_signed(root):
        return f"a signature of the key {root.public_key}", "none that is valid"
    if keys is not None and root.public_key not in keys:
        return f"a signature of the key {', '.join(sorted(keys))}", f"one of the key {root.public_key}"
    if root.seq > chain.seq:
        return (
            f"an entry {root.seq}",
            f"the ledger ends with entry {chain.seq}: later ones were removed, or it is older",
        )
    try:
        row = db.execute("SELECT hash FROM facts WHERE seq = ?", (root.seq,)).fetchone()
    except UNREADABLE as error:
        return f"the hash {root.root}", str(error)
    actual = row[0] if row else codec.GENESIS
    return None if actual == root.root else (f"the hash {root.root}", str(actual))
