"""The tables that people read say what the facts say."""

import sqlite3
from contextlib import closing
from pathlib import Path

from deskd.core.desk import Desk
from deskd.domain.ids import HOUSE
from deskd.ledger.projections import TABLES, project
from deskd.ledger.queries import LedgerReader
from deskd.ledger.store import LedgerStore
from tests.factories import ALICE
from tests.ledger.story import a_story


async def write(path: Path, *, batch: int) -> None:
    facts, story = a_story()
    desk = Desk(limits=story.limits)
    async with await LedgerStore.open(path) as ledger:
        for start in range(0, len(facts), batch):
            part = facts[start : start + batch]
            for fact in part:
                desk.apply(fact)
            await ledger.append(part, project(part, desk))


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as db, db:
        return {table: sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in TABLES}


async def test_projections_do_not_depend_on_how_facts_were_batched(tmp_path: Path) -> None:
    """One commit a fact, or one for all: the tables are the same."""
    await write(tmp_path / "one.db", batch=1)
    await write(tmp_path / "all.db", batch=1_000)
    assert dump(tmp_path / "one.db") == dump(tmp_path / "all.db")


async def test_the_tables_tell_the_story(tmp_path: Path) -> None:
    """Orders, fills, positions, runs and strategies, in the contract's words."""
    path = tmp_path / "desk.db"
    await write(path, batch=5)
    reader = LedgerReader(path)
    orders = {o["client_order_id"]: o for o in await reader.latest("orders", strategy_id=ALICE)}
    assert {oid: o["status"] for oid, o in orders.items()} == {
        "alice-1": "filled",
        "alice-2": "canceled",
        "alice-3": "denied",
    }
    assert orders["alice-1"]["avg_fill_price"] == "100.3"
    assert orders["alice-3"]["reason"] == "ORDER_NOTIONAL_MAX"
    assert [(f["qty"], f["price"]) for f in await reader.latest("fills")] == [("4", "100"), ("6", "100.5")]
    positions = {(p["strategy_id"], p["symbol"]): p for p in await reader.latest("positions")}
    assert positions[ALICE, "AAPL"]["qty"] == "10"
    assert positions[ALICE, "AAPL"]["unrealized_pnl"] == "7"
    assert positions[HOUSE, "AAPL"]["qty"] == "1"
    (run,) = await reader.latest("runs")
    assert (run["exit_reason"], run["cpu_seconds"]) == ("oom", 1.5)
    assert run["strategy_id"] == ALICE


async def test_the_first_desks_view_has_its_columns(tmp_path: Path) -> None:
    """Scripts of the first desk read `trades` as they did."""
    path = tmp_path / "desk.db"
    await write(path, batch=5)
    trades = await LedgerReader(path).latest("trades", limit=1)
    assert list(trades[0]) == [
        "user_id",
        "strategy_id",
        "order_id",
        "symbol",
        "quantity",
        "side",
        "order_type",
        "limit_price",
        "stop_price",
        "filled_quantity",
        "filled_price",
        "status",
        "created_at",
        "updated_at",
        "error_message",
    ]
