"""The whole road: tape, exchange, streams, jails, orders, ledger, fills; killed anywhere, and true after all."""

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.whole.books import agree, played_until, soon_agree, strategies_that_asked
from tests.whole.desk_process import ROOT, a_desk_process, alive, all_gone

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

TRADER = """
    import json, sys
    from desk_client import place_order

    side = "buy"
    for line in sys.stdin:
        message = json.loads(line)
        answer = place_order(message["symbol"], "1", side)
        if answer.status == "success":
            side = "sell" if side == "buy" else "buy"
"""
FAST = """
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
    [restart]
    backoff_initial_s = 0.1
    [broker]
    reconcile_every_s = 2.0
"""


async def test_strategies_trade_and_the_books_agree(folder: Path) -> None:
    """Each fill of the exchange is in the ledger once; nothing is left of the desk when it stops. It is a first start.

    What an order was asked for on is known: the line of the market that its strategy was at work on.
    """
    async with a_desk_process(folder, is_new=True) as desk:
        desk.configure(FAST)
        for name in ("ann", "ben", "cat"):
            desk.strategy(name, TRADER)
        await desk.start()
        await desk.hears("order_filled", 60)
        below = desk.children()
        assert len(below) >= 7  # the exchange, three jails, and who lives in them
        assert await desk.end() == 0
        await all_gone(below)
        books = agree(desk.state)
        assert len(books.fills) >= 60
        assert not any(line.get("event") == "discrepancy_found" for line in desk.log)
        asked_on = [
            line["line"].split() for line in desk.log if line.get("event") == "order_approved" and "line" in line
        ]
        assert asked_on
        assert {kind for kind, _, _ in asked_on} <= {"trade", "bar"}
        assert {symbol for _, symbol, _ in asked_on} <= {"SPY", "AAPL"}


async def test_after_sigkill_in_the_middle_ledger_and_exchange_agree(folder: Path) -> None:
    """Killed three times while orders fly, the desk finds out what became of each; no run outlives it."""
    async with a_desk_process(folder) as desk:
        desk.configure(FAST)
        for name in ("ann", "ben", "cat"):
            desk.strategy(name, TRADER)
        for _ in range(3):
            await desk.start()
            await desk.hears("order_filled", 15)
            below = desk.children()
            await desk.end(signal.SIGKILL)
            await all_gone(below)
            assert desk.processes() == []
        await desk.start()
        await desk.hears("order_filled", 5)
        assert await desk.end() == 0
        books = agree(desk.state)
        assert len(books.fills) > 45


async def test_the_exchange_killed_is_started_again_and_nothing_is_lost(folder: Path) -> None:
    """Orders in flight are in doubt, asked for, and settled; the account is what it was."""
    async with a_desk_process(folder) as desk:
        desk.configure(FAST)
        desk.strategy("ann", TRADER)
        await desk.start()
        await desk.hears("order_filled", 10)
        os.kill(desk.exchange(), signal.SIGKILL)
        await desk.hears("exchange_died")
        so_far = sum(line.get("event") == "order_filled" for line in desk.log)
        await desk.hears("order_filled", so_far + 10)
        await soon_agree(desk.state)
        assert await desk.end() == 0
        agree(desk.state)


async def test_one_members_mistakes_do_not_touch_another(folder: Path) -> None:
    """Beside strategies that do not compile, exit at once, lie and flood, the good one trades."""
    async with a_desk_process(folder) as desk:
        desk.configure(FAST)
        desk.strategy("good", TRADER)
        desk.strategy("syntax", "def (")
        desk.strategy("exits", "raise SystemExit(3)")
        desk.strategy("wrong-config", "pass", {"symbol": ["SPY"]})
        desk.strategy("silent", "import time\nwhile True: time.sleep(60)")
        desk.strategy(
            "flood",
            """
            import socket
            while True:
                try:
                    s = socket.socket(socket.AF_UNIX)
                    s.connect("/run/desk/order.sock")
                    s.sendall(b"\\x00\\xff" * 40_000)
                except OSError:
                    pass
            """,
        )
        await desk.start()
        await desk.hears("order_filled", 40)
        await desk.hears("strategy_broken", 2)
        await desk.hears("run_ended", holds=lambda line: line["strategy_id"] == "exits" and line["reason"] == "error")
        below = desk.children()
        assert await desk.end() == 0
        await all_gone(below)
        assert alive(below) == []
        agree(desk.state)


@pytest.mark.needs_tape
@pytest.mark.slow
async def test_six_strategies_trade_a_recorded_day(folder: Path, ticks: Path) -> None:
    """IBM, BAC and SPY of 2013-10-08 as fast as it goes: the books agree to the share and the cent."""
    async with a_desk_process(folder) as desk:
        names = ("trades_IBM", "quotes_IBM", "trades_BAC", "quotes_BAC", "trades_SPY", "quotes_1s_SPY")
        tape = [str(ticks / f"{name}_20131008.csv.gz") for name in names]
        desk.configure("")
        shutil.rmtree(folder / "strategies")
        shutil.copytree(ROOT / "strategies", folder / "strategies")
        await desk.start("--speed", "0", "--once", "--tape", *tape)
        await played_until(desk.state, "2013-10-08T23:59")
        below = desk.children()
        assert await desk.end() == 0
        await all_gone(below)
        books = agree(desk.state)
        assert len(books.fills) >= 10
        died = [line for line in desk.log if line.get("event") == "run_ended" and line["reason"] != "stopped"]
        assert died == []
        assert len(strategies_that_asked(desk.state)) >= 5  # momentum may see no signal that day


async def test_a_strategy_that_came_later_has_its_capital_at_once(folder: Path) -> None:
    """A folder that is put there while the desk runs, and started by hand, trades like the others."""
    async with a_desk_process(folder) as desk:
        desk.configure(FAST)
        desk.strategy("first", TRADER)
        await desk.start()
        desk.strategy("later", TRADER)
        assert await desk.ctl("start", "later") == 0
        await desk.hears("order_approved", 3, holds=lambda line: line["strategy_id"] == "later")
        assert await desk.ctl("stop", "later") == 0
        assert await desk.end() == 0
        agree(desk.state)
        with closing(sqlite3.connect(desk.state / "desk.db")) as db:
            allocations = dict(db.execute("SELECT strategy_id, allocation FROM strategies"))
        assert allocations == {"first": "10000", "later": "10000"}
