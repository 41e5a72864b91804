"""Every word of the broker, in every state of an order."""

import itertools

import pytest

from deskd.core import words
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.lifecycle import ENDED_WITHOUT_BROKER
from deskd.core.words import FOLLOWS, STATES, WORDS, Follows
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import OrderStatus, Replacement
from deskd.domain.reasons import RejectReason
from tests.factories import (
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_limit_request,
    a_quote,
    accepted,
    filled,
    price,
    qty,
    requested,
    updated,
)

S = OrderStatus
REQUEST = a_limit_request()
OID = REQUEST.client_order_id
STREAMED = frozenset(  # ALPACA.md 2.4
    {
        "pending_new",
        "accepted",
        "new",
        "partial_fill",
        "fill",
        "canceled",
        "expired",
        "done_for_day",
        "replaced",
        "rejected",
        "stopped",
        "pending_cancel",
        "pending_replace",
        "calculated",
        "suspended",
        "restated",
        "order_replace_rejected",
        "order_cancel_rejected",
        "trade_bust",
        "trade_correct",
    }
)


def test_the_table_is_whole() -> None:
    """All of Alpaca's statuses and events, in all of our states."""
    statuses = {status.value for status in BrokerStatus if status is not BrokerStatus.UNKNOWN}
    assert len(statuses) == 17
    assert set(WORDS) == statuses | STREAMED
    assert set(STATES) == set(OrderStatus)
    assert set(FOLLOWS) == set(itertools.product(OrderStatus, WORDS))


def test_a_word_that_nobody_knows_is_forbidden() -> None:
    """Unknown means no."""
    assert words.follows(S.ACCEPTED, "vaporized") is Follows.FORBIDDEN


def in_state(status: OrderStatus) -> Desk:
    """Return a desk whose one order stands so."""
    desk = a_desk()
    if status is S.DENIED:
        handle(desk, requested(REQUEST, quote=None))
        return desk
    handle(desk, requested(REQUEST))
    if status is S.SUBMITTED:
        return desk
    if status is S.REJECTED:
        handle(desk, ev.SubmitRejected(client_order_id=OID, message="no", at=NOON))
        return desk
    handle(desk, accepted(REQUEST))
    match status:
        case S.PARTIALLY_FILLED:
            handle(desk, filled(REQUEST, 4))
        case S.PENDING_CANCEL:
            handle(desk, ev.CancelRequested(client_order_id=OID, by="alice", at=NOON))
        case S.PENDING_REPLACE:
            handle(desk, a_replace())
        case S.FILLED:
            handle(desk, filled(REQUEST, 10))
        case S.CANCELED | S.EXPIRED:
            handle(desk, updated(a_broker_order(REQUEST, status=BrokerStatus(status.value))))
        case S.REPLACED:
            handle(desk, a_replace())
            handle(desk, updated(a_broker_order(REQUEST, status=BrokerStatus.REPLACED), "replaced"))
        case _:
            pass
    assert desk.orders[OID].status is status
    return desk


def a_replace() -> ev.ReplaceRequested:
    return ev.ReplaceRequested(
        client_order_id=ClientOrderId("new"),
        replacement=Replacement(replaces=OID, limit_price=price(99)),
        quote=a_quote(),
        market_day=MONDAY,
        by="alice",
        at=NOON,
    )


def heard(desk: Desk, word: str) -> list[ef.Effect]:
    """Return what follows from *word*, told by the stream beside the order as it then stands at the broker."""
    order = desk.orders[OID]
    if word in {"partial_fill", "fill"} and order.filled_qty == 10:
        return handle(desk, filled(REQUEST, 10))
    if word == "partial_fill":
        return handle(desk, filled(REQUEST, 1, cumulative=str(order.filled_qty + 1)))
    if word == "fill":
        return handle(
            desk, filled(REQUEST, str(10 - order.filled_qty) if order.filled_qty < 10 else "10", cumulative=10)
        )
    status = {"fill": "filled", "partial_fill": "partially_filled"}.get(word, word)
    known = status in BrokerStatus and status != BrokerStatus.UNKNOWN
    broker = a_broker_order(
        REQUEST,
        status=BrokerStatus(status) if known else BrokerStatus.NEW,
        filled_qty=qty(10) if status == "filled" else order.filled_qty,
    )
    return handle(desk, updated(broker, word))


PAIRS = [(state, word) for state, word in itertools.product(OrderStatus, WORDS)]


