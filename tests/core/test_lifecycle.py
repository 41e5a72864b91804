"""The order table is the specification."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest

from deskd.core import lifecycle
from deskd.core.lifecycle import TRANSITIONS, ImpossibleTransition
from deskd.domain import events as ev
from deskd.domain.ids import BrokerOrderId, ClientOrderId, FillId
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
        ev.OrderReplaceRequested(
            client_order_id=a_request().client_order_id, replaced_by=ClientOrderId("new"), by="x", at=NOON
        ),
        ev.OrderReplaceRefused(client_order_id=a_request().client_order_id, message="no", at=NOON),
        ev.OrderReplaced(client_order_id=a_request().client_order_id, replaced_by=ClientOrderId("new"), at=NOON),
        ev.OrderRestated(client_order_id=a_request().client_order_id, qty=qty(6), at=NOON),
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
        (ev.BrokerStatus.REPLACED, ev.OrderReplaced),
        (ev.BrokerStatus.REJECTED, ev.OrderRejected),
    ],
)
def test_each_end_at_the_broker_has_its_fact(status: ev.BrokerStatus, fact: type) -> None:
    """An order that the broker ended, ends."""
    order = lifecycle.apply(an_order(OrderStatus.SUBMITTED), FACTS[ev.OrderAccepted])
    successor = ClientOrderId("new")
    caught = lifecycle.catch_up(
        order, a_broker_order(status=status), (), set(), NOON, source="stream", successor=successor
    )
    assert [type(f) for f in caught.facts] == [fact]
    assert [getattr(f, "source", None) for f in caught.facts] == ["stream"]


def test_a_replaced_order_ends_only_when_its_successor_is_known() -> None:
    """Until then it holds what the order in its place may trade."""
    order = lifecycle.apply(an_order(OrderStatus.SUBMITTED), FACTS[ev.OrderAccepted])
    caught = lifecycle.catch_up(order, a_broker_order(status=ev.BrokerStatus.REPLACED), (), set(), NOON)
    assert caught.facts == ()
    assert caught.misses_successor


def test_a_refused_replace_brings_the_order_back_to_where_it_was() -> None:
    """Accepted or partially filled, as before the wish; a cancel that is wanted stays so."""
    asked, refused = FACTS[ev.OrderReplaceRequested], FACTS[ev.OrderReplaceRefused]
    accepted = lifecycle.apply(an_order(OrderStatus.SUBMITTED), FACTS[ev.OrderAccepted])
    pending = lifecycle.apply(accepted, asked)
    assert pending.replaced_by == "new"
    assert lifecycle.apply(pending, refused).status is OrderStatus.ACCEPTED
    partly = lifecycle.apply(lifecycle.apply(pending, FACTS[ev.OrderFilled]), refused)
    assert (partly.status, partly.replaced_by) == (OrderStatus.PARTIALLY_FILLED, None)
    canceling = lifecycle.apply(pending, FACTS[ev.OrderCancelRequested])
    assert lifecycle.apply(canceling, FACTS[ev.OrderCancelRefused]).status is OrderStatus.PENDING_REPLACE
    assert lifecycle.apply(canceling, refused).status is OrderStatus.PENDING_CANCEL


def test_an_order_made_smaller_is_filled_when_that_is_filled() -> None:
    """What is left follows the broker's figure; below what is filled it makes no sense."""
    order = lifecycle.apply(an_order(OrderStatus.SUBMITTED), FACTS[ev.OrderAccepted])
    one = FACTS[ev.OrderFilled]
    smaller = lifecycle.apply(lifecycle.apply(order, one), FACTS[ev.OrderRestated])
    assert (smaller.qty, smaller.leaves_qty, smaller.request.qty) == (qty(6), qty(5), qty(10))
    to_the_end = ev.OrderRestated(client_order_id=order.request.client_order_id, qty=qty(1), at=NOON)
    assert lifecycle.apply(smaller, to_the_end).status is OrderStatus.FILLED
    with pytest.raises(ImpossibleTransition, match="restated to 0"):
        lifecycle.apply(smaller, ev.OrderRestated(client_order_id=order.request.client_order_id, qty=qty(0), at=NOON))


@pytest.mark.parametrize(
    ("says", "filled", "is_leg", "is_believed"),
    [(6, 0, False, True), (12, 0, False, False), (12, 0, True, True), (3, 4, False, False), (10, 0, False, False)],
)
def test_only_a_smaller_order_or_a_grown_leg_is_believed(
    says: int, filled: int, is_leg: bool, is_believed: bool
) -> None:
    """More than was asked, or less than was filled, is no restatement."""
    order = an_order(OrderStatus.ACCEPTED)
    if is_leg:
        order = replace(order, parent_id=ClientOrderId("entry"))
    broker = a_broker_order(qty=qty(says), filled_qty=qty(filled))
    assert (lifecycle.restates(order, broker, NOON, "stream") is not None) is is_believed


def test_words_are_kept_by_their_kind() -> None:
    """A status of the broker's is its status; anything else is the last word. Neither moves the order."""
    order = an_order(OrderStatus.ACCEPTED)
    heard = lifecycle.hear(order, said("done_for_day"))
    assert (heard.broker_status, heard.source, heard.status) == ("done_for_day", "stream", OrderStatus.ACCEPTED)
    heard = lifecycle.hear(heard, said("in_doubt"))
    assert (heard.broker_status, heard.last_word, heard.updated_at) == ("done_for_day", "stream in_doubt", NOON)


def said(word: str) -> ev.BrokerSaid:
    oid = a_request().client_order_id
    return ev.BrokerSaid(client_order_id=oid, source="stream", word=word, detail="", at=NOON)


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


@pytest.mark.parametrize("shares", [None, 0, -10])
def test_a_leg_for_no_shares_is_none(shares: int | None) -> None:
    """It would promise less than nothing."""
    leg = a_broker_order(qty=None if shares is None else qty(shares))
    assert lifecycle.legs_of(a_broker_order(legs=(leg,))) == ()


def test_an_order_for_nothing_is_not_believed() -> None:
    """It would be filled without a fill; the broker's word of its end is waited for."""
    order = Order(request=a_request(), status=OrderStatus.ACCEPTED, requested_at=NOON, updated_at=NOON)
    assert lifecycle.restates(order, a_broker_order(qty=qty(0)), NOON, "") is None
    assert lifecycle.restates(order, a_broker_order(qty=qty(4)), NOON, "") is not None
