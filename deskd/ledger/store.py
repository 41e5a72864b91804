"""The ledger's file: open, append, replay. One writer, held by a lock, in aiosqlite's thread."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import aiosqlite

from deskd.domain.errors import LedgerError
from deskd.domain.events import Fact
from deskd.ledger import codec
from deskd.ledger.chain import SELECT_AFTER, UNREADABLE, Chain, Entry
from deskd.ledger.migrating import migrate
from deskd.ledger.projections import Statement
from deskd.ledger.projections import write as write_rows

_APPEND = "INSERT INTO facts (seq, at, kind, body, prev_hash, hash) VALUES (?,?,?,?,?,?)"
# A long reader (a backup, an export) makes the write-ahead log grow for as long as it reads: it cannot be started anew.
# What is over this is given back to the disk when it is. Some ten thousand facts; SQLite starts it anew at 4 MB.
_WAL_KEPT = 64 * 2**20
_REPLAY_CHUNK = 1_000  # facts decoded at a time: some milliseconds of the loop


class LedgerStore:
    """The open ledger. `append` returns only when the facts are on disk."""

    def __init__(self, path: Path, db: aiosqlite.Connection, lock: int, last_seq: int, last_hash: str) -> None:
        self._path = path
        self._db = db
        self._lock = lock
        self.last_seq = last_seq
        self.last_hash = last_hash

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create the ledger at *path*; raise LedgerError with the remedy where that cannot be."""
        lock = _lock(path)
        db = None
        try:
            # What cannot be opened shows here: aiosqlite would leave its thread behind.
            await asyncio.to_thread(migrate, path)
            db = await aiosqlite.connect(path, isolation_level=None)
            await db.execute("PRAGMA journal_mode = WAL")
            await db.execute("PRAGMA synchronous = FULL")  # a commit that returned outlives a power cut
            await db.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
            await db.execute("PRAGMA foreign_keys = ON")
            async with db.execute("SELECT seq, hash FROM facts ORDER BY seq DESC LIMIT 1") as cursor:
                last = await cursor.fetchone()
        except (*UNREADABLE, LedgerError) as error:
            if db is not None:
                await db.close()
            os.close(lock)
            raise error if isinstance(error, LedgerError) else _unusable(path, error) from error
        seq, last_hash = (last[0], last[1]) if last else (0, codec.GENESIS)
        return cls(path, db, lock, seq, last_hash)

    async def append(self, facts: Sequence[Fact], statements: Sequence[Statement]) -> None:
        """Store the facts, and the projections of them, in one transaction; return when they are on disk."""
        entries = []
        seq, prev = self.last_seq, self.last_hash
        for fact in facts:
            seq += 1
            kind, body = codec.encode(fact)
            at = codec.stamp(fact.at)
            entry_hash = codec.chain(prev, seq, at, kind, body)
            entries.append((seq, at, kind, body, prev, entry_hash))
            prev = entry_hash

        def write() -> None:
            connection = self._db._conn  # noqa: SLF001  one hop to the writer's thread for the whole batch
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(_APPEND, entries)
                write_rows(connection, statements)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

        try:
            await self._db._execute(write)  # type: ignore[no-untyped-call]  # noqa: SLF001  the public calls are one statement and one hop each
        except UNREADABLE as error:
            raise LedgerError(
                f"the ledger cannot be written ({error}): free the disk or fix it, then restart"
            ) from error
        self.last_seq, self.last_hash = seq, prev

    async def replay(self, *, after: int = 0, prev: str = codec.GENESIS) -> AsyncIterator[Fact]:
        """Yield every fact after entry *after*, whose hash is *prev*; raise LedgerError at the first that is off."""
        read = Chain(after, prev)
        try:
            async with self._db.execute(SELECT_AFTER, (after,)) as cursor:
                while rows := await cursor.fetchmany(_REPLAY_CHUNK):
                    for row in rows:
                        yield read.fact(Entry(*row), self._path)
        except UNREADABLE as error:  # a page that the disk has half
            raise _unusable(self._path, error) from error
        if read.seq != self.last_seq:
            text = f"{self._path}: it ends with entry {self.last_seq}, but only {read.seq} can be read"
            raise LedgerError(f"{text}: the disk lost a part of it; restore a backup")

    async def hash_of(self, seq: int) -> str | None:
        """Return the hash of entry *seq*; None where there is none."""
        try:
            async with self._db.execute("SELECT hash FROM facts WHERE seq = ?", (seq,)) as cursor:
                row = await cursor.fetchone()
        except UNREADABLE as error:
            raise _unusable(self._path, error) from error
        return row[0] if row else None

    async def close(self) -> None:
        """Close the file and let go of the lock."""
        await self._db.close()
        os.close(self._lock)

    async def __aenter__(self) -> Self:
        """Return the ledger."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()


def _lock(path: Path) -> int:
    """Take the writer's lock beside the ledger: it is gone with the process, however that ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not path.exists():  # all members' orders come into it: none of them reads it. Its -wal gets the same rights
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
    except OSError as error:
        raise LedgerError(f"{path}: cannot be opened ({error.strerror}): check desk.db_path and its rights") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        text = f"{path}: another desk is using this ledger: stop it first, or set another desk.state_dir"
        raise LedgerError(text) from None
    return lock


def _unusable(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> LedgerError:
    return LedgerError(f"{path}: the ledger cannot be used ({error}): restore a backup, or set another desk.db_path")
