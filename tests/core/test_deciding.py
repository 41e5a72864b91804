"""Each event is kept or passed over as it should be, and who is concerned hears of it."""

from dataclasses import replace
from datetime import timedelta

from deskd.core.deciding import handle
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ActivityId, BrokerOrderId, ClientOrderId
from deskd.domain.order import OrderStatus
from tests.core.some_orders import OID, a_bracket, a_desk_with, a_leg, an_execution, facts_of
from tests.factories import (
    AAPL,
    ALICE,
    NOON,
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
    updated,
)
from tests.playbook import Playbook


def test_a_strategy_hears_of_its_orders_and_of_nobody_elses() -> None:
    """Each fact of an order is told to its own strategy, with the position after it."""
    request = a_request()
    desk = a_desk_with(request)
    tells = [e for e in handle(desk, filled(request, 10)) if isinstance(e, ef.Tell)]
    assert [(t.strategy_id, t.update.event, t.update.fill_qty, t.update.position_qty) for t in tells] == [
        (ALICE, "fill", "10", "10")
    ]


def test_marks_are_kept_only_for_what_is_held_and_moved() -> None:
    """The ledger is not a tape."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 10))
    marks = ev.MarksTaken(marks=((AAPL, price(101)), ("SPY", price(1))), at=NOON)  # type: ignore[arg-type]
    assert Playbook(desk) >> marks << ef.Record(ev.PositionsMarked(marks=((AAPL, price(101)),), at=NOON)) >> marks
    account = desk.account(ALICE)
    assert account is not None
    assert (account.equity, account.unrealized_pnl) == (cash(10_010), cash(10))


def test_down_twice_is_one_fact() -> None:
    """A night of refused connections does not fill the ledger."""
    down = ev.TradeStreamChanged(is_up=False, why="refused", at=NOON)
    assert Playbook(a_desk()) >> down << ev.StreamChanged >> down


def test_lists_of_instruments_are_not_kept() -> None:
    """They are an input of decisions, and no fact."""
    assert Playbook(a_desk()) >> ev.InstrumentsListed(instruments=(), at=NOON)


def test_the_market_data_stream_does_not_close_the_doors() -> None:
    """Stale quotes deny what needs them; fills are seen all the same."""
    desk = a_desk()
    handle(desk, ev.StreamChanged(stream="market", is_up=False, why="dropped", at=NOON))
    assert desk.is_synced


def test_two_orders_of_one_id_do_not_end_the_desk() -> None:
    """A broker that has our id twice: the first is ours, and no fill counts twice."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    first = a_broker_order(request, filled_qty=qty(4))
    second = replace(first, broker_order_id=BrokerOrderId("b-2"))
    fills = (a_fill(first, 4, cumulative=4),)
    handle(desk, a_snapshot(orders=(first, second), fills=((OID, fills),)))
    order = desk.orders[OID]
    assert (order.broker_order_id, order.filled_qty) == (first.broker_order_id, qty(4))


def test_a_replacement_under_the_same_id_does_not_end_the_desk() -> None:
    """What contradicts the fact before it, in one answer of the broker, is a discrepancy."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    second = BrokerOrderId("b-2")
    first = a_broker_order(request, status=BrokerStatus.REPLACED, replaced_by=second)
    heir = a_broker_order(request, broker_order_id=second, replaces=first.broker_order_id)
    answer = ev.OrderLookedUp(client_order_id=OID, order=first, fills=(), at=NOON, successors=(heir,))
    assert ev.DiscrepancyFound in facts_of(handle(desk, answer))


def test_an_execution_that_the_history_has_twice_counts_once() -> None:
    """Two lines of other ids, of an order that is long over."""
    request = a_request()
    desk = a_desk_with(request)
    canceled = a_broker_order(request, status=BrokerStatus.CANCELED)
    handle(desk, updated(canceled))
    line = replace(an_execution(canceled), fill=a_fill(canceled, 4, cumulative=4))
    handle(desk, a_snapshot(activities=(line, replace(line, activity_id=ActivityId("2")))))
    assert desk.orders[OID].filled_qty == desk.portfolio.book(ALICE).qty(AAPL) == qty(4)


def test_a_leg_that_is_told_twice_is_restated_once() -> None:
    """By itself and beside its entry, in one look: all that was left of it is filled."""
    desk = a_desk()
    handle(desk, requested(a_bracket()))
    profit = a_leg("profit")
    entry = a_broker_order(a_bracket(), legs=(profit,))
    handle(desk, ev.SubmitAccepted(client_order_id=OID, order=entry, at=NOON))
    smaller = replace(profit, qty=qty(4), filled_qty=qty(4), status=BrokerStatus.FILLED, raw_status="filled")
    fills = ((profit.client_order_id, (a_fill(smaller, 4, cumulative=4),)),)
    looked = a_snapshot(orders=(smaller, replace(entry, legs=(smaller,))), fills=fills)
    assert facts_of(handle(desk, looked)).count(ev.OrderRestated) == 1
    assert desk.orders[profit.client_order_id].status is OrderStatus.FILLED


def test_a_refused_cancel_of_an_order_that_is_over_ends_it() -> None:
    """The end itself was missed: the refusal tells of it."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, ev.CancelRequested(client_order_id=OID, by="alice", at=NOON))
    effects = handle(desk, updated(a_broker_order(request, status=BrokerStatus.CANCELED), "order_cancel_rejected"))
    assert ev.OrderCanceled in facts_of(effects)
    assert ev.OrderCancelRefused not in facts_of(effects)
    assert desk.orders[OID].status is OrderStatus.CANCELED


def test_an_order_that_is_there_and_missing_ends_once() -> None:
    """A broker that lists it under another name, and knows nothing of its own."""
    request = a_request()
    desk = a_desk_with(request)
    renamed = a_broker_order(request, client_order_id=ClientOrderId("other"), status=BrokerStatus.CANCELED)
    handle(desk, a_snapshot(orders=(renamed,), missing=(OID,), at=NOON + timedelta(minutes=1)))
    assert desk.orders[OID].status is OrderStatus.CANCELED
