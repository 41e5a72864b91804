"""Facts, for readers: by place, by kind, by order. A connection of its own that can only read, used from threads.

It never delays the writer: each question is one short read of a committed state. What it does not find fast without
the indexes of migration 0006 it finds slowly: older ledgers and backups are read as they are.
"""

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self
from urllib.parse import quote

from deskd.domain.entry import Entry
from deskd.domain.errors import LedgerError
from deskd.domain.ids import PART_ID, ClientOrderId, StrategyId
from deskd.domain.order import OrderStatus
from deskd.ledger import codec

ID_PREFIX_MIN = 4  # shorter beginnings of an order's id are typing errors
ORDERS_FOUND_MAX = 11  # of an ambiguous beginning: ten are shown

_ORDER = (
    "CASE WHEN json_valid(body) "
    "THEN coalesce(json_extract(body, '$.client_order_id'), json_extract(body, '$.request.client_order_id')) END"
)
_COLUMNS = "SELECT seq, kind, body, hash FROM facts"

type Row = tuple[int, str, str, str]


class FactReader:
    """The ledger's facts, read only. One thread at a time; whoever closes it waits for the question that is out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._is_closed = False
        self._asking = Lock()

    def __enter__(self) -> Self:
        """Return it; the file is opened when it is first asked."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file. A thread whose reader was canceled may still be about to ask: it is refused."""
        with self._asking:
            self._is_closed = True
            if self._db is not None:
                self._db.close()

    def last_seq(self) -> int:
        """Return the newest entry's place; 0 where there is none."""
        ((seq,),) = self._ask("SELECT coalesce(max(seq), 0) FROM facts", ())
        return int(str(seq))

    def first_seq_at(self, at: datetime) -> int:
        """Return the place of the first entry at or after *at*, or the one after the newest.

        Stamps rise with the places, but for events that waited for each other: it may be off by as much.
        """
        low, high = 1, self.last_seq() + 1
        text = codec.stamp(at)
        while low < high:
            middle = (low + high) // 2
            found = self._ask("SELECT at FROM facts WHERE seq = ?", (middle,))
            if found and str(found[0][0]) < text:
                low = middle + 1
            else:
                high = middle
        return low

    def after(self, seq: int, *, until: int, limit: int, kinds: Collection[str] | None = None) -> Sequence[Entry]:
        """Return the first *limit* entries after *seq*, up to *until*, of some kinds or of all."""
        where, parameters = _among(kinds)
        sql = f"{_COLUMNS} WHERE seq > ? AND seq <= ?{where} ORDER BY seq LIMIT ?"
        return self._entries(sql, (seq, until, *parameters, limit))

    def before(self, seq: int, *, limit: int, kinds: Collection[str] | None = None) -> Sequence[Entry]:
        """Return the last *limit* entries before *seq*, oldest first, of some kinds or of all."""
        where, parameters = _among(kinds)
        sql = f"{_COLUMNS} WHERE seq < ?{where} ORDER BY seq DESC LIMIT ?"
        return self._entries(sql, (seq, *parameters, limit))[::-1]

    def of_order(self, order: ClientOrderId, *, before: int | None = None) -> Sequence[Entry]:
        """Return the entries about an order, oldest first, and where it is a leg those about the one that carries it.

        Of an order that went in parts these are all that are about it and its parts, whichever of them is named.
        """
        found = self._ask("SELECT parent_id FROM orders WHERE client_order_id = ?", (order,))
        names = [*self._with_parts(order), *(str(parent) for ((parent),) in found if parent is not None)]
        marks = ",".join("?" * len(names))
        end = 2**62 if before is None else before
        sql = f"{_COLUMNS} WHERE {_ORDER} IN ({marks}) AND seq < ? ORDER BY seq"
        return self._entries(sql, (*names, end))

    def _with_parts(self, order: ClientOrderId) -> list[str]:
        """Return the ids of the order and its parts, *order* being one of them."""
        whole = self.whole_of(order)
        sql = (
            f"SELECT json_extract(body, '$.part_id') FROM facts WHERE kind = 'OrderSplit' AND {_ORDER} = ? ORDER BY seq"  # noqa: S608  our own words
        )
        return [whole, *(str(part) for ((part),) in self._ask(sql, (whole,)))]

    def whole_of(self, order: ClientOrderId) -> ClientOrderId:
        """Return the order that was asked for, *order* being a part of it; else *order*. Few orders are split."""
        sql = f"SELECT {_ORDER} FROM facts WHERE kind = 'OrderSplit' AND json_extract(body, '$.part_id') = ?"  # noqa: S608
        found = self._ask(sql, (order,)) if PART_ID.fullmatch(order) else []
        return ClientOrderId(str(found[0][0])) if found else order

    def orders_named(self, typed: str) -> Sequence[tuple[ClientOrderId, str]]:
        """Return (client_order_id, user_id) of the orders of that client_order_id or broker's id, or that begin so.

        Denied orders are found by their facts: the table of orders may keep them, too. Who names a part means the order.
        """
        exact = self._ask(
            "SELECT client_order_id, user_id FROM orders WHERE client_order_id = ?1 OR broker_order_id = ?1",
            (self.whole_of(ClientOrderId(typed)),),
        )
        if not exact and self._ask("SELECT 1 FROM sqlite_schema WHERE name = 'order_parts'", ()):  # not in old ledgers
            exact = self._ask("SELECT client_order_id, user_id FROM order_parts WHERE broker_order_id = ?", (typed,))
        if not exact and len(typed) >= ID_PREFIX_MIN:
            end = typed + "\U0010ffff"
            exact = self._ask(
                """SELECT client_order_id, user_id FROM orders WHERE client_order_id >= ?1 AND client_order_id < ?2
                UNION SELECT client_order_id, user_id FROM orders WHERE broker_order_id >= ?1 AND broker_order_id < ?2
                LIMIT ?3""",
                (typed, end, ORDERS_FOUND_MAX),
            )
        return [(ClientOrderId(str(oid)), str(user_id)) for oid, user_id in exact]

    def owner_of(self, order: ClientOrderId) -> tuple[str, str, str, str] | None:
        """Return strategy_id, user_id, symbol and side of the order; None where the ledger has none of that id."""
        sql = "SELECT strategy_id, user_id, symbol, side FROM orders WHERE client_order_id = ?"
        found = self._ask(sql, (order,))
        if not found:
            return None
        strategy, member, symbol, side = map(str, found[0])
        return strategy, member, symbol, side

    def member_of(self, strategy: StrategyId) -> str | None:
        """Return the member that the strategy trades for, as the ledger has it now."""
        found = self._ask("SELECT user_id FROM strategies WHERE strategy_id = ?", (strategy,))
        return str(found[0][0]) if found else None

    def is_open(self, order: ClientOrderId) -> bool:
        """Tell whether the order may still fill."""
        found = self._ask("SELECT status FROM orders WHERE client_order_id = ?", (order,))
        return bool(found) and OrderStatus(str(found[0][0])).is_open

    def runs_of(self, strategy: StrategyId, *, before: int) -> Sequence[Entry]:
        """Return the newest run of the strategy that began before a place: its start, and its end once there is one."""
        sql = f"{_COLUMNS} WHERE kind = 'RunStarted' AND seq < ? AND json_extract(body, '$.strategy_id') = ?"
        started = self._entries(f"{sql} ORDER BY seq DESC LIMIT 1", (before, strategy))
        if not started:
            return []
        run_id = getattr(started[0].fact, "run_id", "")
        sql = f"{_COLUMNS} WHERE kind = 'RunEnded' AND seq > ? AND json_extract(body, '$.run_id') = ?"
        return [*started, *self._entries(f"{sql} ORDER BY seq LIMIT 1", (started[0].seq, run_id))]

    def _entries(self, sql: str, parameters: tuple[object, ...]) -> list[Entry]:
        return [
            Entry(int(str(seq)), str(entry_hash), codec.decode(str(kind), str(body)))
            for seq, kind, body, entry_hash in self._ask(sql, parameters)
        ]

    def _ask(self, sql: str, parameters: tuple[object, ...]) -> list[tuple[object, ...]]:
        try:
            with self._asking:
                if self._is_closed:
                    raise LedgerError(f"{self._path}: this reader is closed")
                if self._db is None:
                    place = f"file:{quote(str(self._path))}?mode=ro"
                    self._db = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
                with closing(self._db.execute(sql, parameters)) as rows:
                    return rows.fetchall()
        except sqlite3.Error as error:
            raise LedgerError(f"{self._path}: the ledger cannot be read ({error})") from error


def _among(kinds: Collection[str] | None) -> tuple[str, tuple[str, ...]]:
    if kinds is None:
        return "", ()
    return f" AND kind IN ({','.join('?' * len(kinds))})", tuple(kinds)
