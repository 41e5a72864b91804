"""The desk's end in stages: in this order, and each of them bounded."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from deskd.app import stopping
from deskd.app.stopping import Stopping, outlives_stop
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import Order, OrderStatus, Split, TimeInForce
from tests.factories import NOON, a_limit_request, a_request, qty
from tests.runtime.a_live_desk import OID, World, a_world


@dataclass
class Ends:
    """Notes what was done, and after which facts."""

    world: World
    done: list[str] = field(default_factory=list)
    hangs: bool = False

    async def end_runs(self, why: str) -> None:
        assert isinstance(self.world.runtime.refusal(), Refuse)  # no order slips in while runs end
        self.done.append(f"runs: {why}")
        if self.hangs:
            await asyncio.Event().wait()

    async def sign(self) -> None:
        last = self.world.ledger.facts[-1]
        self.done.append(f"signed after {type(last).__name__}")

    def hear_cancel(self, fact: ev.Fact) -> None:
        """Let the broker's word of a cancel come at once."""
        if isinstance(fact, ev.OrderCancelRequested):
            self.world.desk.apply(ev.OrderCanceled(client_order_id=fact.client_order_id, at=self.world.wall.now()))

    def stopping(self, *, cancels_orders: bool = True) -> Stopping:
        return Stopping(
            runtime=self.world.runtime,
            wall=self.world.wall,
            end_runs=self.end_runs,
            be_quiet=lambda: self.done.append("quiet"),
            sign=self.sign,
            grace_s=0.01 - stopping.CLOSE_S,
            cancels_orders=cancels_orders,
        )


@pytest.mark.parametrize("cancels_orders", [True, False])
async def test_runs_end_then_orders_then_the_ledger(*, cancels_orders: bool) -> None:
    """What is signed holds the last fact, no beat comes after it, and day orders are canceled where the officers want that."""
    async with a_world() as world:
        assert isinstance(await world.runtime.place(a_limit_request("90"), timeout_s=5), Order)
        ends = Ends(world)
        world.runtime.on_fact.append(ends.hear_cancel)
        await ends.stopping(cancels_orders=cancels_orders).run()
        assert ends.done == ["runs: the desk stopped", "quiet", "signed after DeskStopped"]
        assert world.broker.canceled == ([OID] if cancels_orders else [])


async def test_a_gtc_order_that_the_broker_has_stays_there() -> None:
    """Whoever asked for one meant it to outlive the day; it is named, and nothing waits for its end."""
    async with a_world() as world:
        resting = a_limit_request("90", client_order_id=ClientOrderId("resting"), time_in_force=TimeInForce.GTC)
        assert isinstance(await world.runtime.place(resting, timeout_s=5), Order)
        assert isinstance(await world.runtime.place(a_limit_request("91"), timeout_s=5), Order)
        ends = Ends(world)
        world.runtime.on_fact.append(ends.hear_cancel)
        with capture_logs() as logs:
            await ends.stopping().run()
        assert world.broker.canceled == [OID]
        assert list(world.desk.open_ids) == ["resting"]
        assert [(line["event"], line["client_order_ids"]) for line in logs] == [("orders_left_at_broker", ["resting"])]


async def test_a_gtc_order_in_doubt_is_canceled() -> None:
    """The desk does not know that the broker has it: it needs a desk that asks, and there is none for a while."""
    async with a_world() as world:
        world.broker.answers = False
        doubtful = a_limit_request("90", time_in_force=TimeInForce.GTC)
        await world.runtime.place(doubtful, timeout_s=0)
        ends = Ends(world)
        world.runtime.on_fact.append(ends.hear_cancel)
        await ends.stopping().run()
        assert not world.desk.open_ids


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({}, True),
        ({"status": OrderStatus.PARTIALLY_FILLED}, True),
        ({"status": OrderStatus.SUBMITTED, "broker_order_id": None}, False),
        ({"status": OrderStatus.SUBMITTED, "broker_order_id": None, "held_until": NOON}, False),
        ({"status": OrderStatus.PENDING_CANCEL, "recalled_for": ClientOrderId("other")}, False),
        ({"split": Split(parts=(), qty=qty(2), until=NOON)}, False),
        ({"part_of": ClientOrderId("whole")}, False),
    ],
)
def test_only_a_whole_gtc_order_at_rest_outlives_a_stop(*, changes: dict[str, Any], stays: bool) -> None:
    """What goes in parts, waits at the desk or is being taken back needs a desk that sees it through."""
    order = Order(
        request=a_limit_request("90", time_in_force=TimeInForce.GTC),
        status=OrderStatus.ACCEPTED,
        requested_at=NOON,
        updated_at=NOON,
        broker_order_id=BrokerOrderId("b1"),
    )
    assert outlives_stop(replace(order, **changes)) is stays
    assert not outlives_stop(replace(order, request=a_limit_request("90"), **changes))


async def test_a_run_that_does_not_end_does_not_keep_the_desk() -> None:
    """It ends with the desk; that is said, and the other stages come."""
    async with a_world() as world:
        ends = Ends(world, hangs=True)
        with capture_logs() as logs:
            await ends.stopping().run()
        assert ends.done == ["runs: the desk stopped", "quiet", "signed after DeskStopped"]
        assert [line["event"] for line in logs] == ["runs_not_ended"]
        assert isinstance(await world.runtime.place(a_request(), timeout_s=5), Refuse)
