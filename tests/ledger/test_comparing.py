"""A table against the replay: one wrong value is found, wherever it stands."""

import sqlite3
from contextlib import closing

from deskd.ledger import pages
from deskd.ledger.comparing import SHOWN_MAX, first_difference, shown
from deskd.ledger.migrating import migrations
from deskd.ledger.projections import project, write
from tests.ledger.story import a_story

ROW = "strategy_id=alice symbol=AAPL"


def a_model() -> sqlite3.Connection:
    facts, desk = a_story()
    db = pages.model(migrations())
    write(db, project(facts, desk))
    return db


def test_equal_tables_differ_in_nothing() -> None:
    """Row by row."""
    with closing(a_model()) as one, closing(a_model()) as other:
        assert first_difference(one, other, "positions") is None


def test_the_first_difference_is_named_by_row_and_column() -> None:
    """A value, a row too many, a row that is missing."""
    with closing(a_model()) as one, closing(a_model()) as other:
        one.execute("UPDATE positions SET qty = '7' WHERE strategy_id = 'alice'")
        found = first_difference(one, other, "positions")
        assert found is not None
        assert (found.key, found.column, found.actual) == (ROW, "qty", "7")
        one.execute("DELETE FROM positions WHERE strategy_id = 'alice'")
        missing = first_difference(one, other, "positions")
        assert missing is not None
        assert (missing.key, missing.expected, missing.actual) == (ROW, "a row", "none")
        extra = first_difference(other, one, "positions")
        assert extra is not None
        assert (extra.key, extra.expected, extra.actual) == (ROW, "no such row", "another row")


def test_a_long_value_is_cut() -> None:
    """A report is for people."""
    assert shown(None) == "none"
    assert shown("x" * 300) == "x" * SHOWN_MAX + "… (300 characters)"
