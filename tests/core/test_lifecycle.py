"""The order table is the specification."""

import itertools
from datetime import timedelta
from typing import get_args

import pytest

from deskd.core import lifecycle
from deskd.core.lifecycle import TRANSITIONS, ImpossibleTransition
from deskd.domain import events as ev
from deskd.domain.ids import BrokerOrderId, FillId
from deskd.domain.order import Order, OrderStatus
from tests.factories import NOON, a_broker_order, a_fill, a_request, price, qty

FACTS: dict[type, ev.OrderFact] = {
    type(f): f
    for f in (
        ev.OrderAccepted(
            client_order_id=a_request().client_order_id,
            broker_order_id=BrokerOrderId("b"),
            submitted_at=NOON,
            legs=(),
            at=NOON,
        ),
        ev.OrderRejected(client_order_id=a_request().client_order_id, reason="x", message="y", at=NOON),
        ev.OrderFilled(
            client_order_id=a_request().client_order_id,
            fill_id=FillId("f"),
            qty=qty(1),
            price=price(100),
            filled_at=NOON,
            at=NOON,
        ),
        ev.OrderCancelRequested(client_order_id=a_request().client_order_id, by="x", at=NOON),
        ev.OrderCancelRefused(client_order_id=a_request().client_order_id, message="no", at=NOON),
        ev.OrderCompleted(client_order_id=a_request().client_order_id, at=NOON),
        ev.OrderCanceled(client_order_id=a_request().client_order_id, at=NOON),
        ev.OrderExpired(client_order_id=a_request().client_order_id, at=NOON),
    )
}


def an_order(status: OrderStatus) -> Order:
    return Order(request=a_request(), status=status, requested_at=NOON, updated_at=NOON)


def test_the_table_speaks_of_every_order_fact() -> None:
    """No fact about orders is left without a row."""
    assert set(FACTS) == set(get_args(ev.OrderFact.__value__)) == {fact for _, fact in TRANSITIONS}


@pytest.mark.parametrize(("status", "fact"), list(itertools.product(OrderStatus, FACTS)))
def test_what_is_not_in_the_table_does_not_happen(status: OrderStatus, fact: type) -> None:
    """Every pair either has a row, or is refused."""
    if (status, fact) in TRANSITIONS:
        assert lifecycle.apply(an_order(status), FACTS[fact]).updated_at == NOON
    else:
        with pytest.raises(ImpossibleTransition):
            lifecycle.apply(an_order(status), FACTS[fact])


@pytest.mark.parametrize("status", [s for s in OrderStatus if not s.is_open])
def test_a_final_order_stays_final(status: OrderStatus) -> None:
    """Late money is booked; the status never moves."""
    assert {to for (start, _), to in TRANSITIONS.items() if start is status} <= {status}


def test_a_refused_cancel_brings_the_order_back_to_where_it_was() -> None:
    """In doubt, accepted or partially filled: as before the wish."""
    refused = FACTS[ev.OrderCancelRefused]
    pending = an_order(OrderStatus.PENDING_CANCEL)
    assert lifecycle.apply(pending, refused).status is OrderStatus.SUBMITTED
    accepted = lifecycle.apply(pending, FACTS[ev.OrderAccepted])
    assert lifecycle.apply(accepted, refused).status is OrderStatus.ACCEPTED
    partly = lifecycle.apply(accepted, FACTS[ev.OrderFilled])
    assert lifecycle.apply(partly, refused).status is OrderStatus.PARTIALLY_FILLED


def test_the_average_is_over_all_fills() -> None:
    """4 at 100 and 6 at 101 average 100.6."""
    order = an_order(OrderStatus.ACCEPTED)
    for shares, paid in ((4, 100), (6, 101)):
        fill = ev.OrderFilled(
            client_order_id=order.request.client_order_id,
            fill_id=FillId(f"f{shares}"),
            qty=qty(shares),
            price=price(paid),
            filled_at=NOON,
            at=NOON,
        )
        order = lifecycle.apply(order, fill)
    assert order.status is OrderStatus.FILLED
    assert order.avg_fill_price == price("100.6")
    assert order.leaves_qty == 0


@pytest.mark.parametrize(
    ("status", "fact"),
    [
        (ev.BrokerStatus.CANCELED, ev.OrderCanceled),
        (ev.BrokerStatus.EXPIRED, ev.OrderExpired),
        (ev.BrokerStatus.REPLACED, ev.OrderCanceled),
        (ev.BrokerStatus.REJECTED, ev.OrderRejected),
    ],
)
def test_each_end_at_the_broker_has_its_fact(status: ev.BrokerStatus, fact: type) -> None:
    """An order that the broker ended, ends."""
    order = lifecycle.apply(an_order(OrderStatus.SUBMITTED), FACTS[ev.OrderAccepted])
    caught = lifecycle.catch_up(order, a_broker_order(status=status), (), set(), NOON)
    assert [type(f) for f in caught.facts] == [fact]


@pytest.mark.parametrize("status", [s for s in ev.BrokerStatus if s not in lifecycle._TERMINAL_AT_BROKER])
def test_a_living_order_is_only_acknowledged(status: ev.BrokerStatus) -> None:
    """No status that is not an end ends anything; the acknowledgement is recorded once."""
    caught = lifecycle.catch_up(an_order(OrderStatus.SUBMITTED), a_broker_order(status=status), (), set(), NOON)
    assert [type(f) for f in caught.facts] == [ev.OrderAccepted]
    known = lifecycle.apply(an_order(OrderStatus.SUBMITTED), caught.facts[0])
    assert lifecycle.catch_up(known, a_broker_order(status=status), (), set(), NOON).facts == ()


def test_a_known_fill_is_no_news_and_a_missing_one_is_noticed() -> None:
    """Fills are compared by identity, and their sum with what the broker counts."""
    broker = a_broker_order(status=ev.BrokerStatus.PARTIALLY_FILLED, filled_qty=qty(7), filled_avg_price=price(100))
    fill = a_fill(broker, 4, cumulative=4)
    order = lifecycle.apply(an_order(OrderStatus.SUBMITTED), FACTS[ev.OrderAccepted])
    caught = lifecycle.catch_up(order, broker, (fill,), set(), NOON)
    assert caught.misses_fills
    assert [type(f) for f in caught.facts] == [ev.OrderFilled]
    again = lifecycle.catch_up(order, broker, (fill,), {fill.fill_id}, NOON + timedelta(seconds=1))
    assert again.facts == ()
