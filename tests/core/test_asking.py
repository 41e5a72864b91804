"""What is asked of the desk is sent once, refused with the reason, or answered as before."""

from datetime import datetime, timedelta

import pytest

from deskd.core.deciding import handle
from deskd.core.desk import DENIED_KEPT, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId
from deskd.domain.order import Replacement, Side
from deskd.domain.reasons import DenialReason, RefusalReason
from deskd.domain.run import StrategyStatus
from tests.core.some_orders import OID, a_desk_with, facts_of
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_fill,
    a_limit_request,
    a_quote,
    a_request,
    a_snapshot,
    accepted,
    cash,
    filled,
    price,
    qty,
    registered,
    requested,
    some_limits,
    updated,
)
from tests.playbook import Playbook


def test_an_approved_order_is_recorded_before_it_is_sent() -> None:
    """The ledger knows the order before the broker does."""
    request = a_request()
    assert Playbook(a_desk()) >> requested(request) << ev.OrderApproved << ef.Submit(request)


def test_the_second_order_sees_what_the_first_reserved() -> None:
    """Buying power is held at approval, not at the fill."""
    desk = a_desk(allocation="1500")
    second = a_limit_request(client_order_id=ClientOrderId("alice-2"))
    handle(desk, requested(a_limit_request()))
    effects = handle(desk, requested(second))
    denied = effects[0]
    assert isinstance(denied, ef.Record)
    assert isinstance(denied.fact, ev.OrderDenied)
    assert denied.fact.reason == DenialReason.BUYING_POWER
    assert "needed=1000.00 buying_power=500.00" in denied.fact.message


def test_the_same_id_with_the_same_content_gets_the_same_answer() -> None:
    """A retry is safe: no second order."""
    request = a_request()
    assert Playbook(a_desk_with(request)) >> requested(request) << ef.Reply(OID)


def test_a_retry_of_an_order_in_doubt_waits_for_the_same_answer() -> None:
    """What is in doubt is answered once the broker has answered, for everybody who waits."""
    request = a_request()
    desk = a_desk()
    handle(desk, requested(request))
    assert Playbook(desk) >> requested(request) >> accepted(request) << ev.OrderAccepted << ef.Reply(OID)


def test_the_same_id_with_other_content_is_a_conflict() -> None:
    """An id names one order for ever."""
    effects = handle(a_desk_with(a_request()), requested(a_request(qty=qty(11))))
    assert [type(e) for e in effects] == [ef.Refuse]
    assert isinstance(effects[0], ef.Refuse)
    assert effects[0].reason == RefusalReason.CONFLICT


def a_crowded_desk() -> Desk:
    """Return a desk with alice, bob, and a strategy whose name begins with alice's."""
    desk = a_desk()
    desk.apply(registered(StrategyId("alice-fast")))
    return desk


@pytest.mark.parametrize(
    ("who", "oid", "is_free"),
    [
        (BOB, "alice-1", False),
        (ALICE, "alice-1", True),
        (ALICE, "alice-fast-1", False),  # the longest name is whose it is
        (StrategyId("alice-fast"), "alice-fast-1", True),
        (BOB, "alice1", True),
        (BOB, "carol-1", True),  # nobody's name
        (BOB, "today-alice-1", True),
    ],
)
def test_ids_that_begin_with_a_strategys_name_are_its_own(who: StrategyId, oid: str, is_free: bool) -> None:
    """Nobody takes an id before its owner does, to have the owner's order refused as a conflict."""
    desk = a_crowded_desk()
    request = a_request(client_order_id=ClientOrderId(oid), strategy_id=who)
    effects = handle(desk, requested(request))
    refused = [effect for effect in effects if isinstance(effect, ef.Refuse)]
    assert refused == [] if is_free else [one.reason for one in refused] == [RefusalReason.CONFLICT]
    if not is_free:
        assert refused[0].message.endswith(f"begin yours with {who}-")
        assert ClientOrderId(oid) not in desk.orders


def test_a_replace_takes_nobodys_id_either() -> None:
    """The new order is one, too."""
    request = a_limit_request("90", client_order_id=ClientOrderId("alice-1"))
    desk = a_desk_with(request)
    wish = ev.ReplaceRequested(
        client_order_id=ClientOrderId("bob-1"),
        replacement=Replacement(replaces=request.client_order_id, limit_price=price(91)),
        quote=a_quote(),
        market_day=MONDAY,
        by="alice",
        at=NOON,
    )
    (refused,) = handle(desk, wish)
    assert isinstance(refused, ef.Refuse)
    assert refused.reason is RefusalReason.CONFLICT


def test_anothers_id_is_told_as_taken_and_nothing_of_whose_it_is() -> None:
    """Whoever used it: the remedy is a name of one's own in front."""
    desk = a_desk_with(a_request(client_order_id=ClientOrderId("1")))
    (refused,) = handle(desk, requested(a_request(client_order_id=ClientOrderId("1"), strategy_id=BOB)))
    assert isinstance(refused, ef.Refuse)
    assert refused.message == (
        "client_order_id=1 is not free: the ids of one account are everybody's; begin yours with bob-"
    )


