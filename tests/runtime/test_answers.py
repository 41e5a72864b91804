"""Who is answered what: each by what became of its own request, and nobody by another's."""

import asyncio
from collections.abc import Callable
from typing import Any

from deskd.core.deciding import handle
from deskd.core.desk import DENIED_KEPT
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Order, OrderRequest, OrderStatus
from deskd.domain.reasons import RefusalReason
from tests.factories import ALICE, BOB, NOON, a_request, accepted, filled, qty, requested
from tests.runtime.a_live_desk import OID, a_world


async def test_an_order_in_doubt_is_answered_as_pending_and_found_later() -> None:
    """The timeout of the strategy's question is not the end of the order."""
    async with a_world() as world:
        world.broker.answers = False
        world.broker.finds = True
        order = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(order, Order)
        assert order.status is OrderStatus.ACCEPTED
        assert world.broker.submitted == [OID]
        assert world.broker.looked_up == [OID]


async def test_a_retry_with_the_same_id_gets_the_same_answer_and_no_second_order() -> None:
    """Also while the first is still on its way."""
    async with a_world() as world:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(world.runtime.place(a_request(), timeout_s=5)) for _ in range(3)]
        assert {a.result() for a in asking} == {world.runtime.desk.orders[OID]}
        assert world.broker.submitted == [OID]
        again = await world.runtime.place(a_request(), timeout_s=5)
        assert again == world.runtime.desk.orders[OID]


async def test_an_id_that_another_uses_answers_nobody_else() -> None:
    """A stranger's request under my id is refused to the stranger alone, and shows nothing of my order."""
    async with a_world() as world:
        held, forever = asyncio.Event(), asyncio.Event()

        async def waits(request: OrderRequest, **how: Any) -> Any:
            held.set()
            await forever.wait()
            return accepted(request)

        world.broker.submit = waits  # type: ignore[method-assign]
        mine = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await held.wait()
        theirs = await world.runtime.place(a_request(strategy_id=BOB), timeout_s=5)
        assert isinstance(theirs, Refuse)
        assert theirs.reason == RefusalReason.CONFLICT
        assert not mine.done()
        too_late = asyncio.get_running_loop().create_task(world.runtime.place(a_request(strategy_id=BOB), timeout_s=0))
        undecided = await too_late
        assert isinstance(undecided, Refuse)
        forever.set()
        order = await mine
        assert isinstance(order, Order)
        assert (order.request.strategy_id, order.status) == (ALICE, OrderStatus.ACCEPTED)


async def test_a_cancel_is_answered_by_what_became_of_the_cancel() -> None:
    """The acknowledgement of the order, which comes at the same moment, is not its answer."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        request = a_request()
        await world.runtime.post(filled(request, 4))
        order = await world.runtime.cancel(ALICE, OID, by="alice")
        assert isinstance(order, Order)
        assert order.status is OrderStatus.PENDING_CANCEL
        await world.runtime.post(filled(request, 6, cumulative=10))
        final = await world.runtime.cancel(ALICE, OID, by="alice")
        assert isinstance(final, Refuse)
        assert final.reason == RefusalReason.ORDER_FINAL


async def test_a_cancel_does_not_answer_who_waits_for_the_broker() -> None:
    """Somebody cancels an order that is in doubt: who placed it is told the broker's word, when it comes."""
    async with a_world() as world:
        answer = asyncio.Event()

        async def late(request: OrderRequest, **how: Any) -> Any:
            await answer.wait()
            return ev.SubmitRejected(client_order_id=OID, message="unreachable", at=NOON)

        world.broker.submit = late  # type: ignore[method-assign]
        placing = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await asyncio.sleep(0)
        await world.runtime.until_idle()
        wish = await world.runtime.cancel(None, OID, by="an officer")
        again = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await asyncio.sleep(0)
        await world.runtime.until_idle()
        assert isinstance(wish, Order)
        assert wish.status is OrderStatus.PENDING_CANCEL
        assert not placing.done()
        assert not again.done()
        answer.set()
        for order in (await placing, await again):
            assert isinstance(order, Order)
            assert order.status is OrderStatus.REJECTED


async def test_who_stops_waiting_is_forgotten() -> None:
    """A caller that goes away, or waits long enough, leaves nothing behind."""
    async with a_world() as world:
        forever = asyncio.Event()

        async def hangs(request: OrderRequest, *, leaves: Callable[[], str | None], **how: Any) -> Any:
            assert leaves() is None
            await forever.wait()

        world.broker.submit = hangs  # type: ignore[method-assign]
        order = await world.runtime.place(a_request(), timeout_s=0.05)
        assert isinstance(order, Order)
        assert order.status is OrderStatus.SUBMITTED
        leaving = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=5))
        await world.runtime.until_idle()
        leaving.cancel()
        await asyncio.wait([leaving])
        assert world.runtime.answers._waiters == {}


async def test_an_old_denial_that_is_asked_for_again_in_a_flood_ends_nothing() -> None:
    """The memory of denials is bounded; who falls out of it is answered as undecided."""
    async with a_world() as world:
        first = a_request(qty=qty(999))
        await world.runtime.place(first, timeout_s=5)
        flood = [a_request(client_order_id=ClientOrderId(f"d{i}"), qty=qty(999)) for i in range(DENIED_KEPT - 1)]
        for request in flood:
            handle(world.desk, requested(request))
        async with asyncio.TaskGroup() as tasks:
            again = tasks.create_task(world.runtime.place(first, timeout_s=0.1))
            more = a_request(client_order_id=ClientOrderId("more"), qty=qty(999))
            tasks.create_task(world.runtime.place(more, timeout_s=5))
        undecided = again.result()
        assert isinstance(undecided, Refuse)
        assert undecided.reason == RefusalReason.TIMEOUT
        assert OID not in world.desk.orders
