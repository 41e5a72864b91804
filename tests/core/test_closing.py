"""What a kill cancels and closes: in an order that the broker's rules for a shared account allow."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from deskd.core import closing
from deskd.core.blocks import Closing
from deskd.core.closing import due, has_work, is_extended_session, left_in, quote_at_mark, request_for
from deskd.core.desk import TRADES, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.ids import HOUSE, ClientOrderId, StrategyId, Symbol
from deskd.domain.kill import THE_DESK, KillDepth, KillScope, KillTarget
from deskd.domain.market import MarketClock
from deskd.domain.order import OrderClass, OrderStatus, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from tests.core.kill_machine import KilledDesk
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    SPY,
    a_broker_order,
    a_desk,
    a_kill,
    a_quote,
    a_release,
    a_request,
    an_instrument,
    cash,
    filled,
    of_strategy,
    price,
    qty,
    requested,
    some_limits,
    updated,
)

FLATTEN, CANCEL = KillDepth.FLATTEN, KillDepth.CANCEL
CAROL = StrategyId("carol")
THE_SYMBOL = KillTarget(KillScope.SYMBOL, AAPL)


def a_killed_desk(**held: int) -> KilledDesk:
    """Return a desk whose strategies hold so many shares of AAPL, and whose broker holds the sum."""
    world = KilledDesk(a_desk(limits=some_limits(is_short_allowed=True)))
    for name, shares in held.items():
        side = Side.BUY if shares > 0 else Side.SELL
        ask(world, StrategyId(name), side, abs(shares))
        oid = ClientOrderId(f"{name}-{side}-{abs(shares)}")
        world.deliver(0)
        world.fill(oid, abs(shares))
    return world


def ask(world: KilledDesk, who: StrategyId, side: Side, shares: int, **more: Any) -> ClientOrderId:
    oid = ClientOrderId(f"{who}-{side}-{shares}")
    request = a_request(strategy_id=who, client_order_id=oid, side=side, qty=qty(shares), **more)
    world.tell(requested(request))
    return oid


def a_resting(world: KilledDesk, who: StrategyId, side: Side, shares: int, at_price: str) -> ClientOrderId:
    oid = ask(world, who, side, shares, order_type=OrderType.LIMIT, limit_price=price(at_price))
    world.deliver(0)
    return oid


def nothing(_: closing.Key) -> str | None:
    return None


def sent(desk: Desk) -> list[tuple[StrategyId, Side, str]]:
    return [(c.strategy_id, c.side, str(c.qty)) for c in due(desk).closings]


def test_a_kill_that_cancels_wants_every_open_order_in_its_scope_gone() -> None:
    """Others' stay; orders in doubt are wanted gone as well, and shallower kills want nothing of what only closes."""
    world = a_killed_desk(alice=10)
    mine, other = a_resting(world, ALICE, Side.SELL, 3, "120"), a_resting(world, BOB, Side.BUY, 4, "90")
    doubtful = ask(world, ALICE, Side.SELL, 5, order_type=OrderType.LIMIT, limit_price=price(121))
    for depth in (KillDepth.REDUCE_ONLY, KillDepth.STOP_NEW):
        world.tell(a_kill(of_strategy(ALICE), depth))
        assert not has_work(world.desk)
    world.tell(a_kill(of_strategy(ALICE), CANCEL))
    assert due(world.desk).cancels == (mine, doubtful)
    world.settle()
    assert [o.request.client_order_id for o in world.desk.open_orders()] == [other]
    assert not has_work(world.desk)
    assert world.desk.orders[mine].status is OrderStatus.CANCELED


def test_cancel_comes_before_close() -> None:
    """An open sell holds the shares: nothing is closed before it has ended."""
    world = a_killed_desk(alice=10)
    a_resting(world, ALICE, Side.SELL, 10, "120")
    world.tell(a_kill(depth=FLATTEN))
    found = due(world.desk)
    assert (len(found.cancels), found.closings) == (1, ())
    assert found.waiting == (((ALICE, AAPL), "1 open orders in it are being canceled"),)
    world.carry_out()
    world.deliver(0)
    assert sent(world.desk) == [(ALICE, Side.SELL, "10")]


