"""The tables that people read say what the facts say."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
from hypothesis import given, settings

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.ids import HOUSE, BrokerOrderId, ClientOrderId
from deskd.domain.money import plain
from deskd.domain.run import StrategyStatus
from deskd.domain.stage import Stage
from deskd.ledger.codec import stamp
from deskd.ledger.projections import _fill, project
from deskd.ledger.queries import LedgerReader
from deskd.ledger.store import LedgerStore
from tests.core.some_splits import a_split_story
from tests.factories import ALICE, BOB, MONDAY, NOON, a_fact_of_a_fill, a_quote, a_request, cash, price, qty, registered
from tests.ledger.life import Life, a_life, dump, in_order, written
from tests.ledger.story import a_story


async def write(path: Path, *, batch: int) -> None:
    facts, _ = a_story()
    await written(path, facts, range(0, len(facts), batch))


async def test_projections_do_not_depend_on_how_facts_were_batched(tmp_path: Path) -> None:
    """One commit a fact, or one for all: the tables are the same."""
    await write(tmp_path / "one.db", batch=1)
    await write(tmp_path / "all.db", batch=1_000)
    assert dump(tmp_path / "one.db") == dump(tmp_path / "all.db")


@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(0, 2**16), max_size=20),
    others=st.lists(st.integers(0, 2**16), max_size=20),
)
@settings(max_examples=40, deadline=None)
async def test_no_way_to_split_a_life_into_batches_shows_in_its_tables(
    seed: int, cuts: list[int], others: list[int]
) -> None:
    """Rows and their order: what a rebuild makes is what the running desk made."""
    facts = a_life(seed, 80)
    with TemporaryDirectory() as folder:
        one = await written(Path(folder) / "one.db", facts, cuts)
        other = await written(Path(folder) / "other.db", facts, others)
        assert dump(one) == dump(other)
        for table in ("orders", "fills", "runs", "facts"):
            assert in_order(one, table) == in_order(other, table)


async def test_each_order_and_position_of_the_desk_stands_in_the_tables_as_it_is(tmp_path: Path) -> None:
    """Whatever a fact changed has a row that says so: no touch is forgotten."""
    life = Life(3)
    life.goes_on(300)
    path = await written(tmp_path / "desk.db", life.facts, range(0, len(life.facts), 7))
    assert_tables_are(path, life.desk)


def assert_tables_are(path: Path, desk: Desk) -> None:
    """Assert that orders, positions and strategies say what the desk knows of each of them."""
    rows = {table: {row[0]: row for row in dump(path)[table]} for table in ("orders", "strategies")}
    parts = {row[0]: row for row in dump(path)["order_parts"]}
    for oid, order in desk.orders.items():
        if order.part_of is not None:
            assert parts[oid][8:10] == (order.status, plain(order.filled_qty))
            continue
        assert rows["orders"][oid][13:16] == (
            order.status,
            plain(order.filled_qty),
            None if order.avg_fill_price is None else plain(order.avg_fill_price),
        )
    for who, known in desk.strategies.items():
        book = desk.portfolio.books[who]
        row = rows["strategies"][who]
        assert (row[3], *row[6:9]) == (known.version, desk.statuses[who], plain(book.allocation), plain(book.cash))
    held = {
        (b.strategy_id, s): plain(p.market_value) for b in desk.portfolio.books.values() for s, p in b.positions.items()
    }
    assert {(row[0], row[1]): row[5] for row in dump(path)["positions"]} == held


async def test_a_strategy_was_made_when_it_was_first_registered(tmp_path: Path) -> None:
    """Twice in one commit, as when a folder changes while the desk starts: the first counts."""
    facts = [replace(registered(ALICE), at=NOON + timedelta(seconds=n)) for n in range(3)]
    path = await written(tmp_path / "desk.db", facts, [])
    (row,) = dump(path)["strategies"]
    assert row[-3:-1] == (stamp(NOON), stamp(NOON + timedelta(seconds=2)))


async def test_an_order_in_parts_stands_once_and_its_fills_are_its_own(tmp_path: Path) -> None:
    """Sums over orders, trades and fills count nothing twice; the parts have a table of their own."""
    facts, desk = a_split_story()
    store = await LedgerStore.open(tmp_path / "desk.db")
    await store.append(facts, project(facts, desk))
    await store.close()
    with closing(sqlite3.connect(tmp_path / "desk.db")) as db:
        assert db.execute(
            "SELECT client_order_id, qty, status, filled_qty, broker_order_id FROM orders"
        ).fetchall() == [("alice-sale", "12", "filled", "12", "b-alice-sale~1")]
        assert db.execute("SELECT quantity, filled_quantity FROM trades").fetchall() == [("12", "12")]
        fills = "SELECT client_order_id, part_id, qty FROM fills ORDER BY rowid"
        assert db.execute(fills).fetchall() == [
            ("alice-sale", "alice-sale~1", "5"),
            ("alice-sale", "alice-sale~2", "7"),
        ]
        parts = "SELECT part_id, client_order_id, broker_order_id, qty, status FROM order_parts ORDER BY rowid"
        assert db.execute(parts).fetchall() == [
            ("alice-sale~1", "alice-sale", "b-alice-sale~1", "5", "filled"),
            ("alice-sale~2", "alice-sale", "b-alice-sale~2", "7", "filled"),
        ]
    assert len(await LedgerReader(tmp_path / "desk.db").latest("order_parts", strategy_id=ALICE)) == 2


async def test_looking_at_a_desk_does_not_change_it() -> None:
    """A strategy without money has no book before it gets some, whether its rows were asked for or not."""
    desk = Desk()
    desk.apply(registered(ALICE))
    project([registered(ALICE)], desk)
    assert ALICE not in desk.portfolio.books


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
    (outage,) = await reader.latest("outages")
    assert (outage["stream"], outage["affected"], outage["bars_fetched"]) == ("market", '["alice"]', 1)
    assert (outage["started_at"], outage["ended_at"]) == ("2026-01-05T17:00:00.000000Z", "2026-01-05T17:01:30.000000Z")
    assert positions[HOUSE, "AAPL"]["qty"] == "3"
    assert [(b["cause"], b["symbol"], b["qty"]) for b in await reader.latest("house_bookings")] == [
        ("opening", "AAPL", "1"),
        ("opening", None, "0"),
        ("unexplained", "AAPL", "2"),
    ]
    (found,) = await reader.latest("discrepancies")
    assert [found[key] for key in ("id", "subject", "more", "resolved_by", "reason")] == [
        1,
        "AAPL",
        "2",
        "ada",
        "a gift",
    ]
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


async def test_an_outage_that_goes_on_has_a_row_without_an_end(tmp_path: Path) -> None:
    """Who looks at the table while a stream is down sees since when, and whom it concerns."""
    desk, path = Desk(), tmp_path / "desk.db"
    down = ev.StreamChanged(stream="market", is_up=False, why="dropped", at=NOON, affected=(ALICE,), open_orders=2)
    async with await LedgerStore.open(path) as ledger:
        desk.apply(down)
        await ledger.append([down], project([down], desk))
    (row,) = await LedgerReader(path).latest("outages")
    assert (row["ended_at"], row["closed_at"], row["affected"], row["open_orders"]) == (None, None, '["alice"]', 2)


async def test_an_active_strategy_that_is_paused_is_shown_so(tmp_path: Path) -> None:
    """The contract's status says it; a stopped one stays stopped, whatever its stage."""
    active = ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.ACTIVE, why="started", at=NOON)
    paused = [
        ev.StageChanged(strategy_id=who, stage=Stage.PAUSED, by="ada", why="test", at=NOON) for who in (ALICE, BOB)
    ]
    path = await written(tmp_path / "desk.db", [registered(ALICE), registered(BOB), active, *paused], [])
    shown = {(row[0], row[6], row[-1]) for row in dump(path)["strategies"]}
    assert shown == {("alice", "paused", "paused"), ("bob", "stopped", "paused")}


