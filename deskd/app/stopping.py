"""The end of a desk in stages: refuse orders -> end runs -> cancel open orders -> last fact -> root.

Each stage has a bound: a broker that does not answer, or a run that does not end, delays the end and does not prevent it.
GTC orders that the broker has stay there (decision 0086): the next start knows them again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from deskd.alerts.office import END_S
from deskd.domain import events as ev
from deskd.domain.order import Order, OrderStatus, TimeInForce
from deskd.ports import Clock
from deskd.runtime import Runtime
from deskd.venue.child import STOP_S

CANCEL_S = 5.0  # for open orders to end when the desk stops
CLOSE_S = 5.0  # beyond the grace, for runs to be gone
LAST_FACT_S = 5.0  # for the last facts to be on disk

_AT_REST = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})

log = structlog.get_logger()


def stop_max_s(grace_s: float) -> float:
    """Return how long an end may take, all its stages together; *grace_s* is what a run has to end by itself.

    The stages here, the notifications' worker, what `close` ends again where a stage ran out, the embedded exchange.
    """
    return (grace_s + CLOSE_S) + CANCEL_S + LAST_FACT_S + END_S + (grace_s + CLOSE_S) + STOP_S


def outlives_stop(order: Order) -> bool:
    """Tell whether an order is meant to rest at the broker longer than a day, and rests there in one piece.

    One that goes in parts, waits at the desk or is in doubt needs a desk that sees it through.
    """
    is_whole = order.split is None and order.part_of is None and order.status in _AT_REST
    return is_whole and order.request.time_in_force is TimeInForce.GTC


@dataclass(slots=True, kw_only=True)
class Stopping:
    """Ends what trades; the tasks are ended by who spawned them."""

    runtime: Runtime
    wall: Clock
    end_runs: Callable[[str], Awaitable[None]]  # return when they are gone
    be_quiet: Callable[[], None]  # from now on no fact comes by itself
    sign: Callable[[], Awaitable[object]]  # what is on disk
    grace_s: float  # for a run to end by itself
    cancels_orders: bool

    async def run(self) -> None:
        """Return when every stage is done, or its time is up."""
        self.runtime.closing = "the desk is stopping"
        try:
            async with asyncio.timeout(self.grace_s + CLOSE_S):
                await self.end_runs("the desk stopped")
        except TimeoutError:
            log.error("runs_not_ended", consequence="they end with the desk")  # noqa: TRY400  no bug of this line
        if self.cancels_orders:
            await self.cancel_open_orders()
        try:
            async with asyncio.timeout(LAST_FACT_S):
                self.be_quiet()
                await self.runtime.post(ev.DeskStopped(at=self.wall.now()))
                await self.runtime.until_idle()
                await self.sign()
                await self.runtime.until_idle()
        except TimeoutError:
            log.error("last_fact_not_written", consequence="the next start takes this for a crash")  # noqa: TRY400

    async def cancel_open_orders(self) -> None:
        """Ask the broker to cancel all but those that outlive a stop; wait no longer than CANCEL_S for it."""
        staying = {o.request.client_order_id for o in self.runtime.orders(None, is_open=True) if outlives_stop(o)}
        for order in self.runtime.orders(None, is_open=True):
            oid = order.request.client_order_id
            if oid not in staying:
                await self.runtime.post(ev.CancelRequested(client_order_id=oid, by="desk stop", at=self.wall.now()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                await self.runtime.until(lambda desk: staying.issuperset(desk.open_ids))
        left = [o.request.client_order_id for o in self.runtime.orders(None, is_open=True)]
        if stay := [oid for oid in left if oid in staying]:
            log.info("orders_left_at_broker", client_order_ids=stay, why="gtc: the next start knows them again")
        if lost := [oid for oid in left if oid not in staying]:
            log.warning("orders_still_open", client_order_ids=lost, consequence="the next start finds out their fate")
