"""An order in the place of another: asked for once, paid for once, and one of the two lives."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deskd.core import replacing
from deskd.core.deciding import handle
from deskd.core.reservation import NOTHING, Reservation
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import (
    Order,
    OrderClass,
    OrderStatus,
    OrderType,
    Replacement,
    Side,
    StopLoss,
    TakeProfit,
    TimeInForce,
)
from deskd.domain.reasons import DenialReason, RefusalReason, RejectReason
from tests.core.some_replaces import (
    BRACKET,
    NEW_BID,
    NEW_ID,
    OLD,
    OLD_BID,
    OLD_ID,
    PROFIT,
    S,
    a_desk_with,
    a_desk_with_a_bracket,
    a_fill_of_new,
    new_at_broker,
    old_replaced,
    patched,
    wanting,
)
from tests.factories import (
    AAPL,
    ALICE,
    NOON,
    a_broker_order,
    a_limit_request,
    a_request,
    cash,
    filled,
    price,
    qty,
    requested,
    some_limits,
    updated,
)
from tests.playbook import Playbook

# --- the pair, from the wish to its end -------------------------------------------------------------------------------


def test_a_replacement_is_recorded_before_it_is_sent() -> None:
    """The ledger knows both orders' fate before the broker does: one asked to go, one approved."""
    desk = a_desk_with()
    playbook = Playbook(desk) >> wanting() << ev.OrderReplaceRequested << ev.OrderApproved
    assert playbook << ef.Replace(desk.orders[NEW_ID].request, OLD_BID)
    old, new = desk.orders[OLD_ID], desk.orders[NEW_ID]
    assert (old.status, old.replaced_by) == (S.PENDING_REPLACE, NEW_ID)
    assert (new.status, new.replaces, new.request.limit_price) == (S.SUBMITTED, OLD_ID, price(99))


@pytest.mark.parametrize("answer_first", [True, False])
def test_the_new_order_lives_and_the_old_one_ends(answer_first: bool) -> None:
    """Whichever comes first, the answer to the PATCH or the stream's word on the old order."""
    desk = a_desk_with()
    handle(desk, wanting())
    news: list[ev.Event] = [patched(desk), updated(old_replaced(), "replaced")]
    for event in news if answer_first else news[::-1]:
        handle(desk, event)
    old, new = desk.orders[OLD_ID], desk.orders[NEW_ID]
    assert (old.status, old.replaced_by, new.status) == (S.REPLACED, NEW_ID, S.ACCEPTED)
    assert desk.reservations.cash(ALICE) == 990, "exactly what lives"
    assert set(desk.reservations.by_order) == {NEW_ID}
    assert desk.needs == {}


def test_a_replacement_may_use_what_the_old_order_holds() -> None:
    """All of the money is in the old order, and the new one still passes: they are paid for once."""
    desk = a_desk_with(allocation="1000")
    assert desk.buying_power(ALICE) == 0
    handle(desk, wanting(limit_price=price(99)))
    assert desk.orders[NEW_ID].status is S.SUBMITTED
    assert desk.buying_power(ALICE) == 0


def test_a_replacement_that_costs_too_much_is_denied_and_changes_nothing() -> None:
    """The gate judges it like any other order."""
    desk = a_desk_with(allocation="1000")
    effects = handle(desk, wanting(limit_price=price(101)))
    (denied,) = [e.fact for e in effects if isinstance(e, ef.Record)]
    assert isinstance(denied, ev.OrderDenied)
    assert denied.reason == DenialReason.BUYING_POWER
    assert "needed=1010.00 buying_power=1000.00" in denied.message
    assert desk.orders[OLD_ID].status is S.ACCEPTED


