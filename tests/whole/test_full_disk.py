"""A full disk under a trading desk: nothing is sent that is not on it, and the books agree when there is room again."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.hang import HANG_S
from tests.small_disk import SIZE_MB, grown, small_disk
from tests.whole.books import the_desks, the_exchanges
from tests.whole.desk_process import DeskProcess, a_desk_process
from tests.whole.test_bad_input import until_printed

__all__ = ["small_disk"]
pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

MIB = 2**20
TRADER = """
    import json, sys
    from desk_client import place_order
    side, last = "buy", None
    for line in sys.stdin:
        answer = place_order(json.loads(line)["symbol"], "1", side)
        if answer.status == "success":
            side = "sell" if side == "buy" else "buy"
        if answer.reason != last:
            last = answer.reason
            print("reason", last, flush=True)
"""


def configure(desk: DeskProcess, ledger: Path, least_mb: int) -> None:
    desk.configure(f"""
        [desk]
        db_path = "{ledger}"
        disk_free_min_mb = {least_mb}
        [exchange]
        speed = 5.0
        fills = "immediate"
        [risk.strategy]
        duplicate_window_s = 0
        orders_per_day_max = 100000
        orders_per_minute_max = 1000
        position_share_max = 1
        daily_loss_max = 10000
        requests_per_s = 200
        [broker]
        reconcile_every_s = 2.0
    """)
    for name in ("ann", "ben"):
        desk.strategy(name, TRADER)


def ids(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {row[0] for row in db.execute("SELECT client_order_id FROM orders")}


async def soon_agree(state: Path, ledger: Path) -> None:
    """Wait until ledger and exchange have the same fills, shares and cents."""
    async with asyncio.timeout(HANG_S):
        while True:
            ours, theirs = the_desks(ledger), the_exchanges(state / "exchange.db")
            if (ours.fills, ours.holdings) == (theirs.fills, theirs.holdings) and abs(ours.cash - theirs.cash) < 1:
                return
            await asyncio.sleep(0.2)


async def test_a_ledger_that_finds_no_room_ends_the_desk_before_anything_is_sent(
    folder: Path, small_disk: Path
) -> None:
    """Every order that the exchange has seen is in the ledger; with room again the desk starts, and the books agree."""
    ledger = small_disk / "desk.db"
    (small_disk / "filler").write_bytes(bytes(SIZE_MB * MIB - 3 * MIB))
    async with a_desk_process(folder) as desk:
        configure(desk, ledger, 0)
        await desk.start()
        await desk.hears("<end>")
        assert await desk.end() == 1
        words = "".join(str(line["text"]) for line in desk.log if line["event"] == "<text>")
        assert "deskd: the ledger cannot be written" in words
        assert "free the disk or fix it, then restart" in words
        assert "Traceback" not in words
        grown(small_disk, 64)
        sent = ids(desk.state / "exchange.db")
        assert len(sent) > 10
        assert sent <= ids(ledger)
        await desk.start()
        await desk.hears("order_filled", 5)
        assert await desk.end() == 0
        await soon_agree(desk.state, ledger)
        assert sent < ids(ledger)


async def test_with_little_room_no_order_is_taken_and_with_more_they_are_again(folder: Path, small_disk: Path) -> None:
    """Strategies are told the reason, status shows it, and nobody has to start anything again."""
    ledger = small_disk / "desk.db"
    async with a_desk_process(folder) as desk:
        configure(desk, ledger, 30)
        grown(small_disk, 64)
        await desk.start()
        await desk.hears("order_filled", 5)
        (small_disk / "filler").write_bytes(bytes(40 * MIB))
        await desk.hears("disk_low")
        for name in ("ann", "ben"):
            await until_printed(desk, name, "reason DISK_LOW")
        assert await desk.ctl("status") == 0
        before = ids(ledger)
        (small_disk / "filler").unlink()
        await desk.hears("disk_has_room_again")
        so_far = sum(line.get("event") == "order_filled" for line in desk.log)
        await desk.hears("order_filled", so_far + 5)
        assert before < ids(ledger)
        assert await desk.end() == 0
        await soon_agree(desk.state, ledger)
