"""What is shown of orders and positions, to a strategy and to officers."""

from deskd.core import listing
from deskd.core.deciding import handle
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from tests.factories import ALICE, BOB, a_desk, a_request, accepted, filled, requested


def test_a_strategy_sees_its_own_alone_and_officers_see_all() -> None:
    """By either id; what is another's is as if it were not there."""
    desk = a_desk()
    bought = a_request()
    waits = a_request(client_order_id=ClientOrderId("waits"))
    for request in (bought, waits):
        handle(desk, requested(request))
        handle(desk, accepted(request))
    handle(desk, filled(bought, 10))
    oid = bought.client_order_id
    broker_id = desk.orders[oid].broker_order_id
    assert broker_id is not None
    for asked in (oid, broker_id):
        assert listing.find(desk, ALICE, asked) is listing.find(desk, None, asked) is desk.orders[oid]
        assert listing.find(desk, BOB, asked) is None
    assert listing.find(desk, None, BrokerOrderId("nobody's")) is None
    for who in (ALICE, None):
        shown = {is_open: listing.orders(desk, who, is_open=is_open) for is_open in (True, False, None)}
        assert [order.request for order in shown[True]] == [waits]
        assert [order.request for order in shown[False]] == [bought]
        assert [order.request for order in shown[None]] == [bought, waits]
        assert [position.qty for position in listing.positions(desk, who)] == [10]
    assert not listing.orders(desk, BOB, is_open=None)
    assert not listing.positions(desk, BOB)
