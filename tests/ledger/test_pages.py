"""Below the rows: the schema is the migrations', and SQLite finds its pages in order."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deskd.ledger import pages
from deskd.ledger.migrating import migrations
from tests.ledger.life import a_life, at_rest, written


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Write a small ledger."""
    return at_rest(await written(tmp_path / "desk.db", a_life(41, 30)))


def test_each_version_is_known_by_its_schema() -> None:
    """Whatever the ledger's version, what its migrations made is what is expected."""
    for newest in migrations():
        with closing(pages.model([m for m in migrations() if m.version <= newest.version])) as db:
            assert pages.schema(db) == (newest.version, [])


def test_a_row_of_the_migrations_that_is_gone_is_missed() -> None:
    """Its tables are there: so it was applied."""
    with closing(pages.model(migrations())) as db:
        newest = migrations()[-1]
        db.execute("DELETE FROM migrations WHERE version = ?", (newest.version,))
        version, (damage,) = pages.schema(db)
    assert version == newest.version
    assert (damage.table, damage.key, damage.actual) == ("migrations", f"version={newest.version}", "none")


def test_whatever_nobody_made_is_named_with_its_text() -> None:
    """And what was made, and is another now."""
    with closing(pages.model(migrations())) as db:
        db.execute("DROP VIEW trades")
        db.execute("CREATE VIEW trades AS SELECT * FROM fills")
        db.execute("CREATE TRIGGER thief AFTER INSERT ON fills BEGIN DELETE FROM fills; END")
        _, damages = pages.schema(db)
    assert [(d.key, d.actual) for d in damages] == [
        ("trigger thief", "CREATE TRIGGER thief AFTER INSERT ON fills BEGIN DELETE FROM fills; END"),
        ("view trades", "CREATE VIEW trades AS SELECT * FROM fills"),
    ]


def test_an_empty_file_lacks_everything() -> None:
    """SQLite takes it for a database without tables."""
    with closing(sqlite3.connect(":memory:")) as db:
        _, damages = pages.schema(db)
    assert "table facts" in {d.key for d in damages}


@pytest.mark.parametrize("setting", ["application_id", "user_version"])
def test_settings_that_no_desk_makes_are_named(path: Path, setting: str) -> None:
    """They are bytes of the header that nothing else would notice."""
    with closing(sqlite3.connect(path)) as db:
        assert pages.inspect(db) == []
        db.execute(f"PRAGMA {setting} = 7")
        (damage,) = pages.inspect(db)
    assert (damage.key, damage.expected, damage.actual) == (setting, "0", "7")


def test_an_index_that_lies_is_found(path: Path) -> None:
    """The rows may all be right: whoever asks by the index is told something else."""
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'fills_by_order'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (oid,) = db.execute("SELECT client_order_id FROM fills LIMIT 1").fetchone()
    content = path.read_bytes()
    begin = (page - 1) * size
    index = content[begin : begin + size].replace(oid.encode(), oid[::-1].encode())
    path.write_bytes(content[:begin] + index + content[begin + size :])
    with closing(sqlite3.connect(path)) as db:
        (damage,) = pages.inspect(db)
    assert (damage.table, damage.key) == ("file", "pages and indexes")
    assert "fills_by_order" in damage.actual