def test_a_fill_that_crosses_the_replace_is_the_old_orders() -> None:
    """The new order is then for less: the broker says how much, and holds no more."""
    desk = a_desk_with()
    handle(desk, wanting())
    handle(desk, patched(desk, qty=qty(6)))
    assert desk.orders[NEW_ID].qty == 6
    effects = handle(desk, updated(old_replaced(filled_qty=4), "replaced"))
    assert effects == [ef.LookUp(OLD_ID)], "its end waits for the fills that it counts"
    handle(desk, filled(OLD, 4))
    handle(desk, updated(old_replaced(filled_qty=4), "replaced"))
    old, new = desk.orders[OLD_ID], desk.orders[NEW_ID]
    assert (old.status, old.filled_qty) == (S.REPLACED, qty(4))
    assert (new.status, new.filled_qty, new.leaves_qty) == (S.ACCEPTED, qty(0), qty(6))
    assert desk.reservations.cash(ALICE) == 6 * 99
    handle(desk, a_fill_of_new(desk, 6))
    assert desk.orders[NEW_ID].status is S.FILLED
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10
    assert desk.reservations.by_order == {}


def test_what_is_filled_already_is_not_asked_for_again() -> None:
    """Qty counts the old order's fills, as at the broker."""
    desk = a_desk_with()
    handle(desk, filled(OLD, 4))
    handle(desk, wanting(qty=qty(12)))
    assert desk.orders[NEW_ID].request.qty == 8
    assert desk.orders[NEW_ID].request.replacement == Replacement(replaces=OLD_ID, qty=qty(12))


def test_a_refused_replacement_leaves_the_old_order_as_it_was() -> None:
    """New: rejected, in the broker's words. Old: back where it was, and asked for: mostly it is filled."""
    desk = a_desk_with()
    handle(desk, filled(OLD, 4))
    handle(desk, wanting())
    no = ev.SubmitRejected(client_order_id=NEW_ID, message="order is not open", at=NOON)
    assert Playbook(desk) >> no << ev.OrderRejected << ev.OrderReplaceRefused << ef.LookUp(OLD_ID) << ef.Reply(NEW_ID)
    old, new = desk.orders[OLD_ID], desk.orders[NEW_ID]
    assert (old.status, old.replaced_by, old.message) == (S.PARTIALLY_FILLED, None, "order is not open")
    assert (new.status, new.reason, new.source) == (S.REJECTED, RejectReason.BROKER_REJECTED, "replace")
    assert desk.reservations.cash(ALICE) == 600
    assert desk.needs == {}


def test_a_replacement_that_could_not_leave_is_not_sent() -> None:
    """Nothing was asked of the broker: nothing is to be looked up."""
    desk = a_desk_with()
    handle(desk, wanting())
    unsent = ev.SubmitRejected(client_order_id=NEW_ID, message="not sent: no route", at=NOON, was_sent=False)
    assert Playbook(desk) >> unsent << ev.OrderRejected << ev.OrderReplaceRefused << ef.Reply(NEW_ID)
    assert desk.orders[NEW_ID].reason == RejectReason.NOT_SENT
    assert desk.orders[OLD_ID].status is S.ACCEPTED


def test_a_replacement_in_doubt_is_looked_up_by_its_own_id_and_never_sent_again() -> None:
    """A timeout, a 5xx, a cut, `must be unique`: the broker decides."""
    desk = a_desk_with()
    handle(desk, wanting())
    in_doubt = ev.SubmitInDoubt(client_order_id=NEW_ID, why="HTTP 504", at=NOON)
    found = ev.OrderLookedUp(client_order_id=NEW_ID, order=new_at_broker(desk), fills=(), at=NOON)
    assert (
        Playbook(desk)
        >> in_doubt
        << ev.BrokerSaid
        << ef.LookUp(NEW_ID)
        >> wanting()  # the same wish again waits for the same answer
        >> found
        << ev.OrderAccepted
        << ef.Reply(NEW_ID)
        >> wanting()
        << ef.Reply(NEW_ID)
    )
    assert desk.orders[OLD_ID].status is S.PENDING_REPLACE
    again = wanting(limit_price=price(98))
    (refused,) = handle(desk, again)
    assert isinstance(refused, ef.Refuse)
    assert refused.reason == RefusalReason.CONFLICT