@pytest.mark.parametrize(
    ("held", "first"),
    [
        ({"alice": 10, "bob": 5}, [(ALICE, Side.SELL, "10"), (BOB, Side.SELL, "5")]),
        ({"alice": 10, "bob": -4}, [(BOB, Side.BUY, "4")]),  # the account is long: covers first, then sells
        ({"alice": -10, "bob": 4}, [(BOB, Side.SELL, "4")]),
        ({"alice": 4, "bob": -4}, [(BOB, Side.BUY, "4")]),
        ({"alice": -10, "bob": -4}, [(ALICE, Side.BUY, "10"), (BOB, Side.BUY, "4")]),
    ],
)
def test_what_is_held_on_both_sides_is_closed_one_side_after_the_other(
    held: dict[str, int], first: list[tuple[StrategyId, Side, str]]
) -> None:
    """No two orders of the account meet, and none takes it across zero: then everything is flat."""
    world = a_killed_desk(**held)
    world.tell(a_kill(depth=FLATTEN))
    assert sent(world.desk) == first
    world.settle()
    assert world.desk.portfolio.holdings() == {}
    assert all(not book.held() for book in world.desk.portfolio.books.values())
    assert due(world.desk).is_nothing


def test_a_strategy_alone_is_closed_in_parts_at_the_accounts_zero() -> None:
    """Alice's ten against Bob's short of four: six go to zero, and the other four after them."""
    world = a_killed_desk(alice=10, bob=-4)
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    assert sent(world.desk) == [(ALICE, Side.SELL, "6")]
    world.settle()
    assert world.desk.portfolio.qty(ALICE, AAPL) == 0
    assert world.desk.portfolio.qty(BOB, AAPL) == -4


def test_shares_that_others_orders_hold_are_waited_for() -> None:
    """Bob's open sell holds the account's shares: what is left is told."""
    world = a_killed_desk(alice=10, bob=-4)
    a_resting(world, BOB, Side.SELL, 6, "120")
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    found = due(world.desk)
    assert found.closings == ()
    [(_, why)] = found.waiting
    assert "no order crosses zero" in why


def test_what_others_sell_for_money_is_left_to_them() -> None:
    """How many shares that is only the broker knows: the most that it can be is left, and the rest goes after it."""
    world = a_killed_desk(alice=18, bob=8)
    world.desk.portfolio.book(CAROL).trade(AAPL, qty(-8), price(100), NOON)
    sale = a_request(
        strategy_id=BOB, client_order_id=ClientOrderId("bob-money"), side=Side.SELL, qty=None, notional=cash(700)
    )
    world.tell(requested(sale))
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    [(who, side, shares)] = sent(world.desk)
    assert (who, side) == (ALICE, Side.SELL)
    assert qty("10.8") < qty(shares) < 11
    world.tell(filled(sale, "7.001"))
    told = a_broker_order(sale, status=ev.BrokerStatus.FILLED, filled_qty=qty("7.001"), filled_avg_price=price(100))
    world.tell(updated(told, "fill"))
    assert sent(world.desk) == [(ALICE, Side.SELL, "10.999")]


def test_the_exits_of_a_group_hold_their_shares_once() -> None:
    """A bracket of bob's with two exits keeps nobody else in the position."""
    world = a_killed_desk(alice=10)
    legs = {"take_profit": TakeProfit(limit_price=price(110)), "stop_loss": StopLoss(stop_price=price(90))}
    entry = a_request(
        strategy_id=BOB, client_order_id=ClientOrderId("bob-bracket"), order_class=OrderClass.BRACKET, **legs
    )
    world.tell(requested(entry))
    world.tell(filled(entry, "10"))
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    assert sent(world.desk) == [(ALICE, Side.SELL, "10")]  # also while nobody has told of the exits yet
    world.desk.portfolio.book(CAROL).trade(AAPL, qty(-6), price(100), NOON)
    assert sent(world.desk) == [(ALICE, Side.SELL, "4")]


def test_what_others_asked_for_since_it_was_due_is_theirs() -> None:
    """Between the look and the order bob's sale has taken the account's shares: the next look says what is left."""
    world = a_killed_desk(alice=10, bob=6)
    world.desk.portfolio.book(CAROL).trade(AAPL, qty(-6), price(100), NOON)
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    [wanted] = due(world.desk).closings
    request = request_for(world.desk, wanted, NOON)
    a_resting(world, BOB, Side.SELL, 6, "120")
    assert world.tell(ev.ClosingRequested(request=request, quote=None, market_day=MONDAY, at=NOON)) == []
    assert sent(world.desk) == [(ALICE, Side.SELL, "4")]
    found = closing.account_has_it(world.desk, request)
    assert (found.figure, found.limit) == ("qty=10", "account_free_qty=4")


