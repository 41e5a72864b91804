"""An order, the one in its place, and what the broker says of both."""

from datetime import datetime
from typing import Any

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import OrderClass, OrderRequest, OrderStatus, OrderType, Replacement, StopLoss, TakeProfit
from tests.core.some_orders import a_leg
from tests.factories import (
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_fill,
    a_limit_request,
    a_quote,
    accepted,
    price,
    qty,
    requested,
    updated,
)

S = OrderStatus
OLD = a_limit_request("100")
OLD_ID, NEW_ID = OLD.client_order_id, ClientOrderId("new")
OLD_BID, NEW_BID = BrokerOrderId(f"b-{OLD_ID}"), BrokerOrderId("b-new")


def a_desk_with(request: OrderRequest = OLD, **fields: Any) -> Desk:
    desk = a_desk(**fields)
    handle(desk, requested(request))
    handle(desk, accepted(request))
    return desk


def wanting(new_id: ClientOrderId = NEW_ID, at: datetime = NOON, **changes: Any) -> ev.ReplaceRequested:
    fields = {"replaces": OLD_ID} | (changes or {"limit_price": price(99)})
    return ev.ReplaceRequested(
        client_order_id=new_id,
        replacement=Replacement(**fields),
        quote=a_quote(received_at=at),
        market_day=MONDAY,
        by="alice",
        at=at,
    )


def new_at_broker(desk: Desk, **overrides: Any) -> ev.BrokerOrder:
    return a_broker_order(desk.orders[NEW_ID].request, replaces=OLD_BID, **overrides)


def old_replaced(filled_qty: int = 0, by: BrokerOrderId = NEW_BID) -> ev.BrokerOrder:
    return a_broker_order(OLD, status=BrokerStatus.REPLACED, filled_qty=qty(filled_qty), replaced_by=by)


def patched(desk: Desk, **overrides: Any) -> ev.SubmitAccepted:
    return ev.SubmitAccepted(client_order_id=NEW_ID, order=new_at_broker(desk, **overrides), at=NOON)


def a_fill_of_new(desk: Desk, shares: int) -> ev.TradeUpdated:
    order = new_at_broker(desk, qty=desk.orders[NEW_ID].qty, status=BrokerStatus.FILLED, filled_qty=qty(shares))
    return updated(order, "fill", a_fill(order, shares, cumulative=shares, at_price="99"))


THEIRS = a_broker_order(
    a_limit_request("101", client_order_id=ClientOrderId("by-hand"), qty=qty(6)),
    broker_order_id=BrokerOrderId("b-hand"),
    replaces=OLD_BID,
)
BRACKET = a_limit_request(
    "100",
    order_class=OrderClass.BRACKET,
    take_profit=TakeProfit(limit_price=price(110)),
    stop_loss=StopLoss(stop_price=price(90)),
)
LEGS = (a_leg("profit"), a_leg("loss", order_type=OrderType.STOP, limit_price=None, stop_price=price(90)))
PROFIT, LOSS = ClientOrderId("profit"), ClientOrderId("loss")


def a_desk_with_a_bracket() -> Desk:
    desk = a_desk()
    handle(desk, requested(BRACKET))
    handle(desk, ev.SubmitAccepted(client_order_id=OLD_ID, order=a_broker_order(BRACKET, legs=LEGS), at=NOON))
    return desk
