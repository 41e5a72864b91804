"""What the desk remembers, for how long, and what it tells of it."""

from dataclasses import replace
from datetime import datetime, timedelta

from deskd.core.deciding import handle
from deskd.core.desk import DENIED_KEPT, TRADES, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId, RunId, StrategyId
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Side, StopLoss, TakeProfit
from deskd.domain.run import ExitReason, RunEnd, StrategyStatus
from tests.core.some_orders import a_leg
from tests.core.some_replaces import BRACKET, LEGS, LOSS, OLD, PROFIT, a_desk_with, a_desk_with_a_bracket
from tests.factories import (
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_quote,
    a_request,
    cash,
    filled,
    price,
    qty,
    requested,
    updated,
)
from tests.playbook import Playbook


def test_a_killed_desk_does_not_believe_that_its_stream_is_up() -> None:
    """A start begins in doubt, whatever the last fact said."""
    desk = a_desk()
    desk.apply(ev.DeskStarted(version="0", broker="embedded", at=NOON))
    assert not desk.is_synced
    assert not desk.is_trade_stream_up
    assert TRADES == "trades"


def test_denied_orders_do_not_fill_the_memory() -> None:
    """A loop that is denied all day keeps its newest denials; its orders and everybody else's stay."""
    desk = a_desk()
    handle(desk, requested(a_request(client_order_id=ClientOrderId("good"))))
    handle(desk, requested(a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob"), qty=qty(999))))
    for i in range(DENIED_KEPT + 10):
        handle(desk, requested(a_request(client_order_id=ClientOrderId(f"d{i}"), qty=qty(999))))
    assert len(desk.orders) == DENIED_KEPT + 2
    assert [o.request.client_order_id for o in desk.newest_first(ALICE)][:2] == [
        f"d{DENIED_KEPT + 9}",
        f"d{DENIED_KEPT + 8}",
    ]
    assert {"good", "bob"} < set(desk.orders)
    assert list(desk.newest_first(StrategyId("nobody"))) == []


def an_approval(request: OrderRequest, at: datetime) -> ev.OrderApproved:
    return ev.OrderApproved(
        request=request, quote=a_quote(), reserved_cash=cash(1), reserved_qty=qty(0), market_day=MONDAY, at=at
    )


def test_what_was_asked_is_remembered_for_a_minute() -> None:
    """The memory for duplicates is as long as the longest window, and no longer."""
    desk = a_desk()
    for second in range(0, 180, 30):
        request = a_request(client_order_id=ClientOrderId(f"o{second}"), qty=qty(second + 1))
        desk.apply(an_approval(request, NOON + timedelta(seconds=second)))
    assert [r.qty for r in desk.last_asked[ALICE]] == [91, 121, 151]


def test_who_has_no_book_has_no_money() -> None:
    """Unknown means nothing to spend, and nothing to show."""
    desk = Desk()
    assert desk.buying_power(ALICE) == 0
    assert desk.account(ALICE) is None


def test_who_was_stopped_by_hand_stays_so_until_started() -> None:
    """It does not start again with the desk; started by anyone, it does."""
    desk = a_desk()
    stopped = ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.STOPPED, why="x", at=NOON, by_hand=True)
    handle(desk, stopped)
    assert desk.stopped_by_hand == {ALICE}
    handle(desk, replace(stopped, status=StrategyStatus.ACTIVE, by_hand=False))
    assert desk.stopped_by_hand == set()


def test_a_leg_whose_sibling_filled_is_asked_for() -> None:
    """The broker cancels it, and does not always say so (ALPACA.md 1.5, issue 198)."""
    desk = a_desk_with_a_bracket()
    handle(desk, filled(BRACKET, 10))
    loss = desk.orders[LOSS]
    assert not desk.has_lost_its_group(loss)
    handle(desk, filled(desk.orders[PROFIT].request, 10, at_price="110"))
    assert desk.has_lost_its_group(desk.orders[LOSS])
    gone = a_leg("loss", order_type=OrderType.STOP, status=BrokerStatus.CANCELED)
    assert (
        Playbook(desk)
        >> ev.DoubtTimedOut(client_order_id=LOSS, at=NOON)
        << ef.LookUp(LOSS)
        >> ev.OrderLookedUp(client_order_id=LOSS, order=gone, fills=(), at=NOON)
        << ev.OrderCanceled
    )
    assert not desk.has_lost_its_group(desk.orders[LOSS])
    assert desk.open_orders() == []


def test_legs_have_the_line_of_their_entry() -> None:
    """The strategy asked for all three at once."""
    desk = a_desk()
    handle(desk, requested(BRACKET, line="bar AAPL 2026-11-20T15:04:00Z"))
    answer = a_broker_order(BRACKET, legs=LEGS)
    handle(desk, ev.SubmitAccepted(client_order_id=BRACKET.client_order_id, order=answer, at=NOON))
    assert {desk.orders[oid].line for oid in (PROFIT, LOSS)} == {"bar AAPL 2026-11-20T15:04:00Z"}


def test_legs_end_with_an_entry_that_never_filled() -> None:
    """And live on with one that did."""
    desk = a_desk_with_a_bracket()
    handle(desk, updated(a_broker_order(BRACKET, status=BrokerStatus.CANCELED)))
    assert desk.has_lost_its_group(desk.orders[PROFIT])
    desk = a_desk_with_a_bracket()
    handle(desk, filled(BRACKET, 4))
    handle(desk, updated(a_broker_order(BRACKET, status=BrokerStatus.CANCELED, filled_qty=qty(4))))
    assert not desk.has_lost_its_group(desk.orders[PROFIT])


def test_an_ocos_stop_ends_with_its_profit_order() -> None:
    """Its parent is its sibling: filled or canceled, the stop is over."""
    request = a_request(
        order_type=OrderType.LIMIT,
        side=Side.SELL,
        client_order_id=ClientOrderId("oco"),
        order_class=OrderClass.OCO,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    desk = a_desk_with()
    handle(desk, filled(OLD, 10))
    handle(desk, requested(request))
    order = a_broker_order(request, legs=LEGS[1:])
    handle(desk, ev.SubmitAccepted(client_order_id=ClientOrderId("oco"), order=order, at=NOON))
    assert not desk.has_lost_its_group(desk.orders[LOSS])
    handle(desk, filled(request, 10, at_price="110"))
    assert desk.has_lost_its_group(desk.orders[LOSS])


def ended(reason: ExitReason, deaths: int) -> ev.RunEnded:
    end = RunEnd(reason=reason, detail="x")
    return ev.RunEnded(run_id=RunId("r"), strategy_id=ALICE, end=end, at=NOON, deaths=deaths)


def test_deaths_are_remembered_until_a_start_by_hand_or_another_version() -> None:
    """No restart of the desk gives a strategy a fresh count: the ledger has it."""
    desk = a_desk()
    status = ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.FAILED, why="x", at=NOON)
    for count in (1, 2):
        desk.apply(ended(ExitReason.ERROR, count))
    desk.apply(replace(status, status=StrategyStatus.ACTIVE))  # with the desk
    desk.apply(ended(ExitReason.SANDBOX_FAILURE, 2))
    desk.apply(ended(ExitReason.OOM, 3))
    desk.apply(status)
    streak = desk.streaks[ALICE]
    assert (streak.count, streak.is_given_up) == (3, True)
    assert [death.reason for death in streak.deaths] == [ExitReason.ERROR, ExitReason.ERROR, ExitReason.OOM]
    registered = desk.strategies[ALICE]
    desk.apply(replace(registered, version="2"))
    assert desk.streaks[ALICE] is streak
    desk.apply(replace(registered, code_hash="other"))
    assert desk.streaks == {}
    desk.apply(ended(ExitReason.ERROR, 1))
    desk.apply(replace(status, status=StrategyStatus.ACTIVE, counts_anew=True))
    assert desk.streaks == {}