def test_no_part_of_a_share_goes_where_the_account_is_short_by_now() -> None:
    """Which moves away from zero, is for whole shares."""
    world = a_killed_desk(alice=10, bob=-10)
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    request = request_for(world.desk, due(world.desk).closings[0], NOON)
    assert closing.account_has_it(world.desk, request).is_good
    assert not closing.account_has_it(world.desk, replace(request, qty=qty("9.5"))).is_good


def test_an_order_outside_the_kill_on_the_other_side_is_waited_for() -> None:
    """Near the market the broker would refuse it as a wash trade; a kill of the symbol cancels that order, too."""
    world = a_killed_desk(alice=10)
    a_resting(world, BOB, Side.BUY, 6, "99.50")
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    [(_, why)] = due(world.desk).waiting
    assert "a wash trade (kill the symbol)" in why
    world.tell(a_kill(THE_SYMBOL, FLATTEN))
    world.settle()
    assert world.desk.portfolio.holdings() == {}


@pytest.mark.parametrize("is_long", [True, False])
def test_a_kill_closes_past_others_orders_that_are_far_from_the_market(*, is_long: bool) -> None:
    """A bid ten percent under the market keeps nobody in: a limit a tick above it cannot meet it, and trades at once."""
    world = a_killed_desk(alice=10 if is_long else -10)
    a_resting(world, BOB, Side.BUY if is_long else Side.SELL, 6, "90" if is_long else "110")
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    [closing_order] = due(world.desk).closings
    request = request_for(world.desk, closing_order, NOON)
    assert (request.order_type, request.time_in_force, request.qty) == (OrderType.LIMIT, TimeInForce.IOC, qty(10))
    assert request.limit_price == price("90.01" if is_long else "109.99")
    world.settle()
    assert world.desk.portfolio.holdings() == {}
    extended = request_for(world.desk, closing_order, NOON, quote=a_quote(), is_extended=True)
    assert (extended.time_in_force, extended.limit_price) == (TimeInForce.DAY, price("94.99" if is_long else "105.00"))


def test_what_the_broker_does_not_trade_or_sells_whole_is_told_by_name() -> None:
    """Nothing is sent, and an officer reads whose it is, and why it is left."""
    world = a_killed_desk(alice=10)
    world.tell(a_kill(depth=FLATTEN))
    world.desk.instruments = {AAPL: an_instrument(is_tradable=False)}
    left = left_in(world.desk, due(world.desk), nothing)
    assert left == {THE_DESK: ("alice: 10 AAPL: the broker does not trade it at present",)}
    world.desk.instruments = {AAPL: an_instrument(is_fractionable=False)}
    world.desk.portfolio.book(BOB).trade(AAPL, qty("0.5"), price(100), NOON)
    found = due(world.desk)
    assert [(c.strategy_id, c.qty) for c in found.closings] == [(ALICE, qty(10))]
    assert left_in(world.desk, found, nothing)[THE_DESK] == (
        "alice: 10 AAPL: its closing order is on its way",
        "bob: 0.5 AAPL: a fraction of what the broker sells in whole shares only",
    )
    assert left_in(world.desk, found, lambda _: "halted")[THE_DESK][0] == "alice: 10 AAPL: halted"


def test_the_house_book_is_closed_with_the_desk() -> None:
    """Flat means the account, not only the strategies."""
    world = a_killed_desk()
    world.desk.portfolio.book(HOUSE).trade(AAPL, qty(3), price(100), NOON)
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    assert due(world.desk).is_nothing
    world.tell(a_kill(depth=FLATTEN))
    assert sent(world.desk) == [(HOUSE, Side.SELL, "3")]
    world.carry_out()
    assert isinstance(world.to_send[0], ef.Submit)


def test_while_no_fill_could_be_seen_cancels_go_and_nothing_else() -> None:
    """Closing goes on when the stream is back."""
    world = a_killed_desk(alice=10, bob=2)
    a_resting(world, BOB, Side.BUY, 1, "90")
    world.tell(a_kill(depth=FLATTEN))
    world.tell(ev.TradeStreamChanged(is_up=False, why="cut", at=NOON))
    found = due(world.desk)
    assert (len(found.cancels), found.closings) == (1, ())
    assert "not yet re-synced" in dict(found.waiting)[ALICE, AAPL]


def test_an_order_that_outlived_its_kill_is_canceled() -> None:
    """A release stops closing: what waits for the market's open is called back."""
    world = a_killed_desk(alice=10)
    world.tell(a_kill(depth=FLATTEN))
    world.carry_out()
    world.deliver(0)
    assert due(world.desk).cancels == ()
    world.tell(a_release())
    assert has_work(world.desk)
    assert len(due(world.desk).cancels) == 1
    world.settle()
    assert not has_work(world.desk)


