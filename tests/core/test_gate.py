"""The gate: every check, in its order, and an order's worst value."""

import inspect

import pytest

from deskd.core import checks, gate
from deskd.core.checks import Denied, Valued
from deskd.domain.order import OrderType, Side
from deskd.domain.reasons import DenialReason as R
from deskd.domain.run import StrategyStatus
from tests.core.test_checks import a_sale, evidence
from tests.factories import a_limit_request, a_quote, a_request, cash, price, qty


def test_no_check_is_forgotten() -> None:
    """A rule that is written is a rule that every order passes."""
    written: set[object] = {
        function
        for name, function in inspect.getmembers(checks, inspect.isfunction)
        if function.__module__ == checks.__name__ and inspect.signature(function).return_annotation == Denied | None
    }
    assert written == {*gate.CHECKS, *gate.VALUE_CHECKS}
    assert len(gate.CHECKS) + len(gate.VALUE_CHECKS) == len(written)


def test_the_first_no_is_the_answer() -> None:
    """A paused strategy is told that, and not that its quote is missing."""
    denied = gate.judge(evidence(status=StrategyStatus.PAUSED, quote=None, instrument=None))
    assert isinstance(denied, Denied)
    assert denied.reason is R.STRATEGY_NOT_ACTIVE


@pytest.mark.parametrize(
    ("request_", "worst"),
    [
        (a_request(), "102"),  # the far side, and two percent
        (a_limit_request("90"), "90"),
        (a_request(order_type=OrderType.STOP, stop_price=price(110)), "114.4"),  # Alpaca's own collar
        (a_request(order_type=OrderType.TRAILING_STOP, trail_price=price(3)), "105"),
        (a_request(order_type=OrderType.TRAILING_STOP, trail_percent=price(5)), "107"),
        (a_sale(), "99.99"),
        (a_sale(order_type=OrderType.LIMIT, limit_price=price(120)), "120"),
        (a_sale(order_type=OrderType.LIMIT, limit_price=price(50)), "99.99"),
    ],
)
def test_an_order_is_valued_at_the_worst_price_that_the_quote_allows(request_: object, worst: str) -> None:
    """What may be paid, or must be covered, is provided for."""
    assert gate.worst_price(request_, a_quote()) == price(worst)  # type: ignore[arg-type]


def test_money_is_valued_in_the_most_shares_that_it_may_come_to() -> None:
    """A bought share may cost no more than the ask; a sold one may bring two percent less than the bid."""
    bought = gate.value(a_request(qty=None, notional=cash(1000)), a_quote(), position_free=qty(0))
    sold = gate.value(a_sale(qty=None, notional=cash(1000)), a_quote(bid_price=price(50)), position_free=qty(15))
    assert (bought.qty, bought.notional) == (qty(10), cash(1000))
    assert qty("20.4") < sold.qty < qty("20.5")
    assert (sold.closing_qty, sold.opening_qty) == (qty(15), sold.qty - 15)


def test_covering_a_short_takes_what_it_costs_over_its_margin() -> None:
    """The margin of each share that is bought back is set free; what opens is paid in full."""
    short = {"position_qty": qty(-10), "margin_per_share": price(150), "buying_power": cash(0)}
    covering = gate.judge(evidence(request=a_limit_request("100"), **short))
    assert isinstance(covering, Valued)
    dear = gate.judge(evidence(request=a_limit_request("151"), **short))
    assert isinstance(dear, Denied)
    assert dear.message.startswith("needed=10.00 buying_power=0.00")
    assert evidence().request.side is Side.BUY
