"""Other hands in the account: what the broker's history explains has a name, what nothing explains freezes its symbol."""

import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest

from deskd.domain.ids import HOUSE, StrategyId, Symbol
from tests.whole.books import replayed
from tests.whole.desk_process import DeskProcess, a_desk_process
from tests.whole.exchange_process import KEYS, Exchange, an_exchange
from tests.whole.scripts import TRADER
from tests.whole.sums import members_of, soon_add_up

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

HOLDER = """
    import json, sys
    from desk_client import place_order

    has_bought = False
    for line in sys.stdin:
        if json.loads(line)["symbol"] != "AAPL":
            continue
        answer = place_order("AAPL", "10" if not has_bought else "1", "buy" if not has_bought else "sell", timeout=3)
        has_bought = has_bought or answer.status == "success"
        print(answer.status, answer.reason, flush=True)
"""
BUYER = """
    import json, sys
    from desk_client import place_order

    has_bought = False
    for line in sys.stdin:
        if not has_bought and json.loads(line)["symbol"] == "AAPL":
            has_bought = place_order("AAPL", "10", "buy", timeout=3).status == "success"
"""


@asynccontextmanager
async def a_desk(folder: Path) -> AsyncIterator[tuple[Exchange, DeskProcess]]:
    """Run exchange and desk; the desk looks at the account every second."""
    (folder / "var").mkdir()
    async with an_exchange(folder / "var" / "exchange.db") as exchange, a_desk_process(folder) as desk:
        desk.environment = KEYS
        desk.configure(f"""
            [broker]
            {exchange.broker_keys}
            reconcile_every_s = 1.0
            [risk.strategy]
            duplicate_window_s = 0
            orders_per_day_max = 100000
            orders_per_minute_max = 1000
            position_share_max = 1
            daily_loss_max = 10000
            requests_per_s = 200
            [risk.breaker]
            denials_max = 0  # strategies that ask 200 times a second are denied as often
        """)
        yield exchange, desk


def by_hand(exchange: Exchange) -> TradingClient:
    """Return an officer's own client: alpaca-py on the same account."""
    keys = KEYS["APCA_API_KEY_ID"], KEYS["APCA_API_SECRET_KEY"]
    return TradingClient(*keys, url_override=exchange.url)