@pytest.mark.parametrize(
    "spoil",
    [
        {"release": True},
        {"qty": qty(11)},
        {"side": Side.BUY},
        {"for_kill": False},
        {"client_order_id": ClientOrderId("alice-buy-10")},
        {"unsynced": True},
        {"opposite": True},
    ],
    ids=str,
)
def test_a_closing_order_that_would_do_more_than_close_is_not_sent(spoil: dict[str, Any]) -> None:
    """The desk may have moved on since it was due; the next look says what is due then."""
    world = a_killed_desk(alice=10)
    world.tell(a_kill(of_strategy(ALICE), FLATTEN))
    [wanted] = due(world.desk).closings
    good = request_for(world.desk, wanted, NOON)
    changes = {k: v for k, v in spoil.items() if k not in {"release", "unsynced", "opposite"}}
    if "release" in spoil:
        world.tell(a_release(of_strategy(ALICE)))
    if "unsynced" in spoil:
        world.desk.apply(ev.StreamChanged(stream=TRADES, is_up=False, why="cut", at=NOON))
    if "opposite" in spoil:
        a_resting(world, BOB, Side.BUY, 1, "90")
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__} | changes
    event = ev.ClosingRequested(request=type(good)(**fields), quote=None, market_day=MONDAY, at=NOON)
    assert world.tell(event) == []


def test_a_closing_order_says_what_was_checked_and_why_it_is_sent() -> None:
    """It is its strategy's, reserves its shares, and is explained like any other."""
    world = a_killed_desk(alice=10)
    world.tell(a_kill(depth=FLATTEN))
    [wanted] = due(world.desk).closings
    request = request_for(world.desk, wanted, NOON)
    event = ev.ClosingRequested(request=request, quote=None, market_day=MONDAY, at=NOON)
    record, submit = world.tell(event)[:2]
    assert isinstance(record, ef.Record)
    assert isinstance(record.fact, ev.OrderApproved)
    assert isinstance(submit, ef.Submit)
    assert (request.strategy_id, request.order_type, request.reason) == (
        ALICE,
        OrderType.MARKET,
        "kill of desk: runaway orders",
    )
    assert [c.name for c in record.fact.checks] == [
        *(check.__name__ for check in closing._CHECKS),
        closing.account_has_it.__name__,
    ]
    assert record.fact.reserved_qty == 10
    assert record.fact.quote.bid_price == world.desk.portfolio.books[ALICE].positions[AAPL].mark_price
    assert world.tell(event) == []


def test_outside_the_regular_session_a_limit_finds_its_fill() -> None:
    """Extended hours take limit orders only: five percent beyond the market."""
    wanted = Closing(strategy_id=ALICE, symbol=AAPL, side=Side.SELL, qty=qty(1))
    sell = request_for(a_desk(), wanted, NOON, quote=a_quote(), is_extended=True)
    assert (sell.order_type, sell.limit_price, sell.extended_hours) == (OrderType.LIMIT, Decimal("94.99"), True)
    buy = request_for(
        a_desk(),
        Closing(strategy_id=ALICE, symbol=AAPL, side=Side.BUY, qty=qty(1)),
        NOON,
        quote=a_quote(ask_price=price("0.5"), bid_price=price("0.4")),
        is_extended=True,
    )
    assert buy.limit_price == Decimal("0.525")
    assert request_for(a_desk(), wanted, NOON, is_extended=True).order_type is OrderType.MARKET


@pytest.mark.parametrize(
    ("hours", "is_open", "expected"),
    [
        (-4, False, True),
        (0, True, False),
        (6, False, True),
        (10, False, False),
        (-9, False, False),
        (-24, False, False),
    ],
)
def test_the_extended_session_is_known(hours: int, *, is_open: bool, expected: bool) -> None:
    """Noon in New York, on a Monday: from four in the morning to eight in the evening, and not on Sundays."""
    at = NOON + timedelta(hours=hours)
    clock = MarketClock(timestamp=at, is_open=is_open, next_open=at, next_close=at)
    assert is_extended_session(clock) is expected


def test_what_is_not_held_has_no_mark() -> None:
    """There is nothing to close."""
    assert quote_at_mark(a_desk(), ALICE, SPY, NOON) is None
    assert quote_at_mark(a_desk(), StrategyId("nobody"), Symbol("X"), NOON) is None
