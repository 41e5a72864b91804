"""The desk says that it lives, and how it is then."""

import asyncio
import contextlib
from pathlib import Path

from deskd.app.heartbeat import Heartbeat
from deskd.domain import events as ev
from deskd.domain.order import Order
from tests.control.a_running_desk import FakeRuns
from tests.factories import a_limit_request
from tests.hang import HANG_S
from tests.runtime.a_live_desk import World, a_world


def a_heartbeat(world: World) -> Heartbeat:
    return Heartbeat(
        every_s=0.001,
        runtime=world.runtime,
        runs=FakeRuns(Path("/logs")),
        clock=lambda: None,
        last_seq=lambda: 7,
        wall=world.wall,
    )


async def test_a_beat_tells_how_the_desk_is() -> None:
    """What an officer would look for first; where nobody knows whether the market is open, it says so."""
    async with a_world() as world:
        assert isinstance(await world.runtime.place(a_limit_request("90"), timeout_s=5), Order)
        beat = a_heartbeat(world).beat()
    assert (beat.orders_open, beat.strategies_running, beat.positions) == (1, 1, 0)
    assert (beat.market_is_open, beat.ledger_seq, beat.at) == (None, 7, world.wall.now())


async def test_it_beats_until_the_desk_ends() -> None:
    """Each beat is a fact; none comes when the last facts are written."""
    async with a_world() as world:
        heartbeat = a_heartbeat(world)
        beating = asyncio.get_running_loop().create_task(heartbeat.run())
        async with asyncio.timeout(HANG_S):
            await world.runtime.until(lambda _: sum(isinstance(fact, ev.Heartbeat) for fact in world.ledger.facts) > 1)
        heartbeat.end()
        await world.runtime.until_idle()
        told = len(world.ledger.facts)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):  # twenty beats
                await beating
        assert len(world.ledger.facts) == told
