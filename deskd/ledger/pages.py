"""The ledger's file below its rows: the schema as the migrations make it, and SQLite's own look at its pages."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing

from deskd.ledger.chain import UNREADABLE, Damage
from deskd.ledger.migrating import Migration, bring_up, migrations

# An index that SQLite made by itself, for a key, has no text. Where a text says another table than stands beside it,
# SQLite itself opens nothing.
_OBJECTS = "SELECT type, name, coalesce(sql, 'for a key of ' || tbl_name) FROM sqlite_schema ORDER BY rowid"
# What a header says that no desk ever sets.
_SETTINGS = {"application_id": 0, "user_version": 0, "encoding": "UTF-8"}


def model(known: Sequence[Migration]) -> sqlite3.Connection:
    """Return an empty ledger that the migrations make; it lies in memory and, when it grows, in a file without a name."""
    db = sqlite3.connect("", isolation_level=None)
    bring_up(db, known)
    return db


def schema(db: sqlite3.Connection) -> tuple[int, list[Damage]]:
    """Return the ledger's version, and whatever is not as the migrations up to it make it."""
    try:
        actual = _objects(db)
    except UNREADABLE as error:
        return 0, [_damage("schema", "", None, "a schema that can be read", error)]
    applied, damages = _applied(db) if "table migrations" in actual else ({}, [])
    version, expected = _closest(actual, applied)
    if "table migrations" in actual:
        damages += _rows(applied, version)
    for thing in expected.keys() | actual.keys():
        made, found = expected.get(thing, "none"), actual.get(thing, "none")
        if made != found:
            damages.append(_damage("schema", thing, None, made, found))
    return version, sorted(damages, key=lambda damage: (damage.table, damage.key))


def _closest(actual: Mapping[str, str], applied: Collection[object]) -> tuple[int, Mapping[str, str]]:
    """Return the version that the ledger is of, and its schema: its own word counts where its objects bear it out."""
    known = [m.version for m in migrations()]
    own_word = max((version for version in known if version in applied), default=known[-1])
    for version in (own_word, *known[::-1]):
        with closing(model([m for m in migrations() if m.version <= version])) as whole:
            expected = _objects(whole)
        if expected == actual:
            return version, expected
    with closing(model([m for m in migrations() if m.version <= own_word])) as whole:
        return own_word, _objects(whole)


def _objects(db: sqlite3.Connection) -> dict[str, str]:
    return {f"{kind} {name}": sql for kind, name, sql in db.execute(_OBJECTS)}


def _applied(db: sqlite3.Connection) -> tuple[dict[object, tuple[object, object]], list[Damage]]:
    applied: dict[object, tuple[object, object]] = {}
    try:
        for version, name, checksum in db.execute("SELECT version, name, checksum FROM migrations"):
            applied[version] = (name, checksum)
    except UNREADABLE as error:
        return applied, [_damage("migrations", f"row {len(applied) + 1}", None, "a row that can be read", error)]
    return applied, []


def _rows(applied: Mapping[object, tuple[object, object]], version: int) -> list[Damage]:
    """Return what is wrong with the rows of the table `migrations` of a ledger of *version*."""
    known = {m.version: m for m in migrations()}
    expected = f"a version that this deskd knows, at most {max(known)}"
    strange = [number for number in applied if number not in known]
    damages = [_damage("migrations", f"version={number}", "version", expected, number) for number in strange]
    for number, migration in known.items():
        if number > version:
            continue
        if number not in applied:
            damages.append(_damage("migrations", f"version={number}", None, migration.name, "none"))
            continue
        texts = {"name": migration.name, "checksum": migration.checksum}
        for (column, made), found in zip(texts.items(), applied[number], strict=True):
            if made != found:
                damages.append(_damage("migrations", f"version={number}", column, made, found))
    return damages


def inspect(db: sqlite3.Connection) -> list[Damage]:
    """Return the first thing that SQLite finds wrong with pages, indexes and types, and settings that nobody made."""
    damages = []
    try:
        (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            damages.append(_damage("file", "pages and indexes", None, "ok", found))
        for name, value in _SETTINGS.items():
            (actual,) = db.execute(f"PRAGMA {name}").fetchone()
            if actual != value:
                damages.append(_damage("file", name, None, value, actual))
    except UNREADABLE as error:
        damages.append(_damage("file", "pages and indexes", None, "ok", error))
    return damages


def _damage(table: str, key: str, column: str | None, expected: object, actual: object) -> Damage:
    return Damage(table=table, key=key, column=column, expected=str(expected), actual=str(actual))
