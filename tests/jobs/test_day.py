"""A day's figures are the ledger's, to the last digit, and a member's report holds nothing of anybody else."""

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.errors import LedgerError
from deskd.domain.ids import StrategyId, UserId
from deskd.domain.money import NO_QTY
from deskd.jobs.day import report
from tests.factories import ALICE, MONDAY, NOON, cash
from tests.jobs.a_week import TUESDAY, Week, a_week
from tests.ledger.life import written


@pytest.fixture(params=[1, 2, 3])
async def week(tmp_path: Path, request: pytest.FixtureRequest) -> Week:
    """Write a ledger of a random life."""
    return await a_week(tmp_path / "desk.db", request.param)


def equity(desk: Desk, who: StrategyId) -> Decimal:
    return desk.portfolio.books[who].worth().equity


def test_every_figure_is_the_desks_own(week: Week) -> None:
    """Equity, the day's P&L, realized: as the fold of the facts has it at the day's last entry."""
    day = report(week.path, TUESDAY)
    assert (day.first_seq, day.last_seq) == (week.first_seq, week.first_seq + len(week.facts))
    assert len(day.strategies) == len(week.ended.strategies)
    for one in day.strategies:
        account = week.ended.account(one.strategy_id)
        before = week.begun.account(one.strategy_id)
        assert account is not None
        assert before is not None
        assert one.equity == account.equity == equity(week.ended, one.strategy_id)
        assert one.day_pnl == account.day_pnl
        assert one.day_pnl == account.equity - before.equity - (account.allocation - before.allocation)
        assert one.realized_pnl == account.realized_pnl - before.realized_pnl
    assert day.day_pnl == sum(one.day_pnl for one in day.strategies)


def test_the_hash_is_the_entrys_own(week: Week) -> None:
    """So that whoever has a root can say which ledger the report is of."""
    day = report(week.path, TUESDAY)
    with closing(sqlite3.connect(week.path)) as db:
        assert db.execute("SELECT hash FROM facts WHERE seq = ?", (day.last_seq,)).fetchone() == (day.last_hash,)


def test_orders_fills_denials_and_runs_are_those_of_the_day(week: Week) -> None:
    """Not one too many, and none is forgotten."""
    day = report(week.path, TUESDAY)
    assert [fill.fill_id for fill in day.fills] == [f.fill_id for f in week.facts if isinstance(f, ev.OrderFilled)]
    assert {order.client_order_id for order in day.orders} == {
        fact.request.client_order_id for fact in week.facts if isinstance(fact, ev.OrderApproved | ev.OrderAdopted)
    }
    denied = Counter((f.request.strategy_id, str(f.reason)) for f in week.facts if isinstance(f, ev.OrderDenied))
    assert {(row.strategy_id, row.reason): row.count for row in day.denials} == denied
    assert day.denied == denied.total() > 0
    ended = [fact for fact in week.facts if isinstance(fact, ev.RunEnded)]
    assert sum(run.ended_at is not None for run in day.runs) == len(ended)
    assert sum(one.orders for one in day.strategies) == len(day.orders)
    for fill in day.fills:
        assert fill.notional == fill.qty * fill.price
    for order in day.orders:
        filled = sum((f.qty for f in day.fills if f.client_order_id == order.client_order_id), NO_QTY)
        assert order.filled_qty == filled


def test_a_members_report_is_his_alone(week: Week) -> None:
    """And nothing of the desk's."""
    day = report(week.path, TUESDAY)
    members = day.members()
    assert len(members) == 2
    parts = [day.of_member(member) for member in members]
    for part in parts:
        assert part.desk is None
        for table in (part.strategies, part.orders, part.fills, part.denials, part.runs):
            assert {row.user_id for row in table} <= {part.member}
    assert sum(len(part.orders) for part in parts) == len(day.orders)
    assert sum((part.day_pnl for part in parts), cash(0)) == day.day_pnl
    assert day.of_member(UserId("nobody")).strategies == ()


def test_a_day_that_the_desk_did_not_see_is_empty(week: Week) -> None:
    """It says so, in the place of figures of another day."""
    day = report(week.path, MONDAY + timedelta(days=30))
    assert (day.first_seq, day.last_seq, day.strategies, day.desk) == (0, 0, (), None)


async def test_of_a_tape_that_began_anew_the_last_time_counts(tmp_path: Path) -> None:
    """Fees are the account's: what the house bore on that day."""
    fee = {"symbol": None, "qty": NO_QTY, "price": None, "why": "TAF", "cause": HouseCause.FEE, "at": NOON}
    path = await written(
        tmp_path / "desk.db",
        [
            ev.MarketDayBegan(market_day=MONDAY, at=NOON),
            ev.HouseAdjusted(cash=cash("-1.25"), **fee),  # type: ignore[arg-type]
            ev.MarketDayBegan(market_day=TUESDAY, at=NOON),
            ev.MarketDayBegan(market_day=MONDAY, at=NOON, is_rewound=True),
            ev.HouseAdjusted(cash=cash("-0.02"), **fee),  # type: ignore[arg-type]
            ev.HouseAdjusted(cash=cash("-0.03"), **fee),  # type: ignore[arg-type]
            ev.CommandGiven(by="ada", command="stop", arguments=str(ALICE), at=NOON),
        ],
    )
    day = report(path, MONDAY)
    assert day.first_seq == 4
    assert day.desk is not None
    assert (day.desk.fees, day.desk.commands) == (cash("-0.05"), 1)


async def test_of_a_damaged_ledger_there_is_no_report(week: Week) -> None:
    """Figures of changed books are worse than none."""
    with closing(sqlite3.connect(week.path, isolation_level=None)) as db:
        db.execute("DROP TRIGGER facts_are_never_changed")
        db.execute("UPDATE facts SET body = replace(body, 'alice', 'alicf') WHERE seq = 20")
    with pytest.raises(LedgerError):
        report(week.path, TUESDAY)
