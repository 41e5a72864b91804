"""Whatever the broker tells of an order, late, twice or out of order, the books are the same."""

from datetime import timedelta

import pytest

from deskd.core.deciding import handle
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import HOUSE, BrokerOrderId, ClientOrderId
from deskd.domain.order import OrderStatus, OrderType
from deskd.domain.reasons import RejectReason
from tests.core.some_orders import OID, a_bracket, a_desk_with, a_leg, facts_of
from tests.factories import (
    AAPL,
    ALICE,
    NOON,
    a_broker_order,
    a_desk,
    a_fill,
    a_request,
    accepted,
    cash,
    filled,
    price,
    qty,
    requested,
    updated,
)
from tests.playbook import Playbook


def test_a_fill_that_overtakes_the_acknowledgement_is_booked() -> None:
    """The stream may be faster than the answer to the POST; nothing is lost or counted twice."""
    request = a_request()
    desk = a_desk()
    assert (
        Playbook(desk)
        >> requested(request)
        << ev.OrderApproved
        << ef.Submit(request)
        >> filled(request, 10)
        << ev.OrderAccepted
        << ev.OrderFilled
        << ef.Reply(OID)
        >> accepted(request)  # late: no news
    )
    assert desk.orders[OID].status is OrderStatus.FILLED
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10
    assert desk.portfolio.book(ALICE).cash == 9000


def test_the_same_fill_twice_counts_once() -> None:
    """A fill has an identity: whichever way it comes again, it is no news."""
    request = a_request()
    desk = a_desk_with(request)
    assert (
        Playbook(desk)
        >> filled(request, 4)
        << ev.OrderFilled
        >> filled(request, 4)
        >> filled(request, 6, cumulative=10)
        << ev.OrderFilled
        >> filled(request, 4)
    )
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10


def test_fills_that_come_in_the_wrong_order_add_up() -> None:
    """The later execution first: the missing one is asked for, and both are booked once."""
    request = a_request()
    desk = a_desk_with(request)
    assert (
        Playbook(desk)
        >> filled(request, 6, cumulative=10)
        << ev.OrderFilled
        << ef.LookUp(OID)
        >> filled(request, 4)
        << ev.OrderFilled
    )
    assert desk.orders[OID].status is OrderStatus.FILLED


def test_an_end_waits_for_the_fills_that_it_counts() -> None:
    """A cancel that says `4 were filled` is not recorded before these four are booked."""
    request = a_request()
    desk = a_desk_with(request)
    canceled = a_broker_order(request, status=BrokerStatus.CANCELED, filled_qty=qty(4), filled_avg_price=price(100))
    looked_up = ev.OrderLookedUp(
        client_order_id=OID, order=canceled, fills=(a_fill(canceled, 4, cumulative=4),), at=NOON
    )
    assert Playbook(desk) >> updated(canceled) << ef.LookUp(OID) >> looked_up << ev.OrderFilled << ev.OrderCanceled
    assert desk.reservations.by_order == {}


def test_an_order_that_arrives_after_all_is_canceled_and_recorded() -> None:
    """The strategy was told that it is gone: so it must go."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=NOON + timedelta(seconds=11)))
    assert (
        Playbook(desk)
        >> updated(a_broker_order(request))
        << ev.DiscrepancyFound
        << ev.BrokerSaid
        << ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
        >> updated(a_broker_order(request))  # recorded once, canceled until it is gone
        << ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
    )


@pytest.mark.parametrize("reason", [RejectReason.BROKER_REJECTED, RejectReason.BROKER_LOST])
def test_an_order_that_ended_here_and_lives_there_is_canceled(reason: RejectReason) -> None:
    """Its strategy was told that it is over: so it must go, and what it fills is booked."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    desk.apply(ev.OrderRejected(client_order_id=OID, reason=reason, message="x", at=NOON))
    alive = a_broker_order(request)
    cancel = ef.Cancel(OID, alive.broker_order_id)
    assert Playbook(desk) >> updated(alive) << ev.DiscrepancyFound << ev.BrokerSaid << cancel
    handle(desk, filled(request, 4))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 4


