"""Commands to orders: cancel and replace."""

import asyncio
import uuid
from dataclasses import dataclass

from aiohttp import web

from deskd.control import replacements, views
from deskd.control.asking import CALLER, Refused, body_of, not_yours
from deskd.control.meant import Meant, Record, answer_of, must_be_officer, must_manage
from deskd.domain.effects import Refuse
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Order, OrderStatus
from deskd.ports import Orders

CANCELS_AT_ONCE = 32
REPLACE_WAIT_S = 10.0  # for the broker's answer; later it is in doubt, and shows in `deskctl orders`


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCommands:
    """Answers /cancel and /replace."""

    orders: Orders
    meant: Meant
    record: Record

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        app.router.add_post("/cancel", self._cancel)
        app.router.add_post("/replace", self._replace)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        body, caller = await body_of(request), request[CALLER]
        match body:
            case {"order": str(typed)}:
                order = self.meant.order(typed)
                orders, arguments = [order], str(order.request.client_order_id)
            case {"strategy": str(typed)}:
                found = self.meant.named(typed)
                must_manage(request, found)
                name = found.strategy_id
                orders, arguments = list(self.orders.orders(name, is_open=True)), f"--strategy {name}"
            case {"all": True}:
                must_be_officer(request, "--strategy NAME")
                orders, arguments = list(self.orders.orders(None, is_open=True)), "--all"
            case _:
                raise Refused(400, "which orders? Give an order's id, --strategy NAME, or --all")
        for order in orders:
            if not caller.may_manage(order.request.user_id):
                raise Refused(403, not_yours(caller, f"order {order.request.client_order_id}"))
        await self.record(request, "cancel", arguments)
        answers: dict[str, Order | Refuse] = {}
        room = asyncio.Semaphore(CANCELS_AT_ONCE)

        async def cancel(order: Order) -> None:
            oid = order.request.client_order_id
            async with room:
                answers[oid] = await self.orders.cancel(None, oid, by=caller.name)

        async with asyncio.TaskGroup() as group:
            for order in orders:
                group.create_task(cancel(order), name=f"cancel {order.request.client_order_id}")
        refused = [
            {"client_order_id": oid, "reason": str(a.reason), "message": a.message}
            for oid, a in answers.items()
            if isinstance(a, Refuse)
        ]
        shown = [views.order(a) for a in answers.values() if isinstance(a, Order)]
        return answer_of({"orders": shown, "refused": refused}, status=422 if refused else 200)

    async def _replace(self, request: web.Request) -> web.StreamResponse:
        body, caller = await body_of(request), request[CALLER]
        typed = body.get("order")
        if not isinstance(typed, str):
            raise Refused(400, "which order? Give its client_order_id or the broker's id")
        old = self.meant.order(typed)
        if not caller.may_manage(old.request.user_id):
            raise Refused(403, not_yours(caller, f"order {old.request.client_order_id}"))
        try:
            wanted = replacements.read(body, old.request.client_order_id)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        await self.record(request, "replace", replacements.arguments(wanted))
        oid = ClientOrderId(str(uuid.uuid4()))
        answer = await self.orders.replace(None, wanted, client_order_id=oid, by=caller.name, timeout_s=REPLACE_WAIT_S)
        if isinstance(answer, Refuse):
            refused = {
                "client_order_id": old.request.client_order_id,
                "reason": answer.reason,
                "message": answer.message,
            }
            return answer_of({"orders": [], "refused": [refused]}, status=422)
        is_done = answer.status not in {OrderStatus.DENIED, OrderStatus.REJECTED}
        return answer_of({"orders": [views.order(answer)], "refused": []}, status=200 if is_done else 422)
