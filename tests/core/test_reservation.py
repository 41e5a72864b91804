"""What is held for open orders: no more, no less, no longer."""

from dataclasses import replace
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from deskd.core.reservation import Reservation, Reservations, leg_holds_shares
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import NO_QTY, Qty
from deskd.domain.order import Order, OrderClass, OrderRequest, OrderStatus, OrderType, Side
from tests.factories import AAPL, ALICE, NOON, a_request, cash, price, qty


def an_order(request: OrderRequest | None = None, filled: str = "0") -> Order:
    return Order(
        request=request or a_request(),
        status=OrderStatus.ACCEPTED,
        requested_at=NOON,
        updated_at=NOON,
        filled_qty=qty(filled),
    )


def held(reservations: Reservations, side: Side = Side.BUY) -> tuple[object, ...]:
    return (
        reservations.cash(ALICE),
        reservations.qty(ALICE, AAPL),
        reservations.opening(ALICE, AAPL, side),
        reservations.count(ALICE),
    )


def test_holding_again_replaces_what_was_held() -> None:
    """One order holds one thing."""
    reservations = Reservations()
    for money in (1000, 400):
        reservations.hold(an_order(), Reservation(cash=cash(money), qty=NO_QTY, opening=qty(4), price=price(100)))
    assert held(reservations) == (400, 0, 4, 1)


def test_what_is_released_is_gone_and_releasing_twice_is_safe() -> None:
    """A late end of an order takes nothing from others."""
    reservations = Reservations()
    other = an_order(a_request(client_order_id=ClientOrderId("other")))
    for order in (an_order(), other):
        reservations.hold(order, Reservation(cash=cash(100), qty=NO_QTY, opening=qty(1), price=price(100)))
    reservations.release(an_order())
    reservations.release(an_order())
    assert held(reservations) == (100, 0, 1, 1)
    reservations.shrink(an_order(filled="1"), qty(1), cash(100))
    assert held(reservations) == (100, 0, 1, 1)


def test_a_notional_order_holds_what_it_has_not_spent() -> None:
    """Its quantity is the broker's secret; the money is not."""
    order = an_order(a_request(qty=None, notional=cash(100)), filled="0.6")
    reservations = Reservations()
    reservations.hold(order, Reservation(cash=cash(100), qty=NO_QTY, opening=qty(1), price=price(100)))
    reservations.shrink(order, qty("0.6"), cash(60))
    assert held(reservations)[:3] == (40, 0, qty("0.4"))
    reservations.shrink(order, qty("0.6"), cash(60))
    assert held(reservations)[:3] == (0, 0, 0)


@settings(max_examples=60, deadline=None)
@given(
    amounts=st.lists(
        st.tuples(st.decimals(0, 10**6, places=9), st.integers(1, 97), st.integers(1, 89)), min_size=1, max_size=12
    )
)
def test_totals_go_back_to_nothing(amounts: list[tuple[Decimal, int, int]]) -> None:
    """Whatever endless fractions were held, when all is released nothing is left."""
    reservations = Reservations()
    orders = [an_order(a_request(client_order_id=ClientOrderId(f"o{i}"))) for i in range(len(amounts))]
    for order, (money, part, shares) in zip(orders, amounts, strict=True):
        reservations.hold(
            order,
            Reservation(
                cash=cash(str(money / part)), qty=Qty(money / part), opening=Qty(Decimal(shares) / 7), price=price(1)
            ),
        )
        assert reservations.cash(ALICE) >= money / part
    for order in orders:
        reservations.release(order)
    assert held(reservations) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("order_class", "order_type", "side", "holds"),
    [
        (OrderClass.BRACKET, OrderType.LIMIT, Side.SELL, True),
        (OrderClass.BRACKET, OrderType.STOP, Side.SELL, False),  # its sibling holds them already
        (OrderClass.BRACKET, OrderType.STOP_LIMIT, Side.SELL, False),
        (OrderClass.OTO, OrderType.STOP, Side.SELL, True),
        (OrderClass.OCO, OrderType.STOP, Side.SELL, False),  # the order that carries it holds them
        (OrderClass.BRACKET, OrderType.LIMIT, Side.BUY, False),  # a short's exits promise no shares
    ],
)
def test_one_leg_of_a_group_promises_the_shares(
    order_class: OrderClass, order_type: OrderType, side: Side, holds: bool
) -> None:
    """Siblings exclude each other: the shares are promised once."""
    leg = an_order(a_request(order_class=order_class, order_type=order_type, side=side))
    assert leg_holds_shares(leg) is holds


def test_fills_release_the_worst_price_of_each_share() -> None:
    """Bought cheaper than feared: what is left holds no more than its own worst price."""
    order = replace(an_order(), filled_qty=qty(4))
    reservations = Reservations()
    reservations.hold(order, Reservation(cash=cash(1020), qty=NO_QTY, opening=qty(10), price=price(102)))
    reservations.shrink(order, qty(4), cash(380))
    assert held(reservations) == (612, 0, 6, 1)
