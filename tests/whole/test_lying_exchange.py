"""A broker that loses, doubles, delays and denies: whatever it does on the wire, the books agree in the end."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deskd.domain.ids import HOUSE, StrategyId, Symbol
from tests.whole.books import replayed, soon_agree, the_exchanges
from tests.whole.desk_process import a_desk_process
from tests.whole.exchange_process import KEYS, an_exchange
from tests.whole.scripts import TRADER

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

ANN, SPY = StrategyId("ann"), Symbol("SPY")
ORDERS = {"method": "POST", "path": "/v2/orders"}
FAULTS: dict[str, Mapping[str, Any]] = {
    "each message twice": {"trade_stream": {"duplicate": True}},
    "messages in the wrong order": {"trade_stream": {"reorder": True}},
    "twice, in the wrong order, late": {"trade_stream": {"reorder": True, "duplicate": True, "delay_s": 0.2}},
    "504 after accepting": {"rest": [ORDERS | {"times": 15, "status": 504, "after_accepting": True}]},
    "cut after accepting": {"rest": [ORDERS | {"times": 15, "cut": True, "after_accepting": True}]},
    "500 without accepting": {"rest": [ORDERS | {"times": 3, "status": 500}]},
    "answers overtaken by their events": {"rest": [ORDERS | {"times": 100, "answer_delay_s": 0.1}]},
    "the trade stream dropped": {"trade_stream_now": {"drop": True}},
}


async def test_whatever_the_broker_does_on_the_wire_the_books_agree(folder: Path) -> None:
    """Under each fault orders go on or are settled; after all of them nothing is lost, doubled or left to the house.

    What the broker executes beyond an order is the house's (decision 43), and its member's books stay as they are.
    """
    (folder / "var").mkdir()
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
        desk.strategy("ann", TRADER, {"symbols": ["SPY"]})
        await desk.start()
        fills = 0
        for name, fault in FAULTS.items():
            await exchange.misbehave(fault)
            fills += 5
            await desk.hears("order_filled", fills)
            await asyncio.sleep(1)
            await exchange.behave()
            fills = sum(line.get("event") == "order_filled" for line in desk.log)
            assert fills, name
        await desk.hears("order_filled", fills + 5)
        # Last, because the desk leaves a broker alone that turns requests away: an order is told so.
        await exchange.misbehave({"rest": [{"times": 20, "status": 429}]})
        await desk.hears("order_rejected", holds=_says_that_there_were_too_many)
        assert await desk.ctl("stop", "ann") == 0
        await soon_agree(desk.state)
        assert not any(line.get("event") == "house_adjusted" for line in desk.log[10:])
        member = replayed(desk.state / "desk.db").portfolio.books[ANN]
        await exchange.misbehave({"account": {"overfill": {"qty": "3"}}})
        await desk.hears("house_adjusted", holds=lambda line: "executed more of order" in line.get("why", ""))
        assert await desk.end() == 0
        after, theirs = replayed(desk.state / "desk.db").portfolio, the_exchanges(desk.state / "exchange.db")
        assert abs(after.books[HOUSE].qty(SPY)) == 3, "what nobody asked for is the house's"
        assert after.books[ANN] == member
        assert after.holdings() == theirs.holdings
        assert abs(after.cash() - theirs.cash) < Decimal("0.01")


def _says_that_there_were_too_many(line: Mapping[str, Any]) -> bool:
    """Tell whether the broker's word is told, or that it is left alone for longer than an order may wait."""
    return "rate limit exceeded" in line["detail"] or "the broker turned requests away" in line["detail"]