def test_an_order_that_the_broker_refuses_after_all_ends() -> None:
    """Accepted first, rejected by the venue later: what was reserved is free."""
    request = a_request()
    desk = a_desk_with(request)
    rejected = updated(a_broker_order(request, status=BrokerStatus.REJECTED))
    assert Playbook(desk) >> rejected << ev.OrderRejected >> rejected
    assert desk.orders[OID].reason == RejectReason.BROKER_REFUSED_LATER
    assert desk.reservations.by_order == {}


def test_a_cancel_while_in_doubt_is_sent_once_the_broker_has_the_order() -> None:
    """Without the broker's id there is nothing to cancel yet; the wish is kept."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    assert (
        Playbook(desk)
        >> ev.CancelRequested(client_order_id=OID, by="alice", at=NOON)
        << ev.OrderCancelRequested
        << ef.Reply(OID)
        >> accepted(request)
        << ev.OrderAccepted
        << ef.Reply(OID)
        << ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
        >> updated(a_broker_order(request, status=BrokerStatus.CANCELED))
        << ev.OrderCanceled
    )


def test_a_stuck_cancel_is_asked_for_again() -> None:
    """A look-up that finds the order alive repeats the cancel."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, ev.CancelRequested(client_order_id=OID, by="alice", at=NOON))
    found = ev.OrderLookedUp(client_order_id=OID, order=a_broker_order(request), fills=(), at=NOON)
    assert (
        Playbook(desk)
        >> ev.DoubtTimedOut(client_order_id=OID, at=NOON)
        << ef.LookUp(OID)
        >> found
        << ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
    )


def test_what_the_broker_executes_beyond_an_order_is_the_houses_and_the_order_ends() -> None:
    """The broker is right about what was executed; a strategy never gets more than it asked for, nor waits for ever."""
    request = a_request()
    desk = a_desk_with(request)
    effects = handle(desk, filled(request, 13, at_price="101"))
    kept: list[type] = [ev.OrderFilled, ev.DiscrepancyFound, ev.HouseAdjusted]
    assert facts_of(effects) == kept
    assert any(isinstance(e, ef.Reconcile) for e in effects)
    again = handle(desk, filled(request, 13, at_price="101"))
    assert facts_of(again) == [], "or every look at the account would call for another"
    assert not any(isinstance(e, ef.Reconcile | ef.LookUp) for e in again)
    order = desk.orders[OID]
    assert (order.status, order.filled_qty, order.counted_qty) == (OrderStatus.FILLED, qty(10), qty(13))
    assert desk.reservations.by_order == {}
    assert (desk.portfolio.book(ALICE).qty(AAPL), desk.portfolio.book(HOUSE).qty(AAPL)) == (qty(10), qty(3))
    assert desk.portfolio.cash() == 100_000 - 13 * 101
    (taken,) = (e.fact for e in effects if isinstance(e, ef.Record) and isinstance(e.fact, ev.HouseAdjusted))
    assert (taken.cause, taken.qty, taken.cash) == (HouseCause.OVERFILL, qty(3), cash(-303))
    assert desk.standing.frozen == {}, "it is explained"


