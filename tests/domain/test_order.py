"""An order's own arithmetic, and the one name of an execution."""

from dataclasses import replace
from decimal import Decimal

import pytest

from deskd.domain.ids import BrokerOrderId
from deskd.domain.order import Order, OrderStatus, Side, fill_id
from tests.factories import NOON, a_request, cash, qty

ORDER = Order(request=a_request(), status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON)


def test_sides_have_signs() -> None:
    """A buy adds, a sell takes away."""
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)


def test_an_order_is_open_until_it_is_final() -> None:
    """Five states may still fill."""
    still_open = {status for status in OrderStatus if status.is_open}
    assert still_open == {
        OrderStatus.SUBMITTED,
        OrderStatus.ACCEPTED,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.PENDING_CANCEL,
        OrderStatus.PENDING_REPLACE,
    }


def test_an_order_is_in_doubt_until_the_broker_answers() -> None:
    """A cancel that is wanted before the broker has answered changes nothing about that."""
    submitted = replace(ORDER, status=OrderStatus.SUBMITTED)
    wanted_gone = replace(ORDER, status=OrderStatus.PENDING_CANCEL)
    assert submitted.is_in_doubt
    assert wanted_gone.is_in_doubt
    assert not replace(wanted_gone, broker_order_id=BrokerOrderId("b-1")).is_in_doubt
    assert not ORDER.is_in_doubt


def test_what_is_left_and_what_was_paid() -> None:
    """Before a fill there is no price; of a notional order only the broker knows what is left."""
    assert ORDER.leaves_qty == 10
    assert ORDER.avg_fill_price is None
    partly = replace(ORDER, filled_qty=qty(4), filled_notional=cash(402))
    assert partly.leaves_qty == 6
    assert partly.avg_fill_price == Decimal("100.5")
    assert replace(ORDER, request=a_request(qty=None, notional=cash(5))).leaves_qty is None


@pytest.mark.parametrize("written", ["10", "10.0", "1E+1", "10.000000000"])
def test_an_execution_has_one_name_however_its_figure_is_written(written: str) -> None:
    """The stream and the list of activities write the same quantity differently."""
    assert fill_id(BrokerOrderId("b"), qty(written)) == "b:10"
