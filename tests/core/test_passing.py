"""The desk closes past others' orders that are far from the market, and never meets one."""

from typing import Any

import pytest

from deskd.core import passing
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.passing import Way
from deskd.domain.exits import ExitKind, ExitRules
from deskd.domain.money import Price, Qty
from deskd.domain.order import OrderClass, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.domain.reasons import CONFLICTS, DenialReason
from tests.core.test_exits import seen, sent
from tests.core.test_line import a_patient_desk, canceled, limit, ours, theirs
from tests.core.test_precedence import a_desk_of_three, carols, rest
from tests.factories import AAPL, ALICE, filled, price, qty, requested

FREE, BLOCKED = Way(is_free=True), Way(is_free=False)


def to_sell(desk: Desk, at: str = "100") -> Way:
    return passing.way(desk, AAPL, Side.SELL, price(at))


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], FREE),
        ([{"side": Side.SELL, **limit("101")}], FREE),  # on the same side nothing meets
        ([limit("90")], Way(is_free=True, limit_price=price("90.01"))),
        ([limit("90"), limit("95.50")], Way(is_free=True, limit_price=price("95.51"))),
        ([limit("98.99")], Way(is_free=True, limit_price=price("99.00"))),
        ([limit("99")], BLOCKED),  # nearer than a percent: it might not trade
        ([limit("90"), {}], BLOCKED),  # an order at the market meets everything
        ([limit("0.50")], Way(is_free=True, limit_price=price("0.5001"))),
    ],
)
def test_a_limit_keeps_clear_of_all_that_stands_against_it(others: list[dict[str, Any]], expected: Way) -> None:
    """A tick short of the nearest, and only where the market is far enough from there that it trades."""
    desk = a_patient_desk()
    for number, fields in enumerate(others):
        rest(desk, theirs(str(number), qty=qty(1), **fields))
    assert to_sell(desk) == expected


def test_to_buy_it_lies_under_what_others_ask() -> None:
    """The same, the other way round."""
    desk = a_patient_desk()
    rest(desk, theirs("1", side=Side.SELL, **limit("120")))
    assert passing.way(desk, AAPL, Side.BUY, price(100)) == Way(is_free=True, limit_price=price("119.99"))


def test_what_waits_and_what_the_rule_spares_is_not_in_its_way() -> None:
    """An order that waits is not at the broker; brackets may stand against anything."""
    desk = a_desk_of_three()
    rest(desk, theirs("sells", side=Side.SELL, **limit("101")))
    handle(desk, requested(carols("waits")))
    bracket = {
        "order_class": OrderClass.BRACKET,
        "take_profit": TakeProfit(limit_price=price(120)),
        "stop_loss": StopLoss(stop_price=price(80)),
    }
    handle(desk, requested(theirs("bracket", qty=qty(1), **limit("99"), **bracket)))
    assert to_sell(desk) == FREE


def test_a_flat_account_opens_one_way_only() -> None:
    """Alice is long and bob as short: whoever closes opens for the account, and no price helps."""
    desk = a_patient_desk()
    short = ours("shorts", side=Side.SELL, qty=qty(100))
    handle(desk, requested(short))
    handle(desk, filled(short, 100))
    assert desk.portfolio.total_qty(AAPL) == 0
    rest(desk, theirs("buys", qty=qty(1), **limit("90")))
    assert to_sell(desk) == BLOCKED


@pytest.mark.parametrize(("held", "asked", "expected"), [(5, "8", "5"), (5, "2.5", "2"), (5, "0.5", None)])
def test_it_is_for_whole_shares_that_the_account_has(held: int, asked: str, expected: str | None) -> None:
    """No fraction may be for at once, and no order crosses zero: the rest is due again."""
    desk = a_patient_desk()
    less = ours("less", side=Side.SELL, qty=qty(100 - held))
    handle(desk, requested(less))
    handle(desk, filled(less, 100 - held))
    request = passing.limited(desk, ours("closes", side=Side.SELL, qty=qty(asked)), price(90))
    if expected is None:
        assert request is None
        return
    assert request is not None
    assert (request.qty, request.order_type, request.time_in_force) == (qty(expected), OrderType.LIMIT, TimeInForce.IOC)


# --- exits ---------------------------------------------------------------------------------------------------------------


def a_protected_desk() -> Desk:
    """Return a desk on which alice's 50 shares have a stop-loss two percent under 100."""
    desk = a_patient_desk()
    desk.exit_rules[ALICE] = ExitRules(stop_loss_pct=Qty(qty(2)))
    return desk


def test_a_stop_loss_fires_past_anothers_far_bid() -> None:
    """Before, it was denied as a wash trade for as long as the bid rested."""
    desk = a_protected_desk()
    rest(desk, theirs("hopes", **limit("80")))
    [request] = sent(handle(desk, seen("97")))
    assert (request.exit, request.side, request.qty) == (ExitKind.STOP_LOSS, Side.SELL, qty(50))
    assert (request.limit_price, request.time_in_force) == (price("80.01"), TimeInForce.IOC)
    handle(desk, filled(request, 50, at_price="97"))
    assert desk.portfolio.qty(ALICE, AAPL) == 0
    assert desk.exits.running == {}


def test_an_exit_goes_soon_after_what_was_in_its_way_is_gone() -> None:
    """Denied again and again it waits for minutes; not when its way is free."""
    desk = a_protected_desk()
    near = rest(desk, theirs("near", **limit("96.90")))
    for second in (0, 5, 15, 35):
        assert sent(handle(desk, seen("97", after=second))) == []
    latest = desk.orders[next(reversed(desk.denied_ids[ALICE]))]
    assert (latest.reason, latest.request.exit) == (DenialReason.CONFLICT_WASH, ExitKind.STOP_LOSS)
    assert latest.reason in CONFLICTS
    assert handle(desk, seen("97", after=39)) == [], "the next in 40 seconds"
    handle(desk, canceled(near))
    [request] = sent(handle(desk, seen("97", after=40)))
    assert request.order_type is OrderType.MARKET


def test_prices_are_of_the_market() -> None:
    """Which never has a price of zero or less: nothing is asked for at one."""
    desk = a_patient_desk()
    rest(desk, theirs("sells", side=Side.SELL, qty=qty(1), **limit("0.0001")))
    assert passing.way(desk, AAPL, Side.BUY, Price(qty(0))) == BLOCKED
