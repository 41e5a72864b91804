"""A copy of the ledger while the desk writes it: one file, of one moment, looked at before it gets its name."""

import errno
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from deskd.domain.errors import LedgerError
from deskd.ledger import chain, codec, pages
from deskd.ledger.chain import UNREADABLE, Entry
from deskd.ledger.queries import read_only

_LAST = chain.SELECT + " DESC LIMIT 1"
_TAKEN = "{}: is there already: name a file that is not"


class Head(NamedTuple):
    """The last entry of a ledger."""

    seq: int
    hash: str


def backup(source: Path, target: Path) -> Head:
    """Copy the ledger to *target*, which must not be there, and return how far it goes; blocks: call it in a thread.

    The copy is one step of SQLite's: it never waits for the desk to pause, and never makes the desk wait. It holds facts
    and tables, roots and public keys with them, and no private key.
    """
    if os.path.lexists(target):  # said before the work is done; `link` below is what keeps it true
        raise LedgerError(_TAKEN.format(target))
    try:
        is_there = stat.S_ISDIR(target.parent.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_there = False
    except OSError as error:
        raise LedgerError(
            f"{target}: {target.parent} cannot be reached ({error.strerror}): the desk's user needs the right to pass "
            "every folder above it"
        ) from None
    if not is_there:
        raise LedgerError(f"{target}: there is no folder {target.parent}: make it first")
    growing = target.with_name(target.name + ".part")
    try:
        os.close(os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise LedgerError(f"{growing}: another backup is being written, or was cut off: remove it") from None
    except OSError as error:
        raise LedgerError(f"{target}: cannot be written: {why_not_written(error, target.parent)}") from None
    try:
        _copy(source, growing)
        head = _looked_at(growing)
        _to_disk(growing)
        os.link(growing, target)  # unlike a rename, this never takes the place of another file
        _to_disk(target.parent)
    except FileExistsError:
        raise LedgerError(_TAKEN.format(target)) from None
    except (OSError, *UNREADABLE) as error:
        raise LedgerError(
            f"{target}: the backup failed ({error}): nothing is left of it; make room, or name a file elsewhere"
        ) from error
    finally:
        growing.unlink(missing_ok=True)
    return head


def why_not_written(error: OSError, folder: Path) -> str:
    """Say why a file cannot be made in *folder*, and what to do: the unit lets the desk write below its state alone."""
    if error.errno == errno.EROFS:
        return (
            f"{error.strerror}; under deskd.service the desk writes where the unit lets it: `systemctl edit deskd`, "
            f"[Service], ReadWritePaths=-{folder}, then `systemctl restart deskd`"
        )
    return f"{error.strerror}; the desk's user needs the right to"


def identity_of(folder: Path) -> list[int] | None:
    """Return what tells this folder from every other, or None where it cannot be looked at.

    Two processes may mean different folders by one name: a unit has a /tmp of its own.
    """
    try:
        found = folder.stat()
    except OSError:
        return None
    return [found.st_dev, found.st_ino]


def _copy(source: Path, growing: Path) -> None:
    with closing(read_only(source)) as db, closing(sqlite3.connect(growing, isolation_level=None)) as copy:
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # all of it in the one file, wherever it is carried


def _looked_at(path: Path) -> Head:
    with closing(read_only(path)) as db:
        if damages := pages.inspect(db):
            raise LedgerError(f"{path}: the copy is damaged ({damages[0]}): look at the ledger: deskctl audit verify")
        row = db.execute(_LAST).fetchone()
    if row is None:
        return Head(0, codec.GENESIS)
    seq, at, kind, body, prev_hash, entry_hash = Entry(*row)
    if codec.chain(prev_hash, seq, at, kind, body) != entry_hash:
        raise LedgerError(f"{path}: entry {seq}, the last, is not what the desk wrote: deskctl audit verify tells more")
    return Head(seq, entry_hash)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
