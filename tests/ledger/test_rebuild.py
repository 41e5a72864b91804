"""From facts alone: the desk, and its tables."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger.chain import Chain, Damage
from deskd.ledger.projections import TABLES
from deskd.ledger.rebuild import Fold, chunks, refill
from tests.factories import NOON
from tests.ledger.life import Life, dump, written
from tests.ledger.test_chain import an_entry


async def test_tables_that_were_lost_are_made_again(tmp_path: Path) -> None:
    """Row by row what the running desk had written."""
    life = Life(11)
    life.goes_on(2_500)  # more than are folded at a time
    path = await written(tmp_path / "desk.db", life.facts, range(0, len(life.facts), 50))
    before = dump(path)
    told: list[int] = []
    with closing(sqlite3.connect(path)) as db, db:
        for table in TABLES[1:]:
            db.execute(f"DELETE FROM {table}")
        db.execute("UPDATE strategies SET cash = '1000000'")
        chain = refill(db, on_progress=told.append)
    assert dump(path) == before
    assert chain.seq == told[-1] == len(life.facts)
    assert len(told) > 1


async def test_a_fold_ends_in_the_very_desk(tmp_path: Path) -> None:
    """What a rebuild knows is what the running desk knew."""
    life = Life(12)
    life.goes_on(200)
    path = await written(tmp_path / "desk.db", life.facts)
    fold = Fold(lambda _: None)
    with closing(sqlite3.connect(path)) as db:
        assert [fold.take(entries) for entries in chunks(db)] == [None]
    assert fold.desk == life.desk


def test_a_forged_fact_that_cannot_follow_is_named() -> None:
    """Its hashes may be right: the fill of an order that nobody asked for is no history of a desk."""
    fold = Fold(lambda _: None)
    first = an_entry()
    fact = '{"client_order_id":"ghost","at":"2026-01-05T17:00:00Z"}'
    found = fold.take([first, an_entry(2, first.hash, kind="OrderCanceled", body=fact)])
    assert isinstance(found, Damage)
    assert (found.key, found.column, found.actual) == ("seq=2", "body", "KeyError: 'ghost'")


async def test_damaged_facts_make_no_tables(tmp_path: Path) -> None:
    """The entry is named, and the remedy."""
    path = await written(tmp_path / "desk.db", [ev.DeskStopped(at=NOON)])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TRIGGER facts_are_never_changed")
        db.execute("UPDATE facts SET hash = 'x'")
        with pytest.raises(LedgerError, match=r"facts seq=1 hash.*restore a backup"):
            refill(db)
    assert Chain().seq == 0
