"""A verdict says in words what is proved, what is only chained, and what is wrong first."""

from dataclasses import replace
from pathlib import Path

from deskd.cli.verdict import as_json, report
from deskd.ledger.audit import Verdict
from deskd.ledger.chain import Damage
from tests.factories import MONDAY, NOON
from tests.ledger.life import KEY

PATH, KEY_FILE = Path("desk.db"), Path("ledger-key.pub")
PROVED = Verdict(
    facts=1_234,
    last_hash="ab" * 32,
    version=5,
    proved=KEY.sign(MONDAY, 1_200, "cd" * 32, NOON),
    tables=("orders", "fills"),
    damages=(),
)
DAMAGES = tuple(
    Damage(table=table, key="seq=5", column="body", expected="this", actual="that") for table in ("facts", "orders")
)


def test_a_whole_ledger_is_told_in_four_lines() -> None:
    """How far the proof goes, and how much lies behind it."""
    assert list(report(PATH, PROVED, key_file=KEY_FILE)) == [
        "desk.db: whole",
        f"facts: 1,234, each chained to the one before; last hash {'ab' * 32}",
        "tables: orders, fills: every row as the facts give it",
        "proved: up to entry 1,200, by the root of 2026-01-05 (the key in ledger-key.pub); 34 facts after it are only chained",
    ]


def test_what_is_not_proved_is_not_claimed() -> None:
    """No root; a key that only the ledger knows; tables that were not compared."""
    assert list(report(PATH, replace(PROVED, proved=None, tables=(), version=1), key_file=None))[2:] == [
        "tables: not compared: the ledger is of version 1; the next start makes them anew from the facts",
        "proved: nothing: no root stands for it; 1,234 facts are only chained",
    ]
    assert "by the ledger's own word: give --key" in list(report(PATH, PROVED, key_file=None))[3]
    all_of_it = replace(PROVED, proved=KEY.sign(MONDAY, 1_234, "cd" * 32, NOON))
    assert list(report(PATH, all_of_it, key_file=None))[3].endswith("; nothing comes after it")


def test_damage_comes_first_with_the_remedy_last() -> None:
    """The first bad entry is named as that; others are not hidden."""
    told = list(report(PATH, replace(PROVED, damages=DAMAGES), key_file=None))
    assert told[:4] == [
        "desk.db: DAMAGED",
        "first bad entry: facts seq=5 body: expected this, actual that",
        "also: orders seq=5 body: expected this, actual that",
        "whole before it: 1,234 facts",
    ]
    assert told[-1].startswith("what to do: keep this file as it is, restore")


def test_programs_get_every_figure() -> None:
    """With the damages field by field."""
    told = as_json(PATH, replace(PROVED, damages=DAMAGES), key_file=KEY_FILE, roots_file=None)
    assert told["whole"] is False
    assert told["only_chained"] == 34
    assert told["damages"] == [
        {"table": table, "key": "seq=5", "column": "body", "expected": "this", "actual": "that"}
        for table in ("facts", "orders")
    ]
    assert as_json(PATH, replace(PROVED, proved=None), key_file=None, roots_file=None)["proved_by"] is None
