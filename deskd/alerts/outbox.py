"""What is to be told, on disk: SQLite beside the ledger. Nothing is forgotten until it was sent, or is dead and seen.

Rule 1: a notification's key is unique: what is found twice is told once.
Rule 2: how far the ledger was read is kept in the same transaction as what was found there.
Rule 3: a message that may have left is sent again after a crash: at least once, rarely twice.
Rule 4: several processes write (the desk, the worker): each change is one short transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from deskd.alerts.plan import Due, Plan
from deskd.domain.ids import StrategyId, Symbol, UserId
from deskd.domain.money import Price, Qty
from deskd.domain.notifications import Notification, Severity, Topic, Trade
from deskd.domain.order import Side

NAME = "notifications.db"  # in state_dir
KEPT = timedelta(days=30)  # of what was sent, withdrawn, or told to nobody
BATCH_MAX = 500  # notifications in one message: beyond it the next follows
WAITING, SENT, DEAD, WITHDRAWN = "waiting", "sent", "dead", "withdrawn"
_BUSY_S = 5.0  # for another process's transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, topic TEXT NOT NULL, severity TEXT NOT NULL, title TEXT NOT NULL,
    text TEXT NOT NULL, at TEXT NOT NULL, member TEXT, strategy TEXT, side TEXT, symbol TEXT, qty TEXT, price TEXT,
    subject TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS deliveries (
    notification_id INTEGER NOT NULL REFERENCES notifications (id) ON DELETE CASCADE, route TEXT NOT NULL,
    topic TEXT NOT NULL, status TEXT NOT NULL, due_at TEXT NOT NULL, is_digest INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, problem TEXT NOT NULL DEFAULT '', settled_at TEXT,
    PRIMARY KEY (notification_id, route)
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (route, due_at) WHERE status = 'waiting';
CREATE TABLE IF NOT EXISTS routes (
    name TEXT PRIMARY KEY, failures INTEGER NOT NULL, next_at TEXT NOT NULL, problem TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS ledger_read (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What is due on one route, of one topic."""

    ids: tuple[int, ...]
    notes: tuple[Notification, ...]