def test_an_execution_after_the_order_was_filled_is_all_the_houses() -> None:
    """No fill of nothing is booked to the strategy; the broker's own correction of it evens out."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 10))
    effects = handle(desk, filled(request, 2, cumulative=12))
    kept: list[type] = [ev.DiscrepancyFound, ev.HouseAdjusted]
    assert facts_of(effects) == kept
    assert desk.fill_count == 2
    assert desk.portfolio.book(HOUSE).qty(AAPL) == 2
    undone = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(10), filled_avg_price=price(100))
    handle(desk, updated(undone, "trade_bust"))
    order = desk.orders[OID]
    assert (order.filled_qty, order.counted_qty, order.counted_notional) == (qty(10), qty(10), cash(1000))
    assert (desk.portfolio.book(ALICE).qty(AAPL), desk.portfolio.book(HOUSE).qty(AAPL)) == (qty(10), qty(0))
    assert desk.portfolio.cash() == 99_000


def test_a_notional_order_ends_when_the_broker_calls_it_filled() -> None:
    """Only the broker knows how many shares a notional order is."""
    request = a_request(qty=None, notional=cash(100))
    desk = a_desk_with(request)
    order = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty("1.5"), filled_avg_price=price(60))
    effects = handle(desk, updated(order, "fill", a_fill(order, "1.5", cumulative="1.5", at_price="60")))
    assert [type(e.fact) for e in effects if isinstance(e, ef.Record)] == [ev.OrderFilled, ev.OrderCompleted]
    assert desk.orders[OID].status is OrderStatus.FILLED
    assert desk.reservations.by_order == {}


def test_a_restated_quantity_ends_when_the_broker_calls_it_filled() -> None:
    """What the broker made smaller is done with less than was asked for, and holds no more than that."""
    request = a_request()
    desk = a_desk_with(request)
    whole = a_broker_order(request, qty=qty(6), status=BrokerStatus.FILLED, filled_qty=qty(6))
    effects = handle(desk, updated(whole, "fill", a_fill(whole, 6, cumulative=6)))
    assert facts_of(effects) == [ev.OrderRestated, ev.OrderFilled]
    assert desk.orders[OID].status is OrderStatus.FILLED
    assert desk.reservations.by_order == {}


def test_legs_are_found_when_the_stream_overtakes_the_answer() -> None:
    """The stream never names legs; the answer to the POST does, and what was bought by then is promised to them."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    legs = (a_leg("profit"), a_leg("loss", order_type=OrderType.STOP, limit_price=None, stop_price=price(90)))
    answer = ev.SubmitAccepted(client_order_id=OID, order=a_broker_order(request, legs=legs), at=NOON)
    assert (
        Playbook(desk)
        >> filled(request, 10)
        << ev.OrderAccepted
        << ev.OrderFilled
        << ef.Reply(OID)
        << ef.LookUp(OID)  # a bracket without legs: they are asked for, if the answer never comes
        >> answer
        << ev.LegsFound
        >> answer
    )
    assert [o.request.client_order_id for o in desk.open_orders()] == ["profit", "loss"]
    assert desk.reservations.qty(ALICE, AAPL) == 10
    handle(desk, filled(desk.orders[ClientOrderId("loss")].request, 10, at_price="90"))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0


def test_a_leg_that_moved_on_before_it_was_known_is_asked_for() -> None:
    """Its fill came when nobody knew whose it was."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    done = a_leg("profit", status=BrokerStatus.FILLED, filled_qty=qty(10))
    gone = a_leg("loss", status=BrokerStatus.CANCELED)
    unreadable = a_leg("strange", qty=None)
    answer = a_broker_order(request, legs=(done, gone, unreadable))
    assert (
        Playbook(desk)
        >> ev.SubmitAccepted(client_order_id=OID, order=answer, at=NOON)
        << ev.OrderAccepted
        << ef.Reply(OID)
        << ef.LookUp(ClientOrderId("profit"))
        << ef.LookUp(ClientOrderId("loss"))
    )
    assert ClientOrderId("strange") not in desk.orders


def test_the_legs_of_an_order_that_was_refused_at_once_are_nobodys() -> None:
    """No question is asked of what never lived: an answer about an unknown order would end the desk."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    legs = tuple(a_leg(name, status=BrokerStatus.CANCELED) for name in ("profit", "loss"))
    refused = a_broker_order(request, status=BrokerStatus.REJECTED, legs=legs)
    looked_up = ev.OrderLookedUp(client_order_id=OID, order=refused, fills=(), at=NOON)
    assert Playbook(desk) >> looked_up << ev.OrderRejected << ef.Reply(OID)


def test_the_legs_of_an_order_that_arrived_after_all_are_its_strategys() -> None:
    """The desk had given it up, and it filled: its exits sell what that strategy now has."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=NOON + timedelta(seconds=11)))
    handle(desk, filled(request, 10))
    done = a_leg("profit", status=BrokerStatus.FILLED, filled_qty=qty(10))
    gone = a_leg("loss", status=BrokerStatus.CANCELED)
    whole = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(10), legs=(done, gone))
    looked_up = ev.OrderLookedUp(client_order_id=OID, order=whole, fills=(), at=NOON)
    effects = handle(desk, looked_up)
    assert facts_of(effects) == [ev.LegsFound]
    fill = a_fill(done, 10, cumulative=10, at_price="110")
    handle(desk, ev.OrderLookedUp(client_order_id=done.client_order_id, order=done, fills=(fill,), at=NOON))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0
    assert desk.portfolio.book(ALICE).cash == 10_100