def test_what_is_final_cannot_be_canceled() -> None:
    """The refusal is no fact."""
    request = a_request()
    desk = a_desk_with(request)
    handle(desk, filled(request, 10))
    effects = handle(desk, ev.CancelRequested(client_order_id=OID, by="alice", at=NOON))
    assert isinstance(effects[0], ef.Refuse)
    assert effects[0].reason == RefusalReason.ORDER_FINAL


def test_a_cancel_may_be_asked_for_again() -> None:
    """The wish is one fact; the question may be sent twice; an answer is news only while it is awaited."""
    request = a_request()
    desk = a_desk_with(request)
    wish = ev.CancelRequested(client_order_id=OID, by="alice", at=NOON)
    ask = ef.Cancel(OID, BrokerOrderId(f"b-{OID}"))
    assert (
        Playbook(desk)
        >> wish
        << ev.OrderCancelRequested
        << ask
        << ef.Reply(OID)
        >> wish
        << ask
        << ef.Reply(OID)
        >> ev.CancelAnswered(client_order_id=OID, refusal=None, at=NOON)
        << ev.BrokerSaid
        >> ev.CancelAnswered(client_order_id=OID, refusal=None, at=NOON)
        >> updated(a_broker_order(request, status=BrokerStatus.CANCELED))
        << ev.OrderCanceled
        >> ev.CancelAnswered(client_order_id=OID, refusal="it is canceled", at=NOON)
    )


def test_an_unknown_strategy_is_denied() -> None:
    """Unknown means no."""
    request = a_request(strategy_id=StrategyId("mallory"), client_order_id=ClientOrderId("1"))
    effects = handle(a_desk(), requested(request))
    assert isinstance(effects[0], ef.Record)
    assert isinstance(effects[0].fact, ev.OrderDenied)
    assert effects[0].fact.reason == DenialReason.STRATEGY_UNKNOWN


def test_the_same_order_again_within_the_window_is_a_duplicate() -> None:
    """A loop that forgot to remember is stopped; after the window the order is new again."""
    desk = a_desk(limits=some_limits(duplicate_window=timedelta(seconds=1)))
    handle(desk, requested())
    again = a_request(client_order_id=ClientOrderId("alice-2"))
    denied = handle(desk, requested(again, at=NOON + timedelta(milliseconds=999)))[0]
    assert isinstance(denied, ef.Record)
    assert isinstance(denied.fact, ev.OrderDenied)
    assert denied.fact.reason == DenialReason.DUPLICATE
    later = a_request(client_order_id=ClientOrderId("alice-3"))
    assert any(isinstance(e, ef.Submit) for e in handle(desk, requested(later, at=NOON + timedelta(seconds=1))))


