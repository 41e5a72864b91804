"""What the broker says of an order, or does not, never sends it twice and never loses it."""

from dataclasses import replace
from datetime import timedelta

from deskd.core.deciding import handle
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import OrderStatus
from deskd.domain.reasons import RejectReason
from tests.core.some_orders import OID, a_desk_with, facts_of
from tests.factories import (
    AAPL,
    ALICE,
    NOON,
    a_broker_order,
    a_desk,
    a_fill,
    a_request,
    a_snapshot,
    filled,
    price,
    qty,
    requested,
    updated,
)
from tests.playbook import Playbook


def test_an_order_in_doubt_is_asked_for_and_never_sent_again() -> None:
    """A timeout is no answer: the broker decides, by client_order_id."""
    request = a_request()
    later = NOON + timedelta(seconds=11)
    in_doubt = ev.SubmitInDoubt(client_order_id=OID, why="timeout", at=NOON)
    found = ev.OrderLookedUp(client_order_id=OID, order=a_broker_order(request), fills=(), at=later)
    assert (
        Playbook(a_desk())
        >> requested(request)
        << ev.OrderApproved
        << ef.Submit(request)
        >> in_doubt
        << ev.BrokerSaid
        << ef.LookUp(OID)
        >> in_doubt  # the same word again is no news
        << ef.LookUp(OID)
        >> found
        << ev.OrderAccepted
        << ef.Reply(OID)
    )


def test_an_order_that_never_arrived_is_closed_only_after_it_had_time_to() -> None:
    """`Not found` at once may only mean `not yet`; after the settling time it is the broker's own answer."""
    request = a_request()
    desk = a_desk()
    early = ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=NOON + timedelta(seconds=1))
    late = ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=NOON + timedelta(seconds=11))
    assert (
        Playbook(desk)
        >> requested(request)
        << ev.OrderApproved
        << ef.Submit(request)
        >> early
        << ev.BrokerSaid
        >> early
        >> late
        << ev.OrderRejected
        << ef.Reply(OID)
    )
    assert desk.orders[OID].reason == RejectReason.NEVER_ARRIVED
    assert desk.buying_power(ALICE) == 10_000


def test_a_refused_submit_frees_what_was_reserved() -> None:
    """The broker's no ends the order, with the broker's words."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    no = ev.SubmitRejected(client_order_id=OID, message="insufficient buying power", at=NOON)
    assert Playbook(desk) >> no << ev.OrderRejected << ef.Reply(OID)
    assert desk.orders[OID].message == "insufficient buying power"
    assert desk.buying_power(ALICE) == 10_000


def test_a_refusal_of_an_order_that_the_stream_has_seen_is_looked_into() -> None:
    """Two words of the broker: the order itself decides."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    handle(desk, updated(a_broker_order(request)))
    no = ev.SubmitRejected(client_order_id=OID, message="no", at=NOON)
    assert Playbook(desk) >> no << ef.LookUp(OID)


def test_a_second_refusal_is_no_news() -> None:
    """What is over stays as it ended."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    no = ev.SubmitRejected(client_order_id=OID, message="no", at=NOON)
    assert Playbook(desk) >> no << ev.OrderRejected << ef.Reply(OID) >> no
    assert Playbook(desk) >> ev.DoubtTimedOut(client_order_id=OID, at=NOON)


def test_a_cancel_that_crosses_a_fill_brings_the_fill() -> None:
    """The broker refuses to cancel what is filled; the look-up tells the fill."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, ev.CancelRequested(client_order_id=OID, by="alice", at=NOON))
    whole = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(10), filled_avg_price=price(100))
    no = ev.CancelAnswered(client_order_id=OID, refusal='order is already in "filled" state', at=NOON)
    found = ev.OrderLookedUp(client_order_id=OID, order=whole, fills=(a_fill(whole, 10, cumulative=10),), at=NOON)
    assert Playbook(desk) >> no << ev.OrderCancelRefused << ef.LookUp(OID) >> found << ev.OrderFilled
    assert desk.orders[OID].status is OrderStatus.FILLED


def test_a_fill_that_an_answer_names_twice_counts_once() -> None:
    """A list of executions may overlap with itself, page by page."""
    request = a_request()
    desk = a_desk_with(request)
    order = a_broker_order(request, status=BrokerStatus.PARTIALLY_FILLED, filled_qty=qty(4))
    twice = (a_fill(order, 4, cumulative=4),) * 2
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=order, fills=twice, at=NOON))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 4


