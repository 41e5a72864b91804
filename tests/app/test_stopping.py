"""The desk's end in stages: in this order, and each of them bounded."""

import asyncio
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from deskd.app import stopping
from deskd.app.stopping import Stopping
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.order import Order
from tests.factories import a_limit_request, a_request
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
    """What is signed holds the last fact, no beat comes after it, and open orders are canceled where the officers want that."""
    async with a_world() as world:
        assert isinstance(await world.runtime.place(a_limit_request("90"), timeout_s=5), Order)
        ends = Ends(world)
        if cancels_orders:
            canceled = ev.OrderCanceled(client_order_id=OID, at=world.wall.now())
            world.runtime.on_fact.append(
                lambda fact: world.desk.apply(canceled) if isinstance(fact, ev.OrderCancelRequested) else None
            )
        await ends.stopping(cancels_orders=cancels_orders).run()
        assert ends.done == ["runs: the desk stopped", "quiet", "signed after DeskStopped"]
        assert world.broker.canceled == ([OID] if cancels_orders else [])


async def test_a_run_that_does_not_end_does_not_keep_the_desk() -> None:
    """It ends with the desk; that is said, and the other stages come."""
    async with a_world() as world:
        ends = Ends(world, hangs=True)
        with capture_logs() as logs:
            await ends.stopping().run()
        assert ends.done == ["runs: the desk stopped", "quiet", "signed after DeskStopped"]
        assert [line["event"] for line in logs] == ["runs_not_ended"]
        assert isinstance(await world.runtime.place(a_request(), timeout_s=5), Refuse)
