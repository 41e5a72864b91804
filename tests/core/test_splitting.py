"""An order across zero is one order to its strategy, and parts to the broker: what it is, is summed up from them."""

from dataclasses import replace
from typing import Any

import pytest

from deskd.core import splitting
from deskd.core.conflicts import Conflict, Rule
from deskd.core.deciding import handle
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import CLIENT_ORDER_ID, CLIENT_ORDER_ID_MAX, PART_ID, ClientOrderId
from deskd.domain.order import (
    OrderClass,
    OrderRequest,
    OrderStatus,
    OrderType,
    Replacement,
    StopLoss,
    TakeProfit,
    TimeInForce,
)
from deskd.domain.reasons import RejectReason
from tests.core.some_splits import a_long_desk, a_sale, canceled, ended, limit, order, part, rejected, sent, told
from tests.factories import NOON, a_broker_order, accepted, filled, price, qty, requested, updated

FIVE, TWELVE = qty(5), qty(12)


def test_it_goes_as_two_orders_the_second_when_the_first_is_filled() -> None:
    """What is free to close first, then the rest; the strategy sees one order that fills by and by."""
    desk = a_long_desk()
    asked = handle(desk, requested(a_sale()))
    (first,) = sent(asked)
    assert (first.qty, first.client_order_id) == (FIVE, "alice-sale~1")
    assert told(asked) == []
    assert told(handle(desk, accepted(first))) == [("accepted", "alice-sale", "0")]
    effects = handle(desk, filled(first, 5))
    assert told(effects) == [("partial_fill", "alice-sale", "5")]
    (rest,) = sent(effects)
    assert (rest.qty, rest.client_order_id) == (qty(7), "alice-sale~2")
    assert told(handle(desk, accepted(rest))) == []
    assert told(handle(desk, filled(rest, 7))) == [("fill", "alice-sale", "12")]
    whole = order(desk)
    assert whole.status is OrderStatus.FILLED
    assert (whole.filled_qty, whole.avg_fill_price) == (TWELVE, price(100))
    assert desk.portfolio.qty(whole.request.strategy_id, whole.request.symbol) == -7
    assert not desk.reservations.by_order
    assert not desk.open_ids
    assert not desk.split_ids


def test_the_whole_holds_what_is_reserved_and_its_parts_nothing() -> None:
    """It counts as one open order, and holds less with each fill of a part."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    who, symbol = a_sale().strategy_id, a_sale().symbol
    assert desk.reservations.count(who) == 1
    assert desk.reservations.qty(who, symbol) == TWELVE
    before = desk.reservations.cash(who)
    assert before > 0
    handle(desk, filled(part(desk), 3))
    assert desk.reservations.count(who) == 1
    assert desk.reservations.qty(who, symbol) == qty(9)
    handle(desk, filled(part(desk), 2, cumulative=5))
    handle(desk, filled(part(desk, 2), 4))
    assert desk.reservations.cash(who) < before


def test_it_is_listed_once_as_it_was_asked_for() -> None:
    """Open or over, no list shows parts; whoever names one means the whole."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    assert [o.request for o in desk.asked_orders()] == [a_sale()]
    assert [o.request for o in desk.open_orders()] == [part(desk)]
    names = [o.request.client_order_id for o in desk.newest_first(None)]
    assert names == ["alice-sale", "alice-has"]
    assert desk.whole_of(desk.orders[part(desk).client_order_id]).request == a_sale()


@pytest.mark.parametrize(
    ("word", "status"),
    [
        (BrokerStatus.CANCELED, OrderStatus.CANCELED),
        (BrokerStatus.EXPIRED, OrderStatus.EXPIRED),
        (BrokerStatus.REJECTED, OrderStatus.REJECTED),
    ],
)
def test_a_part_that_ends_short_ends_the_order(word: BrokerStatus, status: OrderStatus) -> None:
    """What was not closed leaves no room for the rest: it never goes, and the order ended as its part did."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("100"))))
    handle(desk, accepted(part(desk)))
    handle(desk, filled(part(desk), 2))
    effects = handle(desk, ended(part(desk), word, done=2))
    assert sent(effects) == []
    assert told(effects) == [(status.value, "alice-sale", "2")]
    assert order(desk).status is status
    assert not desk.reservations.by_order


def test_a_part_that_the_broker_refuses_ends_the_order_with_its_words() -> None:
    """The author reads why, under the order's own id."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    effects = handle(desk, rejected(part(desk), "asset is not shortable"))
    assert told(effects) == [("rejected", "alice-sale", "0")]
    whole = order(desk)
    assert (whole.status, whole.reason) == (OrderStatus.REJECTED, RejectReason.BROKER_REJECTED)
    assert "not shortable" in (whole.message or "")


def test_who_waits_for_the_answer_gets_that_of_the_whole() -> None:
    """The first part's acknowledgement is the order's, the broker's id with it."""
    desk = a_long_desk()
    handle(desk, requested(a_sale()))
    assert order(desk).is_in_doubt
    handle(desk, accepted(part(desk)))
    whole = order(desk)
    assert (whole.status, whole.is_in_doubt) == (OrderStatus.ACCEPTED, False)
    assert whole.broker_order_id == "b-alice-sale~1"


