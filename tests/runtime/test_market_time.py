"""The broker's clock: asked once for many, moved on, and unknown when it is old."""

import asyncio
from datetime import timedelta

from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Order
from deskd.domain.schedule import Schedule
from tests.factories import ALICE, NOON, a_desk, a_request, qty, some_limits
from tests.runtime.a_live_desk import a_world


async def test_the_brokers_clock_is_asked_once_for_many() -> None:
    """Twenty strategies share its answer; it moves on with time, and is asked anew when old or at a session's end."""
    async with a_world(clock_age_max=timedelta(minutes=5)) as world:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(world.runtime.clock()) for _ in range(20)]
        assert {a.result().timestamp for a in asking} == {NOON}
        world.wall.time += timedelta(minutes=2)
        assert (await world.runtime.clock()).timestamp == NOON + timedelta(minutes=2)
        assert world.broker.clock_questions == 1
        world.wall.time += timedelta(minutes=2)
        await world.runtime.clock()
        assert world.broker.clock_questions == 2
    async with a_world() as world:
        await world.runtime.clock()
        await world.runtime.clock()
        assert world.broker.clock_questions == 2


async def test_a_schedule_rests_on_a_clock_that_was_heard_within_a_minute() -> None:
    """Before the broker has told the time, and when it has not for long, nothing opens; in between it moves on."""
    async with a_world(desk=a_desk(limits=some_limits(quote_age_max=timedelta(hours=1)))) as world:
        world.desk.schedules[ALICE] = Schedule(no_new_before_close=timedelta(minutes=2, seconds=20))

        async def figure(name: str) -> str:
            outcome = await world.runtime.place(a_request(client_order_id=ClientOrderId(name), qty=qty(1)), timeout_s=5)
            assert isinstance(outcome, Order)
            return (outcome.message or "").partition(" ")[0]

        assert await figure("a") == "before_close_min=unknown"
        await world.runtime.clock()  # it closes in three minutes
        assert await figure("b") == ""
        world.wall.time += timedelta(seconds=45)
        assert await figure("c") == "before_close_min=2.2"
        world.wall.time += timedelta(seconds=16)
        assert await figure("d") == "before_close_min=unknown"
