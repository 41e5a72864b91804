"""What a reload hands on: to every room what it keeps for itself, to every strategy its new bounds, all on record."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from deskd.app.daemon import opened
from deskd.config import (
    BrokerSection,
    DeskSection,
    MarketSection,
    OrdersSection,
    RiskExitsSection,
    RiskSection,
    RiskStrategySection,
)
from deskd.domain import events as ev
from deskd.domain.ids import StrategyId
from deskd.domain.lane import ConflictPolicy
from tests.app.a_small_desk import a_built_desk, a_config
from tests.factories import ALICE, registered

ANN = StrategyId("ann")


async def test_every_room_gets_what_it_keeps_for_itself(tmp_path: Path) -> None:
    """None goes on by the old file."""
    async with a_built_desk(tmp_path) as daemon:
        rooms = daemon.rooms
        config = a_config(
            tmp_path,
            desk=DeskSection(heartbeat_s=7, disk_free_min_mb=3, cancel_orders_on_stop=False),
            broker=BrokerSection(doubt_check_s=4, reconcile_every_s=44),
            market=MarketSection(stale_after_s=9),
            orders=OrdersSection(conflict="deny"),
        )
        daemon.in_force._hand_on(config)
        assert rooms.heartbeat.every_s == 7
        assert rooms.disk.least == 3 * 2**20
        assert not rooms.stopping.cancels_orders
        assert rooms.runtime.watching.doubt_check == timedelta(seconds=4)
        assert rooms.runtime.looking.every == timedelta(seconds=44)
        assert rooms.feed.stream.stale_after_s == 9
        assert rooms.runtime.desk.lane.conflict is ConflictPolicy.DENY
        assert rooms.supervisor.config is rooms.terms.config is config


async def test_a_strategy_that_no_longer_fits_is_named_and_bounded_all_the_same(tmp_path: Path) -> None:
    """Its capital and limits are the new ones, on record under the name of who reloaded."""
    strategy = tmp_path / "strategies" / ANN
    strategy.mkdir(parents=True)
    (strategy / "strategy.py").write_text("print('I ran')\n")
    (strategy / "config.json").write_text('{"enabled": false, "limits": {"order_qty_max": 50}}')
    facts: list[ev.Fact] = []
    async with opened(a_config(tmp_path, broker=BrokerSection()), None) as daemon:
        daemon.runtime.on_fact.append(facts.append)
        await daemon.start()
        facts.clear()
        tighter = RiskStrategySection(allocation=Decimal(500), order_qty_max=Decimal(10))
        exits = RiskExitsSection(stop_loss_pct=Decimal(3))
        config = a_config(tmp_path, broker=BrokerSection(), risk=RiskSection(strategy=tighter, exits=exits))
        daemon.runtime.desk.apply(registered(ALICE))  # whose folder is gone
        misfits = await daemon.in_force.take(config, "ada")
        assert daemon.config is config
        assert list(misfits) == [ANN]
        assert daemon.runtime.desk.limits[ANN].order_qty_max == 10
        assert {daemon.runtime.desk.exit_rules[who].stop_loss_pct for who in (ANN, ALICE)} == {3}
    by_ada = [type(fact) for fact in facts if isinstance(fact, ev.AllocationChanged | ev.LimitsChanged)]
    assert by_ada == [ev.AllocationChanged, ev.LimitsChanged]
