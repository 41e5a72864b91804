"""Exits that the desk keeps, on a whole desk: they fire, outlive its death, and leave a bracket to its work."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.whole.desk_process import DeskProcess, a_desk_process
from tests.whole.exchange_process import KEYS, an_exchange
from tests.whole.sums import soon_add_up

BUYER = """
    import json, sys
    from desk_client import place_order

    more = {more}
    has_bought = False
    for line in sys.stdin:
        price = json.loads(line)["price"]
        if not has_bought:
            order = place_order("AAPL", "1", "buy", timeout=10, **{{name: at(price) for name, at in more.items()}})
            has_bought = order.status == "success"
"""
PLAIN, BRACKETED = "plain", "bracketed"
BRACKET = """{
        "take_profit": lambda price: str(round(price * 1.5, 2)),
        "stop_loss": lambda price: str(round(price * 0.5, 2)),
    }"""
REFUSING = {"rest": [{"method": "POST", "path": "/v2/orders", "status": 429, "times": 1_000}]}
DESK = """
    [broker]
    {keys}
    [sandbox]
    unsafe_without_jail = true
    [risk.strategy]
    position_share_max = "1"
    [risk.exits]
    stop_loss_pct = "{bound_pct}"
    take_profit_pct = "{bound_pct}"
"""


def facts(state: Path, kind: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(state / "desk.db")) as db:
        return [
            json.loads(body) for (body,) in db.execute("SELECT body FROM facts WHERE kind = ? ORDER BY seq", (kind,))
        ]


def held(state: Path, who: str) -> str:
    with closing(sqlite3.connect(state / "desk.db")) as db:
        [(qty,)] = db.execute("SELECT qty FROM positions WHERE strategy_id = ?", (who,))
    return str(qty)


def is_fill_of(who: str, side: str) -> Any:
    return lambda line: line["strategy_id"] == who and line["side"] == side


async def bought(desk: DeskProcess) -> None:
    for who in (PLAIN, BRACKETED):
        await desk.hears("order_filled", holds=is_fill_of(who, "buy"))


async def test_an_exit_outlives_the_desk_and_leaves_a_bracket_alone(tmp_path: Path) -> None:
    """Wherever the price went, a bound is reached: one is closed, once, by the desk after its death; the other's bracket stands as it was."""
    (tmp_path / "var").mkdir()
    async with an_exchange(tmp_path / "var" / "exchange.db", speed=1) as exchange, a_desk_process(tmp_path) as desk:
        desk.environment = KEYS
        desk.configure(DESK.format(keys=exchange.broker_keys, bound_pct=0))
        for name, more in ((PLAIN, "{}"), (BRACKETED, BRACKET)):
            desk.strategy(name, BUYER.format(more=more), {"symbols": ["AAPL"]})
        await desk.start()
        await bought(desk)
        await exchange.misbehave(REFUSING)
        desk.configure(DESK.format(keys=exchange.broker_keys, bound_pct="0.001"))
        assert await desk.ctl("config", "reload") == 0
        await desk.hears("exit_triggered")
        assert await desk.ctl("stop", "--all") == 0  # an exit needs no run; and nobody buys again
        await desk.end(signal.SIGKILL)
        assert held(desk.state, PLAIN) == "1"
        await exchange.behave()
        await desk.start()
        await desk.hears("order_filled", holds=is_fill_of(PLAIN, "sell"))
        state = desk.state
        await soon_add_up(state)
        assert (held(state, PLAIN), held(state, BRACKETED)) == ("0", "1")
        assert {fact["strategy_id"] for fact in facts(state, "ExitTriggered")} == {PLAIN}
        exits = [f["request"] for f in facts(state, "OrderApproved") if f["request"].get("exit")]
        sold = {fact["client_order_id"] for fact in facts(state, "OrderFilled")}
        assert {request["strategy_id"] for request in exits} == {PLAIN}
        assert sum(request["client_order_id"] in sold for request in exits) == 1
