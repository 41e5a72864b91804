"""A desk whose account an order can take across zero, and what its broker says of the parts."""

from datetime import datetime
from typing import Any

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Order, OrderRequest, OrderStatus, OrderType, Side
from tests.factories import (
    ALICE,
    BOB,
    NOON,
    a_broker_order,
    a_desk,
    a_request,
    accepted,
    filled,
    price,
    qty,
    requested,
    some_limits,
    updated,
)


def a_long_desk(shares: int = 5) -> Desk:
    """Return a desk with shorts on, on which alice, and so the account, holds *shares*."""
    desk = a_desk(limits=some_limits(is_short_allowed=True), allocation="50000")
    hold(desk, ours("has", qty=qty(shares)))
    return desk


def hold(desk: Desk, request: OrderRequest) -> None:
    """Have the order asked for, taken and filled whole."""
    for event in (requested(request), accepted(request), filled(request, str(request.qty))):
        handle(desk, event)
    assert desk.orders[request.client_order_id].status is OrderStatus.FILLED


def ours(name: str, **overrides: Any) -> OrderRequest:
    return a_request(client_order_id=ClientOrderId(f"alice-{name}"), **overrides)


def theirs(name: str, **overrides: Any) -> OrderRequest:
    return a_request(strategy_id=BOB, client_order_id=ClientOrderId(f"bob-{name}"), **overrides)


def limit(at: str) -> dict[str, Any]:
    return {"order_type": OrderType.LIMIT, "limit_price": price(at)}


def a_sale(shares: int = 12, **overrides: Any) -> OrderRequest:
    """Return an order of alice's that takes an account that is long by less across zero."""
    return ours("sale", side=Side.SELL, qty=qty(shares), **overrides)


def sent(effects: list[ef.Effect]) -> list[OrderRequest]:
    return [effect.request for effect in effects if isinstance(effect, ef.Submit)]


def facts(effects: list[ef.Effect]) -> list[ev.Fact]:
    return [effect.fact for effect in effects if isinstance(effect, ef.Record)]


def told(effects: list[ef.Effect]) -> list[tuple[str, str, str]]:
    """Return (event, client_order_id, filled_qty) of what alice hears."""
    heard = [e.update for e in effects if isinstance(e, ef.Tell) and e.strategy_id == ALICE]
    return [(u.event, u.order.request.client_order_id, str(u.order.filled_qty)) for u in heard]


def order(desk: Desk, name: str = "alice-sale") -> Order:
    return desk.orders[ClientOrderId(name)]


def part(desk: Desk, number: int = 1) -> OrderRequest:
    return order(desk, f"alice-sale~{number}").request


def ended(request: OrderRequest, status: BrokerStatus, done: int = 0) -> ev.TradeUpdated:
    average = price(100) if done else None
    return updated(a_broker_order(request, status=status, filled_qty=qty(done), filled_avg_price=average))


def rejected(request: OrderRequest, message: str = "no") -> ev.SubmitRejected:
    return ev.SubmitRejected(client_order_id=request.client_order_id, message=message, at=NOON)


def canceled(name: str = "alice-sale", at: datetime = NOON) -> ev.CancelRequested:
    return ev.CancelRequested(client_order_id=ClientOrderId(name), by="alice", at=at)


def a_split_story(*, is_whole: bool = True, line: str = "") -> tuple[list[ev.Fact], Desk]:
    """Return the facts of a sale across zero of which both parts are filled, or only the first; and the desk then."""
    desk = a_long_desk()
    kept = facts(handle(desk, requested(a_sale(), line=line)))
    for number in (1, 2)[: 2 if is_whole else 1]:
        for event in (accepted(part(desk, number)), filled(part(desk, number), str(part(desk, number).qty))):
            kept += facts(handle(desk, event))
    return kept, desk
