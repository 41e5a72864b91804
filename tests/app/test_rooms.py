"""How the desk is put together: who hears of facts, and what rooms tell the runtime."""

from pathlib import Path

from deskd.domain import events as ev
from tests.app.a_small_desk import a_built_desk, posted


async def test_those_who_hear_of_facts_hear_in_this_order(tmp_path: Path) -> None:
    """The log first, for people; who counts last. Nobody is forgotten."""
    async with a_built_desk(tmp_path) as daemon:
        hear = [type(getattr(listener, "__self__", listener)).__name__ for listener in daemon.runtime.on_fact]
    assert hear == ["FactLog", "LiveEvents", "RootKeeper", "KillKeeper", "Office", "Counts"]


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
