"""The ledger's versions: numbered SQL files that are never edited, only added.

Rule 1: all that is pending is one transaction, with the tables made anew from the facts: after any failure the ledger is
        of its old version, whole.
Rule 2: so a migration only says which tables and columns there are. What stands in them for old facts follows from the
        replay, as it does for new ones.
Rule 3: a ledger that a newer or another deskd made is refused, not guessed at.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from deskd.domain.errors import LedgerError
from deskd.ledger.chain import UNREADABLE
from deskd.ledger.rebuild import refill

_TABLE = "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, name TEXT, checksum TEXT) STRICT"


class Migration(NamedTuple):
    """One file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return what the ledger keeps of the file that changed it."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return every migration, in order."""
    folder = resources.files("deskd.ledger") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(int(name[:4]), name, (folder / name).read_text()) for name in names]


def migrate(path: Path, known: Sequence[Migration] | None = None) -> int:
    """Bring the ledger to the newest version; return which it was of (0: it is new)."""
    known = migrations() if known is None else known
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        applied = _applied(db)
        _must_be_ours(path, applied, known)
        pending = [migration for migration in known if migration.version not in applied]
        if pending:
            try:
                bring_up(db, pending)
            except UNREADABLE as error:
                names = ", ".join(migration.name for migration in pending)
                text = f"{path}: cannot be brought to this deskd's version ({names}: {error}); it is as it was"
                raise LedgerError(f"{text}: free the disk or fix it, or go back to the older deskd") from error
    return max(applied, default=0)


def bring_up(db: sqlite3.Connection, pending: Sequence[Migration]) -> None:
    """Apply *pending*, and make the tables anew from the facts; after a failure nothing has happened."""
    steps = [_TABLE]
    for version, name, sql in pending:
        checksum = Migration(version, name, sql).checksum
        steps.append(f"{sql}\n;INSERT INTO migrations VALUES ({version}, '{name}', '{checksum}')")  # noqa: S608  our own files
    try:
        db.executescript("BEGIN IMMEDIATE;\n" + ";\n".join(steps))  # a script commits what is open before it begins
        if db.execute("SELECT 1 FROM facts LIMIT 1").fetchone():
            refill(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _applied(db: sqlite3.Connection) -> dict[int, str]:
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").fetchone():
        return {}
    return dict(db.execute("SELECT version, checksum FROM migrations"))


def _must_be_ours(path: Path, applied: dict[int, str], known: Sequence[Migration]) -> None:
    ours = {migration.version: migration for migration in known}
    if any(version < 1 for version in applied):  # no deskd wrote that
        raise LedgerError(f"{path}: its list of migrations is damaged, by the disk or by somebody; restore a backup")
    if strange := applied.keys() - ours.keys():
        text = f"{path}: the ledger is of version {max(strange)}, this deskd knows {max(ours)}"
        raise LedgerError(f"{text}: install the newer deskd")
    for version, checksum in applied.items():
        if ours[version].checksum != checksum:
            name = ours[version].name
            raise LedgerError(f"{path}: migration {name} is not the one that made this ledger: reinstall deskd")
