"""The gate: every check, in its order, and an order's worst value."""

import inspect
import re
from dataclasses import replace
from typing import Any

import pytest

from deskd.core import gate, schedule
from deskd.core.checks import Denied, Finding, Valued, account, form, killed, market, pace, size
from deskd.domain.order import OrderType, Side
from deskd.domain.reasons import DenialReason as R
from deskd.domain.run import StrategyStatus
from tests.core.test_checks import a_sale, evidence
from tests.factories import a_limit_request, a_quote, a_request, cash, price, qty, some_limits


def test_no_check_is_forgotten() -> None:
    """A rule that is written is a rule that every order passes."""
    written: set[object] = {
        function
        for family in (account, form, killed, market, pace, size, schedule)
        for _, function in inspect.getmembers(family, inspect.isfunction)
        if function.__module__ == family.__name__ and inspect.signature(function).return_annotation is Finding
    }
    assert written == {*gate.CHECKS, *gate.VALUE_CHECKS, *gate.CLOSING_VALUE_CHECKS}
    assert len(gate.CHECKS) + len(gate.VALUE_CHECKS) + len(gate.CLOSING_VALUE_CHECKS) == len(written)
    assert set(gate.CLOSING_CHECKS) <= set(gate.CHECKS)


def test_the_first_no_is_the_answer() -> None:
    """A paused strategy is told that, and not that its quote is missing."""
    denied = gate.judge(evidence(status=StrategyStatus.PAUSED, quote=None, instrument=None)).answer
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
    bought = gate.sized(a_request(qty=None, notional=cash(1000)), a_quote())
    sold = gate.sized(a_sale(qty=None, notional=cash(1000)), a_quote(bid_price=price(50)))
    assert (bought.qty, bought.notional) == (qty(10), cash(1000))
    assert qty("20.4") < sold.qty < qty("20.5")


def test_what_closes_and_what_opens_is_told_apart_once_for_all_checks() -> None:
    """A sale of more than is held opens the rest; what the strategy would hold then counts open orders."""
    sale = evidence(request=a_sale(qty=qty(20)), position_qty=qty(15), opening_qty=qty(2))
    v = gate.valued_at(sale, a_quote(bid_price=price(50)))
    assert (v.closing_qty, v.opening_qty, v.opening_worth) == (qty(15), qty(5), cash(250))
    assert (v.position_after, v.position_worth) == (qty(7), cash(350))
    assert v.opens


def test_covering_a_short_takes_what_it_costs_over_its_margin() -> None:
    """The margin of each share that is bought back is set free; what opens is paid in full."""
    short = {"position_qty": qty(-10), "margin_per_share": price(150), "buying_power": cash(0)}
    covering = gate.judge(evidence(request=a_limit_request("100"), **short)).answer
    assert isinstance(covering, Valued)
    dear = gate.judge(evidence(request=a_limit_request("151"), **short)).answer
    assert isinstance(dear, Denied)
    assert dear.message.startswith("needed=10.00 buying_power=0.00")
    assert evidence().request.side is Side.BUY


def test_what_each_check_found_is_kept() -> None:
    """An order can be explained years later: every check in its order, its figure and its limit."""
    verdict = gate.judge(evidence())
    assert [c.name for c in verdict.checks] == [c.__name__ for c in (*gate.CHECKS, *gate.VALUE_CHECKS)]
    kept = {c.name: (c.figure, c.limit) for c in verdict.checks}
    assert kept["open_orders_are_few"] == ("open_orders=0", "open_orders_max=20")
    assert kept["order_notional_is_small"] == ("notional=1020.00", "order_notional_max=5000.00")
    assert all("=" in c.figure for c in verdict.checks)


@pytest.mark.parametrize("case", [{"status": StrategyStatus.PAUSED}, {"quote": None}, {"buying_power": cash(1)}])
def test_a_denial_keeps_what_passed_and_last_what_said_no(case: dict[str, Any]) -> None:
    """What comes after the first no was not looked at, and nothing is claimed of it."""
    verdict = gate.judge(evidence(**case))
    assert isinstance(verdict.answer, Denied)
    names = [c.__name__ for c in (*gate.CHECKS, *gate.VALUE_CHECKS)]
    assert [c.name for c in verdict.checks] == names[: len(verdict.checks)]
    assert verdict.answer.message.startswith(verdict.checks[-1].figure)


@pytest.mark.parametrize(
    "case",
    [
        {"request": a_request(qty=qty(50))},
        {"request": a_limit_request("33.33", qty=qty(500))},
        {"limits": some_limits(position_qty_max=qty(15)), "position_qty": qty(6)},
        {"position_qty": qty(40)},
        {"position_qty": qty(7), "opening_qty": qty(33)},
        {"buying_power": cash(1_000)},
        {"request": a_sale(qty=qty(60)), "limits": some_limits(is_short_allowed=True)},
    ],
)
def test_what_a_remedy_names_passes_and_one_share_more_does_not(case: dict[str, Any]) -> None:
    """A student who asks for what the desk says may be asked for gets it."""
    denied = gate.judge(evidence(**case)).answer
    assert isinstance(denied, Denied)
    found = re.search(r"ask for at most (\d+) shares?", denied.message)
    assert found is not None, denied.message
    request = evidence(**case).request
    for more, expected in ((0, Valued), (1, Denied)):
        asked = replace(request, qty=qty(int(found[1]) + more))
        assert isinstance(gate.judge(evidence(**case | {"request": asked})).answer, expected)


def test_a_remedy_never_names_less_than_a_share_or_a_dollar() -> None:
    """Where there is no room at all, the text says that."""
    full = gate.judge(evidence(position_qty=qty(50), limits=some_limits(position_qty_max=qty(50)))).answer
    poor = gate.judge(evidence(request=a_request(qty=None, notional=cash(9)), buying_power=cash("0.5"))).answer
    some = gate.judge(evidence(request=a_request(qty=None, notional=cash(9)), buying_power=cash("4.5"))).answer
    assert isinstance(full, Denied)
    assert isinstance(poor, Denied)
    assert isinstance(some, Denied)
    assert full.message.endswith("there is no room for a share")
    assert poor.message.endswith("wait until there is room, or cancel open orders")
    assert some.message.endswith("ask for at most $4.50, or cancel open orders")
