"""Pairs and groups hold what they could still trade at most, once."""

from dataclasses import replace

import pytest

from deskd.core.deciding import handle
from deskd.core.rivals import at_the_broker
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import OrderClass, OrderType, Side, StopLoss, TakeProfit
from deskd.domain.reasons import DenialReason
from tests.core.some_orders import OID, a_bracket, a_leg
from tests.core.some_replaces import (
    BRACKET,
    LEGS,
    LOSS,
    NEW_BID,
    NEW_ID,
    OLD,
    OLD_ID,
    PROFIT,
    THEIRS,
    S,
    a_desk_with,
    a_desk_with_a_bracket,
    a_fill_of_new,
    patched,
    wanting,
)
from tests.factories import (
    AAPL,
    ALICE,
    NOON,
    a_broker_order,
    a_desk,
    a_limit_request,
    a_request,
    accepted,
    filled,
    price,
    qty,
    requested,
    updated,
)


def test_a_brackets_legs_are_orders_of_the_same_strategy() -> None:
    """The broker makes the legs; their fills are the strategy's, and the shares are promised once."""
    request = a_request(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    profit = a_broker_order(
        client_order_id=ClientOrderId("leg-1"),
        broker_order_id=BrokerOrderId("b-leg-1"),
        side=Side.SELL,
        order_type=OrderType.LIMIT,
        limit_price=price(110),
        status=BrokerStatus.HELD,
    )
    loss = a_broker_order(
        client_order_id=ClientOrderId("leg-2"),
        broker_order_id=BrokerOrderId("b-leg-2"),
        side=Side.SELL,
        order_type=OrderType.STOP,
        stop_price=price(90),
        status=BrokerStatus.HELD,
    )
    desk = a_desk()
    handle(desk, requested(request))
    entry = a_broker_order(request, legs=(profit, loss))
    handle(desk, ev.SubmitAccepted(client_order_id=OID, order=entry, at=NOON))
    assert desk.reservations.qty(ALICE, AAPL) == 0
    handle(desk, filled(request, 10))
    assert desk.reservations.qty(ALICE, AAPL) == 10
    leg_request = desk.orders[ClientOrderId("leg-1")].request
    handle(desk, filled(leg_request, 10, at_price="110"))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0
    assert desk.portfolio.book(ALICE).cash == 10_100
    assert desk.reservations.qty(ALICE, AAPL) == 0
    gone = a_broker_order(
        client_order_id=ClientOrderId("leg-2"),
        broker_order_id=BrokerOrderId("b-leg-2"),
        status=BrokerStatus.CANCELED,
    )
    handle(desk, updated(gone))
    assert desk.open_orders() == []


def test_a_leg_promises_what_its_entry_has_bought_and_no_more() -> None:
    """The shares are free again as they are sold, and when the leg ends."""
    request = a_bracket()
    desk = a_desk()
    handle(desk, requested(request))
    answer = a_broker_order(request, legs=(a_leg("profit"),))
    handle(desk, ev.SubmitAccepted(client_order_id=OID, order=answer, at=NOON))
    handle(desk, filled(request, 4))
    assert desk.reservations.qty(ALICE, AAPL) == 4
    handle(desk, filled(request, 6, cumulative=10))
    assert desk.reservations.qty(ALICE, AAPL) == 10
    leg = desk.orders[ClientOrderId("profit")].request
    handle(desk, filled(leg, 3, at_price="110"))
    assert desk.reservations.qty(ALICE, AAPL) == 7
    handle(desk, updated(a_leg("profit", status=BrokerStatus.CANCELED, filled_qty=qty(3))))
    assert desk.reservations.qty(ALICE, AAPL) == 0


@pytest.mark.parametrize(("new_price", "held"), [(99, 1000), (110, 1100)])
def test_the_pair_holds_what_either_could_still_trade(new_price: int, held: int) -> None:
    """Not the sum: one of them lives. Not the cheaper: nobody knows which."""
    desk = a_desk_with()
    handle(desk, wanting(limit_price=price(new_price)))
    assert desk.reservations.cash(ALICE) == held
    assert desk.reservations.opening(ALICE, AAPL, Side.BUY) == 10
    handle(desk, patched(desk))
    assert desk.reservations.cash(ALICE) == held, "the old one may have filled: only its own word settles it"


def test_more_shares_at_a_lower_price_are_paid_for_as_if_the_old_order_filled_first() -> None:
    """10 of 20 may cost 100 before the 60 counts: 1,600, not 1,200."""
    desk = a_desk_with(allocation="1599")
    handle(desk, wanting(qty=qty(20), limit_price=price(60)))
    assert desk.orders[NEW_ID].reason == DenialReason.BUYING_POWER
    desk = a_desk_with(allocation="1600")
    handle(desk, wanting(qty=qty(20), limit_price=price(60)))
    assert desk.buying_power(ALICE) == 0
    handle(desk, filled(OLD, 10))
    assert desk.buying_power(ALICE) == 0
    handle(desk, patched(desk, qty=qty(10)))
    handle(desk, ev.CancelRequested(client_order_id=NEW_ID, by="x", at=NOON))
    assert desk.buying_power(ALICE) >= 0


def test_a_busted_fill_is_the_pairs_to_trade_again() -> None:
    """What the old order had filled is open once more: the pair holds it."""
    desk = a_desk_with()
    handle(desk, filled(OLD, 4))
    handle(desk, wanting())
    assert desk.reservations.opening(ALICE, AAPL, Side.BUY) == 6
    bust = a_broker_order(OLD, filled_qty=qty(0))
    handle(desk, updated(bust, "trade_bust"))
    assert desk.orders[OLD_ID].counted_qty == 0
    assert desk.reservations.opening(ALICE, AAPL, Side.BUY) == 10
    assert desk.reservations.cash(ALICE) == 1000


def test_a_sale_in_the_place_of_a_sale_promises_its_shares_once() -> None:
    """Adopted or asked for: the strategy can sell what is left, and no more."""
    sale = a_limit_request("100", side=Side.SELL, client_order_id=ClientOrderId("sale"))
    for is_adopted in (True, False):
        desk = a_desk_with()
        handle(desk, filled(OLD, 10))
        handle(desk, requested(sale))
        handle(desk, accepted(sale))
        sale_bid = BrokerOrderId("b-sale")
        if is_adopted:
            theirs = replace(THEIRS, side=Side.SELL, replaces=sale_bid, qty=qty(8))
            handle(desk, updated(theirs))
        else:
            handle(desk, wanting(replaces=sale.client_order_id, qty=qty(8)))
        assert desk.reservations.qty(ALICE, AAPL) == 10
        assert desk.reservations.cash(ALICE) == 0


@pytest.mark.parametrize("names_legs", [True, False])
def test_a_replaced_entry_hands_its_legs_over(names_legs: bool) -> None:
    """They are the same orders, for what the new entry buys, whether or not the answer names them."""
    desk = a_desk_with_a_bracket()
    handle(desk, wanting(limit_price=price(99)))
    handle(desk, patched(desk, legs=LEGS if names_legs else ()))
    handle(desk, updated(a_broker_order(BRACKET, status=BrokerStatus.REPLACED, replaced_by=NEW_BID), "replaced"))
    assert desk.legs == {NEW_ID: (PROFIT, LOSS)}
    assert {desk.orders[leg].parent_id for leg in (PROFIT, LOSS)} == {NEW_ID}
    handle(desk, a_fill_of_new(desk, 10))
    assert desk.reservations.qty(ALICE, AAPL) == 10
    assert desk.reservations.cash(ALICE) == 0


def test_legs_cover_what_both_entries_have_bought() -> None:
    """4 by the old, 6 by the new: 10 are promised."""
    desk = a_desk_with_a_bracket()
    handle(desk, filled(BRACKET, 4))
    handle(desk, wanting(limit_price=price(99)))
    handle(desk, patched(desk, legs=LEGS))
    gone = a_broker_order(BRACKET, status=BrokerStatus.REPLACED, filled_qty=qty(4), replaced_by=NEW_BID)
    handle(desk, updated(gone, "replaced"))
    handle(desk, a_fill_of_new(desk, 6))
    assert desk.reservations.qty(ALICE, AAPL) == 10


def test_legs_hold_what_a_larger_entry_bought_before_anybody_says_that_they_grew() -> None:
    """Its fill may be heard first: the shares are not free for others meanwhile."""
    desk = a_desk_with_a_bracket()
    handle(desk, wanting(qty=qty(12)))
    handle(desk, patched(desk))
    handle(desk, updated(a_broker_order(BRACKET, status=BrokerStatus.REPLACED, replaced_by=NEW_BID), "replaced"))
    handle(desk, a_fill_of_new(desk, 12))
    assert {desk.orders[leg].qty for leg in (PROFIT, LOSS)} == {qty(10)}
    assert desk.reservations.qty(ALICE, AAPL) == 12
    assert sum(rival.promised_qty for rival in at_the_broker(desk, AAPL)) == 12


def test_legs_grow_with_their_entry() -> None:
    """The broker makes them larger when a replace makes the entry larger; its next word on them tells."""
    desk = a_desk_with_a_bracket()
    handle(desk, wanting(qty=qty(12)))
    larger = tuple(replace(leg, qty=qty(12)) for leg in LEGS)
    handle(desk, patched(desk, legs=larger))
    assert {desk.orders[leg].qty for leg in (PROFIT, LOSS)} == {qty(12)}


def test_a_legs_price_can_be_replaced() -> None:
    """The same shares at another price: held once, and the new leg takes the old one's place in the group."""
    desk = a_desk_with_a_bracket()
    handle(desk, filled(BRACKET, 10))
    assert desk.reservations.qty(ALICE, AAPL) == 10
    handle(desk, wanting(replaces=PROFIT, limit_price=price(112)))
    new = desk.orders[NEW_ID]
    assert (new.status, new.parent_id) == (S.SUBMITTED, OLD_ID)
    assert desk.reservations.qty(ALICE, AAPL) == 10
    taken = a_broker_order(new.request, replaces=BrokerOrderId("b-profit"))
    handle(desk, ev.SubmitAccepted(client_order_id=NEW_ID, order=taken, at=NOON))
    gone = a_leg("profit", status=BrokerStatus.REPLACED, replaced_by=NEW_BID)
    handle(desk, updated(gone, "replaced"))
    assert desk.orders[PROFIT].status is S.REPLACED
    assert desk.reservations.qty(ALICE, AAPL) == 10
    assert set(desk.reservations.by_order) == {NEW_ID}
    handle(desk, filled(new.request, 10, at_price="112"))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0
    assert desk.has_lost_its_group(desk.orders[LOSS])
