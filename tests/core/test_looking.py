"""A look at the account finds what was missed, and believes only what rests."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

from deskd.core.deciding import handle
from deskd.core.reconcile import LAG_MAX
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.effects import Record
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import HOUSE, BrokerOrderId, ClientOrderId
from deskd.domain.order import OrderStatus
from deskd.domain.reasons import RejectReason
from tests.core.some_orders import OID, a_bracket, a_desk_with, a_leg, an_execution, facts_of
from tests.factories import (
    AAPL,
    ALICE,
    NOON,
    SPY,
    a_broker_order,
    a_desk,
    a_fill,
    a_request,
    a_snapshot,
    cash,
    filled,
    price,
    qty,
    requested,
)
from tests.playbook import Playbook


def test_fills_of_an_outage_are_found_by_the_snapshot() -> None:
    """What the stream did not tell, the broker's orders and executions do."""
    request = a_request()
    desk = a_desk_with(request)
    whole = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(10), filled_avg_price=price(100))
    position = ev.BrokerPosition(symbol=AAPL, qty=qty(10), avg_entry_price=price(100))
    handle(
        desk,
        a_snapshot(
            cash=cash(99_000),
            positions=(position,),
            orders=(whole,),
            fills=((OID, (a_fill(whole, 10, cumulative=10),)),),
        ),
    )
    assert desk.orders[OID].status is OrderStatus.FILLED
    assert desk.portfolio.holdings() == {AAPL: qty(10)}
    assert desk.last_reconciled is not None
    assert desk.last_reconciled.differences == ()


def test_a_difference_that_outlasts_the_brokers_lag_goes_to_the_house() -> None:
    """An officer bought by hand: no member's book moves."""
    desk = a_desk()
    before = deepcopy(desk.portfolio.book(ALICE))
    by_hand = a_snapshot(
        cash=cash(99_500),
        positions=(ev.BrokerPosition(symbol=AAPL, qty=qty(5), avg_entry_price=price(100)),),
    )
    assert (
        Playbook(desk)
        >> by_hand
        << ev.AccountReconciled
        << ef.Reconcile("a difference is to be confirmed", after=LAG_MAX)
        >> replace(by_hand, at=NOON + LAG_MAX / 2)  # the broker's positions may still lag
        << ev.AccountReconciled
        >> replace(by_hand, at=NOON + LAG_MAX)
        << ev.DiscrepancyFound
        << ev.HouseAdjusted
        << ev.SymbolFrozen
        << ev.DiscrepancyFound
        << ev.HouseAdjusted
        << ev.AccountReconciled
    )
    assert desk.portfolio.book(ALICE) == before
    assert desk.portfolio.book(HOUSE).qty(AAPL) == 5
    assert desk.portfolio.cash() == 99_500


def test_a_difference_with_a_fill_in_between_is_not_believed() -> None:
    """The broker's positions lag its orders: a look that is older than a fill proves nothing."""
    request = a_request()
    desk = a_desk_with(request)
    lagging = a_snapshot()  # cash as before the fill
    handle(desk, filled(request, 10))
    effects = handle(desk, lagging)
    assert not any(isinstance(e, ef.Record) and isinstance(e.fact, ev.HouseAdjusted) for e in effects)
    assert desk.portfolio.book(HOUSE).cash == 80_000


def test_a_reconcile_that_finds_nothing_changes_nothing() -> None:
    """Reconcile is idempotent."""
    desk = a_desk()
    before = deepcopy(desk)
    handle(desk, a_snapshot())
    before.last_reconciled = desk.last_reconciled
    assert desk == before


def test_a_look_that_began_before_the_stream_listened_again_proves_nothing() -> None:
    """Fills between its questions and the stream's return are known to neither: orders wait for another look."""
    desk = a_desk()
    up = NOON + timedelta(seconds=5)
    handle(desk, ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON + timedelta(seconds=1)))
    handle(desk, ev.TradeStreamChanged(is_up=True, why="listening", at=up))
    assert (
        Playbook(desk)
        >> a_snapshot(asked_at=NOON, at=NOON + timedelta(seconds=6))
        << ef.Reconcile("the last look was older than the stream")
    )
    assert not desk.is_synced
    handle(desk, a_snapshot(asked_at=up, at=NOON + timedelta(seconds=7)))
    assert desk.is_synced


def test_a_difference_that_changes_is_waited_for_anew() -> None:
    """Positions that catch up by and by are no discrepancy."""
    desk = a_desk()
    for second in range(0, 60, 10):
        behind = cash(99_000 + second)
        effects = handle(desk, a_snapshot(cash=behind, at=NOON + timedelta(seconds=second)))
        assert facts_of(effects) == [ev.AccountReconciled]
    assert desk.portfolio.book(HOUSE).cash == 80_000


def test_a_holding_that_the_broker_lost_is_taken_at_the_books_own_mark() -> None:
    """The broker names no price for what it does not have."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 10, at_price="101"))
    for at in (NOON, NOON + LAG_MAX):
        handle(desk, a_snapshot(cash=cash(98_990), fill_count=1, at=at))
    house = desk.portfolio.book(HOUSE).positions[AAPL]
    assert house.qty == -10
    assert house.avg_entry_price == 101
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10
    assert desk.portfolio.holdings() == {}


def test_a_strangers_order_in_a_look_is_passed_over() -> None:
    """What it did to the account shows in the account."""
    theirs = a_broker_order(client_order_id=ClientOrderId("by-hand"), broker_order_id=BrokerOrderId("x"))
    assert Playbook(a_desk()) >> a_snapshot(orders=(theirs,)) << ev.AccountReconciled


def test_a_fill_of_a_leg_that_is_not_known_yet_is_not_the_houses() -> None:
    """Until the broker has told the legs of a bracket, a stranger's fill in its symbol waits: the legs are asked for."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, a_snapshot(cash=cash(10_000), market_at=NOON))
    handle(desk, requested(request))
    handle(desk, filled(request, 10))  # acknowledged by the stream, which names no legs
    leg = a_leg("loss", status=BrokerStatus.FILLED, filled_qty=qty(10))
    elsewhere = replace(an_execution(leg, "2"), symbol=SPY, broker_order_id=BrokerOrderId("b-manual"))
    found = a_snapshot(cash=cash(10_000), activities=(an_execution(leg), elsewhere), fill_count=1, market_at=NOON)
    effects = handle(desk, found)
    assert [e.fact.symbol for e in effects if isinstance(e, Record) and isinstance(e.fact, ev.HouseAdjusted)] == [SPY]
    assert ef.LookUp(OID) in effects
    told = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(10), legs=(leg,))
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=told, fills=(), at=NOON))
    handle(desk, replace(found, activities=(an_execution(leg),)))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0
    assert desk.portfolio.book(HOUSE).qty(AAPL) == 0


def test_a_bust_of_an_order_that_was_given_up_is_booked_by_its_name() -> None:
    """It never got the broker's id here: the line of the broker's history has it."""
    request = a_request()
    desk = a_desk()
    handle(desk, a_snapshot(cash=cash(10_000), market_at=NOON))
    handle(desk, requested(request))
    late = NOON + timedelta(minutes=1)
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=late))
    assert desk.orders[OID].reason == RejectReason.NEVER_ARRIVED
    theirs = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(0))
    history = (an_execution(theirs), an_execution(theirs, "2", bust=True))
    handle(desk, a_snapshot(cash=cash(10_000), orders=(theirs,), activities=history, market_at=NOON, at=late))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10
    assert desk.portfolio.book(HOUSE).qty(AAPL) == -10
    assert desk.last_reconciled is not None
    assert desk.last_reconciled.differences == ()