def test_a_replacement_that_never_arrived_is_closed_after_it_had_time_to() -> None:
    """The broker's own answer closes the new order, and brings the old one back."""
    desk = a_desk_with()
    handle(desk, wanting())
    nothing = ev.OrderLookedUp(client_order_id=NEW_ID, order=None, fills=(), at=NOON + timedelta(seconds=1))
    assert (
        Playbook(desk)
        >> nothing
        << ev.BrokerSaid
        >> replace(nothing, at=NOON + timedelta(seconds=11))
        << ev.OrderRejected
        << ev.OrderReplaceRefused
        << ef.LookUp(OLD_ID)
        << ef.Reply(NEW_ID)
    )
    assert desk.orders[NEW_ID].reason == RejectReason.NEVER_ARRIVED
    assert desk.orders[OLD_ID].status is S.ACCEPTED


def test_a_replacement_that_arrives_after_all_is_canceled() -> None:
    """The strategy was told that it is gone: so it must go; the old one ended by it."""
    desk = a_desk_with()
    handle(desk, wanting())
    handle(desk, ev.OrderLookedUp(client_order_id=NEW_ID, order=None, fills=(), at=NOON + timedelta(seconds=11)))
    late = new_at_broker(desk)
    found = ev.OrderLookedUp(client_order_id=OLD_ID, order=old_replaced(), fills=(), successors=(late,), at=NOON)
    effects = handle(desk, found)
    assert ef.Cancel(NEW_ID, NEW_BID) in effects
    assert desk.orders[OLD_ID].status is S.REPLACED
    assert desk.reservations.by_order == {}


def test_a_stuck_replace_is_looked_into() -> None:
    """The stream lost its word on the old order: the look-up ends it."""
    desk = a_desk_with()
    handle(desk, wanting())
    handle(desk, patched(desk))
    found = ev.OrderLookedUp(
        client_order_id=OLD_ID, order=old_replaced(), fills=(), successors=(new_at_broker(desk),), at=NOON
    )
    assert (
        Playbook(desk)
        >> ev.DoubtTimedOut(client_order_id=OLD_ID, at=NOON)
        << ef.LookUp(OLD_ID)
        >> found
        << ev.OrderReplaced
    )


def test_an_old_order_that_fills_whole_ends_as_filled() -> None:
    """The fill beat the replace; the refusal of the PATCH brings nothing back."""
    desk = a_desk_with()
    handle(desk, wanting())
    handle(desk, filled(OLD, 10))
    assert desk.orders[OLD_ID].status is S.FILLED
    assert desk.reservations.cash(ALICE) == 0, "the same shares are not bought twice"
    no = ev.SubmitRejected(client_order_id=NEW_ID, message="order is not open", at=NOON)
    handle(desk, no)
    assert desk.orders[NEW_ID].status is S.REJECTED
    assert desk.orders[OLD_ID].status is S.FILLED
    assert desk.reservations.by_order == {}


def test_the_brokers_later_no_brings_the_old_order_back() -> None:
    """order_replace_rejected: after the PATCH was taken."""
    desk = a_desk_with()
    handle(desk, wanting())
    handle(desk, patched(desk))
    assert (
        Playbook(desk)
        >> updated(a_broker_order(OLD), "order_replace_rejected")
        << ev.OrderRejected
        << ev.OrderReplaceRefused
        << ef.LookUp(OLD_ID)
        << ef.Reply(NEW_ID)
        << ef.LookUp(NEW_ID)  # if it lives all the same, it must go
    )
    assert desk.orders[OLD_ID].status is S.ACCEPTED


