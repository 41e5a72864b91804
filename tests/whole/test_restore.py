"""The restore drill: a backup under load, the ledger destroyed, the backup put back; the desk finds the rest by itself."""

import signal
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from deskd.domain import events as ev
from deskd.ledger.codec import decode
from tests.whole.books import the_desks, the_exchanges
from tests.whole.desk_process import a_desk_process, all_gone
from tests.whole.test_desk import FAST, TRADER

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]


async def test_a_ledger_that_was_destroyed_is_restored_and_nothing_is_lost_or_doubled(folder: Path) -> None:
    """The copy that was made while strategies traded is whole; what the broker did since is found there."""
    async with a_desk_process(folder) as desk:
        desk.configure(FAST)
        for name in ("ann", "ben"):
            desk.strategy(name, TRADER)
        await desk.start()
        await desk.hears("order_filled", 15)
        copy = desk.state / "backup.db"
        assert await desk.ctl("backup", str(copy)) == 0
        assert await desk.ctl("audit", "verify") == 0  # of the running desk
        so_far = sum(line.get("event") == "order_filled" for line in desk.log)
        assert await desk.ctl("audit", "sign") == 0  # a day that ended after the copy was made
        await desk.hears("order_filled", so_far + 15)
        below = desk.children()
        await desk.end(signal.SIGKILL)
        await all_gone(below)
        kept = desk.state / "roots.jsonl"
        destroy(desk.state)
        roots, key = ("--root", str(kept)), ("--key", str(desk.state / "ledger-key.pub"))
        assert await desk.ctl("audit", "verify", "--db", str(copy), *roots, *key) == 1
        assert await desk.ctl("audit", "verify", "--backup", "--db", str(copy), *roots, *key) == 0
        kept.rename(desk.state / "roots.before")
        copy.rename(desk.state / "desk.db")
        await desk.start()
        await desk.hears("order_filled", 10)
        assert await desk.end() == 0
        the_books_are_the_brokers(desk.state)
        assert ("CommandGiven", "backup") in commands(desk.state)  # who copied it is on record, in the copy, too
        assert await desk.ctl("audit", "verify") == 0
        assert kept.read_text().count("\n") >= 1  # signed when it stopped


def destroy(state: Path) -> None:
    for name in ("desk.db", "desk.db-wal", "desk.db-shm"):
        (state / name).unlink(missing_ok=True)


def the_books_are_the_brokers(state: Path) -> None:
    """Assert that the sum of the books is the account, and that each fill of the desk is one of the exchange's."""
    theirs, ours = the_exchanges(state / "exchange.db"), the_desks(state / "desk.db")
    assert ours.holdings == theirs.holdings
    assert abs(ours.cash - theirs.cash) < Decimal("0.01")
    assert ours.fills.items() <= theirs.fills.items()
    kept = facts(state)
    last_start = max(n for n, fact in enumerate(kept) if isinstance(fact, ev.DeskStarted))
    assert theirs.fills.keys() - ours.fills.keys(), "the desk had traded on after the backup"
    named = [fact for fact in kept[last_start:] if isinstance(fact, ev.HouseAdjusted)]
    assert named, "what no ledger remembers stands in the house book, by name"


def facts(state: Path) -> list[ev.Fact]:
    with closing(sqlite3.connect(state / "desk.db")) as db:
        return [decode(kind, body) for kind, body in db.execute("SELECT kind, body FROM facts ORDER BY seq")]


def commands(state: Path) -> set[tuple[str, str]]:
    return {(type(fact).__name__, fact.command) for fact in facts(state) if isinstance(fact, ev.CommandGiven)}