def test_a_fill_that_comes_late_is_counted_and_revives_nothing() -> None:
    """It is money; the order stays over, and its rest unsent."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("100"))))
    handle(desk, accepted(part(desk)))
    handle(desk, ended(part(desk), BrokerStatus.CANCELED))
    effects = handle(desk, filled(part(desk), 5))
    assert sent(effects) == []
    assert (order(desk).status, order(desk).filled_qty) == (OrderStatus.CANCELED, FIVE)


def test_a_part_that_the_broker_makes_smaller_makes_the_order_smaller() -> None:
    """What it took off is not made up for by the rest."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("100"))))
    handle(desk, accepted(part(desk)))
    smaller = a_broker_order(part(desk), qty=qty(4))
    handle(desk, updated(smaller, "restated"))
    assert order(desk).qty == 11
    assert [held.opening for held in desk.reservations.by_order.values()] == [11]
    full = a_broker_order(part(desk), qty=qty(4), status=BrokerStatus.FILLED, filled_qty=qty(4))
    effects = handle(desk, updated(full, "fill", filled(part(desk), 4).fill))
    assert [one.qty for one in sent(effects)] == [1], "so many are left to close; the rest comes after it"
    assert (order(desk).leaves_qty, order(desk).rest_qty) == (qty(7), qty(6))


def test_a_part_that_somebody_replaced_at_the_broker_ends_the_order() -> None:
    """The new order is its strategy's as any that was put there by hand; the rest does not go."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("100"))))
    handle(desk, accepted(part(desk)))
    by_hand = replace(part(desk), client_order_id=ClientOrderId("by-hand"))
    theirs = a_broker_order(by_hand, replaces="b-alice-sale~1")
    handle(desk, updated(theirs, "new"))
    old = a_broker_order(part(desk), status=BrokerStatus.REPLACED, replaced_by=theirs.broker_order_id)
    effects = handle(desk, updated(old))
    assert sent(effects) == []
    assert (order(desk).status, order(desk).replaced_by) == (OrderStatus.REPLACED, "by-hand")
    assert not desk.split_ids


def test_a_cancel_is_told_once() -> None:
    """Whether the broker would cancel the part or not: the rest goes no more."""
    desk = a_long_desk()
    handle(desk, requested(a_sale(**limit("100"))))
    handle(desk, accepted(part(desk)))
    assert told(handle(desk, canceled())) == [("pending_cancel", "alice-sale", "0")]
    refused = ev.CancelAnswered(client_order_id=part(desk).client_order_id, refusal="no", at=NOON)
    assert told(handle(desk, refused)) == []
    assert order(desk).status is OrderStatus.PENDING_CANCEL
    effects = handle(desk, filled(part(desk), 5))
    assert told(effects) == [("partial_fill", "alice-sale", "5"), ("canceled", "alice-sale", "5")]
    assert order(desk).status is OrderStatus.CANCELED


BRACKET = {"take_profit": TakeProfit(limit_price=price(90)), "stop_loss": StopLoss(stop_price=price(110))}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"order_type": OrderType.STOP, "stop_price": price(90)}, "market and limit"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_price": price(3)}, "market and limit"),
        ({"order_class": OrderClass.BRACKET, **BRACKET}, "simple"),
        ({"time_in_force": TimeInForce.IOC}, "day and gtc"),
        ({"time_in_force": TimeInForce.CLS}, "day and gtc"),
        ({"qty": None, "notional": price(1000)}, "whole shares"),
        ({"qty": qty("12.5")}, "whole shares"),
        ({"replacement": Replacement(replaces=ClientOrderId("x"))}, "takes the place"),
    ],
)
def test_what_cannot_be_sent_twice_is_not_split(fields: dict[str, Any], why: str) -> None:
    """A stop may have been passed by then, an auction be over: these stay two orders to ask for."""
    request = replace(a_sale(), **fields)
    assert why in (splitting.hindrance(request, FIVE, FIVE) or "")


def test_the_position_that_is_closed_first_is_whole_and_free() -> None:
    """A fraction cannot be shorted after, and what others are about to close is not there to be closed."""
    assert splitting.hindrance(a_sale(), FIVE, FIVE) is None
    assert splitting.hindrance(a_sale(), FIVE, qty(-5)) is None
    assert splitting.hindrance(a_sale(), qty("5.5"), qty("5.5")) is not None
    assert "other open orders" in (splitting.hindrance(a_sale(), qty(4), FIVE) or "")
    zero, held = (Conflict(rule=rule, rivals=(), free_qty=FIVE) for rule in (Rule.ZERO, Rule.HELD))
    assert splitting.can_split(a_sale(), zero, FIVE)
    assert not splitting.can_split(a_sale(), held, FIVE)


@pytest.mark.parametrize("length", [1, 40, 126, 127, 128])
def test_an_id_of_a_part_is_short_enough_and_nobody_elses(length: int) -> None:
    """The broker takes 128 characters; ids that are cut stay different; one that is taken is not used again."""
    oid, other = ClientOrderId("x" * length), ClientOrderId("x" * (length - 1) + "y")
    taken: set[ClientOrderId] = set()
    for number in (1, 2, 3, 12, 3):
        found = splitting.part_id(oid, number, taken)
        assert len(found) <= CLIENT_ORDER_ID_MAX
        assert CLIENT_ORDER_ID.fullmatch(found)
        assert PART_ID.fullmatch(found)
        assert found not in taken
        assert found != splitting.part_id(other, number, taken)
        taken.add(found)


def test_a_part_is_the_order_for_fewer_shares() -> None:
    """All that makes an order is the same at the broker: price, life, side."""
    desk = a_long_desk()
    asked = a_sale(**limit("101"), time_in_force=TimeInForce.GTC, reason="trend is over")
    (first,) = sent(handle(desk, requested(asked)))
    same: OrderRequest = replace(first, qty=asked.qty, client_order_id=asked.client_order_id)
    assert same == asked
