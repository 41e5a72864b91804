"""An order that the broker would refuse because of another order is stopped at home, and its author is told why."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deskd.core import lane
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.reconcile import ANSWER_MAX
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.domain.reasons import DenialReason as R
from tests.factories import (
    BOB,
    DAY,
    MONDAY,
    a_broker_order,
    a_desk,
    a_quote,
    a_request,
    accepted,
    cash,
    filled,
    price,
    qty,
    requested,
    some_limits,
    updated,
)


def desk_with_shorts() -> Desk:
    return a_desk(limits=some_limits(is_short_allowed=True), allocation="50000")


def ours(name: str, **overrides: Any) -> OrderRequest:
    return a_request(client_order_id=ClientOrderId(f"alice-{name}"), **overrides)


def theirs(name: str, **overrides: Any) -> OrderRequest:
    return a_request(strategy_id=BOB, client_order_id=ClientOrderId(f"bob-{name}"), **overrides)


def limit(at: str) -> dict[str, Any]:
    return {"order_type": OrderType.LIMIT, "limit_price": price(at)}


def ask(desk: Desk, request: OrderRequest, **overrides: Any) -> ev.OrderDenied | None:
    """Ask for the order; return the denial, if it is one."""
    effects = handle(desk, requested(request, **overrides))
    denials = [e.fact for e in effects if isinstance(e, ef.Record) and isinstance(e.fact, ev.OrderDenied)]
    assert denials or any(isinstance(e, ef.Submit) for e in effects)
    return denials[0] if denials else None


def reason(desk: Desk, request: OrderRequest, **overrides: Any) -> str | None:
    denied = ask(desk, request, **overrides)
    return None if denied is None else denied.reason


def hold(desk: Desk, request: OrderRequest) -> None:
    """Have the order filled whole."""
    assert ask(desk, request) is None
    handle(desk, filled(request, str(request.qty)))


def test_a_wash_trade_with_another_strategy_is_denied() -> None:
    """Bob's resting buy is in the way of alice's sale, in doubt, acknowledged and being canceled; then it is not."""
    desk = desk_with_shorts()
    hold(desk, ours("1", qty=qty(20)))
    resting = theirs("1", **limit("99"))
    assert ask(desk, resting) is None
    assert reason(desk, ours("2", side=Side.SELL)) == R.CONFLICT_WASH
    handle(desk, accepted(resting))
    assert reason(desk, ours("3", side=Side.SELL, **limit("99"))) == R.CONFLICT_WASH
    handle(desk, ev.CancelRequested(client_order_id=resting.client_order_id, by="bob", at=requested().at))
    assert reason(desk, ours("4", side=Side.SELL, **limit("99"))) == R.CONFLICT_WASH
    assert ask(desk, ours("5", side=Side.SELL, **limit("99.01"))) is None
    handle(desk, updated(a_broker_order(resting, status=ev.BrokerStatus.CANCELED), "canceled"))
    assert ask(desk, ours("6", side=Side.SELL)) is None


def test_the_denial_names_nobody_else_and_says_what_to_do() -> None:
    """A member learns the kind of what is in the way; an officer finds the order in the fact."""
    desk = desk_with_shorts()
    hold(desk, ours("1"))
    assert ask(desk, theirs("1", **limit("98.76"))) is None
    denied = ask(desk, ours("2", side=Side.SELL))
    assert denied is not None
    assert denied.in_the_way == (ClientOrderId("bob-1"),)
    assert "orders of other strategies: buy limit" in denied.message
    assert "wait until that order has ended" in denied.message
    assert "bob" not in denied.message
    assert "98.76" not in denied.message
    assert denied.checks[-1].name == lane.CHECK


def test_what_only_opens_closes_nothing_of_others() -> None:
    """The account is short because of bob: a bracket of alice's would close, which the broker takes for a mistake."""
    desk = desk_with_shorts()
    hold(desk, theirs("1", side=Side.SELL))
    legs = {"take_profit": TakeProfit(limit_price=price(110)), "stop_loss": StopLoss(stop_price=price(90))}
    assert reason(desk, ours("1", order_class=OrderClass.BRACKET, **legs)) == R.CONFLICT_POSITION
    hold(desk, ours("2", qty=qty("0.5")))
    assert reason(desk, ours("3", side=Side.SELL, qty=qty("0.5"))) == R.CONFLICT_POSITION