def buy(client: TradingClient, symbol: str, qty: int) -> str:
    order = client.submit_order(
        MarketOrderRequest(symbol=symbol, qty=qty, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    return str(order.id)  # type: ignore[union-attr]  # a model, for a typed client


def bookings(desk: DeskProcess, cause: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(desk.state / "desk.db")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM house_bookings WHERE cause = ? ORDER BY id", (cause,))]


async def booked(desk: DeskProcess, cause: str, count: int = 1) -> list[dict[str, Any]]:
    """Return the house's bookings of that cause, once there are so many."""
    await desk.hears("house_adjusted", count, holds=lambda line: line["cause"] == cause)
    return bookings(desk, cause)


def alpha(desk: DeskProcess) -> Any:
    return replayed(desk.state / "desk.db").portfolio.books[StrategyId("alpha")]


async def test_a_manual_trade_is_the_houses_while_the_desk_runs_and_while_it_is_down(folder: Path) -> None:
    """An officer buys by hand beside trading members: each trade is booked once, by its own name, and nobody waits."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("ann", TRADER)
        await desk.start()
        await desk.hears("order_filled", 5)
        officer = by_hand(exchange)
        first = buy(officer, "AAPL", 3)
        (one,) = await booked(desk, "manual_trade")
        assert (one["symbol"], one["qty"]) == ("AAPL", "3")
        assert first in one["why"]
        assert Decimal(one["cash"]) == -3 * Decimal(one["price"])
        await desk.end(signal.SIGKILL)
        buy(officer, "AAPL", 2)
        await desk.start()
        await desk.hears("house_adjusted", holds=lambda line: line["cause"] == "manual_trade")
        so_far = sum(line.get("event") == "order_filled" for line in desk.log)
        await desk.hears("order_filled", so_far + 5)
        assert [b["qty"] for b in bookings(desk, "manual_trade")] == ["3", "2"]
        assert await desk.ctl("stop", "ann") == 0  # two files of a busy desk are never of one moment
        await soon_add_up(desk.state)
        house = replayed(desk.state / "desk.db").portfolio.books[HOUSE]
        assert house.qty(Symbol("AAPL")) == 5
        assert await desk.end() == 0
        assert not any(line.get("event") == "symbol_frozen" for line in desk.log)


async def test_fees_and_deposits_are_named_and_freeze_nothing(folder: Path) -> None:
    """Cash that comes and goes is the house's, with the line of history that it comes from."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("ann", TRADER)
        await desk.start()
        await desk.hears("order_filled", 3)
        for kind, amount in (("FEE", "-1.25"), ("DIV", "2.5"), ("CSD", "1000")):
            await exchange.misbehave({"account": {"book": {"type": kind, "amount": amount}}})
        for cause, amount in (("fee", "-1.25"), ("dividend", "2.5"), ("transfer", "1000")):
            (one,) = await booked(desk, cause)
            assert one["cash"] == amount
            assert one["activity_id"]
        assert await desk.ctl("stop", "ann") == 0  # two files of a busy desk are never of one moment
        await soon_add_up(desk.state)
        assert await desk.ctl("reconcile") == 0
        assert await desk.end() == 0


async def test_a_busted_and_a_corrected_fill_stay_with_the_member(folder: Path) -> None:
    """The member's books are as they were filled; the house bears the difference, told by stream or found later."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("alpha", BUYER)
        await desk.start()
        await desk.hears("order_filled")
        before = alpha(desk)
        await exchange.misbehave({"account": {"correct": {"price": "1.50"}}})
        (corrected,) = await booked(desk, "trade_correct")
        assert Decimal(corrected["cash"]) == -before.cash + 10_000 - 15
        await soon_add_up(desk.state)
        assert await desk.end() == 0
        assert (alpha(desk).cash, alpha(desk).qty(Symbol("AAPL"))) == (before.cash, 10)
        desk.strategy("alpha", "import sys\nfor line in sys.stdin: pass")
        buy(by_hand(exchange), "AAPL", 1)
        await exchange.misbehave({"account": {"bust": {}}})  # by hand, and undone, while the desk was away
        await desk.start()
        await booked(desk, "trade_bust")
        await soon_add_up(desk.state)
        assert await desk.end() == 0


async def test_a_bust_while_the_desk_is_away_is_found_in_the_history(folder: Path) -> None:
    """No stream told it; the order's totals and the account's history do."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("alpha", BUYER)
        await desk.start()
        await desk.hears("order_filled")
        await desk.end(signal.SIGKILL)
        desk.strategy("alpha", "import sys\nfor line in sys.stdin: pass")
        before = alpha(desk)
        await exchange.misbehave({"account": {"bust": {}}})
        await desk.start()
        (bust,) = await booked(desk, "trade_bust")
        assert (bust["symbol"], bust["qty"]) == ("AAPL", "-10")
        await soon_add_up(desk.state)
        assert (alpha(desk).cash, alpha(desk).qty(Symbol("AAPL"))) == (before.cash, 10)
        assert await desk.ctl("reconcile") == 0
        assert await desk.end() == 0


async def test_a_split_freezes_its_symbol_until_an_officer_distributes_it(folder: Path) -> None:
    """The house has the shares by name; the member's book is multiplied by an officer's word, and by nothing else."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("alpha", BUYER)
        desk.strategy("ann", TRADER)
        await desk.start()
        await desk.hears("order_filled", holds=lambda line: line["symbol"] == "AAPL")
        await exchange.misbehave({"account": {"split": {"symbol": "AAPL", "ratio": "2"}}})
        (split,) = await booked(desk, "split")
        assert (split["symbol"], split["qty"], split["cash"]) == ("AAPL", "10", "0")
        await desk.hears("symbol_frozen")
        assert alpha(desk).qty(Symbol("AAPL")) == 10
        assert await desk.ctl("reconcile") == 1
        resolve = ("reconcile", "--resolve", "AAPL", "--distribute", "2", "--reason", "2:1 split")
        assert await desk.ctl(*resolve) == 0
        await desk.hears("symbol_thawed")
        assert alpha(desk).qty(Symbol("AAPL")) == 20
        assert await desk.ctl("stop", "ann") == 0  # two files of a busy desk are never of one moment
        await soon_add_up(desk.state)
        assert await desk.end() == 0


@pytest.mark.slow
async def test_what_nothing_explains_freezes_its_symbol_alone_until_it_is_resolved(folder: Path) -> None:
    """Phantom shares: suspected, then believed; orders in the symbol are denied, others trade; an officer settles it."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("alpha", HOLDER)
        desk.strategy("ann", TRADER)
        await desk.start()
        await desk.hears("order_filled", holds=lambda line: line["symbol"] == "AAPL")
        await desk.ctl("stop", "alpha")
        await exchange.misbehave({"account": {"phantom": {"symbol": "AAPL", "qty": "7"}}})
        await desk.hears("symbol_frozen", holds=lambda line: line["symbol"] == "AAPL")
        assert any(line.get("event") == "discrepancy_found" and line["level"] == "error" for line in desk.log)
        await desk.ctl("start", "alpha")
        await desk.hears("order_denied", holds=lambda line: line["reason"] == "SYMBOL_FROZEN")
        so_far = sum(line.get("event") == "order_filled" and line["symbol"] == "SPY" for line in desk.log)
        await desk.hears("order_filled", so_far + 5, holds=lambda line: line["symbol"] == "SPY")
        with closing(sqlite3.connect(desk.state / "desk.db")) as db:
            found = db.execute("SELECT subject, more, resolved_at FROM discrepancies").fetchall()
        assert found == [("AAPL", "7", None)]
        assert await desk.ctl("reconcile") == 1
        assert await desk.ctl("reconcile", "--resolve", "AAPL", "--reason", "a gift of the broker") == 0
        await desk.hears("symbol_thawed")
        await desk.hears("order_approved", holds=lambda line: line["symbol"] == "AAPL" and line["side"] == "sell")
        await desk.ctl("stop", "--all")
        await soon_add_up(desk.state)
        assert await desk.end() == 0
        with closing(sqlite3.connect(desk.state / "desk.db")) as db:
            (reason,) = db.execute("SELECT reason FROM discrepancies").fetchone()
        assert reason == "a gift of the broker"
        assert json.dumps(members_of(desk.state)), "the members' books are the fold of their own fills"
