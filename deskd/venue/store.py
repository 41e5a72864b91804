"""The exchange's own memory: one small SQLite file, so that the account outlives the process.

1. One process holds the file, by a lock beside it that the kernel lets go with the process.
2. `write` is one transaction, and returns when the kernel has it: a killed process loses nothing that was written. A
   power cut may lose the last seconds, never the file's consistency; the desk's own ledger is the one that syncs.
3. A row is the whole object as JSON; the columns beside it are for people who look with sqlite3.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from deskd.domain.errors import ConfigError, LedgerError
from deskd.exchange.account import Activity, EquityPoint
from deskd.exchange.order import ExchangeOrder
from deskd.exchange.state import AccountState, Changes, Holding

VERSION = 1
BUSY_S = 1.0  # somebody else writes to our file: that is not ours to wait for long
APPLICATION_ID = 0x64736B78  # "dskx", in the file's header: tells an exchange's file from any other

_SCHEMA = f"""
BEGIN;
CREATE TABLE orders (sequence INTEGER PRIMARY KEY, id TEXT, client_order_id TEXT, symbol TEXT, status TEXT, body BLOB);
CREATE TABLE holdings (symbol TEXT PRIMARY KEY, qty TEXT, body BLOB) WITHOUT ROWID;
CREATE TABLE activities (sequence INTEGER PRIMARY KEY, id TEXT, order_id TEXT, body BLOB);
CREATE TABLE equity_points (day TEXT PRIMARY KEY, equity TEXT, body BLOB) WITHOUT ROWID;
CREATE TABLE account (one INTEGER PRIMARY KEY CHECK (one = 1), cash TEXT, body BLOB);
CREATE TABLE market (one INTEGER PRIMARY KEY CHECK (one = 1), time TEXT, tape TEXT);
CREATE TABLE watchlists (id TEXT PRIMARY KEY, body BLOB);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""

type Watchlists = Mapping[str, bytes | None]  # JSON by id; None: forget it

_encode = msgspec.json.Encoder().encode
_orders = msgspec.json.Decoder(ExchangeOrder)
_holdings = msgspec.json.Decoder(Holding)
_activities = msgspec.json.Decoder(Activity)
_equity_points = msgspec.json.Decoder(EquityPoint)
_accounts = msgspec.json.Decoder(AccountState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What an earlier life of the exchange left."""

    account: AccountState
    orders: Sequence[ExchangeOrder]
    holdings: Sequence[Holding]
    activities: Sequence[Activity]
    equity_points: Sequence[EquityPoint]
    market_time: datetime
    tape: str


class Store:
    """The open file."""

    def __init__(self, connection: sqlite3.Connection, lock: int | None, *, path: Path | None, tape: str) -> None:
        self._db = connection
        self._path = path
        self._lock = lock
        self._tape = tape

    def load(self) -> Saved | None:
        """Return what is kept, or None where the file is new; raise ConfigError where it cannot be read."""
        try:
            return self._load()
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise _unusable(self._path, error) from error

    def _load(self) -> Saved | None:
        account = self._db.execute("SELECT body FROM account").fetchone()
        market = self._db.execute("SELECT time, tape FROM market").fetchone()
        if account is None or market is None:
            return None
        return Saved(
            account=_accounts.decode(account[0]),
            orders=[_orders.decode(body) for body in self._bodies("orders ORDER BY sequence")],
            holdings=[_holdings.decode(body) for body in self._bodies("holdings")],
            activities=[_activities.decode(body) for body in self._bodies("activities ORDER BY sequence")],
            equity_points=[_equity_points.decode(body) for body in self._bodies("equity_points ORDER BY day")],
            market_time=datetime.fromisoformat(market[0]),
            tape=market[1],
        )

    def write(self, changes: Changes, watchlists: Watchlists, market_time: datetime) -> None:
        """Keep the changes and the market's time; return when they are safe, else raise LedgerError."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            self._write_changes(changes)
            for watchlist_id, body in watchlists.items():
                self._write_watchlist(watchlist_id, body)
            self._write_time(market_time)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unwritable(error) from error

    def write_time(self, market_time: datetime) -> None:
        """Keep the market's time alone."""
        try:
            self._write_time(market_time)
        except sqlite3.Error as error:
            raise self._unwritable(error) from error

    def checkpoint(self) -> None:
        """Move what was written from the log into the file proper. Syncs the disk: call it in a thread."""
        if self._path is None:
            return
        with closing(_connect(str(self._path))) as own:
            own.execute("PRAGMA wal_checkpoint(PASSIVE)")  # never in the writer's way

    def watchlists(self) -> dict[str, bytes]:
        """Return every watchlist's JSON by id, oldest first."""
        return dict(self._db.execute("SELECT id, body FROM watchlists ORDER BY rowid").fetchall())

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)

    def _write_changes(self, changes: Changes) -> None:
        db = self._db
        db.executemany(
            "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?)",
            [(it.sequence, it.id, it.client_order_id, it.symbol, it.status, _encode(it)) for it in changes.orders],
        )
        for symbol, holding in changes.holdings.items():
            if holding is None:
                db.execute("DELETE FROM holdings WHERE symbol = ?", (symbol,))
            else:
                row = (symbol, str(holding.qty), _encode(holding))
                db.execute("INSERT OR REPLACE INTO holdings VALUES (?, ?, ?)", row)
        db.executemany(
            "INSERT INTO activities VALUES (?, ?, ?, ?)",
            [(it.sequence, it.id, it.order_id, _encode(it)) for it in changes.activities],
        )
        db.executemany(
            "INSERT OR REPLACE INTO equity_points VALUES (?, ?, ?)",
            [(it.day.isoformat(), str(it.equity), _encode(it)) for it in changes.equity_points],
        )
        if (account := changes.account) is not None:
            db.execute("INSERT OR REPLACE INTO account VALUES (1, ?, ?)", (str(account.cash), _encode(account)))

    def _write_time(self, market_time: datetime) -> None:
        self._db.execute("INSERT OR REPLACE INTO market VALUES (1, ?, ?)", (market_time.isoformat(), self._tape))

    def _unwritable(self, error: sqlite3.Error) -> LedgerError:
        return LedgerError(
            f"exchange.state {self._path} cannot be written: {error}. The exchange ends rather than promise what it "
            "would forget: make room, or set the permissions right, then start it again"
        )

    def _write_watchlist(self, watchlist_id: str, body: bytes | None) -> None:
        if body is None:
            self._db.execute("DELETE FROM watchlists WHERE id = ?", (watchlist_id,))
        else:
            row = (watchlist_id, body)
            self._db.execute("INSERT INTO watchlists VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = ?2", row)

    def _bodies(self, table: str) -> Iterable[bytes]:
        return (row[0] for row in self._db.execute(f"SELECT body FROM {table}"))  # noqa: S608  our own constants


