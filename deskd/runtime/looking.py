"""When the account is compared with the broker's: on a wish, on schedule, and never two looks closer than a gap."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from deskd.core.desk import Desk
from deskd.core.pacing import Pace
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId
from deskd.domain.look import Look
from deskd.domain.order import Order
from deskd.ports import Clock

RECONCILE_GAP_S = 1.0  # the broker's positions may lag its orders: two looks in a row are never closer

log = structlog.get_logger()

type TakeSnapshot = Callable[[Sequence[Order], Callable[[], int], str], Awaitable[ev.BrokerSnapshot]]


@dataclass(slots=True, kw_only=True)
class Looking:
    """Takes looks, one at a time; the desk judges them."""

    desk: Desk
    take_snapshot: TakeSnapshot  # may raise for the world's failures
    every: timedelta
    wall: Clock
    post: Callable[[ev.Event], Awaitable[None]]
    waiting: Container[ClientOrderId]  # orders that have not left: the broker cannot have them
    committed: asyncio.Condition  # told after every batch, and after a look that failed
    pace: Pace = field(default_factory=Pace)
    _why: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(1))
    _begun: int = 0
    _ended: int = 0
    _last: Look = field(default_factory=Look)

    def reconcile(self, why: str) -> None:
        """Have the account compared with the broker's soon; several wishes are one look."""
        if self._why.empty():
            self._why.put_nowait(why)

    def reconcile_after(self, wait: timedelta, why: str, *, is_routine: bool) -> None:
        """Have it compared after *wait*; what is routine comes at a pace instead, and one look serves many."""
        waits = self.pace.wait(self.wall.now()) if is_routine else wait
        if waits is None:
            return  # a look that is on its way will serve it
        if waits:
            asyncio.get_running_loop().call_later(waits.total_seconds(), self.reconcile, why)
        else:
            self.reconcile(why)

    async def look(self, why: str) -> Look:
        """Return what a comparison with the broker brought that began after this call."""
        mine = self._begun + 1
        self.reconcile(why)
        async with self.committed:
            await self.committed.wait_for(lambda: self._ended >= mine)
        return self._last

    def ended(self, look: Look) -> None:
        """Note what the look brought; who waits for it is told with the batch that it was part of."""
        self._last, self._ended = look, self._ended + 1

    async def run(self) -> None:
        """Look until canceled."""
        while True:
            try:
                async with asyncio.timeout(self.every.total_seconds()):
                    why = await self._why.get()
            except TimeoutError:
                why = "on schedule"
            self._begun += 1
            try:
                known = [o for o in self.desk.sent_orders() if o.request.client_order_id not in self.waiting]
                snapshot = await self.take_snapshot(known, lambda: self.desk.execution_count, why)
            except (OSError, TimeoutError) as error:
                log.warning("reconcile_failed", why=why, error=str(error))
                self.ended(Look(problem=str(error)))
                async with self.committed:
                    self.committed.notify_all()
                self._retry_if_not_synced()
            else:
                await self.post(snapshot)
            await asyncio.sleep(RECONCILE_GAP_S)

    def _retry_if_not_synced(self) -> None:
        if self.desk.is_trade_stream_up and not self.desk.is_synced:
            self.reconcile("the last look failed")
