"""A trade stream that does not bring what it must is found, and one that merely has nothing to say is left alone."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.silence import Silence
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import OrderRequest
from tests.core.test_crossing import BACK, RESTING, SALE, canceled, looked, recalled
from tests.factories import (
    NOON,
    a_broker_order,
    a_desk,
    a_fill,
    a_limit_request,
    a_request,
    a_snapshot,
    accepted,
    filled,
    price,
    qty,
    requested,
    updated,
)

PATIENCE = timedelta(seconds=10)


def seconds(count: float) -> datetime:
    return NOON + timedelta(seconds=count)


def after(*events: ev.Event, desk: Desk | None = None) -> Silence:
    silence, desk = Silence(PATIENCE), desk or a_desk()
    for event in events:
        silence.see(event, desk)
        handle(desk, event)
    return silence


ONE = a_request()
TWO = a_limit_request("90", client_order_id=ClientOrderId("alice-2"))
FILLED = a_broker_order(ONE, status=BrokerStatus.FILLED, filled_qty=qty(10))


def test_an_acknowledged_order_without_any_event_is_a_mute_stream() -> None:
    """REST has the order, the stream says nothing: after the bound it is given up, with the order's name."""
    silence = after(requested(ONE), accepted(ONE))
    assert silence.overdue(seconds(9.9)) is None
    assert silence.overdue(seconds(10)) == (
        "mute: the broker told of the order by REST (alice-1), and no event came for 10.0 s"
    )
    assert silence.overdue(seconds(100)) is None, "said once"


def test_any_event_proves_that_the_stream_speaks() -> None:
    """A broker may say nothing of one order for hours: then another's event is enough."""
    new = updated(a_broker_order(TWO, status=BrokerStatus.NEW))
    assert after(requested(ONE), accepted(ONE), requested(TWO), accepted(TWO), new).overdue(seconds(100)) is None


def test_an_event_that_overtook_the_acknowledgement_counts() -> None:
    """Two sockets have no common order."""
    assert after(requested(ONE), updated(a_broker_order(ONE)), accepted(ONE)).overdue(seconds(100)) is None


@pytest.mark.parametrize(
    "told",
    [
        ev.OrderLookedUp(client_order_id=ONE.client_order_id, order=FILLED, fills=(), at=NOON),
        a_snapshot(orders=(FILLED,)),
        ev.SubmitAccepted(client_order_id=ONE.client_order_id, order=FILLED, at=NOON),
    ],
)
def test_a_fill_that_only_rest_told_is_owed(told: ev.Event) -> None:
    """Other orders' events do not pay for a lost fill; the fill's own does, however late."""
    others = updated(a_broker_order(TWO, status=BrokerStatus.NEW))
    base: tuple[ev.Event, ...] = (requested(TWO), accepted(TWO), requested(ONE))
    if not isinstance(told, ev.SubmitAccepted):
        base = (*base, accepted(ONE), updated(a_broker_order(ONE)))
    assert "10 shares filled by REST (alice-1)" in str(after(*base, told, others).overdue(seconds(10)))
    assert after(*base, told, others, filled(ONE, 10)).overdue(seconds(10)) is None


def test_a_fill_that_rest_tells_again_is_owed_since_the_first_time() -> None:
    """Each look at the account names it: that must not put off the day of reckoning."""
    again = a_snapshot(orders=(FILLED,), at=seconds(9))
    told = ev.OrderLookedUp(client_order_id=ONE.client_order_id, order=FILLED, fills=(), at=NOON)
    assert after(requested(ONE), accepted(ONE), told, again).overdue(seconds(10))


def test_a_fill_that_the_desk_will_not_book_cuts_the_stream_once() -> None:
    """Twelve of ten are refused at each look: the broker's error must not cost an outage each time."""
    too_many = a_broker_order(ONE, status=BrokerStatus.FILLED, filled_qty=qty(12))
    silence, desk = Silence(PATIENCE), a_desk()
    for event in (requested(ONE), accepted(ONE), updated(a_broker_order(ONE)), filled(ONE, 10)):
        silence.see(event, desk)
        handle(desk, event)
    cuts = 0
    for minute in range(30):
        silence.see(updated(a_broker_order(ONE)), desk)  # the stream is well
        silence.see(a_snapshot(orders=(too_many,), at=seconds(60 * minute)), desk)
        cuts += silence.overdue(seconds(60 * minute + 59)) is not None
    assert cuts == 1


