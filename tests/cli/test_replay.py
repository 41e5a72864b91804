"""deskctl replay as an officer uses it: a process of its own, and no desk."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.test_deskctl import deskctl
from tests.ledger.life import Life, written


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """Leave the ledger of a desk that lived for a while."""
    (tmp_path / "var").mkdir()
    (tmp_path / "desk.toml").write_text('[desk]\nstate_dir = "var"\nruntime_dir = "run"\n')
    life = Life(72)
    life.goes_on(120)
    await written(tmp_path / "var" / "desk.db", life.facts)
    return tmp_path / "desk.toml"


async def test_the_state_is_shown_as_the_desk_would(config: Path) -> None:
    """Money, positions and open orders, from facts alone; the tables agree."""
    said = await deskctl(config, "replay")
    assert said.code == 0, said.err
    assert "chain: whole" in said.out
    assert "every row as the facts give it" in said.out
    assert "alice" in said.out
    told = json.loads((await deskctl(config, "replay", "--json")).out)
    assert told["chain"] == "whole"
    assert told["is_whole_ledger"]
    assert {row["strategy_id"] for row in told["accounts"]} == {"alice", "bob", "house"}
    assert told["differences"] == []


async def test_an_earlier_moment_is_asked_for_by_entry_or_time(config: Path) -> None:
    """Of it the tables say nothing any more."""
    told = json.loads((await deskctl(config, "replay", "--to", "7", "--json")).out)
    assert (told["seq"], told["is_whole_ledger"], told["tables"]) == (7, False, [])
    told = json.loads((await deskctl(config, "replay", "--to", "2000-01-01T00:00:00", "--json")).out)
    assert (told["seq"], told["accounts"][0]["strategy_id"]) == (0, "house")
    said = await deskctl(config, "replay", "--to", "yesterday")
    assert (said.code, "is none" in said.err) == (2, True)


async def test_a_table_that_differs_ends_with_one_and_is_named(config: Path) -> None:
    """For a cron job by the code, for people by the line."""
    with closing(sqlite3.connect(config.parent / "var" / "desk.db")) as db, db:
        db.execute("UPDATE positions SET qty = '999' WHERE rowid = 1")
    said = await deskctl(config, "replay")
    assert said.code == 1
    assert "differs: positions strategy_id=" in said.out
    assert "1 of " in said.out


async def test_another_file_is_replayed_where_it_is_named(config: Path, tmp_path: Path) -> None:
    """A backup, or what somebody mailed; what is no ledger is told as damage."""
    other = tmp_path / "other.db"
    other.write_text("no ledger at all " * 100)
    said = await deskctl(config, "replay", "--ledger", str(other))
    assert said.code == 1
    assert "chain: BROKEN" in said.out
    assert (await deskctl(config, "replay", "--ledger", "/nowhere.db")).code == 2