def test_a_buy_for_money_may_come_to_more_shares() -> None:
    """The price may fall until it arrives: what closes a short of ten is worth less than ten shares of today."""
    desk = desk_with_shorts()
    hold(desk, ours("1", side=Side.SELL))
    assert reason(desk, ours("2", qty=None, notional=price(990))) == R.CONFLICT_ZERO
    assert ask(desk, ours("3", qty=None, notional=price(970))) is None


def test_an_own_order_in_the_way_is_named() -> None:
    """Whoever stands in his own way can cancel, and is told what."""
    desk = desk_with_shorts()
    hold(desk, ours("1"))
    assert ask(desk, ours("2", **limit("98"))) is None
    denied = ask(desk, ours("3", side=Side.SELL))
    assert denied is not None
    assert denied.reason == R.CONFLICT_WASH
    assert "your own order alice-2" in denied.message
    assert "cancel your own order first" in denied.message


def test_shares_that_open_sales_hold_are_not_sold_twice() -> None:
    """Bob's book is short, so the account has less than alice: what both want to sell is more than there is."""
    desk = desk_with_shorts()
    hold(desk, ours("1", qty=qty(20)))
    hold(desk, theirs("1", side=Side.SELL, qty=qty(5)))
    assert ask(desk, theirs("2", side=Side.SELL, qty=qty(10), **limit("110"))) is None
    denied = ask(desk, ours("2", side=Side.SELL, qty=qty(12)))
    assert denied is not None
    assert denied.reason == R.CONFLICT_HELD
    assert "free_qty=5" in denied.message
    assert "sell at most 5" in denied.message
    assert ask(desk, ours("3", side=Side.SELL, qty=qty(5))) is None


def test_no_order_crosses_zero() -> None:
    """The account is long by five: a sale of eight is two orders. Where they cannot be sent in turn, the denial says so."""
    desk = desk_with_shorts()
    hold(desk, ours("1", qty=qty(5)))
    stop = {"order_type": OrderType.STOP, "stop_price": price(90)}
    denied = ask(desk, ours("2", side=Side.SELL, qty=qty(8), **stop))
    assert denied is not None
    assert denied.reason == R.CONFLICT_ZERO
    assert "CROSSES_ZERO" in denied.message
    assert "sell 5 first, and 3 when that is filled (only simple market and limit orders are split)" in denied.message
    hold(desk, ours("3", side=Side.SELL, qty=qty(5)))
    assert ask(desk, ours("4", side=Side.SELL, qty=qty(3))) is None


def test_a_flat_account_opens_one_way_only() -> None:
    """While bob waits to buy, alice opens no short, at whichever price."""
    desk = desk_with_shorts()
    assert ask(desk, theirs("1", **limit("90"))) is None
    assert reason(desk, ours("1", side=Side.SELL, **limit("110"))) == R.CONFLICT_OPENING