def test_what_happened_in_an_outage_is_not_owed() -> None:
    """The look after it finds fills that no stream will ever bring."""
    down = ev.TradeStreamChanged(is_up=False, why="x", at=NOON)
    up = ev.TradeStreamChanged(is_up=True, why="listening", at=NOON)
    silence = after(requested(ONE), accepted(ONE), down, up, a_snapshot(orders=(FILLED,)))
    assert silence.overdue(seconds(100)) is None


def test_a_strangers_order_is_not_owed() -> None:
    """What an officer trades by hand is the account's matter."""
    theirs = a_broker_order(client_order_id=ClientOrderId("by-hand"), filled_qty=qty(10))
    assert after(a_snapshot(orders=(theirs,))).overdue(seconds(100)) is None


def test_where_a_new_connection_does_not_help_the_patience_doubles() -> None:
    """A broker that never tells of an order must not cost an outage every ten seconds; one event, and it is as before."""
    silence, desk = Silence(PATIENCE), a_desk()
    waits, request = [], ONE
    for number in range(9):
        request = a_limit_request(str(50 + number), client_order_id=ClientOrderId(f"alice-{number}"))
        handle(desk, requested(request))
        silence.see(accepted(request), desk)
        waits.append(next(s for s in range(0, 1_000, 10) if silence.overdue(seconds(s))))
    assert waits == [10, 20, 40, 80, 160, 320, 320, 320, 320]
    silence.see(accepted(request), desk)
    silence.see(updated(a_broker_order(request)), desk)
    silence.see(accepted(request), desk)
    assert silence.overdue(seconds(10))


# --- what the broker counts, and what it does not -----------------------------------------------------------------------


def exchanged_and_sent() -> tuple[Desk, OrderRequest]:
    """Return a desk with an order for ten of which four were exchanged at the desk, and six went to the broker."""
    desk = recalled(replace(SALE, qty=qty(4)))
    handle(desk, canceled(RESTING))
    handle(desk, looked())
    back = desk.orders[BACK]
    assert (back.internal_qty, back.sent_qty, back.counted_qty) == (qty(4), qty(6), qty(0))
    return desk, replace(back.request, qty=back.sent_qty)


def test_a_fill_is_owed_though_as_much_was_exchanged_at_the_desk() -> None:
    """The broker counts four of its six, and the books have four that it knows nothing of: those pay no debt."""
    desk, request = exchanged_and_sent()
    known = updated(a_broker_order(request))
    told = a_broker_order(request, status=BrokerStatus.PARTIALLY_FILLED, filled_qty=qty(4))
    look = ev.OrderLookedUp(client_order_id=BACK, order=told, fills=(), at=NOON)
    silence = after(known, look, desk=desk)
    assert f"4 shares filled by REST ({BACK})" in str(silence.overdue(seconds(10)))


def test_what_was_exchanged_at_the_desk_is_not_owed() -> None:
    """Once the broker's six are booked the books count ten: the stream has told all that it had to."""
    desk, request = exchanged_and_sent()
    whole = a_broker_order(request, status=BrokerStatus.FILLED, filled_qty=qty(6))
    silence = after(updated(a_broker_order(request)), filled(request, 6), a_snapshot(orders=(whole,)), desk=desk)
    assert desk.orders[BACK].filled_qty == 10
    assert silence.overdue(seconds(100)) is None


def test_what_the_house_took_of_an_overfill_is_not_owed() -> None:
    """The broker counts twelve of ten, and the books do, in two places."""
    too_many = a_broker_order(ONE, status=BrokerStatus.FILLED, filled_qty=qty(12), filled_avg_price=price(100))
    over = updated(too_many, "fill", a_fill(too_many, 12, cumulative=12))
    silence = after(requested(ONE), accepted(ONE), over, a_snapshot(orders=(too_many,)))
    assert silence.overdue(seconds(100)) is None