def open_store(path: Path | None, *, tape: str) -> Store:
    """Open or create the file (None: in memory); raise ConfigError with the remedy where that cannot be.

    Raise LedgerError where another exchange holds it.
    """
    if path is None:
        connection = _connect(":memory:")
        connection.executescript(_SCHEMA)
        return Store(connection, None, path=None, tape=tape)
    lock = _lock(path)
    try:
        connection = _connect(str(path))
        try:
            _check(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        os.close(lock)
        raise _unusable(path, error) from error
    except ConfigError:
        os.close(lock)
        raise
    return Store(connection, lock, path=path, tape=tape)


_REMEDY = "Move the file away to start with a new account, or name another one with --state"


def _unusable(path: Path | None, error: Exception) -> ConfigError:
    return ConfigError(f"exchange.state {path} cannot be used: {error}. {_REMEDY}")


def _connect(where: str) -> sqlite3.Connection:
    return sqlite3.connect(where, isolation_level=None, check_same_thread=False, timeout=BUSY_S)


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Make a new file ours, or see that an old one is; touch nothing that is not."""
    is_new = not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if is_new:
        db.executescript(_SCHEMA)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    application = db.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise ConfigError(f"exchange.state {path} is a SQLite file of something else. {_REMEDY}")
    if version > VERSION:
        raise ConfigError(
            f"exchange.state {path} was written by a newer deskd (format {version}, this one reads {VERSION}): "
            "install that version again, or name another file with --state"
        )
    broken = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if broken != "ok":
        raise ConfigError(f"exchange.state {path} is damaged: {broken}. {_REMEDY}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # no sync of the disk at a commit: see rule 2
    db.execute("PRAGMA wal_autocheckpoint = 0")  # the commits run on the loop; `checkpoint` runs beside it


def _lock(path: Path) -> int:
    beside = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not path.exists():  # the whole account is in it: not for every user of the machine
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
    except OSError as error:
        raise ConfigError(
            f"exchange.state {path} cannot be opened: {error.strerror}. Name a file in a folder that you may write"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise LedgerError(  # not for ever: an exchange whose desk was killed lets go of it in a moment
            f"exchange.state {path} is in use by another exchange: stop that one, or name another file with --state"
        ) from None
    return lock
