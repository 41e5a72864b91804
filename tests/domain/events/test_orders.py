"""A bracket's leg, as the order that it is."""

from decimal import Decimal

from deskd.domain.events import LegSpec
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.money import Price, Qty
from deskd.domain.order import OrderType, Side, TimeInForce
from tests.factories import a_request

LEG = LegSpec(
    client_order_id=ClientOrderId("leg-1"),
    broker_order_id=BrokerOrderId("b-leg"),
    side=Side.SELL,
    order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.GTC,
    qty=Qty(Decimal(10)),
    limit_price=Price(Decimal(110)),
    stop_price=None,
)


def test_a_leg_has_what_it_has_not_of_its_own_from_its_entry() -> None:
    """Whose it is and in what: the entry's. What it does: its own; it has no legs, and replaces nothing."""
    entry = a_request()
    request = LEG.request(entry)
    assert (request.strategy_id, request.user_id, request.symbol) == (entry.strategy_id, entry.user_id, entry.symbol)
    assert (request.client_order_id, request.side, request.qty, request.limit_price) == (
        LEG.client_order_id,
        Side.SELL,
        LEG.qty,
        LEG.limit_price,
    )
    assert (request.notional, request.take_profit, request.stop_loss, request.replacement) == (None, None, None, None)
