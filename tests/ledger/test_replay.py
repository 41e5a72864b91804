"""State is made again from facts alone, at any entry; a table that says otherwise is named."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.ledger import codec
from deskd.ledger.projections import TABLES
from deskd.ledger.replay import Replayed, replay
from tests.ledger.life import Life, at_rest, written
from tests.ledger.test_audit import a_crime


@pytest.fixture(scope="module")
def facts() -> list[ev.Fact]:
    life = Life(71)
    life.goes_on(400)  # several batches
    return life.facts


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, facts: list[ev.Fact]) -> Path:
    path = tmp_path_factory.mktemp("replay") / "desk.db"
    asyncio.run(written(path, facts))
    return at_rest(path)


@pytest.fixture
def mine(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "desk.db"))


def folded(facts: list[ev.Fact]) -> Desk:
    desk = Desk()
    for fact in facts:
        desk.apply(fact)
    return desk


def test_all_facts_lead_to_the_desk_that_wrote_them(whole: Path, facts: list[ev.Fact]) -> None:
    """And every table says the same."""
    told: list[int] = []
    found = replay(whole, on_progress=told.append)
    assert found.is_as_written
    assert found.is_whole_ledger
    assert (found.seq, found.tables, found.differences) == (len(facts), TABLES, ())
    assert found.desk == folded(facts)
    assert told[-1] == len(facts)


@pytest.mark.parametrize("seq", [0, 1, 64, 65, 200])
def test_at_any_entry_the_desk_is_as_it_stood_then(whole: Path, facts: list[ev.Fact], seq: int) -> None:
    """The tables stand at the end: they are not compared with what was before."""
    found = replay(whole, until=seq)
    assert found.desk == folded(facts[:seq])
    assert (found.seq, found.is_whole_ledger, found.tables) == (seq, False, ())
    assert found.is_as_written


def test_an_instant_stands_before_the_first_entry_after_it(whole: Path, facts: list[ev.Fact]) -> None:
    """Whatever is stamped with the instant itself counts."""
    at = facts[300].at
    first_after = next(n for n, fact in enumerate(facts) if codec.stamp(fact.at) > codec.stamp(at))
    found = replay(whole, until=at)
    assert found.seq == first_after
    assert found.at is not None
    assert found.at <= codec.stamp(at)
    assert replay(whole, until=datetime(2000, 1, 1, tzinfo=at.tzinfo)).seq == 0


def test_a_number_beyond_the_last_entry_is_all_of_them(whole: Path, facts: list[ev.Fact]) -> None:
    """Nothing is missing that was never written."""
    found = replay(whole, until=10**6)
    assert (found.seq, found.is_whole_ledger) == (len(facts), True)


def test_a_table_that_was_changed_is_named(mine: Path) -> None:
    """Each that differs, by its first row that does."""
    with closing(sqlite3.connect(mine)) as db, db:
        db.execute("UPDATE positions SET qty = '999' WHERE rowid = 1")
        db.execute("DELETE FROM fills WHERE rowid = 1")
    found = replay(mine)
    assert not found.is_as_written
    assert {one.table for one in found.differences} == {"positions", "fills"}


def test_nothing_counts_from_a_changed_fact_on(mine: Path, facts: list[ev.Fact]) -> None:
    """The desk stands as the facts before it say, and no table is judged by less."""
    with a_crime(mine) as db:
        db.execute("UPDATE facts SET body = replace(body, '2026', '2027') WHERE seq = 250")
        db.commit()
    found = replay(mine)
    assert found.damage is not None
    assert (found.damage.key, found.seq, found.tables) == ("seq=250", 249, ())
    assert found.desk == folded(facts[:249])


def test_what_is_no_ledger_is_said_so(tmp_path: Path) -> None:
    """And nothing was replayed."""
    (tmp_path / "desk.db").write_text("a diary, not a database, and long enough to be taken for one " * 20)
    found: Replayed = replay(tmp_path / "desk.db")
    assert found.damage is not None
    assert (found.damage.table, found.seq, found.at) == ("file", 0, None)
