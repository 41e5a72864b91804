"""When the account is compared with the broker's, and who hears what came of it."""

import asyncio

from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId
from tests.factories import NOON, a_desk, a_request, a_snapshot, cash, filled
from tests.hang import HANG_S
from tests.runtime.a_live_desk import a_world


async def test_a_stream_that_comes_up_is_followed_by_a_look_until_one_succeeds() -> None:
    """Up is not synced: the look is repeated while the broker cannot be reached."""
    desk = a_desk()
    desk.apply(ev.DeskStarted(version="0", broker="x", at=NOON))
    async with a_world(desk=desk, fails=1) as world:
        await world.runtime.post(ev.TradeStreamChanged(is_up=True, why="listening", at=NOON))
        async with asyncio.timeout(HANG_S):
            await world.runtime.until(lambda desk: desk.is_synced)
        assert world.snapshots == ["the trade stream came up", "the last look failed"]


async def test_a_difference_is_looked_at_again_after_the_brokers_lag() -> None:
    """The second look is not taken at once: positions that lag would be believed."""
    async with a_world() as world:
        desk = world.desk
        await world.runtime.post(a_snapshot(cash=cash(1)))
        await world.runtime.until_idle()
        assert desk.last_reconciled is not None
        assert desk.last_reconciled.differences
        assert world.snapshots == []


async def test_a_look_is_answered_by_one_that_began_after_the_question() -> None:
    """Whoever asks hears what that look brought: its facts, on disk by then."""
    async with a_world() as world, asyncio.timeout(HANG_S):
        look = await world.runtime.look("an officer asked")
        assert world.snapshots == ["an officer asked"]
        assert look.problem is None
        assert [type(fact) for fact in look.facts] == [ev.AccountReconciled]
        assert world.ledger.facts[-1:] == list(look.facts)


async def test_a_look_that_fails_is_told_to_who_asked() -> None:
    """Nobody waits for a broker that does not answer; the next question is asked anew."""
    async with a_world(fails=1) as world, asyncio.timeout(HANG_S):
        assert (await world.runtime.look("first")).problem == "refused"
        assert (await world.runtime.look("second")).problem is None


async def test_a_stranger_who_trades_all_the_time_costs_one_look() -> None:
    """His next trades wait for a later look; what the desk itself asks for does not."""
    async with a_world() as world:
        for n in range(1, 30):
            stranger = a_request(client_order_id=ClientOrderId(f"by-hand-{n}"))
            await world.runtime.post(filled(stranger, 1))
        await world.runtime.until(lambda _: bool(world.snapshots))
        await world.runtime.until_idle()
        assert world.snapshots == ["order b-by-hand-1 is not the desk's"]
        await world.runtime.look("an officer asked")
        assert world.snapshots[1:] == ["an officer asked"]
