"""How large an order, a position, and a share of the whole may be."""

from decimal import Decimal
from typing import Any

import pytest

from deskd.core import gate
from deskd.core.checks import Denied, Valued
from deskd.domain.limits import Bounds
from deskd.domain.order import Side
from deskd.domain.reasons import DenialReason
from tests.core.test_checks import a_sale, evidence
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


@pytest.mark.parametrize(
    ("bounds", "figures", "said"),
    [
        (
            Bounds(position_qty_max=qty(25)),
            {"others_qty": qty(16)},
            "position_qty_after=26 position_qty_max=25 scope=member: ask for at most 9 shares",
        ),
        (
            Bounds(position_notional_max=cash(2_500)),
            {"others_qty": qty(16)},
            "position_notional_after=2652.00 position_notional_max=2500.00 scope=member: ask for at most 8 shares",
        ),
        (
            Bounds(position_share_max=Decimal("0.25")),
            {"others_qty": qty(16), "equity": cash(10_000)},
            (
                "position_notional_after=2652.00 equity=10000.00 position_share_max=0.25 scope=member: "
                "ask for at most 8 shares"
            ),
        ),
    ],
)
def test_what_a_member_holds_of_a_symbol_is_one_position(bounds: Bounds, figures: dict[str, Any], said: str) -> None:
    """A second strategy is no second position, to the share; one that closes passes."""
    denied = gate.judge(evidence(member=(bounds, figures))).answer
    assert isinstance(denied, Denied)
    assert denied.message == said
    shares = qty(said.rsplit(" ", 2)[1])
    assert isinstance(gate.judge(evidence(request=a_request(qty=shares), member=(bounds, figures))).answer, Valued)
    more = a_request(qty=qty(int(shares) + 1))
    assert isinstance(gate.judge(evidence(request=more, member=(bounds, figures))).answer, Denied)
    out = evidence(request=a_sale(), position_qty=qty(10), member=(bounds, figures))
    assert isinstance(gate.judge(out).answer, Valued)


def test_who_has_shorts_off_is_said() -> None:
    """A member sees whom to ask: the desk, or the officers for him alone."""
    for origins, who in (
        ({}, "shorts are off on this desk"),
        ({"allow_short": " scope=member"}, "shorts are off (allow_short=false scope=member)"),
    ):
        denied = gate.judge(evidence(request=a_sale(), limits=some_limits(origins=origins))).answer
        assert isinstance(denied, Denied)
        assert denied.message.endswith(f"{who}; sell at most what is free")


@pytest.mark.parametrize(
    ("sale", "held", "is_good"),
    [
        ({"qty": qty(5)}, "0", True),
        ({"qty": qty("5.5")}, "0", False),
        ({"qty": None, "notional": cash(500)}, "0", False),
        ({"qty": qty(5)}, "0.5", False),  # four and a half would be short
        ({"qty": qty("5.5")}, "0.5", False),  # one order for both sides of zero
        ({"qty": qty("0.5")}, "0.5", True),
        ({"qty": None, "notional": cash(500)}, "5", False),  # if the price falls, it is for more than is held
        ({"qty": None, "notional": cash(500)}, "6", True),
        ({"qty": qty(5)}, "-3", True),
    ],
)
def test_no_part_of_a_share_is_sold_short(sale: dict[str, Any], held: str, *, is_good: bool) -> None:
    """Whoever else is long: the part of a share that he holds could not be closed any more."""
    given = evidence(
        request=a_request(side=Side.SELL, **sale), position_qty=qty(held), limits=some_limits(is_short_allowed=True)
    )
    answer = gate.judge(given).answer
    assert isinstance(answer, Valued) is is_good
    if isinstance(answer, Denied):
        assert answer.reason is DenialReason.SHORT_NOT_ALLOWED
        assert answer.message.endswith("whole shares are sold short only, by their number; sell at most what is free")
