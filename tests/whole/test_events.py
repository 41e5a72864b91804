"""The drop copy of the whole desk: followed while strategies trade, it is what the ledger says afterwards."""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from deskd.control.order_page import order_page
from deskd.ledger.fact_reader import FactReader
from deskd.wire.drop_copy import DropCopy
from deskd.wire.event_line import EventLine, decode
from tests.whole.desk_process import ROOT, DeskProcess, a_desk_process
from tests.whole.test_desk import FAST, TRADER

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]


async def follower(desk: DeskProcess, *options: str) -> asyncio.subprocess.Process:
    config = str(desk.folder / "etc" / "desk.toml")
    command = [sys.executable, "-m", "deskd.cli.deskctl", "--config", config, "events", "-f", "--json", *options]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)


def derived(ledger: Path) -> list[EventLine]:
    copy = DropCopy()
    with FactReader(ledger) as history:
        entries = history.after(0, until=10**9, limit=10**7)
    return [line for entry in entries for line in copy.events(entry.seq, entry.fact)]


async def test_who_follows_a_trading_desk_hears_what_its_ledger_says(folder: Path) -> None:
    """From the first fact on, and from the middle of the trading on: each event once, to the desk's last."""
    async with a_desk_process(folder) as desk:
        desk.configure("[desk]\nheartbeat_s = 0.5\n" + FAST)
        for name in ("ann", "ben"):
            desk.strategy(name, TRADER)
        await desk.start()
        first = await follower(desk, "--since", "1")
        await desk.hears("order_filled", 20)
        later = await follower(desk, "--tail", "5")
        own = await follower(desk, "--since", "1", "--strategy", "ann", "--event", "order_filled")
        begun = [await one.stdout.readline() for one in (first, later, own) if one.stdout is not None]
        await desk.hears("order_filled", 40)
        heard = asyncio.gather(*(one.communicate() for one in (first, later, own)))  # noqa: TID251  three readers
        assert await desk.end() == 0
        rest = [out for out, _ in await heard]
        outputs = [[decode(line) for line in (one + two).splitlines()] for one, two in zip(begun, rest, strict=True)]
        everything = derived(desk.state / "desk.db")
        assert outputs[0] == everything
        assert outputs[1] == [
            line for line in everything if (line.seq, line.index) >= (outputs[1][0].seq, outputs[1][0].index)
        ]
        assert outputs[2] == [e for e in everything if e.strategy_id == "ann" and e.event == "order_filled"]
        told = {line.event for line in everything}
        assert {"desk_started", "run_started", "order_submitted", "order_filled", "heartbeat", "desk_stopped"} <= told


async def test_every_order_of_a_trading_desk_has_its_page(folder: Path) -> None:
    """Whatever its fate, its page ends where the table of orders says that it stands."""
    async with a_desk_process(folder) as desk:
        desk.configure(FAST)
        desk.strategy("ann", TRADER)
        desk.strategy(
            "odd",
            """
            import json, sys
            from desk_client import cancel_order, place_order

            for number, line in enumerate(sys.stdin):
                symbol, price = json.loads(line)["symbol"], json.loads(line)["price"]
                if number % 4 == 0:
                    place_order(symbol, "900", "buy", reason="everything on one card")
                elif number % 4 == 1:
                    place_order(symbol, "1", "buy", order_type="limit", limit_price="1.2345")
                elif number % 4 == 2:
                    order = place_order(symbol, "1", "buy", order_type="limit", limit_price=f"{price / 2:.2f}")
                    cancel_order(order.order_id)
                else:
                    place_order(symbol, "1", "buy", time_in_force="ioc", order_type="limit", limit_price=f"{price / 2:.2f}")
            """,
        )
        await desk.start()
        await desk.hears("order_filled", 10)
        await desk.hears("order_canceled", 4)
        assert await desk.end() == 0
        with closing(sqlite3.connect(desk.state / "desk.db")) as db:
            orders = dict(db.execute("SELECT client_order_id, status FROM orders"))
        assert {"filled", "canceled", "denied"} <= set(orders.values())
        with FactReader(desk.state / "desk.db") as history:
            for oid, status in orders.items():
                page = order_page(history, oid, lambda _user_id: True)
                assert page["status"] == status
                assert page["checks"]
                assert page["run"] is not None
                assert json.dumps(page)
