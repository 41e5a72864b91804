"""What a caller means by the names that were typed, and whether it is theirs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from deskd.control.asking import CALLER, Refused, not_yours
from deskd.control.names import NoSuchName, the_one
from deskd.control.people import Caller
from deskd.domain.ids import HOUSE, StrategyId
from deskd.domain.order import Order
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.ports import Orders, Runs

ID_PREFIX_MIN = 4  # shorter beginnings of an order's id are typing errors

type Found = StrategySpec | BrokenStrategy
type Json = Mapping[str, object]
type Record = Callable[[web.Request, str, str], Awaitable[None]]  # a command and its arguments; on disk when it returns


@dataclass(frozen=True, slots=True)
class Meant:
    """Finds strategies and orders by what people type."""

    orders: Orders
    runs: Runs

    def wanted(self, request: web.Request) -> list[StrategyId | None]:
        """Return the strategy that ?strategy= names; without it [None] (all) for officers, for members what is theirs."""
        caller, typed = request[CALLER], request.query.get("strategy")
        if typed == HOUSE and caller.is_officer:
            return [HOUSE]
        if typed is not None:
            found = self.named(typed)
            must_manage(request, found)
            return [found.strategy_id]
        if caller.is_officer:
            return [None]
        return [found.strategy_id for found in self.runs.strategies() if may_manage(caller, found)]

    def named(self, typed: str) -> Found:
        """Return the strategy of that name, or of the one that begins so."""
        by_name: dict[str, Found] = {found.strategy_id: found for found in self.runs.strategies()}
        return by_name[the_one("strategy", typed, by_name)]

    def order(self, typed: str) -> Order:
        """Return the order of that id, ours or the broker's, or of the one that begins so."""
        if order := self.orders.find(None, typed):
            return order
        ids: dict[str, Order] = {}
        if len(typed) >= ID_PREFIX_MIN:
            for order in self.orders.orders(None):
                ids |= {i: order for i in (order.request.client_order_id, order.broker_order_id) if i is not None}
        begun = {o.request.client_order_id: o for i, o in ids.items() if i.startswith(typed)}
        if len(begun) == 1:
            return next(iter(begun.values()))
        if begun:
            raise NoSuchName(f"order {typed!r} is ambiguous: {len(begun)} begin so; type more of it")
        raise NoSuchName(f"there is no order {typed!r}; `deskctl orders --open` lists what is open")


def may_manage(caller: Caller, found: Found) -> bool:
    """Tell whether the strategy is the caller's to see and manage."""
    return caller.is_officer or (isinstance(found, StrategySpec) and caller.may_manage(found.user_id))


def must_manage(request: web.Request, found: Found) -> None:
    """Refuse whoever may not manage the strategy."""
    caller = request[CALLER]
    if not may_manage(caller, found):
        raise Refused(403, not_yours(caller, found.strategy_id))


def must_be_officer(request: web.Request, instead: str) -> None:
    """Refuse `--all` to whoever is no officer."""
    caller = request[CALLER]
    if not caller.is_officer:
        raise Refused(403, f"--all means every member's: {caller.name} is no officer; name what is yours: {instead}")


def answer_of(answer: Json, *, status: int = 200) -> web.Response:
    """Return the answer as JSON."""
    return web.json_response(answer, status=status)
