"""Money, exposure, losses, day trades: what opens is stopped, what closes passes."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from deskd.core import gate
from deskd.core.checks import Denied, Valued
from deskd.domain.limits import Bounds, DayTradeRule
from deskd.domain.reasons import DenialReason as R
from deskd.domain.schedule import Schedule
from tests.core.test_checks import a_sale, evidence
from tests.factories import AAPL, NOON, SPY, a_limit_request, a_request, cash, price, qty, some_limits

LOST: list[tuple[R, dict[str, Any]]] = [
    (R.DAILY_LOSS_MAX, {"limits": some_limits(daily_loss_max=cash(500)), "day_pnl": cash(-501)}),
    (R.DRAWDOWN_MAX, {"limits": some_limits(drawdown_max=Decimal("0.1")), "equity": cash(8_000)}),
    (R.GROSS_EXPOSURE_MAX, {"limits": some_limits(gross_exposure_max=Decimal("0.1")), "longs": cash(1_001)}),
    (R.NET_EXPOSURE_MAX, {"limits": some_limits(net_exposure_max=Decimal("0.1")), "longs": cash(1_001)}),
    (
        R.DAY_TRADES_MAX,
        {"limits": some_limits(day_trade_rule=DayTradeRule.ENFORCE), "day_trades": 9, "account_equity": cash(1)},
    ),
    (R.POSITION_SHARE_MAX, {"limits": some_limits(position_share_max=Decimal("0.01"))}),
    (R.CONCENTRATION_MAX, {"limits": some_limits(concentration_max=Decimal("0.001")), "symbol_value": cash(1_000)}),
    (R.POSITION_QTY_MAX, {"limits": some_limits(position_qty_max=qty(1))}),
    (R.POSITION_NOTIONAL_MAX, {"limits": some_limits(position_notional_max=cash(1))}),
    (R.ORDERS_PER_DAY_MAX, {"orders_today": 500}),
    (R.OPEN_ORDERS_MAX, {"open_orders": 20}),
    (R.OPEN_ORDERS_MAX, {"member": (Bounds(open_orders_max=1), {"open_orders": 1})}),
    (R.ORDER_QTY_MAX, {"limits": some_limits(order_qty_max=qty(1))}),
    (R.ORDER_NOTIONAL_MAX, {"limits": some_limits(order_notional_max=cash(1))}),
    (R.SYMBOL_NOT_ALLOWED, {"limits": some_limits(symbols=frozenset({SPY}))}),
    (R.SYMBOL_DENIED, {"limits": some_limits(denied_symbols=frozenset({AAPL}))}),
    (R.SYMBOL_DENIED, {"limits": some_limits(desk_symbols=frozenset({SPY}))}),
    (R.STOP_COOLDOWN, {"limits": some_limits(stop_cooldown=timedelta(minutes=1)), "last_stop_at": NOON}),
    (R.OUTSIDE_HOURS, {"schedule": Schedule(closes_min=60)}),
    (R.CLOSING_SOON, {"schedule": Schedule(no_new_before_close=timedelta(minutes=1))}),
]


@pytest.mark.parametrize(("reason", "case"), LOST, ids=[f"{n}-{reason}" for n, (reason, _) in enumerate(LOST)])
def test_what_only_closes_passes_every_limit_that_exists_to_stop_opening(reason: R, case: dict[str, Any]) -> None:
    """A strategy that has lost too much can always get out, of a long and of a short."""
    opening = gate.judge(evidence(**case)).answer
    assert isinstance(opening, Denied)
    assert opening.reason is reason
    out = gate.judge(evidence(request=a_sale(), position_qty=qty(10), **case)).answer
    assert isinstance(out, Valued)
    covering = {"position_qty": qty(-10), "margin_per_share": price(150)}
    assert isinstance(gate.judge(evidence(request=a_limit_request("100"), **covering, **case)).answer, Valued)


def test_a_limit_of_a_wider_scope_names_its_scope() -> None:
    """A member sees that it is his other strategy that lost the money, or the desk."""
    loss = {"day_pnl": cash(-900)}
    bounds = Bounds(daily_loss_max=cash(800))
    for scope in ("member", "desk"):
        denied = gate.judge(evidence(**{scope: (bounds, loss)})).answer
        assert isinstance(denied, Denied)
        assert denied.message.startswith(f"day_pnl=-900.00 daily_loss_max=800.00 scope={scope}: ")


def test_the_first_scope_that_is_over_says_no() -> None:
    """The strategy's own bound comes first; where it holds, a member's and the desk's are still looked at."""
    own = some_limits(daily_loss_max=cash(500))
    wider = {"member": (Bounds(daily_loss_max=cash(1)), {"day_pnl": cash(-2)})}
    both = gate.judge(evidence(limits=own, day_pnl=cash(-500), **wider)).answer
    assert isinstance(both, Denied)
    assert "scope=" not in both.message
    only = gate.judge(evidence(limits=own, day_pnl=cash(-499), **wider)).answer
    assert isinstance(only, Denied)
    assert "scope=member" in only.message


