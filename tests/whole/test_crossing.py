"""Two strategies whose orders meet: exchanged at the desk, whole, and through a SIGKILL in the middle of it."""

import json
import signal
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deskd.domain import events as ev
from tests.whole.books import soon_agree
from tests.whole.crash_story import all_facts
from tests.whole.desk_process import DeskProcess, a_desk_process
from tests.whole.exchange_process import KEYS, an_exchange
from tests.whole.sums import soon_add_up

pytestmark = pytest.mark.timeout(300)

QUOTES = """
    import json, sys, time
    from desk_client import cancel_order, get_position, list_orders, place_order

    def quotes():
        for line in sys.stdin:
            message = json.loads(line)
            if message["type"] == "quote" and message["ask"] > message["bid"]:
                yield message
"""
# Bids within the market, a cent below the ask, so that the midpoint is no worse than its limit; and moves with it.
BIDDER = f"""{QUOTES}
    bid = None
    for number, quote in enumerate(quotes()):
        if number % 5:
            continue
        want = f"{{quote['ask'] - 0.01:.2f}}"
        if want == bid and list_orders():
            continue
        for order in list_orders():
            cancel_order(order.client_order_id)
        bid = want
        place_order("AAPL", 5, "buy", "limit", limit_price=want, timeout=2)
"""
SELLER = f"""{QUOTES}
    for number, quote in enumerate(quotes()):
        if float(get_position("AAPL").qty) < 3:
            place_order("AAPL", 40, "buy", timeout=2)
        elif not number % 3 and not list_orders():
            place_order("AAPL", 2, "sell", timeout=2)
"""


def configure(desk: DeskProcess, broker_keys: str) -> None:
    desk.environment = KEYS
    desk.configure(f"""
        [broker]
        {broker_keys}
        doubt_check_s = 0.5
        doubt_settle_s = 1.5
        reconcile_every_s = 1.0
        [orders]
        conflict = "cross"
        hold_max_s = 2.0
        [sandbox]
        unsafe_without_jail = true
        [risk.strategy]
        allocation = "40000"
        duplicate_window_s = 0
        orders_per_day_max = 100000
        orders_per_minute_max = 1000
        order_notional_max = "39000"
        position_notional_max = "39000"
        position_share_max = "1"
        gross_exposure_max = "1"
        net_exposure_max = "1"
        [risk.desk]
        concentration_max = "1"
    """)
    for name, source in (("ann", BIDDER), ("ben", SELLER)):
        desk.strategy(name, source, {"symbols": ["AAPL"], "channels": ["quotes"]})


def is_internal(line: dict[str, Any]) -> bool:
    return line.get("internal") is True


def fair_pairs(state: Path) -> int:
    """Assert that internal fills are in the ledger two by two, each other's, at a price of their market; count them."""
    facts = [fact for fact in all_facts(state / "desk.db") if isinstance(fact, ev.OrderFilled) and fact.internal_with]
    for one, other in zip(facts[::2], facts[1::2], strict=True):
        assert (one.client_order_id, other.client_order_id) == (other.internal_with, one.internal_with)
        assert (one.qty, one.price) == (other.qty, other.price)
        assert one.quote is not None
        assert one.quote.bid_price <= one.price <= one.quote.ask_price
    return len(facts)


async def test_orders_that_meet_are_exchanged_and_the_account_agrees(tmp_path: Path) -> None:
    """The broker sees nothing of it and refuses nothing; each member's books are the fold of his fills."""
    (tmp_path / "var").mkdir()
    async with an_exchange(tmp_path / "var" / "exchange.db", speed=1) as exchange, a_desk_process(tmp_path) as desk:
        configure(desk, exchange.broker_keys)
        await desk.start()
        await desk.hears("order_filled", 6, holds=is_internal)
        await desk.hears("order_returned", 2)
        assert await desk.ctl("why", next(str(line["client_order_id"]) for line in desk.log if is_internal(line))) == 0
        assert await desk.ctl("stop", "--all") == 0
        await soon_agree(desk.state)
        assert await desk.end() == 0
        assert not [line for line in desk.log if line.get("reason") == "BROKER_REJECTED"]
    assert fair_pairs(desk.state) >= 6
    with closing(sqlite3.connect(desk.state / "desk.db")) as db:
        rows = db.execute("SELECT side, qty FROM fills WHERE is_internal").fetchall()
        returned = db.execute("SELECT status FROM orders WHERE client_order_id LIKE '%~1'").fetchall()
    assert sum((1 if side == "buy" else -1) * Decimal(qty) for side, qty in rows) == 0
    assert returned
    assert not {status for (status,) in returned} & {"submitted", "pending_cancel"}


async def test_a_desk_that_dies_in_between_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGKILL while an order is on its way back from the broker, and right after two have met."""
    (tmp_path / "var").mkdir()
    async with an_exchange(tmp_path / "var" / "exchange.db", speed=1) as exchange, a_desk_process(tmp_path) as desk:
        configure(desk, exchange.broker_keys)
        for event, holds in (("order_held", None), ("order_returned", None), ("order_filled", is_internal)):
            await desk.start()
            await desk.hears(event, holds=holds)
            await desk.end(signal.SIGKILL)
            assert fair_pairs(desk.state) >= 0
        await desk.start()
        await desk.hears("order_filled", 2, holds=is_internal)
        assert await desk.ctl("stop", "--all") == 0
        await soon_add_up(desk.state)
        assert await desk.end() == 0
    with closing(sqlite3.connect(desk.state / "desk.db")) as db:
        [(found,)] = db.execute("SELECT count(*) FROM discrepancies").fetchall()
        kinds = [
            json.loads(body)["why"] for (body,) in db.execute("SELECT body FROM facts WHERE kind = 'HouseAdjusted'")
        ]
    assert found == 0, kinds