@pytest.mark.parametrize("status", [BrokerStatus.REJECTED, BrokerStatus.CANCELED])
def test_a_replacement_that_the_broker_took_and_ended_brings_the_old_order_back(status: BrokerStatus) -> None:
    """The new order ended without life, and a look-up finds the old one alive."""
    desk = a_desk_with()
    handle(desk, wanting())
    handle(desk, patched(desk))
    handle(desk, updated(new_at_broker(desk, status=status)))
    assert desk.orders[OLD_ID].status is S.PENDING_REPLACE, "the stream may tell its end next"
    found = ev.OrderLookedUp(client_order_id=OLD_ID, order=a_broker_order(OLD), fills=(), at=NOON)
    assert Playbook(desk) >> found << ev.OrderReplaceRefused >> found
    assert desk.orders[OLD_ID].status is S.ACCEPTED
    assert set(desk.reservations.by_order) == {OLD_ID}
    assert desk.reservations.cash(ALICE) == 1000


def test_what_was_replaced_is_canceled_by_the_name_of_its_successor() -> None:
    """The refusal says which; a successor that is over already is left alone."""
    desk = a_desk_with()
    handle(desk, wanting())
    handle(desk, patched(desk))
    handle(desk, a_fill_of_new(desk, 10))
    cancel = ev.CancelRequested(client_order_id=OLD_ID, by="alice", at=NOON)
    assert Playbook(desk) >> cancel << ev.OrderCancelRequested << ef.Cancel(OLD_ID, OLD_BID) << ef.Reply(OLD_ID)
    handle(desk, updated(old_replaced(), "replaced"))
    (refused,) = handle(desk, cancel)
    assert isinstance(refused, ef.Refuse)
    assert refused.reason == RefusalReason.ORDER_FINAL
    assert "new is in its place: cancel that one" in refused.message


def test_an_order_replaced_by_nothing_waits_for_its_fills() -> None:
    """The broker counts four that it did not name: the next look-up brings them."""
    desk = a_desk_with()
    old = a_broker_order(OLD, status=BrokerStatus.REPLACED, filled_qty=qty(4))
    assert Playbook(desk) >> ev.OrderLookedUp(client_order_id=OLD_ID, order=old, fills=(), at=NOON)
    assert desk.orders[OLD_ID].status is S.ACCEPTED


def test_a_look_up_that_names_no_successor_ends_a_pair_whose_answer_is_under_way() -> None:
    """The PATCH is in flight, and the broker calls the old order replaced: by ours."""
    desk = a_desk_with()
    handle(desk, wanting())
    found = ev.OrderLookedUp(client_order_id=OLD_ID, order=old_replaced(), fills=(), at=NOON)
    assert Playbook(desk) >> found << ev.OrderReplaced
    assert desk.reservations.cash(ALICE) == 990


def test_a_cancel_of_a_pair_is_for_whichever_lives() -> None:
    """The old one is asked to go at once, the new one when the broker has it."""
    desk = a_desk_with()
    handle(desk, wanting())
    assert (
        Playbook(desk)
        >> ev.CancelRequested(client_order_id=OLD_ID, by="alice", at=NOON)
        << ev.OrderCancelRequested
        << ef.Cancel(OLD_ID, OLD_BID)
        << ev.OrderCancelRequested
        << ef.Reply(OLD_ID)
        >> ev.CancelAnswered(client_order_id=OLD_ID, refusal="a replace is pending", at=NOON)
        << ev.OrderCancelRefused
        << ef.LookUp(OLD_ID)
        >> patched(desk)
        << ev.OrderAccepted
        << ef.Reply(NEW_ID)
        << ef.Cancel(NEW_ID, NEW_BID)
        >> updated(old_replaced(), "replaced")
        << ev.OrderReplaced
        >> updated(new_at_broker(desk, status=BrokerStatus.CANCELED))
        << ev.OrderCanceled
    )
    assert desk.open_orders() == []
    assert desk.reservations.by_order == {}