def test_what_was_exchanged_at_the_desk_is_marked() -> None:
    """A fill of the broker's is not."""
    desk = Desk()
    request = a_request()
    approved = ev.OrderApproved(
        request=request, quote=a_quote(), reserved_cash=cash(0), reserved_qty=qty(0), market_day=MONDAY, at=NOON
    )
    held = ev.OrderHeld(
        client_order_id=request.client_order_id, until=NOON, reason="CONFLICT_WASH", message="", in_the_way=(), at=NOON
    )
    internal = replace(a_fact_of_a_fill(request, 4), internal_with=ClientOrderId("bob-1"))
    facts: list[ev.Fact] = [approved, held, internal]
    for fact in facts:
        desk.apply(fact)
    ((sql, values),) = [one for one in project(facts, desk) if one[0].startswith("INSERT INTO fills")]
    assert sql.split("(")[1].split(")")[0].split(", ")[-1] == "is_internal"
    assert values[-1] == 1
    assert _fill(a_fact_of_a_fill(request, 4), desk.orders[request.client_order_id])["is_internal"] == 0


def test_an_order_that_comes_back_is_told_fact_by_fact() -> None:
    """What took its place is not there yet when the old one says by which order it was replaced."""
    desk = Desk()
    request, new = a_request(), ClientOrderId("alice-1~1")
    desk.apply(
        ev.OrderApproved(
            request=request, quote=a_quote(), reserved_cash=cash(0), reserved_qty=qty(0), market_day=MONDAY, at=NOON
        )
    )
    legs: tuple[ev.LegSpec, ...] = ()
    oid = request.client_order_id
    desk.apply(
        ev.OrderAccepted(client_order_id=oid, broker_order_id=BrokerOrderId("b"), submitted_at=NOON, legs=legs, at=NOON)
    )
    back = ev.OrderReturned(
        request=replace(request, client_order_id=new),
        replaces=oid,
        recalled_for=ClientOrderId("bob-1"),
        until=NOON,
        reason="CONFLICT_WASH",
        message="",
        reserved_cash=cash(0),
        reserved_qty=qty(0),
        price=price(100),
        at=NOON,
    )
    seen: list[str] = []
    for fact in (ev.OrderReplaced(client_order_id=oid, replaced_by=new, at=NOON), back):
        desk.apply(fact)
        seen += [str(values[0]) for sql, values in project([fact], desk) if sql.startswith("INSERT INTO orders")]
    assert seen == [oid, new]