def test_orders_wait_for_a_look_after_the_stream_came_back() -> None:
    """Up is not enough: the fills of the gap must be known first."""
    desk = a_desk()
    assert desk.is_synced
    handle(desk, ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
    assert (
        Playbook(desk)
        >> ev.TradeStreamChanged(is_up=True, why="listening", at=NOON)
        << ev.StreamChanged
        << ef.Reconcile("the trade stream came up")
    )
    assert [desk.is_synced, handle(desk, a_snapshot()) and desk.is_synced] == [False, True]


@pytest.mark.parametrize("status", [StrategyStatus.PAUSED, StrategyStatus.STOPPED, StrategyStatus.FAILED])
def test_only_active_strategies_trade(status: StrategyStatus) -> None:
    """What is not active is denied, whoever asks."""
    desk = a_desk()
    desk.apply(ev.StrategyStatusChanged(strategy_id=ALICE, status=status, why="test", at=NOON))
    denied = handle(desk, requested())[0]
    assert isinstance(denied, ef.Record)
    assert isinstance(denied.fact, ev.OrderDenied)
    assert denied.fact.reason == DenialReason.STRATEGY_NOT_ACTIVE


def test_a_quote_without_a_bid_is_no_price() -> None:
    """One-sided markets value nothing."""
    denied = handle(a_desk(), requested(quote=a_quote(bid_price=price(0))))[0]
    assert isinstance(denied, ef.Record)
    assert isinstance(denied.fact, ev.OrderDenied)
    assert denied.fact.reason == DenialReason.QUOTE_MISSING


def test_a_tape_that_begins_anew_is_a_new_market_day() -> None:
    """A looped tape plays the same date again: its orders are counted from nothing."""
    desk = a_desk(limits=some_limits(orders_per_day_max=1, open_orders_max=100))
    close, opening = NOON + timedelta(hours=4), NOON - timedelta(hours=3)

    def asked(name: str, quoted_at: datetime) -> list[type]:
        request = a_request(client_order_id=ClientOrderId(name), qty=qty(1))
        return facts_of(handle(desk, requested(request, quote=a_quote(quoted_at=quoted_at))))

    assert asked("o1", close) == [ev.OrderApproved]
    assert asked("o2", close - timedelta(minutes=30)) == [ev.OrderDenied]  # an illiquid symbol's quote is older
    assert asked("o3", opening) == [ev.OrderApproved]
    assert asked("o4", opening) == [ev.OrderDenied]
    tuesday = requested(a_request(client_order_id=ClientOrderId("o5")), market_day=MONDAY + timedelta(days=1))
    assert facts_of(handle(desk, tuesday)) == [ev.OrderApproved]


def test_a_losing_short_can_always_be_covered() -> None:
    """Its margin is more than it costs to buy back: what only reduces a risk is not denied for want of money."""
    desk = a_desk(limits=some_limits(is_short_allowed=True, order_notional_max=cash(50_000)))
    short = a_request(side=Side.SELL, qty=qty(50))
    handle(desk, requested(short))
    handle(desk, filled(short, 50))
    handle(desk, ev.MarksTaken(marks=((AAPL, price(200)),), at=NOON))
    assert desk.buying_power(ALICE) == 0
    quote = a_quote(bid_price=price("199.99"), ask_price=price(200))
    cover = a_request(client_order_id=ClientOrderId("cover"), qty=qty(50))
    more = a_request(client_order_id=ClientOrderId("more"), qty=qty(1))
    assert facts_of(handle(desk, requested(cover, quote=quote))) == [ev.OrderApproved]
    assert desk.buying_power(ALICE) == 0, "it holds no more than it costs over the margin"
    assert facts_of(handle(desk, requested(more, quote=quote))) == [ev.OrderDenied]
    handle(desk, filled(cover, 50, at_price="200"))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 0
    assert desk.buying_power(ALICE) == 5_000


def test_a_sale_through_zero_holds_its_margin_until_the_short_is_there() -> None:
    """What closes is filled first: that sets nothing of the opening part's margin free."""
    desk = a_desk(limits=some_limits(is_short_allowed=True))
    bought, sold = a_request(), a_request(client_order_id=ClientOrderId("through"), side=Side.SELL, qty=qty(20))
    others = a_request(client_order_id=ClientOrderId("bob-1"), strategy_id=BOB)  # so that the account stays long
    handle(desk, requested(others))
    handle(desk, filled(others, 10))
    handle(desk, requested(bought))
    handle(desk, filled(bought, 10))
    handle(desk, requested(sold))
    held = desk.reservations.cash(ALICE)
    assert held == cash("999.9")
    handle(desk, filled(sold, 10))
    assert desk.reservations.cash(ALICE) == held
    handle(desk, filled(sold, 5, cumulative=15))
    assert desk.reservations.cash(ALICE) == held / 2
    handle(desk, filled(sold, 5, cumulative=20))
    assert desk.reservations.by_order == {}


def test_a_notional_sale_promises_the_shares_that_it_may_come_to() -> None:
    """The price may fall before it is filled; endless fractions leave nothing behind."""
    desk = a_desk(limits=some_limits(is_short_allowed=False))
    bought = a_request()
    handle(desk, requested(bought))
    handle(desk, filled(bought, 10))
    sale = a_request(client_order_id=ClientOrderId("sale"), side=Side.SELL, qty=None, notional=cash(700))
    assert facts_of(handle(desk, requested(sale))) == [ev.OrderApproved]
    promised = desk.reservations.qty(ALICE, AAPL)
    assert qty("7.14") < promised < qty("7.15")
    assert desk.reservations.opening(ALICE, AAPL, Side.SELL) == promised
    order = a_broker_order(sale, status=BrokerStatus.PARTIALLY_FILLED, filled_qty=qty("3.1"))
    handle(desk, updated(order, "partial_fill", a_fill(order, "3.1", cumulative="3.1", at_price="99")))
    assert desk.reservations.qty(ALICE, AAPL) == promised - qty("3.1")
    handle(desk, updated(a_broker_order(sale, status=BrokerStatus.CANCELED, filled_qty=qty("3.1"))))
    assert desk.reservations.qty(ALICE, AAPL) == 0
    assert desk.reservations.opening(ALICE, AAPL, Side.SELL) == 0


def test_a_denial_that_is_forgotten_meanwhile_ends_no_desk() -> None:
    """A member's loop of denials pushes its oldest out of memory while a cancel or a replace of it waits its turn."""
    desk = a_desk()
    handle(desk, requested(a_request(client_order_id=ClientOrderId("d-0"), qty=qty(100_000))))
    for i in range(1, DENIED_KEPT + 1):
        handle(desk, requested(a_request(client_order_id=ClientOrderId(f"d-{i}"), qty=qty(100_000))))
    old, new = ClientOrderId("d-0"), ClientOrderId("new")
    wanted = ev.ReplaceRequested(
        client_order_id=new,
        replacement=Replacement(replaces=old, qty=qty(5)),
        quote=a_quote(),
        market_day=MONDAY,
        by="alice",
        at=NOON,
    )
    for oid, event in ((old, ev.CancelRequested(client_order_id=old, by="alice", at=NOON)), (new, wanted)):
        (refused,) = handle(desk, event)
        assert isinstance(refused, ef.Refuse)
        assert (refused.client_order_id, refused.reason) == (oid, RefusalReason.NOT_FOUND)