def test_exits_of_a_bracket_hold_what_their_entry_bought() -> None:
    """The shares of a filled bracket are its exits', once; those of another order are free."""
    desk = desk_with_shorts()
    bracket = theirs(
        "1",
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    assert ask(desk, bracket) is None
    legs = tuple(
        a_broker_order(theirs(name, side=Side.SELL, order_type=kind), status=ev.BrokerStatus.HELD)
        for name, kind in (("leg-1", OrderType.LIMIT), ("leg-2", OrderType.STOP))
    )
    order = a_broker_order(bracket, legs=legs)
    handle(desk, ev.SubmitAccepted(client_order_id=bracket.client_order_id, order=order, at=requested().at))
    assert ask(desk, ours("0", qty=qty(1))) is None  # exits that wait open nothing
    handle(desk, filled(ours("0", qty=qty(1)), 1))
    handle(desk, filled(bracket, 10))
    assert reason(desk, ours("1", side=Side.SELL, qty=qty(2))) == R.CONFLICT_HELD
    assert ask(desk, ours("2", side=Side.SELL, qty=qty(1))) is None


def test_exits_that_nobody_has_told_yet_hold_the_same() -> None:
    """A fill can be faster than the answer that names the exits: what it bought is theirs from the beginning."""
    desk = desk_with_shorts()
    bracket = theirs(
        "1",
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    assert ask(desk, bracket) is None
    hold(desk, ours("0", qty=qty(1)))
    handle(desk, filled(bracket, 10))
    assert list(desk.awaits_legs) == [bracket.client_order_id]
    assert reason(desk, ours("1", side=Side.SELL, qty=qty(2))) == R.CONFLICT_HELD
    leg = a_broker_order(theirs("leg", side=Side.SELL, order_type=OrderType.STOP))
    order = a_broker_order(bracket, legs=(leg,))
    handle(desk, ev.SubmitAccepted(client_order_id=bracket.client_order_id, order=order, at=requested().at))
    assert not desk.awaits_legs
    assert reason(desk, ours("2", side=Side.SELL, qty=qty(2))) == R.CONFLICT_HELD
    assert ask(desk, ours("3", side=Side.SELL, qty=qty(1))) is None


def test_exits_that_no_look_brings_hold_nothing_for_ever() -> None:
    """Looks at the account for ten minutes have named no exit of the entry: its shares can be sold."""
    desk = desk_with_shorts()
    bracket = theirs(
        "1",
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    assert ask(desk, bracket) is None
    handle(desk, filled(bracket, 10))
    filled_at = desk.orders[bracket.client_order_id].updated_at
    for after in (ANSWER_MAX - timedelta(seconds=1), ANSWER_MAX):
        assert reason(desk, theirs(f"2-{after}", side=Side.SELL, qty=qty(2))) == R.CONFLICT_HELD
        looked = ev.AccountReconciled(cash=cash(0), differences=(), fill_count=1, why="test", at=filled_at + after)
        desk.apply(looked)
    assert not desk.awaits_legs
    assert ask(desk, theirs("3", side=Side.SELL, qty=qty(2))) is None


@pytest.mark.parametrize(
    ("tif", "hour", "is_late", "closes_early"),
    [
        (TimeInForce.CLS, 20, False, False),
        (TimeInForce.CLS, 21, True, False),
        (TimeInForce.CLS, 17, False, True),
        (TimeInForce.CLS, 18, True, True),
        (TimeInForce.OPG, 14, False, False),
        (TimeInForce.OPG, 14, False, True),
        (TimeInForce.OPG, 15, True, False),
    ],
)
def test_an_auction_that_takes_no_more_orders_is_said_at_home(
    tif: TimeInForce, hour: int, is_late: bool, closes_early: bool
) -> None:
    """By the market's time: that of the quote, and what has passed since; on a day that closes at 13:00, too."""
    desk = a_desk()
    if closes_early:
        desk.calendar = {MONDAY: replace(DAY, close_at=DAY.close_at - timedelta(hours=3))}
    stamp = requested().at.replace(hour=hour, minute=20)  # New York is five hours behind
    quote = a_quote(quoted_at=stamp, received_at=requested().at)
    denied = ask(desk, ours("1", time_in_force=tif), quote=quote)
    assert (denied is not None) is is_late
    if denied is not None:
        assert denied.reason == R.AUCTION_WINDOW
        assert denied.checks[-1].name == lane.WINDOW_CHECK


def test_an_order_that_takes_the_place_of_another_is_not_in_its_own_way() -> None:
    """A sale of all shares may be replaced by one at another price."""
    desk = desk_with_shorts()
    hold(desk, ours("1"))
    sale = ours("2", side=Side.SELL, **limit("110"))
    assert ask(desk, sale) is None
    handle(desk, accepted(sale))
    group = lane.conflict_of(desk, ours("3", side=Side.SELL), qty(10), replaces=desk.orders[sale.client_order_id])
    assert group is None
    assert lane.conflict_of(desk, ours("3", side=Side.SELL), qty(10)) is not None


def test_what_replaces_a_trailing_stop_is_judged_as_if_it_were_triggered() -> None:
    """It may have been, unheard: the broker then takes the new one for a market order."""
    desk = desk_with_shorts()
    hold(desk, ours("1"))
    trailing = ours("2", side=Side.SELL, order_type=OrderType.TRAILING_STOP, trail_price=price(3))
    assert ask(desk, trailing) is None
    assert ask(desk, theirs("1", **limit("90"))) is None
    new = ours("3", side=Side.SELL, order_type=OrderType.TRAILING_STOP, trail_price=price(2))
    assert lane.conflict_of(desk, new, qty(10), replaces=desk.orders[trailing.client_order_id]) is not None
