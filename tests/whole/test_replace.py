"""Orders in the place of orders, whole: from a strategy in its jail and from an officer, under a broker that lies."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.whole.books import soon_agree
from tests.whole.desk_process import a_desk_process
from tests.whole.exchange_process import KEYS, an_exchange

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

REPLACER = """
    import json, sys, time
    from desk_client import cancel_order, get_position, list_orders, place_order, replace_order

    is_open = False
    for line in sys.stdin:
        message = json.loads(line)
        if message["symbol"] != "SPY":
            if is_open:  # denied before, its id would be used up
                place_order("AAPL", 3, "buy", "limit", "gtc", 1.00, client_order_id="resting-1")
            continue
        price = message["price"]
        rest = place_order("SPY", 2, "buy", "limit", "day", f"{price * 0.9:.2f}", timeout=3)
        time.sleep(0.05)
        if rest.status == "success":
            is_open = True
            replace_order(rest.client_order_id, qty=1, limit_price=f"{price * 1.02:.2f}", timeout=3)
        time.sleep(0.05)
        for order in list_orders():
            if order.symbol == "SPY":  # no sale beside a bid: the broker calls it a wash trade
                cancel_order(order.client_order_id)
        held = get_position("SPY").qty
        if float(held) > 0:
            place_order("SPY", held, "sell", timeout=3)
"""
PATCH = {"method": "PATCH", "path": "/v2/orders"}
FAULTS: dict[str, Mapping[str, Any]] = {
    "504 after accepting": {"rest": [PATCH | {"times": 3, "status": 504, "after_accepting": True}]},
    "cut after accepting": {"rest": [PATCH | {"times": 3, "cut": True, "after_accepting": True}]},
    "500 without accepting": {"rest": [PATCH | {"times": 2, "status": 500}]},
    "answers overtaken by their events": {"rest": [PATCH | {"times": 20, "answer_delay_s": 0.1}]},
    "each message twice, in the wrong order": {"trade_stream": {"duplicate": True, "reorder": True}},
}


async def test_replaces_of_strategies_and_officers_end_as_one_order(folder: Path) -> None:
    """Whatever becomes of the PATCH: one of the two lives, each fill counts once, and nothing is left to the house."""
    (folder / "var").mkdir()
    ledger = folder / "var" / "desk.db"
    async with an_exchange(folder / "var" / "exchange.db") as exchange, a_desk_process(folder) as desk:
        desk.environment = KEYS
        desk.configure(f"""
            [broker]
            {exchange.broker_keys}
            doubt_check_s = 0.5
            doubt_settle_s = 1.5
            reconcile_every_s = 1.0
            [risk.strategy]
            duplicate_window_s = 0
            orders_per_day_max = 100000
            orders_per_minute_max = 1000
            position_share_max = 1
            daily_loss_max = 10000
        """)
        desk.strategy("ann", REPLACER, {"symbols": ["SPY", "AAPL"]})
        await desk.start()
        replaced = 0
        for name, fault in FAULTS.items():
            replaced += 3
            await desk.hears("order_replaced", replaced)
            await exchange.misbehave(fault)
            await asyncio.sleep(2)
            await exchange.behave()
            replaced = sum(line.get("event") == "order_replaced" for line in desk.log)
            assert replaced, name
        await desk.hears("order_replaced", replaced + 3)
        assert await desk.ctl("replace", "resting-1", "--limit-price", "1.01", "--qty", "4") == 0
        await desk.hears("order_replaced", holds=lambda line: line["client_order_id"] == "resting-1")
        assert await desk.ctl("replace", "resting-1", "--limit-price", "1.02") == 1, (
            "it is final: another is in its place"
        )
        assert await desk.ctl("stop", "ann") == 0
        await soon_agree(desk.state)
        assert await desk.end() == 0
        assert not any(line.get("event") == "house_adjusted" for line in desk.log[10:])
    with closing(sqlite3.connect(ledger)) as db:
        db.row_factory = sqlite3.Row
        orders = {row["client_order_id"]: row for row in db.execute("SELECT * FROM orders")}
        commands = [json.loads(b) for (b,) in db.execute("SELECT body FROM facts WHERE kind = 'CommandGiven'")]
    resting = orders["resting-1"]
    heir = orders[resting["replaced_by"]]
    assert (resting["status"], resting["broker_status"]) == ("replaced", "replaced")
    assert (heir["replaces"], heir["qty"], heir["limit_price"], heir["status"]) == (
        "resting-1",
        "4",
        "1.01",
        "accepted",  # a gtc order outlives the stop
    )
    assert ("replace", "resting-1 --qty 4 --limit-price 1.01") in {(c["command"], c["arguments"]) for c in commands}
    for row in orders.values():
        if row["replaced_by"] is not None:
            assert orders[row["replaced_by"]]["replaces"] == row["client_order_id"]
        assert row["status"] not in {"submitted", "pending_replace"}, dict(row)
