"""Orders and desks that the tests of several files begin with."""

from typing import Any

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import Activity
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ActivityId, BrokerOrderId, ClientOrderId
from deskd.domain.money import Cash
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Side, StopLoss, TakeProfit
from tests.factories import NOON, a_broker_order, a_desk, a_fill, a_request, accepted, price, qty, requested

OID = a_request().client_order_id


def a_desk_with(request: OrderRequest) -> Desk:
    """Return a desk on which *request* was approved and accepted."""
    desk = a_desk()
    handle(desk, requested(request))
    handle(desk, accepted(request))
    return desk


def a_bracket() -> OrderRequest:
    return a_request(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )


def a_leg(name: str, **overrides: Any) -> ev.BrokerOrder:
    fields: dict[str, Any] = {
        "client_order_id": ClientOrderId(name),
        "broker_order_id": BrokerOrderId(f"b-{name}"),
        "side": Side.SELL,
        "order_type": OrderType.LIMIT,
        "limit_price": price(110),
        "status": BrokerStatus.HELD,
    }
    return a_broker_order(**fields | overrides)


def facts_of(effects: list[ef.Effect]) -> list[type]:
    return [type(e.fact) for e in effects if isinstance(e, ef.Record)]


def an_execution(order: ev.BrokerOrder, name: str = "1", *, bust: bool = False) -> Activity:
    fill = a_fill(order, 10, cumulative=10)
    signed = qty(order.side.sign * (-10 if bust else 10))
    return Activity(
        activity_id=ActivityId(name),
        kind="FILL",
        at=NOON,
        symbol=order.symbol,
        qty=signed,
        price=fill.price,
        cash=Cash(-signed * fill.price),
        execution="trade_bust" if bust else "fill",
        broker_order_id=order.broker_order_id,
        side=order.side,
        fill=None if bust else fill,
    )