@pytest.mark.parametrize(("state", "word"), PAIRS)
def test_each_word_has_its_consequence(state: OrderStatus, word: str) -> None:
    """What the table says is what the desk does, told once or twice; what it forbids is recorded and not applied."""
    desk = in_state(state)
    outcome = FOLLOWS[state, word]
    before = desk.orders[OID]
    effects = heard(desk, word)
    facts = [e.fact for e in effects if isinstance(e, ef.Record)]
    kinds = {type(f) for f in facts}
    after = desk.orders[OID]
    match outcome:
        case Follows.FORBIDDEN:
            assert ev.DiscrepancyFound in kinds
            assert any(isinstance(e, ef.Reconcile) for e in effects)
            assert (after.status, after.filled_qty) == (before.status, before.filled_qty)
        case Follows.LATE:
            assert not kinds - {ev.OrderFilled}
            assert after.status is before.status
        case Follows.NOTED | Follows.ACKNOWLEDGED | Follows.RESTATED:
            assert after.status is (S.ACCEPTED if state is S.SUBMITTED else state)
            if outcome is Follows.NOTED:
                assert (ev.BrokerSaid in kinds) or (state is S.SUBMITTED and ev.OrderAccepted in kinds)
                assert word == after.broker_status or after.last_word == f"stream {word}"
        case Follows.BOOKED:
            is_booked = after.filled_qty > before.filled_qty
            assert is_booked or any(isinstance(e, ef.LookUp) for e in effects) or word == "partially_filled"
            assert after.status.is_open is before.status.is_open
        case Follows.ENDED:
            assert not after.status.is_open or any(isinstance(e, ef.LookUp) for e in effects)
        case Follows.CANCEL_REFUSED:
            assert ev.OrderCancelRefused in kinds
            assert after.status is S.ACCEPTED
        case Follows.REPLACE_REFUSED:
            if state is S.PENDING_REPLACE:
                assert kinds == {ev.OrderRejected, ev.OrderReplaceRefused}
                assert after.status is S.ACCEPTED
        case Follows.REVIVED:
            assert ev.DiscrepancyFound in kinds
            is_gone = word == "pending_cancel"  # on its way already
            assert is_gone or any(isinstance(e, ef.Cancel) for e in effects)
        case Follows.COMPARED:
            assert any(isinstance(e, ef.Reconcile) for e in effects)
    again = [type(e.fact) for e in heard(desk, word) if isinstance(e, ef.Record)] if word != "partial_fill" else []
    assert ev.BrokerSaid not in again, "the same word again is no news"
    assert ev.DiscrepancyFound not in again


def test_trading_that_goes_on_is_news() -> None:
    """A word that leaves the routine is kept, and so is the one that comes back to it; routine alone is not."""
    desk = in_state(S.ACCEPTED)
    said = []
    for word in ("pending_new", "new", "suspended", "suspended", "new", "new", "done_for_day"):
        said += [
            e.fact.word for e in heard(desk, word) if isinstance(e, ef.Record) and isinstance(e.fact, ev.BrokerSaid)
        ]
    assert said == ["suspended", "new", "done_for_day"]
    assert desk.orders[OID].broker_status == "done_for_day"
    assert desk.orders[OID].status is S.ACCEPTED


def test_a_word_says_by_which_road_it_came() -> None:
    """Submit, cancel, replace, look-up, stream or reconcile."""
    desk = in_state(S.SUBMITTED)
    in_doubt = ev.SubmitInDoubt(client_order_id=OID, why="HTTP 504", at=NOON)
    facts = [e.fact for e in handle(desk, in_doubt) if isinstance(e, ef.Record)]
    assert facts == [ev.BrokerSaid(client_order_id=OID, source="submit", word="in_doubt", detail="HTTP 504", at=NOON)]
    found = ev.OrderLookedUp(client_order_id=OID, order=a_broker_order(REQUEST), fills=(), at=NOON)
    (fact,) = [e.fact for e in handle(desk, found) if isinstance(e, ef.Record)]
    assert isinstance(fact, ev.OrderAccepted)
    assert (fact.source, fact.broker_status) == ("look_up", "new")
    handle(desk, ev.CancelRequested(client_order_id=OID, by="x", at=NOON))
    unclear = ev.CancelInDoubt(client_order_id=OID, why="timeout", at=NOON)
    (fact,) = [e.fact for e in handle(desk, unclear) if isinstance(e, ef.Record)]
    assert isinstance(fact, ev.BrokerSaid)
    assert (fact.source, fact.word, fact.detail) == ("cancel", "in_doubt", "timeout")


def test_every_end_without_the_brokers_word_can_be_revived() -> None:
    """What the desk closed by itself is canceled when it turns up; what the broker itself rejected is not."""
    assert RejectReason.BROKER_REFUSED_LATER not in ENDED_WITHOUT_BROKER
    assert set(RejectReason) - ENDED_WITHOUT_BROKER == {RejectReason.BROKER_REFUSED_LATER}


def test_an_acknowledgement_carries_the_word_that_came_with_it() -> None:
    """An order that is suspended before it was acknowledged is accepted, and suspended: one fact."""
    desk = in_state(S.SUBMITTED)
    suspended = a_broker_order(REQUEST, status=BrokerStatus.SUSPENDED)
    facts = [e.fact for e in handle(desk, updated(suspended)) if isinstance(e, ef.Record)]
    assert [type(f) for f in facts] == [ev.OrderAccepted]
    assert desk.orders[OID].broker_status == "suspended"