def test_another_order_under_our_id_is_not_ours() -> None:
    """An officer's replacement may carry our client_order_id: it is told by the broker's own."""
    request = a_request()
    desk = a_desk_with(request)
    theirs = a_broker_order(
        request, broker_order_id=BrokerOrderId("other"), status=BrokerStatus.FILLED, filled_qty=qty(10)
    )
    fill = a_fill(theirs, 10, cumulative=10)
    assert facts_of(handle(desk, updated(theirs, "fill", fill))) == []
    assert handle(desk, ev.OrderLookedUp(client_order_id=OID, order=theirs, fills=(fill,), at=NOON)) == []
    assert desk.orders[OID].status is OrderStatus.ACCEPTED
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0


def test_a_strangers_order_matters_only_when_it_fills() -> None:
    """An officer trades by hand in the broker's own page: the account is looked at, no book moves."""
    theirs = a_broker_order(client_order_id=ClientOrderId("by-hand"), broker_order_id=BrokerOrderId("x"))
    assert Playbook(a_desk()) >> updated(theirs)
    done = replace(theirs, filled_qty=qty(1))
    moved = ef.Reconcile("order x is not the desk's", is_routine=True)
    assert Playbook(a_desk()) >> updated(done, "fill", a_fill(done, 1, cumulative=1)) << moved


def test_an_order_that_the_broker_lost_ends_once() -> None:
    """After a reset of the account nothing holds for ever, and the ledger is not filled with one complaint."""
    request = a_request()
    desk = a_desk_with(request)
    later = NOON + timedelta(minutes=1)
    unknown = ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=later)
    assert Playbook(desk) >> unknown << ev.BrokerSaid << ef.Reconcile(f"the broker does not find order {OID}")
    assert OrderStatus.ACCEPTED is desk.orders[OID].status, "one list may lag"
    too_early = a_snapshot(missing=(OID,), asked_at=NOON + timedelta(seconds=1))
    assert Playbook(desk) >> too_early << ev.AccountReconciled
    lost = a_snapshot(missing=(OID,), asked_at=later)
    assert (
        Playbook(desk)
        >> lost
        << ev.DiscrepancyFound
        << ev.OrderRejected
        << ef.Reply(OID)
        << ev.AccountReconciled
        >> lost
        << ev.AccountReconciled
        >> unknown
    )
    assert desk.orders[OID].reason == RejectReason.BROKER_LOST
    assert desk.reservations.by_order == {}


def test_an_order_replaced_by_nothing_ends_and_keeps_its_fills() -> None:
    """The broker names no order in its place, asked for it or not: nothing may hold for ever."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 4))
    old = a_broker_order(request, status=BrokerStatus.REPLACED, filled_qty=qty(4))
    nothing = ev.OrderLookedUp(client_order_id=OID, order=old, fills=(a_fill(old, 4, cumulative=4),), at=NOON)
    assert (
        Playbook(desk)
        >> updated(old, "replaced")
        << ef.LookUp(OID)
        >> nothing
        << ev.OrderReplaced
        << ev.DiscrepancyFound
        << ef.Reconcile(f"order {OID} was replaced by nothing")
    )
    assert desk.orders[OID].status is OrderStatus.REPLACED
    assert desk.reservations.by_order == {}
    assert desk.portfolio.book(ALICE).qty(AAPL) == 4


def test_an_order_that_was_filled_and_replaced_by_nothing_is_filled() -> None:
    """Nothing was left of it to replace: its fills end it."""
    request = a_request()
    desk = a_desk_with(request)
    whole = a_broker_order(
        request, status=BrokerStatus.REPLACED, filled_qty=qty(10), replaced_by=BrokerOrderId("b-gone")
    )
    fills = (a_fill(whole, 10, cumulative=10),)
    handle(desk, ev.OrderLookedUp(client_order_id=OID, order=whole, fills=fills, at=NOON))
    assert desk.orders[OID].status is OrderStatus.FILLED


def test_an_answer_about_a_forgotten_denial_is_passed_over() -> None:
    """Newer denials pushed it out of memory while the broker was asked."""
    assert Playbook(a_desk()) >> ev.OrderLookedUp(client_order_id=OID, order=None, fills=(), at=NOON)
