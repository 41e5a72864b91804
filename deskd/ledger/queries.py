"""Read-only questions to the ledger, over a connection of their own: they never delay the writer."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deskd.domain.errors import LedgerError
from deskd.domain.ids import StrategyId
from deskd.ledger.chain import UNREADABLE

type Record = dict[str, Any]

# Of one instant, the last that was written is the newest. A view has no rowid.
_NEWEST_FIRST = {
    "orders": "requested_at DESC, rowid DESC",
    "order_parts": "sent_at DESC, rowid DESC",
    "fills": "at DESC, rowid DESC",
    "positions": "updated_at DESC, rowid DESC",
    "runs": "started_at DESC, rowid DESC",
    "outages": "started_at DESC, rowid DESC",
    "discrepancies": "id DESC",
    "house_bookings": "id DESC",
    "roots": "seq DESC",
    "risk_events": "id DESC",
    "exits": "rowid DESC",
    "trades": "created_at DESC, order_id DESC",
}

_LAST_ENDS = """SELECT run.* FROM (SELECT DISTINCT strategy_id FROM runs) AS one JOIN runs AS run ON run.rowid = (
    SELECT rowid FROM runs WHERE strategy_id = one.strategy_id AND ended_at IS NOT NULL
    ORDER BY started_at DESC, rowid DESC LIMIT 1)"""


def read_only(path: Path) -> sqlite3.Connection:
    """Open the ledger so that nothing can be written: beside a running desk, or where the file lies on its own."""
    address = f"file:{quote(str(path))}?mode=ro"
    db = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        db.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:  # a folder that cannot be written into has no room for SQLite's index of the WAL
        if path.with_name(path.name + "-wal").exists() or not path.exists():
            db.close()
            raise
        db.close()
        return sqlite3.connect(f"{address}&immutable=1", uri=True, isolation_level=None)
    except UNREADABLE:
        db.close()
        raise
    return db


class LedgerReader:
    """Answers from the projections. Each question is one short read transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def latest(
        self, table: str, *, strategy_id: StrategyId | None = None, limit: int = 1_000
    ) -> Sequence[Record]:
        """Return the newest *limit* rows of a projection, oldest first, of one strategy or of all."""
        newest_first = _NEWEST_FIRST[table]  # a KeyError is our own mistake: tables are not input
        where = "WHERE strategy_id = ?" if strategy_id is not None else ""
        parameters: tuple[object, ...] = (limit,) if strategy_id is None else (strategy_id, limit)
        sql = f"SELECT * FROM {table} {where} ORDER BY {newest_first} LIMIT ?"  # noqa: S608  names from the table above
        return (await self._rows(sql, parameters))[::-1]

    async def last_ends(self) -> Mapping[StrategyId, Record]:
        """Return how the last run of each strategy that ended did so."""
        return {StrategyId(row["strategy_id"]): row for row in await self._rows(_LAST_ENDS, ())}

    async def _rows(self, sql: str, parameters: tuple[object, ...]) -> list[Record]:
        try:
            return await asyncio.to_thread(self._read, sql, parameters)
        except UNREADABLE as error:
            raise LedgerError(f"{self._path}: the ledger cannot be read ({error})") from error

    def _read(self, sql: str, parameters: tuple[object, ...]) -> list[Record]:
        with closing(read_only(self._path)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql, parameters)]
