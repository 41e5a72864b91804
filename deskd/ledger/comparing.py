"""A ledger's tables against those that a replay of its facts makes: row by row, value by value."""

import sqlite3
from collections.abc import Iterator, Sequence

from deskd.ledger.chain import UNREADABLE, Damage

SHOWN_MAX = 200  # characters of a value in a report


def first_difference(db: sqlite3.Connection, model: sqlite3.Connection, table: str) -> Damage | None:
    """Return the first row that is not what the replay gives."""
    info = model.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [row[1] for row in info]
    keys = [row[1] for row in sorted(info, key=lambda row: row[5]) if row[5]]
    where = [columns.index(key) for key in keys]
    names = ", ".join(columns)
    look_up = f"SELECT {names} FROM {table} WHERE {' AND '.join(f'{key} IS ?' for key in keys)}"  # noqa: S608  our own names
    seen: set[tuple[object, ...]] = set()

    def damage(key: Sequence[object], column: str | None, expected: object, actual: object) -> Damage:
        text = " ".join(f"{name}={shown(value)}" for name, value in zip(keys, key, strict=True))
        return Damage(table=table, key=text, column=column, expected=shown(expected), actual=shown(actual))

    # In the table's own order: an index may lie.
    for row in _readable(db, f"SELECT {names} FROM {table} NOT INDEXED"):  # noqa: S608
        if isinstance(row, UNREADABLE):
            return Damage(table=table, key=f"row {len(seen) + 1}", column=None, expected="a row", actual=str(row))
        key = tuple(row[n] for n in where)
        expected = model.execute(look_up, key).fetchone()
        if expected is None or key in seen:
            return damage(key, None, "no such row" if expected is None else "one such row", "another row")
        for column, was, now in zip(columns, expected, row, strict=True):
            if (type(was), was) != (type(now), now):
                return damage(key, column, was, now)
        seen.add(key)
    for key in model.execute(f"SELECT {', '.join(keys)} FROM {table} ORDER BY rowid"):  # noqa: S608
        if key not in seen:
            return damage(key, None, "a row", "none")
    return None


def _readable(db: sqlite3.Connection, select: str) -> Iterator[tuple[object, ...] | sqlite3.Error | UnicodeDecodeError]:
    """Yield the rows, and last, instead of one that cannot be read, why."""
    try:
        yield from db.execute(select)
    except UNREADABLE as error:
        yield error


def shown(value: object) -> str:
    """Return a value for a report, cut where it is long."""
    text = "none" if value is None else str(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}… ({len(text)} characters)"