def test_the_day_trade_rule_warns_or_is_off() -> None:
    """It is gone from the exchanges' rules: a club that wants to learn by it can be warned, or held to it."""
    case: dict[str, Any] = {"day_trades": 3, "account_equity": cash(24_999)}
    for rule in (DayTradeRule.OFF, DayTradeRule.WARN):
        verdict = gate.judge(evidence(limits=some_limits(day_trade_rule=rule), **case))
        assert isinstance(verdict.answer, Valued)
        (found,) = (one for one in verdict.checks if one.name == "day_trades_are_few")
        assert ("warning" in found.figure) is (rule is DayTradeRule.WARN)
        assert found.limit.endswith(f"pattern_day_trader={rule}")
    rich = case | {"account_equity": cash(25_000), "limits": some_limits(day_trade_rule=DayTradeRule.ENFORCE)}
    assert isinstance(gate.judge(evidence(**rich)).answer, Valued)


def test_open_orders_of_the_other_side_are_not_taken_for_cover() -> None:
    """Net exposure is what may come: a resting sale that may never fill makes no room for a purchase."""
    limits = some_limits(net_exposure_max=Decimal("0.1"))
    assert isinstance(gate.judge(evidence(limits=limits, selling=cash(9_000))).answer, Denied)
    assert isinstance(gate.judge(evidence(limits=limits, shorts=cash(9_000))).answer, Valued)


def test_what_a_remedy_names_passes() -> None:
    """Exposure's remedy is exact."""
    case: dict[str, Any] = {"limits": some_limits(gross_exposure_max=Decimal("0.95")), "longs": cash(9_000)}
    denied = gate.judge(evidence(**case)).answer
    assert isinstance(denied, Denied)
    assert denied.message.endswith("ask for at most 4 shares")
    assert isinstance(gate.judge(evidence(request=a_request(qty=qty(4)), **case)).answer, Valued)


def test_no_order_spends_what_the_account_does_not_have() -> None:
    """Strategies can be promised more than there is: the broker is not asked, and the text says whose bound it is."""
    denied = gate.judge(evidence(account_free=cash(500))).answer
    assert isinstance(denied, Denied)
    assert denied.reason is R.BUYING_POWER
    assert denied.message == (
        "needed=1020.00 buying_power=500.00 scope=desk: ask for at most 4 shares; "
        "strategies were promised more than the account has: ask an officer for a smaller allocation, or wait"
    )
    own = gate.judge(evidence(account_free=cash(500), buying_power=cash(400))).answer
    assert isinstance(own, Denied)
    assert "buying_power=400.00:" in own.message
    assert isinstance(gate.judge(evidence(account_free=cash(1_020))).answer, Valued)
    assert isinstance(
        gate.judge(evidence(request=a_sale(), position_qty=qty(10), account_free=cash(-5))).answer, Valued
    )
