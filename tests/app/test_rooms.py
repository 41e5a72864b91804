"""How the desk is put together: who hears of facts, and what rooms tell the runtime."""

from decimal import Decimal
from pathlib import Path

from deskd.app.opening import db_path
from deskd.config import RiskExitsSection, RiskSection
from deskd.domain import events as ev
from deskd.ledger.store import LedgerStore
from tests.app.a_small_desk import a_built_desk, a_config, posted
from tests.factories import ALICE, registered


async def test_those_who_hear_of_facts_hear_in_this_order(tmp_path: Path) -> None:
    """The log first, for people; who counts last. Nobody is forgotten."""
    async with a_built_desk(tmp_path) as daemon:
        hear = [type(getattr(listener, "__self__", listener)).__name__ for listener in daemon.runtime.on_fact]
    assert hear == ["FactLog", "LiveEvents", "RootKeeper", "KillKeeper", "Office", "Counts"]


async def test_a_folder_that_is_gone_leaves_no_position_without_the_desks_stop(tmp_path: Path) -> None:
    """From the first look on: nobody waits for files that do not come."""
    risk = RiskSection(exits=RiskExitsSection(stop_loss_pct=Decimal(3)))
    config = a_config(tmp_path, risk=risk)
    async with await LedgerStore.open(db_path(config)) as ledger:
        await ledger.append([registered(ALICE)], [])
    async with a_built_desk(tmp_path, risk=risk) as daemon:
        assert daemon.runtime.desk.exit_rules[ALICE].stop_loss_pct == 3


async def test_building_starts_nothing(tmp_path: Path) -> None:
    """No task, no event, no file of an order door: whoever builds a desk may still let it go."""
    async with a_built_desk(tmp_path) as daemon:
        assert daemon.rooms.tasks._running == set()
        assert posted(daemon) == []
        assert list((tmp_path / "run").iterdir()) == []


async def test_a_trade_stream_that_breaks_is_an_event(tmp_path: Path) -> None:
    """The desk decides what follows."""
    async with a_built_desk(tmp_path) as daemon:
        await daemon.rooms.trade_stream.on_state(False, "it broke")
        (told,) = posted(daemon)
        assert isinstance(told, ev.TradeStreamChanged)
        assert (told.is_up, told.why) == (False, "it broke")


async def test_a_disk_that_fills_stops_new_orders_until_it_has_room(tmp_path: Path) -> None:
    """The figures are what members are told."""
    async with a_built_desk(tmp_path) as daemon:
        daemon.rooms.disk.on_change("disk_free_mb=12 disk_free_min_mb=100")
        assert daemon.runtime.disk_low == "disk_free_mb=12 disk_free_min_mb=100"
        daemon.rooms.disk.on_change(None)
        assert daemon.runtime.disk_low is None
