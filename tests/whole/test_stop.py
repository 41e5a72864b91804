"""A stop and the start after it, whole: what is canceled, what stays at the broker, and that it is known again."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.hang import HANG_S
from tests.whole.desk_process import DeskProcess, a_desk_process

TWO_ORDERS = """
    import sys, time
    from desk_client import list_orders, place_order

    wanted = {} if list_orders() else {"gtc": "1.00", "day": "2.00"}
    for number, line in enumerate(sys.stdin):
        for tif, price in list(wanted.items()):
            oid = f"rests-{tif}" if number > 20 else f"early-{tif}-{number}"  # an id that was denied is used up
            if place_order("AAPL", "1", "buy", "limit", tif, limit_price=price, client_order_id=oid).status == "success":
                del wanted[tif]
            time.sleep(0.1)
"""


def statuses(desk: DeskProcess) -> dict[str, tuple[str, str]]:
    with closing(sqlite3.connect(desk.state / "desk.db")) as db:
        rows = db.execute("SELECT client_order_id, status, broker_order_id FROM orders WHERE status != 'denied'")
        return {oid.split("-")[1]: (status, broker_order_id) for oid, status, broker_order_id in rows}


async def both_rest(desk: DeskProcess) -> dict[str, tuple[str, str]]:
    async with asyncio.timeout(HANG_S):
        while True:
            found = statuses(desk)
            if [status for status, _ in found.values()] == ["accepted", "accepted"]:
                return found
            await asyncio.sleep(0.05)


async def test_a_gtc_order_outlives_a_stop_and_is_known_again(tmp_path: Path) -> None:
    """The day order is canceled, the gtc order rests at the broker, and the next start has it in its books, to be canceled by name."""
    async with a_desk_process(tmp_path) as desk:
        desk.configure('[sandbox]\nunsafe_without_jail = true\n[exchange]\nstart = "10:00"\n')
        desk.strategy("ann", TWO_ORDERS)
        await desk.start()
        await desk.hears("order_approved", 2)
        before = await both_rest(desk)
        assert await desk.end() == 0
        [left] = [line for line in desk.log if line["event"] == "orders_left_at_broker"]
        [oid] = left["client_order_ids"]
        assert statuses(desk) == {
            "gtc": ("accepted", before["gtc"][1]),
            "day": ("canceled", before["day"][1]),
        }
        desk.log.clear()
        await desk.start()
        [told] = [line for line in desk.log if line["event"] == "ledger_replayed"]
        assert told["open_orders"] == 1
        assert statuses(desk)["gtc"] == before["gtc"]
        assert await desk.ctl("cancel", oid) == 0
        await desk.hears("order_canceled")
        assert statuses(desk)["gtc"][0] == "canceled"
        assert not [line for line in desk.log if line["event"] == "discrepancy_found"]
