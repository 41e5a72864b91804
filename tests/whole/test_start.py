"""A start after a long life: short, from the snapshot, with every open order found, and the whole ledger checked behind it."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deskd.ledger import snapshot
from tests.whole.books import replayed
from tests.whole.desk_process import DeskProcess, a_desk_process
from tests.whole.long_desk import a_long_life
from tests.whole.test_bad_input import refused

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

ORDERS = 5_000  # some 17,000 facts: over what a start may leave without a snapshot
OPEN = 500


def line_of(desk: DeskProcess, event: str) -> dict[str, object]:
    return next(line for line in desk.log if line.get("event") == event)


async def a_desk_with_a_snapshot(desk: DeskProcess) -> None:
    """Live long, start once, and wait for the snapshot that this start takes."""
    desk.configure("")
    desk.state.mkdir(exist_ok=True)
    await a_long_life(desk.state, orders=ORDERS, open_orders=OPEN)
    await desk.start()
    assert line_of(desk, "ledger_replayed")["from_snapshot"] == 0
    await desk.hears("snapshot_taken")
    await desk.end(signal.SIGKILL)


async def test_the_second_start_goes_on_from_the_snapshot_with_every_open_order(folder: Path) -> None:
    """Snapshot and tail are the desk that a full replay gives; five hundred open orders are as the broker has them."""
    async with a_desk_process(folder) as desk:
        await a_desk_with_a_snapshot(desk)
        await desk.start()
        told = line_of(desk, "ledger_replayed")
        assert told["open_orders"] == OPEN
        assert isinstance(told["from_snapshot"], int)
        assert isinstance(told["facts"], int)
        assert 0 <= told["facts"] - told["from_snapshot"] < 20
        await desk.hears("ledger_verified")
        assert not [line for line in desk.log if line["event"] in {"discrepancy_found", "order_rejected", "<text>"}]
        await desk.end(signal.SIGKILL)
        place = snapshot.path_of(desk.state / "desk.db")
        head = snapshot.head_of(place)
        assert isinstance(head, snapshot.Head)
        assert snapshot.load(place, head, stored_hash=head.hash) == replayed(desk.state / "desk.db", until=head.seq)
        assert len(replayed(desk.state / "desk.db").open_ids) == OPEN


async def test_a_ledger_changed_in_its_past_ends_the_desk_and_the_next_start_refuses_it(folder: Path) -> None:
    """The start from the snapshot did not read the entry; the check behind it does, and says which it is."""
    async with a_desk_process(folder) as desk:
        await a_desk_with_a_snapshot(desk)
        with closing(sqlite3.connect(desk.state / "desk.db")) as db, db:
            db.execute("DROP TRIGGER facts_are_never_changed")
            db.execute("UPDATE facts SET body = replace(body, 'SPY', 'QQQ') WHERE seq = 1234")
            db.execute("UPDATE facts SET at = '2020-01-01T00:00:00.000000Z' WHERE seq = 1234")
        await desk.start()
        await desk.hears("<end>")
        assert await desk.end() == 1
        words = "".join(str(line["text"]) for line in desk.log if line["event"] == "<text>")
        assert "desk.db: entry 1234 is not what the desk wrote" in words
        code, words = await refused(desk)
        assert code == 1
        assert "entry 1234 is not what the desk wrote" in words
        assert "ledger_replayed" not in {line["event"] for line in desk.log}
