"""The facts as text, one a line, and a fresh ledger from them: to the same hash, or not at all.

A line is a JSON object: seq, at, kind, body, prev_hash, hash. The body is an object for whoever reads it, and stands there
byte by byte as the ledger has it, since the hash is made over its text. A line that some tool has spaced anew is read in
the ledger's own form (no blanks, keys in their order): the hash decides whether it is the same fact.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import msgspec

from deskd.domain.errors import LedgerError
from deskd.ledger import codec
from deskd.ledger.chain import UNREADABLE, Chain, Damage, Entry
from deskd.ledger.migrating import migrate
from deskd.ledger.projections import BATCH_MOST, write
from deskd.ledger.queries import read_only
from deskd.ledger.rebuild import Fold, Progress, chunks

_INSERT = "INSERT INTO facts (seq, at, kind, body, prev_hash, hash) VALUES (?,?,?,?,?,?)"


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One exported entry."""

    seq: int
    at: str
    kind: str
    body: msgspec.Raw
    prev_hash: str
    hash: str


_decoder = msgspec.json.Decoder(Line)


def line_of(entry: Entry) -> bytes:
    """Return the entry as one line, its end included."""
    seq, at, kind, body, prev_hash, entry_hash = entry
    line = Line(seq, at, kind, msgspec.Raw(body.encode()), prev_hash, entry_hash)
    return msgspec.json.encode(line) + b"\n"


def entry_of(line: bytes) -> Entry:
    """Return the entry of a line; raise ValueError for what is none."""
    try:
        read = _decoder.decode(line)
        body = bytes(read.body).decode()
        if codec.chain(read.prev_hash, read.seq, read.at, read.kind, body) != read.hash:
            body = msgspec.json.encode(msgspec.json.decode(read.body)).decode()
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    return Entry(read.seq, read.at, read.kind, body, read.prev_hash, read.hash)


def export(path: Path, put: Callable[[bytes], object], *, on_progress: Progress | None = None) -> Chain:
    """Hand every entry to *put* as a line; raise LedgerError at the first that is not what the desk wrote."""
    read = Chain()
    try:
        with closing(read_only(path)) as db:
            db.execute("BEGIN")  # one moment of a ledger that may grow meanwhile
            for entries in chunks(db):
                for entry in entries:
                    fact = read.take(entry)
                    if isinstance(fact, Damage):
                        raise LedgerError(f"{path}: {fact}: it ends here; restore a backup")
                    put(line_of(entry))
                if on_progress is not None:
                    on_progress(read.seq)
    except UNREADABLE as error:
        raise LedgerError(
            f"{path}: cannot be read after entry {read.seq} ({error}): deskctl audit verify tells more"
        ) from error
    return read


def written(path: Path, target: Path, *, on_progress: Progress | None = None) -> Chain:
    """Export into the new file *target*, which is there whole or not at all."""
    growing = target.with_name(target.name + ".part")
    try:
        with os.fdopen(os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            chain = export(path, file.write, on_progress=on_progress)
            file.flush()
            os.fsync(file.fileno())
        os.link(growing, target)  # unlike a rename, this never takes the place of another file
    except FileExistsError:
        raise LedgerError(f"{target}: is there already: name a file that is not") from None
    except OSError as error:
        raise LedgerError(f"{target}: cannot be written ({error}): free the disk, or name another place") from error
    finally:
        growing.unlink(missing_ok=True)
    return chain


def rebuild(lines: Iterable[bytes], target: Path, *, on_progress: Progress | None = None) -> Chain:
    """Make a ledger at *target* of exported lines, tables and all; raise LedgerError that names the first bad line."""
    if target.exists():
        raise LedgerError(f"{target}: is there already: name a file that is not")
    growing = target.with_name(target.name + ".part")
    growing.unlink(missing_ok=True)
    try:
        os.close(os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        migrate(growing)
        with closing(sqlite3.connect(growing, isolation_level=None)) as db:
            read = _fill(db, lines, on_progress)
        os.link(growing, target)  # unlike a rename, this never takes the place of another file
    except FileExistsError:
        raise LedgerError(f"{target}: is there already: name a file that is not") from None
    except (OSError, *UNREADABLE) as error:
        raise LedgerError(f"{target}: cannot be written ({error}): free the disk, or name another place") from error
    finally:
        growing.unlink(missing_ok=True)
    return read


def _fill(db: sqlite3.Connection, lines: Iterable[bytes], on_progress: Progress | None) -> Chain:
    db.execute("BEGIN IMMEDIATE")
    fold = Fold(lambda statements: write(db, statements))
    entries: list[Entry] = []

    def fold_them() -> None:
        if damage := fold.take(entries):
            raise LedgerError(f"line {fold.chain.seq + 1}: {damage}: the export is not what the desk wrote")
        db.executemany(_INSERT, entries)
        entries.clear()
        if on_progress is not None:
            on_progress(fold.chain.seq)

    for number, line in enumerate(lines, start=1):
        try:
            entries.append(entry_of(line))
        except ValueError as error:
            fold_them()  # an earlier line may be the first bad one
            raise LedgerError(f"line {number}: is no exported entry ({error}): was the file cut off?") from None
        if len(entries) == BATCH_MOST:
            fold_them()
    fold_them()
    db.execute("COMMIT")
    return fold.chain
