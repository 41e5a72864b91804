"""What leaves for the broker: once, in its turn, and not if it became wrong while it waited."""

import asyncio
from dataclasses import replace
from typing import Any

from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import Order, OrderStatus
from deskd.domain.priority import Priority
from deskd.domain.reasons import RefusalReason, RejectReason
from tests.factories import ALICE, NOON, a_limit_request, a_request
from tests.runtime.a_live_desk import LOWER, OID, a_wish, a_world


async def test_an_order_that_the_broker_never_saw_ends_as_rejected() -> None:
    """The broker's own answer closes it; it is never sent again."""
    async with a_world() as world:
        world.broker.answers = world.broker.finds = False
        order = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(order, Order)
        assert (order.status, order.reason) == (OrderStatus.REJECTED, RejectReason.NEVER_ARRIVED)
        assert world.broker.submitted == [OID]


async def test_a_stream_that_drops_behind_the_door_stops_the_order() -> None:
    """What was let in is decided again where everything is known: nothing is approved that nobody could watch."""
    async with a_world() as world:
        await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
        refused = await world.runtime.place(a_request(), timeout_s=5)  # the door has not heard of it yet
        assert isinstance(refused, Refuse)
        assert refused.reason == RefusalReason.TRADE_STREAM_DOWN
        assert world.broker.submitted == []


async def test_an_order_that_is_canceled_while_it_waits_never_leaves() -> None:
    """It ends at once, as not sent; its reservation is free."""
    async with a_world() as world:
        world.broker.holds = {}
        async with asyncio.TaskGroup() as tasks:
            placing = tasks.create_task(world.runtime.place(a_request(), timeout_s=5))
            await world.broker.arrival.wait()
            await world.runtime.cancel(ALICE, OID, by="alice")
        outcome = placing.result()
        await world.runtime.until_idle()
        assert world.broker.submitted == []
        assert not world.desk.open_ids
    assert isinstance(outcome, Order)
    order = world.desk.orders[OID]
    assert (order.reason, order.message) == (
        RejectReason.NOT_SENT,
        "it was canceled while it waited for its turn",
    )


async def test_no_order_leaves_while_the_trade_stream_is_down() -> None:
    """What waits when it breaks is not sent: its fill could not be seen."""
    async with a_world() as world:
        world.broker.holds = {}
        async with asyncio.TaskGroup() as tasks:
            placing = tasks.create_task(world.runtime.place(a_request(), timeout_s=5))
            await world.broker.arrival.wait()
            await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="it broke", at=NOON))
        outcome = placing.result()
    assert isinstance(outcome, Order)
    assert outcome.reason == RejectReason.NOT_SENT
    assert outcome.message is not None
    assert outcome.message.startswith("while it waited for its turn the stream of trade updates is down")
    assert world.broker.submitted == []


async def test_what_flattens_leaves_even_when_no_fill_can_be_seen() -> None:
    """A kill gets out though the trade stream is down; an order beside it stays."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="it broke", at=NOON))
        await world.runtime.until_idle()
        waiting = replace(world.desk.orders[OID], status=OrderStatus.SUBMITTED)
        world.desk.orders[OID] = waiting
        assert world.runtime.sending.leaves(OID, Priority.KILL) is None
        assert "is down" in str(world.runtime.sending.leaves(OID, Priority.ORDER))


async def test_a_crowded_line_is_told_at_the_door() -> None:
    """429 with how long to wait: no order comes to be; a known id is still answered."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        world.broker.crowds = frozenset({ALICE})
        known = await world.runtime.place(a_limit_request(), timeout_s=5)
        refused = await world.runtime.place(a_request(client_order_id=ClientOrderId("more")), timeout_s=5)
        replaced = await world.runtime.replace(ALICE, LOWER, **a_wish())
    assert isinstance(known, Order)
    for said in (refused, replaced):
        assert isinstance(said, Refuse)
        assert (said.reason, said.message, said.retry_after_s) == (RefusalReason.RATE, "orders_waiting=20", 3)
    assert ClientOrderId("more") not in world.desk.orders


async def test_a_cancel_that_is_under_way_is_not_sent_twice() -> None:
    """However often a strategy asks, the broker is asked once until it has answered."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        go = asyncio.Event()

        async def slow(client_order_id: ClientOrderId, broker_order_id: BrokerOrderId) -> Any:
            world.broker.canceled.append(client_order_id)
            await go.wait()
            return ev.CancelAnswered(client_order_id=client_order_id, refusal=None, at=NOON)

        world.broker.cancel = slow  # type: ignore[method-assign]
        for _ in range(5):
            await world.runtime.cancel(ALICE, OID, by="alice")
        assert world.broker.canceled == [OID]
        go.set()
        await world.runtime.until_idle()


async def test_an_orders_way_is_timed() -> None:
    """From request to sending, from sending to the broker's answer, and each commit."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        runtime = world.runtime
        assert (runtime.sending.to_send.count, runtime.sending.to_answer.count) == (1, 1)
        assert runtime.commits.count == len(world.ledger.batches)
        assert runtime.sending.to_send.sum_s == 0.0  # the clock stands


async def test_an_order_without_an_answer_is_not_timed_as_one_with() -> None:
    """What the broker did not answer says nothing of how fast it answers."""
    async with a_world() as world:
        world.broker.answers = False
        await world.runtime.place(a_request(), timeout_s=5)
        assert (world.runtime.sending.to_send.count, world.runtime.sending.to_answer.count) == (1, 0)
