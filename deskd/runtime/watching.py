"""What time brings while nobody asks: orders in doubt, stuck cancels, a mute stream, and the value of positions."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from deskd.core.desk import Desk
from deskd.core.silence import Silence
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, Symbol
from deskd.domain.money import Price
from deskd.domain.order import Order, OrderStatus
from deskd.ports import Clock

MARKS_EVERY = timedelta(seconds=10)
STUCK_AFTER = timedelta(seconds=5)  # a cancel or replace without an answer is looked into, and asked for again
STUCK_AGAIN_MAX = timedelta(minutes=10)  # a night of stuck cancels must leave room in the broker's request limit

_PENDING = frozenset({OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE})


class Marks(Protocol):
    """The latest prices, for valuation."""

    def marks(self) -> Mapping[Symbol, Price]:
        """Return the latest price of each symbol that has one."""


@dataclass(slots=True, kw_only=True)
class Watching:
    """Looks every *doubt_check* whether somebody is to be asked, or told."""

    desk: Desk
    wall: Clock
    doubt_check: timedelta
    silence: Silence
    on_silence: list[Callable[[str], None]]
    marks: Marks
    post: Callable[[ev.Event], Awaitable[None]]
    waiting: Container[ClientOrderId]  # orders that have not left: whoever sends them tells
    _asked_at: dict[ClientOrderId, datetime] = field(default_factory=dict)

    async def run(self) -> None:
        """Ask after orders in doubt, stuck cancels and replaces, and legs that lost their group; value positions."""
        marked_at = self.wall.monotonic()
        while True:
            await asyncio.sleep(self.doubt_check.total_seconds())
            now = self.wall.now()
            for order in self.desk.open_orders():
                oid = order.request.client_order_id
                if self.is_doubtful(order, now):
                    self._asked_at[oid] = now
                    await self.post(ev.DoubtTimedOut(client_order_id=oid, at=now))
            self._asked_at = {oid: at for oid, at in self._asked_at.items() if oid in self.desk.open_ids}
            if why := self.silence.overdue(now):
                for listener in self.on_silence:
                    listener(why)
            if self.wall.monotonic() - marked_at >= MARKS_EVERY.total_seconds():
                marked_at = self.wall.monotonic()
                await self.post(ev.MarksTaken(marks=tuple(self.marks.marks().items()), at=now))

    def asks_anew(self) -> None:
        """Forget when it asked for what: the clock that it was told by was set."""
        self._asked_at.clear()

    def is_doubtful(self, order: Order, now: datetime) -> bool:
        """Tell whether the order is to be asked after. One that is stuck for long is asked after ever less often."""
        oid = order.request.client_order_id
        if oid in self.waiting:
            return False  # it may still wait for its turn
        age = now - order.updated_at
        if order.broker_order_id is None:
            return age > self.doubt_check
        is_stuck = order.status in _PENDING or self.desk.has_lost_its_group(order)
        since = max(self._asked_at.get(oid, order.updated_at), order.updated_at)
        return is_stuck and now - since > max(STUCK_AFTER, min(age / 4, STUCK_AGAIN_MAX))
