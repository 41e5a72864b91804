"""What strategy, member and desk have come to: sums that nobody escapes by having several strategies."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.scopes import Moment, day_trades, scopes_of
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, StrategyId, UserId
from deskd.domain.limits import Bounds, Limits
from deskd.domain.money import Cash
from deskd.domain.order import Side
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    DAY,
    MONDAY,
    NOON,
    a_desk,
    a_quote,
    a_request,
    accepted,
    cash,
    filled,
    price,
    qty,
    registered,
    requested,
    some_limits,
)

ALL = Bounds(
    open_orders_max=5,
    orders_per_day_max=100,
    orders_per_minute_max=100,
    gross_exposure_max=Decimal(1),
    net_exposure_max=Decimal(1),
    daily_loss_max=cash(500),
    drawdown_max=Decimal("0.5"),
    position_qty_max=qty(100),
)
MOMENT = Moment(day=MONDAY, quote=a_quote(), now=NOON)


def bought(desk: Desk, who: StrategyId, shares: int, *, fills: bool = True) -> None:
    request = a_request(
        strategy_id=who, user_id=desk.member_of(who), client_order_id=ClientOrderId(who), qty=qty(shares)
    )
    handle(desk, requested(request))
    handle(desk, accepted(request))
    if fills:
        handle(desk, filled(request, shares))


def a_shared_desk(limits: Limits) -> Desk:
    """Return a desk on which both strategies are alice's."""
    desk = a_desk(limits=limits)
    desk.apply(replace(registered(BOB), user_id=UserId("alice")))
    return desk


def test_a_members_and_the_desks_figures_are_sums_over_strategies() -> None:
    """Two strategies that each hold half of what is allowed hold all of it."""
    limits = some_limits(member=ALL, desk=ALL)
    desk = a_shared_desk(limits)
    bought(desk, ALICE, 10)
    bought(desk, BOB, 4, fills=False)
    handle(desk, ev.MarksTaken(marks=((AAPL, price(90)),), at=NOON))
    own, member, whole = scopes_of(desk, BOB, limits, MOMENT)
    assert (own.figures.open_orders, own.figures.longs, own.figures.day_pnl) == (1, cash(0), cash(0))
    for scope in (member, whole):
        f = scope.figures
        assert (f.open_orders, f.orders_today, f.orders_this_minute) == (1, 2, 2)
        assert (f.longs, f.shorts, f.allocation) == (cash(900), cash(0), cash(20_000))
        assert f.buying == 4 * 102
        assert (f.day_pnl, f.equity, f.peak_equity) == (cash(-100), cash(19_900), cash(20_000))
    assert [one.said for one in (own, member, whole)] == ["", " scope=member", " scope=desk"]


def test_a_members_bound_holds_over_all_his_strategies() -> None:
    """What one strategy used up, the other does not get."""
    limits = some_limits(member=Bounds(open_orders_max=1))
    desk = a_shared_desk(limits)
    bought(desk, ALICE, 1, fills=False)
    bought(desk, BOB, 1, fills=False)
    assert desk.orders[ClientOrderId("bob")].message == (
        "open_orders=1 open_orders_max=1 scope=member: cancel some, or wait until they end; what only closes passes"
    )


def test_only_what_is_bounded_is_summed() -> None:
    """An order of a desk without wider bounds costs no sums."""
    desk = a_desk()
    assert len(scopes_of(desk, ALICE, some_limits(), MOMENT)) == 1
    (_, member) = scopes_of(desk, ALICE, some_limits(member=Bounds(open_orders_max=1)), MOMENT)
    assert member.figures.equity == 0


def test_what_an_order_is_to_replace_counts_as_gone() -> None:
    """Its place is not taken twice."""
    limits = some_limits(member=ALL)
    desk = a_desk(limits=limits)
    bought(desk, ALICE, 10, fills=False)
    order = desk.orders[ClientOrderId("alice")]
    moment = replace(MOMENT, freed=desk.reservations.of(order), is_replaced=True, side=Side.BUY)
    for scope in scopes_of(desk, ALICE, limits, moment):
        assert (scope.figures.open_orders, scope.figures.buying) == (0, cash(0))


def test_day_trades_count_for_five_trading_days() -> None:
    """A weekend and a holiday are no trading days: the window is the calendar's."""
    desk = a_desk()
    assert day_trades(desk, MONDAY) == 0
    days = [date(2025, 12, 26), *(date(2025, 12, d) for d in (29, 30, 31)), date(2026, 1, 2), MONDAY]  # not New Year
    desk.calendar = {day: replace(DAY, day=day) for day in days}
    desk.records.day_trades = {days[0]: 1, days[1]: 2, MONDAY: 4}
    assert day_trades(desk, MONDAY) == 6
    assert day_trades(desk, MONDAY - timedelta(days=3)) == 7


def test_a_position_is_summed_over_strategies_on_the_orders_side() -> None:
    """What the others hold, and what their open orders may still bring; a short makes up for no long."""
    limits = some_limits(member=ALL, desk=ALL, is_short_allowed=True)
    desk = a_shared_desk(limits)
    bought(desk, BOB, 10)
    bought(desk, StrategyId("alice"), 4, fills=False)
    for side, others in ((Side.BUY, 10), (Side.SELL, 0)):
        moment = replace(MOMENT, side=side, symbol=AAPL, who=ALICE)
        own, member, whole = scopes_of(desk, ALICE, limits, moment)
        assert [scope.figures.others_qty for scope in (own, member, whole)] == [0, others, others]
    (_, member) = scopes_of(desk, BOB, some_limits(member=ALL), replace(MOMENT, symbol=AAPL, who=BOB))
    assert member.figures.others_qty == 4
    (_, member) = scopes_of(
        desk, BOB, some_limits(member=Bounds(open_orders_max=9)), replace(MOMENT, symbol=AAPL, who=BOB)
    )
    assert member.figures.others_qty == 0


def test_a_members_position_bound_holds_over_all_his_strategies() -> None:
    """The second one gets what is left."""
    limits = some_limits(member=Bounds(position_qty_max=qty(12)))
    desk = a_shared_desk(limits)
    bought(desk, ALICE, 10)
    bought(desk, BOB, 3, fills=False)
    assert desk.orders[ClientOrderId("bob")].message == (
        "position_qty_after=13 position_qty_max=12 scope=member: ask for at most 2 shares"
    )


def test_promises_larger_than_the_account_send_no_order_that_the_broker_would_refuse() -> None:
    """Ten times the account is allocated: all open orders together never ask for more than its cash."""
    wide = some_limits(order_notional_max=cash(10**6), position_notional_max=cash(10**6))
    desk = a_desk(limits=wide, allocation="500000")
    bought(desk, ALICE, 500, fills=False)
    bought(desk, BOB, 600, fills=False)
    assert desk.orders[ClientOrderId("alice")].status.is_open
    denied = desk.orders[ClientOrderId("bob")]
    assert denied.message is not None
    assert denied.message.startswith("needed=61200.00 buying_power=49000.00 scope=desk: ask for at most 480 shares; ")
    handle(desk, ev.CancelRequested(client_order_id=ClientOrderId("alice"), by="alice", at=NOON))
    assert desk.reservations.cash_of_all == 51_000
    handle(desk, filled(desk.orders[ClientOrderId("alice")].request, 500))
    assert (Cash(desk.reservations.cash_of_all), desk.portfolio.free()) == (cash(0), cash(50_000))
