"""Requests become orders, and orders become the requests that would replace them."""

from deskd.domain.order import OrderClass, OrderType
from deskd.exchange.intake import as_request
from deskd.exchange.order import OrderChanges
from tests.exchange.given import NOON, a_buy, a_sell, at_limit, loss, price, profit, qty, told, trading
from tests.exchange.test_matching import an_order


def test_legs_are_orders_of_their_own() -> None:
    """Each leg has its own ids, the other side, the entry's quantity and group; none reserves money."""
    world = trading()
    entry = world.submit(
        a_buy(10, order_class=OrderClass.BRACKET, take_profit=profit(110), stop_loss=loss(90, 89), **at_limit(95))
    )
    take, stop = world.legs(entry)
    assert len({o.id for o in (entry, take, stop)} | {o.client_order_id for o in (entry, take, stop)}) == 6
    assert {o.group_id for o in (entry, take, stop)} == {entry.group_id}
    assert told(take.side, take.qty, take.limit_price, take.stop_price) == ("sell", 10, 110, None)
    assert told(stop.order_type, stop.stop_price, stop.limit_price) == ("stop_limit", 90, 89)
    assert {o.position_intent.value for o in (take, stop)} == {"sell_to_close"}
    assert told(take.reserved, stop.reserved, take.expires_at) == (0, 0, entry.expires_at)


def test_simple_orders_have_no_group() -> None:
    """A plain order has neither group nor role nor legs."""
    order = trading().submit(a_sell(10, **at_limit(110)))
    assert (order.group_id, order.group_role, order.legs, order.parent_id) == (None, None, (), None)


def test_replacement_asks_for_the_rest() -> None:
    """What is filled is not asked for again, whether the quantity changes or not."""
    order = an_order(filled_qty=qty(4), limit_price=price(9), order_type=OrderType.LIMIT)
    assert as_request(order, OrderChanges(), ()).qty == 6
    assert as_request(order, OrderChanges(qty=qty(20)), ()).qty == 16


def test_triggered_stop_asks_as_what_it_became() -> None:
    """A triggered stop is a market order, a triggered stop-limit a limit order."""
    stop = an_order(order_type=OrderType.STOP, stop_price=price(9), triggered_at=NOON)
    request = as_request(stop, OrderChanges(), ())
    assert (request.order_type, request.stop_price) == ("market", None)
    limit = an_order(order_type=OrderType.STOP_LIMIT, stop_price=price(9), limit_price=price(9), triggered_at=NOON)
    request = as_request(limit, OrderChanges(limit_price=price(8)), ())
    assert told(request.order_type, request.stop_price, request.limit_price) == ("limit", None, 8)
    trailing = an_order(
        order_type=OrderType.TRAILING_STOP, trail_price=price(1), stop_price=price(9), triggered_at=NOON
    )
    assert as_request(trailing, OrderChanges(), ()).order_type == "market"