def test_a_wish_is_not_carried_out_while_nobody_would_see_a_fill() -> None:
    """The stream dropped between the door and the inbox: neither orders nor replaces are approved."""
    desk = a_desk_with()
    handle(desk, ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
    for event in (wanting(), requested(a_request(client_order_id=ClientOrderId("other")))):
        (refused,) = handle(desk, event)
        assert isinstance(refused, ef.Refuse)
        assert refused.reason == RefusalReason.TRADE_STREAM_DOWN
    assert list(desk.orders) == [OLD_ID]
    cancel = ev.CancelRequested(client_order_id=OLD_ID, by="alice", at=NOON)
    assert ef.Cancel(OLD_ID, OLD_BID) in handle(desk, cancel), "cancels pass"


# --- what cannot be replaced ------------------------------------------------------------------------------------------


def an_order(status: OrderStatus = S.ACCEPTED, **fields: Any) -> Order:
    filled_qty = fields.pop("filled_qty", qty(0))
    parent_id, replaced_by = fields.pop("parent_id", None), fields.pop("replaced_by", None)
    return Order(
        request=a_limit_request("100", **fields),
        status=status,
        requested_at=NOON,
        updated_at=NOON,
        broker_order_id=None if status is S.SUBMITTED else OLD_BID,
        filled_qty=filled_qty,
        parent_id=parent_id,
        replaced_by=replaced_by,
    )


def a_trailing(**trail: Any) -> Order:
    fields = {"order_type": OrderType.TRAILING_STOP, "limit_price": None}
    order = an_order()
    return replace(order, request=replace(order.request, **fields | trail))


MARKET = replace(an_order(), request=a_request())
NOTIONAL = replace(an_order(), request=a_request(qty=None, notional=cash(100)))


@pytest.mark.parametrize(
    ("order", "changes", "reason", "says"),
    [
        (an_order(S.FILLED), {"limit_price": price(1)}, "ORDER_FINAL", "status=filled: there is nothing left"),
        (an_order(S.REPLACED, replaced_by="x"), {"limit_price": price(1)}, "ORDER_FINAL", "x is in its place"),
        (an_order(S.SUBMITTED), {"limit_price": price(1)}, "NOT_REPLACEABLE", "in doubt: wait"),
        (an_order(S.PENDING_CANCEL), {"limit_price": price(1)}, "NOT_REPLACEABLE", "a cancel is under way"),
        (an_order(S.PENDING_REPLACE), {"limit_price": price(1)}, "NOT_REPLACEABLE", "a replace is under way"),
        (NOTIONAL, {"qty": qty(1)}, "NOT_REPLACEABLE", "notional: the broker replaces no order"),
        (MARKET, {"limit_price": price(1)}, "NOT_REPLACEABLE", "limit_price: a market order has none to change"),
        (an_order(), {"stop_price": price(1)}, "NOT_REPLACEABLE", "stop_price: a limit order has none to change"),
        (an_order(), {"trail_price": price(1)}, "NOT_REPLACEABLE", "trail_price: a limit order has none"),
        (a_trailing(trail_percent=price(1)), {"trail_price": price(1)}, "NOT_REPLACEABLE", "trail_price: a trailing"),
        (an_order(), {"limit_price": price(100)}, "NOT_REPLACEABLE", "nothing would change"),
        (an_order(), {"qty": qty(10), "time_in_force": TimeInForce.DAY}, "NOT_REPLACEABLE", "nothing would change"),
        (an_order(qty=qty("1.5")), {"qty": qty(2)}, "NOT_REPLACEABLE", "only whole shares"),
        (an_order(), {"qty": qty("9.5")}, "NOT_REPLACEABLE", "only whole shares"),
        (an_order(S.PARTIALLY_FILLED, filled_qty=qty(4)), {"qty": qty(4)}, "NOT_REPLACEABLE", "filled_qty=4"),
        (an_order(parent_id=ClientOrderId("entry")), {"qty": qty(5)}, "NOT_REPLACEABLE", "an exit's quantity"),
    ],
)
def test_what_cannot_be_replaced_is_told_with_its_remedy(
    order: Order, changes: dict[str, Any], reason: str, says: str
) -> None:
    """A refusal is no fact: the order stays as it is."""
    refused = replacing.refusal(order, Replacement(replaces=OLD_ID, **changes), NEW_ID)
    assert refused is not None
    assert refused.reason == RefusalReason[reason]
    assert says in refused.message
    assert refused.client_order_id == NEW_ID


def test_a_refusal_by_the_desk_is_no_fact() -> None:
    """Nothing is kept of it."""
    (refused,) = handle(a_desk_with(), wanting(limit_price=price(100)))
    assert isinstance(refused, ef.Refuse)
    assert refused.reason == RefusalReason.NOT_REPLACEABLE


@pytest.mark.parametrize(
    ("order", "changes"),
    [
        (an_order(), {"qty": qty(5)}),
        (an_order(), {"time_in_force": TimeInForce.GTC}),
        (a_trailing(trail_price=price(1)), {"trail_price": price(2)}),
        (a_trailing(trail_percent=price(1)), {"trail_percent": price(2)}),
        (an_order(parent_id=ClientOrderId("entry")), {"limit_price": price(5)}),
    ],
)
def test_what_can_be_replaced_becomes_a_request(order: Order, changes: dict[str, Any]) -> None:
    """The new order is the old one but for what was named."""
    wanted = Replacement(replaces=OLD_ID, **changes)
    assert replacing.refusal(order, wanted, NEW_ID) is None
    request = replacing.request_of(order, wanted, NEW_ID)
    assert request == replace(order.request, client_order_id=NEW_ID, replacement=wanted, **changes)


def test_an_ocos_price_is_its_profit_legs() -> None:
    """It has no limit price of its own."""
    fields: dict[str, Any] = {
        "order_class": OrderClass.OCO,
        "limit_price": None,
        "side": Side.SELL,
        "take_profit": TakeProfit(limit_price=price(110)),
        "stop_loss": StopLoss(stop_price=price(90)),
    }
    order = replace(an_order(), request=replace(OLD, **fields))
    same = Replacement(replaces=OLD_ID, limit_price=price(110))
    assert replacing.refusal(order, same, NEW_ID) is not None
    wanted = Replacement(replaces=OLD_ID, limit_price=price(111))
    assert replacing.refusal(order, wanted, NEW_ID) is None
    request = replacing.request_of(order, wanted, NEW_ID)
    assert (request.limit_price, request.take_profit) == (None, TakeProfit(limit_price=price(111)))
    smaller = replacing.refusal(order, Replacement(replaces=OLD_ID, qty=qty(5)), NEW_ID)
    assert smaller is not None
    assert "an exit's quantity" in smaller.message


def test_beyond_what_is_held_nothing_is_held_twice() -> None:
    """Component by component, never below zero."""
    need = Reservation(cash=cash(100), qty=qty(5), opening=qty(5), price=price(20))
    held = Reservation(cash=cash(40), qty=qty(8), opening=qty(2), price=price(10))
    beyond = replacing.beyond(need, held)
    assert (beyond.cash, beyond.qty, beyond.opening, beyond.price) == (cash(60), qty(0), qty(3), price(20))
    assert replacing.beyond(need, NOTHING) == need


def test_a_leg_is_judged_by_the_gate() -> None:
    """Its price is, like any order's; that its shares are promised, or worth more than one order may be, is no reason."""
    desk = a_desk_with_a_bracket()
    handle(desk, filled(BRACKET, 10))
    desk.limits[ALICE] = some_limits(order_notional_max=cash(1150))
    handle(desk, wanting(replaces=PROFIT, limit_price=price("116.001")))
    assert desk.orders[NEW_ID].reason == DenialReason.SUB_PENNY
    desk = a_desk_with_a_bracket()
    handle(desk, filled(BRACKET, 10))
    desk.limits[ALICE] = some_limits(order_notional_max=cash(1150))
    handle(desk, wanting(replaces=PROFIT, limit_price=price(116)))  # it only closes: a bound on what opens spares it
    assert desk.orders[NEW_ID].reason is None
