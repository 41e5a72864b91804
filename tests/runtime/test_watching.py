"""What time brings while nobody asks: doubts, stuck cancels, a mute stream, marks."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from deskd.domain.order import Order, OrderRequest, OrderStatus
from tests.factories import AAPL, ALICE, a_limit_request, a_request, filled
from tests.hang import HANG_S
from tests.runtime.a_live_desk import LOWER, OID, a_wish, a_world


async def test_an_order_without_an_answer_is_asked_after() -> None:
    """A submit that hangs does not hang the order: the desk asks by its id."""
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        forever = asyncio.Event()

        async def hangs(request: OrderRequest, *, leaves: Callable[[], str | None], **how: Any) -> Any:
            assert leaves() is None
            await forever.wait()

        world.broker.submit = hangs  # type: ignore[method-assign]
        asking = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await world.runtime.until(lambda desk: OID in desk.orders)
        world.wall.time += timedelta(seconds=1)
        order = await asking
        assert isinstance(order, Order)
        assert order.status is OrderStatus.ACCEPTED


async def test_stuck_replaces_are_asked_after() -> None:
    """The stream lost its word on the old order."""
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        await world.runtime.replace(ALICE, LOWER, **a_wish())
        world.wall.time += timedelta(seconds=11)
        async with asyncio.timeout(HANG_S):
            while OID not in world.broker.looked_up:  # noqa: ASYNC110  the watch has no event of its own
                await asyncio.sleep(0.002)
        assert OID in world.broker.looked_up


async def test_a_stream_that_does_not_bring_what_it_must_is_given_up() -> None:
    """The broker acknowledged an order, and no event comes: whoever keeps the stream is told, once."""
    given_up: list[str] = []
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        world.runtime.on_silence.append(given_up.append)
        await world.runtime.place(a_request(), timeout_s=5)
        await asyncio.sleep(0.05)
        assert given_up == []
        world.wall.time += timedelta(seconds=11)
        async with asyncio.timeout(HANG_S):
            while not given_up:  # noqa: ASYNC110  the watch looks again every 5 ms
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
    assert len(given_up) == 1
    assert OID in given_up[0]


async def test_positions_are_valued_and_stuck_cancels_asked_after() -> None:
    """What the clock brings, while nobody asks."""
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        await world.runtime.place(a_request(), timeout_s=5)
        await world.runtime.post(filled(a_request(), 4))
        await world.runtime.cancel(ALICE, OID, by="alice")
        world.wall.time += timedelta(seconds=11)
        await world.runtime.until(lambda desk: desk.portfolio.book(ALICE).positions[AAPL].mark_price == 101)
        async with asyncio.timeout(HANG_S):
            while len(world.broker.canceled) < 2:  # noqa: ASYNC110  the second cancel comes after a look-up
                await asyncio.sleep(0.002)
        assert OID in world.broker.looked_up


async def test_what_is_stuck_for_long_is_asked_after_ever_less_often() -> None:
    """Cancels that are stuck for a night must not use up the broker's requests."""
    async with a_world(doubt_check=timedelta(milliseconds=1)) as world, asyncio.timeout(HANG_S):
        await world.runtime.place(a_request(), timeout_s=5)
        await world.runtime.cancel(ALICE, OID, by="alice")
        for seconds, times in ((6, 1), (4, 1), (2, 2), (600, 3), (100, 3), (150, 4)):
            world.wall.time += timedelta(seconds=seconds)
            while world.broker.looked_up.count(OID) < times:  # noqa: ASYNC110  the watch has no event of its own
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.02)
            assert world.broker.looked_up.count(OID) == times


async def test_an_order_that_waits_for_its_turn_is_not_asked_after() -> None:
    """It never left, so there is nothing to look for: look-ups are for what the broker may have."""
    async with a_world(doubt_check=timedelta(milliseconds=5)) as world:
        world.broker.holds = {}
        async with asyncio.TaskGroup() as tasks:
            placing = tasks.create_task(world.runtime.place(a_request(), timeout_s=5))
            await world.broker.arrival.wait()
            world.wall.time += timedelta(seconds=30)
            await asyncio.sleep(0.05)
            assert world.broker.looked_up == []
            world.broker.holds[OID].set_result(None)
        outcome = placing.result()
    assert isinstance(outcome, Order)
    assert outcome.status is OrderStatus.ACCEPTED
