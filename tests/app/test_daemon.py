"""What the composition root works out by itself; the desk it builds is proved whole, in tests/whole."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePath

import pytest

from deskd.app.daemon import RESYNC_BACK, RESYNC_SPAN, begun_in, limits_of, listed_since
from deskd.app.opening import db_path
from deskd.config import Config, DeskSection
from deskd.domain.ids import UserId
from deskd.domain.order import Order, OrderStatus
from deskd.domain.strategy import StrategySpec
from tests.factories import AAPL, ALICE, NOON, a_request


def a_spec(**limits: str) -> StrategySpec:
    return StrategySpec(
        strategy_id=ALICE,
        user_id=UserId("alice"),
        name="",
        description="",
        version="",
        path=PurePath("strategies/alice"),
        code_hash="",
        symbols=(AAPL,),
        channels=frozenset(),
        env={},
        limits={name: Decimal(bound) for name, bound in limits.items()},
        history=None,
        is_enabled=True,
    )


def test_a_strategys_limits_only_tighten_the_desks() -> None:
    """Whatever a member writes into config.json, the officers' bound holds."""
    risk = Config().risk
    plain = limits_of(a_spec(), risk, 30.0)
    assert plain.order_notional_max == risk.strategy.order_notional_max
    assert plain.quote_age_max == timedelta(seconds=30)
    assert plain.symbols == {AAPL}
    tight = limits_of(a_spec(open_orders_max="2", order_notional_max="10"), risk, 30.0)
    assert tight.open_orders_max == 2
    assert tight.order_notional_max == 10
    greedy = dict.fromkeys(
        ("order_notional_max", "position_qty_max", "position_notional_max", "open_orders_max", "orders_per_day_max"),
        "1000000000",
    )
    assert limits_of(a_spec(**greedy), risk, 30.0) == plain


def test_the_ledger_is_where_the_configuration_says() -> None:
    """Beside the rest of the state, unless it has a place of its own."""
    assert db_path(Config(desk=DeskSection(state_dir=Path("/s")))) == Path("/s/desk.db")
    assert db_path(Config(desk=DeskSection(state_dir=Path("/s"), db_path=Path("/d/x.db")))) == Path("/d/x.db")


def test_one_old_order_does_not_bring_the_list_of_a_month() -> None:
    """The broker lists orders from before the oldest that is open, but a day back at most."""

    def submitted(at: datetime | None) -> Order:
        order = Order(request=a_request(), status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON)
        return replace(order, submitted_at=at)

    hour, month = timedelta(hours=1), timedelta(days=30)
    assert listed_since([]) is listed_since([submitted(None)]) is None
    assert listed_since([submitted(NOON), submitted(NOON - hour)]) == NOON - hour - RESYNC_BACK
    assert listed_since([submitted(NOON - month), submitted(NOON)]) == NOON - RESYNC_SPAN - RESYNC_BACK
    assert listed_since([submitted(NOON - month)]) == NOON - month - RESYNC_BACK


async def test_what_ends_the_desk_stays_the_first_error() -> None:
    """A run that is let go while everything ends wants other data: nothing is started for it, and nothing hides."""
    begun: list[str] = []

    async def seeds() -> None:
        begun.append("seeds")

    async def breaks(tasks: asyncio.TaskGroup) -> None:
        tasks.create_task(lets_go(tasks))
        await asyncio.sleep(0)
        raise ValueError("the cause")

    async def lets_go(tasks: asyncio.TaskGroup) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            assert begun_in(tasks, seeds(), "seed quotes") is None

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(breaks(tasks))
    assert [str(error) for error in caught.value.exceptions] == ["the cause"]
    assert begun == []
