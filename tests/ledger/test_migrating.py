"""Ledgers of every earlier version: opened, brought up, with the tables that today's desk would have written."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from deskd.domain.errors import LedgerError
from deskd.ledger.chain import Chain, Damage, Entry
from deskd.ledger.codec import KINDS
from deskd.ledger.export import entry_of
from deskd.ledger.migrating import Migration, bring_up, migrate, migrations
from deskd.ledger.projections import TABLES
from deskd.ledger.store import LedgerStore
from tests.ledger.life import dump, written

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.jsonl"))  # NNNN.jsonl: facts as version NNNN stored them
INSERT = "INSERT INTO facts VALUES (?,?,?,?,?,?)"
WRECK = Migration(9000, "9000_wreck.sql", "CREATE TABLE extra (a TEXT) STRICT; INSERT INTO nowhere VALUES (1);")


def golden(file: Path) -> list[Entry]:
    return [entry_of(line) for line in file.read_bytes().splitlines()]


def facts_of(entries: Sequence[Entry]) -> list[object]:
    chain = Chain()
    return [chain.take(entry) for entry in entries]


def an_old_ledger(path: Path, version: int, entries: Sequence[Entry]) -> Path:
    """Make the ledger as the desk of *version* left it; its tables hold what it knew: here, nothing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        bring_up(db, [m for m in migrations() if m.version <= version])
        db.executemany(INSERT, entries)
    return path


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: str(file.stem))
async def test_a_ledger_of_every_earlier_version_opens_with_all_its_facts_and_todays_tables(
    tmp_path: Path, file: Path
) -> None:
    """Each fact ever stored is read; each table says what it would say had today's desk written it."""
    entries = golden(file)
    facts = facts_of(entries)
    assert not [fact for fact in facts if isinstance(fact, Damage)]
    old = an_old_ledger(tmp_path / "old.db", int(file.stem), entries)
    async with await LedgerStore.open(old) as ledger:
        assert [fact async for fact in ledger.replay()] == facts
        assert ledger.last_hash == entries[-1].hash
    new = await written(tmp_path / "new.db", facts)  # type: ignore[arg-type]
    if int(file.stem) < migrations()[-1].version:
        assert dump(old, TABLES) == dump(new, TABLES)


def test_the_oldest_golden_ledger_has_every_kind_of_its_time() -> None:
    """What is not in it would not be known to be readable for ever."""
    first = {entry.kind for entry in golden(GOLDEN[0])}
    assert first <= set(KINDS)
    assert len(first) == 24


async def test_new_tables_and_columns_are_filled_for_old_facts(tmp_path: Path) -> None:
    """A migration says which tables there are; what stands in them follows from the facts."""
    entries = golden(GOLDEN[0])
    path = an_old_ledger(tmp_path / "desk.db", 1, entries)
    later = Migration(9000, "9000_later.sql", "ALTER TABLE orders ADD COLUMN colour TEXT DEFAULT 'red';")
    assert not dump(path, ("orders",))["orders"]
    assert migrate(path, [*migrations(), later]) == 1
    rows = dump(path)["orders"]
    assert len(rows) == sum(entry.kind in {"OrderApproved", "OrderDenied"} for entry in entries) + 2  # two legs
    assert {row[-1] for row in rows} == {"red"}


async def test_a_migration_that_fails_leaves_the_old_version_whole(tmp_path: Path) -> None:
    """No table more, no fact less; the older desk opens it as if nothing had been."""
    path = an_old_ledger(tmp_path / "desk.db", 1, golden(GOLDEN[0]))
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"9000_wreck.sql.*no such table: nowhere.*it is as it was"):
        migrate(path, [*migrations(), WRECK])
    assert path.read_bytes() == before
    assert migrate(path, migrations()) == 1


async def test_facts_that_cannot_be_replayed_stop_a_migration(tmp_path: Path) -> None:
    """Tables are not made from a ledger that somebody changed: the entry is named, and all stays as it was."""
    entries = golden(GOLDEN[0])
    entries[7] = entries[7]._replace(body=entries[7].body.replace("2026", "2027"))
    path = an_old_ledger(tmp_path / "desk.db", 1, entries)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"facts seq=8 hash.*restore a backup"):
        migrate(path, [*migrations(), Migration(9000, "9000_later.sql", "CREATE TABLE extra (a TEXT) STRICT;")])
    assert path.read_bytes() == before


async def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    """An older program does not touch what it does not understand, nor what another branch of it made."""
    path = tmp_path / "desk.db"
    migrate(path)
    newer = Migration(9000, "9000_later.sql", "CREATE TABLE extra (a TEXT) STRICT;")
    migrate(path, [*migrations(), newer])
    with pytest.raises(LedgerError, match=r"version 9000.*install the newer deskd"):
        migrate(path)
    with pytest.raises(LedgerError, match="version 9000"):
        migrate(path, [*migrations(), newer._replace(version=9001)])


async def test_a_changed_migration_is_refused(tmp_path: Path) -> None:
    """What made the tables is known by its checksum."""
    path = tmp_path / "desk.db"
    migrate(path)
    first = migrations()[0]
    with pytest.raises(LedgerError, match=rf"{first.name} is not the one that made this ledger: reinstall deskd"):
        migrate(path, [first._replace(sql=first.sql + "-- a small thing"), *migrations()[1:]])


async def test_a_ledger_of_todays_version_is_left_alone(tmp_path: Path) -> None:
    """Its tables are not made anew at every start."""
    path = await written(tmp_path / "desk.db", [f for f in facts_of(golden(GOLDEN[0])) if not isinstance(f, Damage)])  # type: ignore[misc]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE orders SET message = 'still here'")
    assert migrate(path) == migrations()[-1].version
    assert {row[17] for row in dump(path)["orders"]} == {"still here"}


def test_migrations_are_numbered_without_gaps() -> None:
    """A number that was left out, or used twice, would be two branches' ledgers taken for one."""
    assert [m.version for m in migrations()] == list(range(1, len(migrations()) + 1))
    assert all(m.name.startswith(f"{m.version:04d}_") for m in migrations())
