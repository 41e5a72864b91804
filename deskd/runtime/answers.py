"""Who waits for what becomes of a request: nobody hears of another's order, though it used the same id."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Order

type Request = ev.OrderRequested | ev.ReplaceRequested | ev.CancelRequested


@dataclass(slots=True, eq=False)
class _Waiter:
    """Somebody who waits for what becomes of an event."""

    event: Request
    answer: asyncio.Future[Order | Refuse]


@dataclass(slots=True)
class Answers:
    """Those who wait, by the order's id."""

    _waiters: dict[ClientOrderId, list[_Waiter]] = field(default_factory=dict)

    async def to(self, oid: ClientOrderId, event: Request, timeout_s: float) -> Order | Refuse | None:
        """Return what becomes of *event*, which is in the inbox; None when that took longer than *timeout_s*."""
        waiter = _Waiter(event, asyncio.get_running_loop().create_future())
        self._waiters.setdefault(oid, []).append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter.answer
        except TimeoutError:
            return None
        finally:  # whoever asked may have gone away, too
            self._waiters[oid].remove(waiter)
            if not self._waiters[oid]:
                del self._waiters[oid]

    def reply(self, order: Order, event: ev.Event) -> None:
        """Answer who posted *event*, and all who asked for this very order; another may have used its id.

        Who placed an order that is in doubt waits for the broker's word, though somebody wants it canceled.
        """
        self._answer(
            order.request.client_order_id,
            order,
            lambda waiter: waiter.event is event or (is_meant(waiter.event, order) and not order.is_in_doubt),
        )

    def refuse(self, refusal: Refuse, event: ev.Event) -> None:
        """Answer who posted *event*, and nobody else."""
        self._answer(refusal.client_order_id, refusal, lambda waiter: waiter.event is event)

    def _answer(self, oid: ClientOrderId, answer: Order | Refuse, is_meant: Callable[[_Waiter], bool]) -> None:
        for waiter in self._waiters.get(oid, ()):
            if is_meant(waiter) and not waiter.answer.done():
                waiter.answer.set_result(answer)


def is_meant(event: Request, order: Order) -> bool:
    """Tell whether *event* asked for this very order; another may have used its id."""
    match event:
        case ev.OrderRequested(request=request):
            return request == order.request
        case ev.ReplaceRequested(replacement=wanted):
            return wanted == order.request.replacement
        case ev.CancelRequested():
            return False
        case _:
            assert_never(event)
