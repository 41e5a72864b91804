"""How large an order, a position, and a share of the whole may be."""

from decimal import Decimal

from deskd.core import gate
from deskd.core.checks import Denied, Valued
from tests.core.test_checks import evidence
from tests.factories import a_request, cash, qty, some_limits


def test_a_position_is_a_share_of_what_the_strategy_is_worth_now() -> None:
    """Who has lost may hold less: the bound falls with the equity."""
    limits = some_limits(position_share_max=Decimal("0.2"))
    nineteen = {"limits": limits, "request": a_request(qty=qty(19))}  # 1,938 at worst
    assert isinstance(gate.judge(evidence(**nineteen)).answer, Valued)
    poorer = gate.judge(evidence(**nineteen, equity=cash(9_000))).answer
    assert isinstance(poorer, Denied)
    assert poorer.message.endswith("ask for at most 17 shares")
    assert isinstance(gate.judge(evidence(**nineteen, equity=cash(-1))).answer, Denied)


def test_what_others_hold_and_may_get_counts_for_the_concentration() -> None:
    """Twenty strategies in one symbol are one risk of the account."""
    limits = some_limits(concentration_max=Decimal("0.1"))
    room = {"limits": limits, "account_equity": cash(20_000), "symbol_value": cash(980)}
    assert isinstance(gate.judge(evidence(**room)).answer, Valued)  # 2,000 at worst
    waiting = gate.judge(evidence(**room, symbol_opening_qty=qty(1))).answer
    assert isinstance(waiting, Denied)
    assert waiting.message.endswith("ask for at most 9 shares")


def test_a_bound_that_a_wider_scope_made_tighter_says_so() -> None:
    """A member sees whom to ask."""
    limits = some_limits(order_notional_max=cash(10), origins={"order_notional_max": " scope=desk"})
    denied = gate.judge(evidence(limits=limits)).answer
    assert isinstance(denied, Denied)
    assert "order_notional_max=10.00 scope=desk" in denied.message
