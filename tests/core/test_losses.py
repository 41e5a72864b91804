"""What was lost, of whom, and what a release forgives."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.losses import Losses, all_losses, losses_of
from deskd.domain import events as ev
from deskd.domain.ids import Symbol
from deskd.domain.kill import THE_DESK, KillScope, KillTarget
from deskd.domain.order import Side
from tests.core.test_records import a_day, traded
from tests.factories import AAPL, ALICE, BOB, MONDAY, NOON, a_desk, cash, of_strategy, price


def a_desk_that_lost(at_price: str) -> Desk:
    """Return a desk where ALICE holds 10 AAPL, bought at 100, marked at *at_price*."""
    desk = a_desk()
    handle(desk, a_day(MONDAY))
    traded(desk, "a", Side.BUY, 10)
    for mark in ("100", at_price):
        desk.apply(ev.PositionsMarked(marks=((AAPL, price(mark)),), at=NOON))
    return desk


def test_losses_are_percent_of_allocation_and_of_the_peak() -> None:
    """Of the strategy, of its member, and of the desk: there of all allocations together."""
    desk = a_desk_that_lost("50")
    own, desks = losses_of(desk, of_strategy(ALICE)), losses_of(desk, THE_DESK)
    assert (own.daily_loss_pct, own.drawdown_pct, own.day) == (Decimal(5), Decimal(5), MONDAY)
    assert (desks.daily_loss_pct, desks.drawdown_pct) == (Decimal("2.5"), Decimal("2.5"))
    assert losses_of(desk, of_strategy(BOB)).daily_loss_pct == 0
    member = KillTarget(KillScope.MEMBER, desk.member_of(ALICE))
    assert losses_of(desk, member).daily_loss_pct > 0
    assert set(all_losses(desk)) >= {THE_DESK, member, of_strategy(ALICE), of_strategy(BOB)}
    assert losses_of(desk, KillTarget(KillScope.SYMBOL, Symbol("AAPL"))) == Losses(day=MONDAY)


def test_whoever_has_no_capital_and_loses_has_lost_everything() -> None:
    """A share of nothing is no number; a loss without an allocation must still pull."""
    desk = a_desk_that_lost("50")
    desk.apply(ev.AllocationChanged(strategy_id=ALICE, allocation=cash("0"), by="test", at=NOON))
    assert losses_of(desk, of_strategy(ALICE)).daily_loss_pct == 100
    assert losses_of(desk, KillTarget(KillScope.STRATEGY, "nobody")) == Losses(day=MONDAY)
    assert losses_of(desk, KillTarget(KillScope.MEMBER, "nobody")) == Losses(day=MONDAY)


@pytest.mark.parametrize(
    ("forgiven", "left"),
    [
        (None, (8, 12)),
        (Losses(day=MONDAY, daily_loss_pct=Decimal(5), peak=cash("100"), drawdown_pct=Decimal(5)), (3, 7)),
        (Losses(day=date(2026, 1, 2), daily_loss_pct=Decimal(5), peak=cash("90"), drawdown_pct=Decimal(5)), (8, 12)),
        (Losses(day=MONDAY, daily_loss_pct=Decimal(-5), peak=cash("100"), drawdown_pct=Decimal(-1)), (8, 12)),
    ],
)
def test_a_release_forgives_what_was_lost_until_the_day_or_the_peak_is_another(
    forgiven: Losses | None, left: tuple[int, int]
) -> None:
    """What was won until then is nobody's credit."""
    lost = Losses(day=MONDAY, daily_loss_pct=Decimal(8), peak=cash("100"), drawdown_pct=Decimal(12))
    found = lost.beyond(forgiven)
    assert (int(found.daily_loss_pct), int(found.drawdown_pct)) == left
    assert replace(found, daily_loss_pct=lost.daily_loss_pct, drawdown_pct=lost.drawdown_pct) == lost