class Outbox:
    """One process's hand on the file. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- what is found -----------------------------------------------------------------------------------------------

    def seq(self) -> int | None:
        """Return up to where the ledger was read; None: never."""
        row = self._db.execute("SELECT seq FROM ledger_read").fetchone()
        return None if row is None else int(row[0])

    def add(self, notes: Iterable[Notification], plan: Plan, now: datetime, *, seq: int | None = None) -> int:
        """Keep what is new of *notes*, where it goes, and *seq*: all or nothing. Return how many were new."""
        count = 0
        with self._transaction():
            for said in notes:
                if said.withdraws and self._withdrawn(said.withdraws, now):
                    continue
                count += self._add(said, plan.dues(said, now))
            if seq is not None:
                self._db.execute("INSERT OR REPLACE INTO ledger_read VALUES (1, ?)", (seq,))
        return count

    def _add(self, said: Notification, dues: Sequence[Due]) -> int:
        t = said.trade
        trade = (None,) * 4 if t is None else (t.side.value, t.symbol, str(t.qty), str(t.price))
        who = (said.topic.value, said.severity.value, said.title, said.text, _text(said.at), said.member, said.strategy)
        added = self._db.execute(
            "INSERT OR IGNORE INTO notifications VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (said.key, *who, *trade, said.subject),
        )
        if not added.rowcount:
            return 0
        for due in dues:
            at = _text(due.at)
            if due.is_digest:  # it goes along with the one that is being gathered
                sql = "SELECT min(due_at) FROM deliveries WHERE route = ? AND topic = ? AND is_digest AND status = ?"
                (first,) = self._db.execute(sql, (due.route, said.topic.value, WAITING)).fetchone()
                at = min(at, first or at)
            self._db.execute(
                "INSERT INTO deliveries (notification_id, route, topic, status, due_at, is_digest) VALUES (?, ?, ?, ?, ?, ?)",
                (added.lastrowid, due.route, said.topic.value, WAITING, at, due.is_digest),
            )
        return 1

    def _withdrawn(self, subject: str, now: datetime) -> bool:
        """Withdraw what waits for its time about *subject*; tell whether there was some."""
        found = self._db.execute(
            """UPDATE deliveries SET status = ?, settled_at = ? WHERE status = ? AND due_at > ? AND tries = 0
            AND notification_id IN (SELECT id FROM notifications WHERE subject = ?)""",
            (WITHDRAWN, _text(now), WAITING, _text(now), subject),
        )
        return found.rowcount > 0

    # --- what is sent ------------------------------------------------------------------------------------------------

    def due_routes(self, now: datetime) -> list[str]:
        """Return the routes on which something is due, and that are not left alone after a failure."""
        found = self._db.execute(
            """SELECT DISTINCT d.route FROM deliveries d LEFT JOIN routes r ON r.name = d.route
            WHERE d.status = ? AND d.due_at <= ? AND coalesce(r.next_at, '') <= ? ORDER BY d.route""",
            (WAITING, _text(now), _text(now)),
        )
        return [str(route) for (route,) in found]

    def next_due(self, after: datetime) -> datetime | None:
        """Return when the next is due after *after*; None: nothing waits beyond it."""
        (found,) = self._db.execute(
            """SELECT min(max(d.due_at, coalesce(r.next_at, ''))) FROM deliveries d LEFT JOIN routes r ON r.name = d.route
            WHERE d.status = ? AND max(d.due_at, coalesce(r.next_at, '')) > ?""",
            (WAITING, _text(after)),
        ).fetchone()
        return None if found is None else datetime.fromisoformat(found)

    def pending(self, route: str, now: datetime) -> Pending | None:
        """Return what is due on the route: all of the topic whose turn it is."""
        columns = "n.id, n.key, n.topic, n.severity, n.title, n.text, n.at, n.member, n.strategy, n.side, n.symbol, n.qty, n.price"
        rows = self._db.execute(
            f"""SELECT {columns} FROM deliveries d JOIN notifications n ON n.id = d.notification_id
            WHERE d.route = ? AND d.status = ? AND d.due_at <= ? ORDER BY n.severity = 'critical' DESC, d.due_at, n.id
            LIMIT {BATCH_MAX}""",  # noqa: S608  names of columns
            (route, WAITING, _text(now)),
        ).fetchall()
        mine = sorted((row for row in rows if row[2] == rows[0][2]), key=lambda row: int(row[0]))
        return Pending(ids=tuple(row[0] for row in mine), notes=tuple(map(_note, mine))) if mine else None

    def sent(self, route: str, ids: Sequence[int], now: datetime) -> None:
        """Let them be sent, and the route be well."""
        with self._transaction():
            self._settle(route, ids, SENT, now)
            self._db.execute("DELETE FROM routes WHERE name = ?", (route,))

    def failed(
        self, route: str, ids: Sequence[int], problem: str, *, next_at: datetime, tries_max: int, now: datetime
    ) -> list[int]:
        """Leave the route alone until *next_at*; return which of *ids* are dead: tried as often as they may be."""
        with self._transaction():
            self._db.execute(
                """INSERT INTO routes VALUES (?, 1, ?, ?) ON CONFLICT (name)
                DO UPDATE SET failures = failures + 1, next_at = excluded.next_at, problem = excluded.problem""",
                (route, _text(next_at), problem),
            )
            self._db.executemany(
                "UPDATE deliveries SET tries = tries + 1, problem = ? WHERE notification_id = ? AND route = ?",
                [(problem, one, route) for one in ids],
            )
            sql = "SELECT tries FROM deliveries WHERE notification_id = ? AND route = ?"
            dead = [one for one in ids if self._db.execute(sql, (one, route)).fetchone()[0] >= tries_max]
            self._settle(route, dead, DEAD, now)
        return dead

    def failures(self, route: str) -> int:
        """Return how often in a row the route failed."""
        row = self._db.execute("SELECT failures FROM routes WHERE name = ?", (route,)).fetchone()
        return 0 if row is None else int(row[0])

    def _settle(self, route: str, ids: Sequence[int], status: str, now: datetime) -> None:
        self._db.executemany(
            "UPDATE deliveries SET status = ?, settled_at = ? WHERE notification_id = ? AND route = ? AND status = 'waiting'",
            [(status, _text(now), one, route) for one in ids],
        )

    # --- what people ask ---------------------------------------------------------------------------------------------

    def rows(
        self, *, status: str | None = None, keys: Sequence[str] | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return the newest deliveries, the newest last; *keys*: of those notifications alone."""
        asked = [*(() if status is None else (status,)), *(keys or ())]
        conditions = [] if status is None else ["d.status = ?"]
        conditions += [] if keys is None else [f"n.key IN ({','.join('?' * len(keys))})"]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        columns = "id, key, at, topic, severity, title, text, member, strategy, route, status, due_at, tries, problem, settled_at"
        rows = self._db.execute(
            f"""SELECT n.id, n.key, n.at, n.topic, n.severity, n.title, n.text, n.member, n.strategy, d.route, d.status, d.due_at,
            d.tries, d.problem, d.settled_at FROM deliveries d JOIN notifications n ON n.id = d.notification_id {where}
            ORDER BY n.id DESC, d.route LIMIT ?""",  # noqa: S608  conditions of ours, with marks
            (*asked, limit),
        ).fetchall()
        return [dict(zip(columns.split(", "), row, strict=True)) for row in reversed(rows)]

    def retry(self, now: datetime, ids: Sequence[int] | None = None) -> int:
        """Let what is dead be sent again, at once: those of *ids*, or all. Return how many."""
        with self._transaction():
            some = "" if ids is None else f" AND notification_id IN ({','.join('?' * len(ids))})"
            found = self._db.execute(
                f"UPDATE deliveries SET status = ?, tries = 0, due_at = ?, settled_at = NULL WHERE status = ?{some}",  # noqa: S608  marks only
                (WAITING, _text(now), DEAD, *(ids or ())),
            )
        self.hurry()
        return found.rowcount

    def hurry(self) -> None:
        """Try every route at once, those that are left alone after a failure as well."""
        self._db.execute("DELETE FROM routes")

    def count(self) -> dict[str, int]:
        """Return how many deliveries are in which status."""
        found = self._db.execute("SELECT status, count(*) FROM deliveries GROUP BY status")
        return {str(status): int(number) for status, number in found}

    def forget(self, before: datetime) -> None:
        """Forget what is older and settled; what waits or is dead stays."""
        self._db.execute(
            """DELETE FROM notifications WHERE at < ? AND NOT EXISTS (SELECT 1 FROM deliveries d
            WHERE d.notification_id = notifications.id AND d.status IN ('waiting', 'dead'))""",
            (_text(before),),
        )

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)


class _Transaction:
    """All or nothing; the write lock is taken at once, so that no reader's view has to be upgraded."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def opened(path: Path) -> "closing[Outbox]":
    """Return an outbox that its `with` closes."""
    return closing(Outbox(path))


def _note(row: Sequence[Any]) -> Notification:
    _, key, topic, severity, title, text, at, member, strategy, side, symbol, qty, price = row
    trade = None
    if side is not None:
        trade = Trade(side=Side(side), symbol=Symbol(symbol), qty=Qty(Decimal(qty)), price=Price(Decimal(price)))
    return Notification(
        key=key,
        topic=Topic(topic),
        severity=Severity(severity),
        title=title,
        text=text,
        at=datetime.fromisoformat(at),
        member=None if member is None else UserId(member),
        strategy=None if strategy is None else StrategyId(strategy),
        trade=trade,
    )


def _text(at: datetime) -> str:
    """Return the instant so that texts sort as times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
