"""Busts and corrections: the fill stays, the house bears the difference, and the order remembers."""

from dataclasses import replace
from typing import Any

import pytest

from deskd.core import corrections
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.ids import BrokerOrderId
from deskd.domain.money import NO_CASH
from deskd.domain.order import Order, OrderStatus, Side
from tests.factories import AAPL, NOON, a_broker_order, a_fill, a_request, cash, price, qty


def filled(shares: str = "10", side: Side = Side.BUY) -> Order:
    return Order(
        request=a_request(side=side),
        status=OrderStatus.FILLED,
        requested_at=NOON,
        updated_at=NOON,
        broker_order_id=BrokerOrderId("b-alice-1"),
        filled_qty=qty(shares),
        filled_notional=cash(str(100 * int(shares))),
    )


def judge(order: Order, shares: str, average: str | None, **more: Any) -> list[ev.Fact]:
    theirs = a_broker_order(
        order.request, filled_qty=qty(shares), filled_avg_price=None if average is None else price(average)
    )
    facts = corrections.judged(order, theirs, word="trade_bust", stamp=NOON, at=NOON, **more)
    assert facts is not None
    return facts


@pytest.mark.parametrize(
    ("side", "shares", "average", "house_qty", "house_cash"),
    [
        (Side.BUY, "6", "100", "-4", "400"),  # four of ten undone
        (Side.BUY, "0", None, "-10", "1000"),  # all of it
        (Side.SELL, "0", None, "10", "-1000"),
        (Side.BUY, "10", "100.5", "0", "-5"),  # another price
        (Side.SELL, "10", "100.5", "0", "5"),
        (Side.BUY, "6", "100.123456789", "-4", "399.259259"),  # the broker's average is rounded
    ],
)
def test_the_house_bears_the_difference_of_the_totals(
    side: Side, shares: str, average: str | None, house_qty: str, house_cash: str
) -> None:
    """Shares and cash, with the sign of the order."""
    order = filled(side=side)
    corrected, taken = judge(order, shares, average)
    assert isinstance(corrected, ev.FillCorrected)
    assert isinstance(taken, ev.HouseAdjusted)
    assert (taken.symbol, taken.qty, taken.cash) == (AAPL, qty(house_qty), cash(house_cash))
    assert (taken.cause, taken.client_order_id) == (HouseCause.TRADE_BUST, "alice-1")
    after = corrections.apply(order, corrected)
    assert (after.filled_qty, after.filled_notional) == (order.filled_qty, order.filled_notional)
    assert after.counted_qty == qty(shares)
    assert judge(after, shares, average) == [], "told twice, it is booked once"


@pytest.mark.parametrize(
    ("shares", "average"),
    [("10", "100"), ("10", "100.0000000004"), ("10", "100.0004")],
)
def test_totals_that_are_ours_are_no_correction(shares: str, average: str) -> None:
    """A fraction of a cent is the rounding of the average."""
    assert judge(filled(), shares, average) == []


def test_totals_that_are_more_lack_a_fill() -> None:
    """What is missing comes first; then the correction can be told from it."""
    order = filled()
    theirs = a_broker_order(order.request, filled_qty=qty(12), filled_avg_price=price(100))
    assert corrections.judged(order, theirs, word="trade_bust", stamp=NOON, at=NOON) is None


def test_fills_found_with_it_count_as_booked() -> None:
    """A fill that was missed, and busted before anybody heard of it: both are told."""
    order = replace(filled("6"), filled_notional=cash(600))
    facts = judge(order, "6", "100", found_qty=qty(4), found_notional=cash(400))
    assert isinstance(facts[0], ev.FillCorrected)
    assert (facts[0].qty, facts[0].notional) == (qty(-4), cash(-400))


def test_after_a_bust_the_same_count_is_another_fill() -> None:
    """Four filled, four busted, four filled again: the broker counts to four twice."""
    order = replace(filled("4"), status=OrderStatus.PARTIALLY_FILLED, filled_notional=cash(400))
    (corrected, _) = judge(order, "0", None)
    assert isinstance(corrected, ev.FillCorrected)
    order = corrections.apply(order, corrected)
    theirs = a_broker_order(order.request, filled_qty=qty(4))
    first = a_fill(theirs, 4, cumulative=4)
    second = replace(first, at=NOON.replace(hour=18))
    assert order.identity(first) == "b-alice-1:4"
    assert order.identity(second) == "b-alice-1:8"
    assert order.leaves_qty == 10
    assert order.counted_notional == NO_CASH
