"""Orders of two strategies that meet at the desk: exchanged at one fair price, exactly, or not at all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from deskd.core import crossing
from deskd.core.deciding import handle
from deskd.core.desk import TRADES, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.kill import KillDepth
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.market import MarketClock, Quote
from deskd.domain.money import NO_QTY
from deskd.domain.order import Order, OrderRequest, OrderStatus, OrderType, Replacement, Side, TimeInForce
from deskd.domain.reasons import DenialReason as R
from deskd.domain.reasons import RefusalReason, RejectReason
from deskd.domain.run import StrategyStatus
from deskd.domain.stage import Stage
from deskd.ledger import fold
from deskd.ledger.codec import decode, encode
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_kill,
    a_quote,
    a_request,
    a_snapshot,
    accepted,
    cash,
    filled,
    of_strategy,
    price,
    qty,
    requested,
    some_limits,
)

S = OrderStatus
HOLD_MAX = timedelta(seconds=30)
BACK = ClientOrderId("bob-buys~1")  # bob's resting order, when it is back at the desk


def a_clock(**overrides: Any) -> MarketClock:
    fields: dict[str, Any] = {
        "timestamp": NOON,
        "is_open": True,
        "next_open": NOON + timedelta(days=1),
        "next_close": NOON + timedelta(hours=3),
    }
    return MarketClock(**fields | overrides)


QUOTE = a_quote(bid_price=price("99.99"), ask_price=price("100.01"))


def a_crossing_desk(policy: ConflictPolicy = ConflictPolicy.CROSS, **limits: Any) -> Desk:
    """Return a desk that crosses; alice and bob own 50 shares each."""
    most = cash(50_000)
    wide = some_limits(
        is_short_allowed=True, open_orders_max=100, order_notional_max=most, position_notional_max=most, **limits
    )
    desk = a_desk(limits=wide, allocation="50000")
    desk.lane = LaneRules(conflict=policy, hold_max=HOLD_MAX)
    for who in (ALICE, BOB):
        have = a_request(strategy_id=who, client_order_id=ClientOrderId(f"{who}-has"), qty=qty(50))
        handle(desk, requested(have))
        handle(desk, filled(have, 50))
    return desk


def a_breaker(who: StrategyId) -> ev.BreakerMoved:
    return ev.BreakerMoved(
        strategy_id=who, state=BreakerState.OPEN, why="rejects=5", trips=1, until=NOON + timedelta(minutes=5), at=NOON
    )


def a_limit(at: str, **overrides: Any) -> dict[str, Any]:
    return {"order_type": OrderType.LIMIT, "limit_price": price(at), **overrides}


RESTING = a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob-buys"), qty=qty(10), **a_limit("100.01"))
SALE = a_request(client_order_id=ClientOrderId("alice-sells"), side=Side.SELL, qty=qty(4))


def asked(request: OrderRequest, **overrides: Any) -> ev.OrderRequested:
    return requested(request, **{"quote": QUOTE, "clock": a_clock()} | overrides)


def looked(**overrides: Any) -> ev.MarketLooked:
    fields: dict[str, Any] = {"symbol": AAPL, "quote": QUOTE, "at": NOON, "clock": a_clock()}
    return ev.MarketLooked(**fields | overrides)


def canceled(request: OrderRequest, at: datetime = NOON, **overrides: Any) -> ev.TradeUpdated:
    order = a_broker_order(request, status=BrokerStatus.CANCELED, **overrides)
    return ev.TradeUpdated(event="canceled", order=order, fill=None, at=at)


def facts(effects: list[ef.Effect]) -> list[ev.Fact]:
    return [effect.fact for effect in effects if isinstance(effect, ef.Record)]


def sent(effects: list[ef.Effect]) -> list[OrderRequest]:
    return [effect.request for effect in effects if isinstance(effect, ef.Submit)]


def internal(effects: list[ef.Effect]) -> list[ev.OrderFilled]:
    return [fact for fact in facts(effects) if isinstance(fact, ev.OrderFilled) and fact.internal_with]


def exchanges(effects: list[ef.Effect]) -> list[tuple[str, object]]:
    """Return what was exchanged, as (order, shares)."""
    return [(fill.client_order_id, fill.qty) for fill in internal(effects)]


def going(effects: list[ef.Effect]) -> list[tuple[str, object]]:
    """Return what is sent, as (order, shares)."""
    return [(request.client_order_id, request.qty) for request in sent(effects)]


def figures(*values: object) -> tuple[object, ...]:
    return values


def order(desk: Desk, request: OrderRequest | ClientOrderId) -> Order:
    return desk.orders[request if isinstance(request, str) else request.client_order_id]


def resting(desk: Desk, request: OrderRequest = RESTING) -> None:
    handle(desk, asked(request))
    handle(desk, accepted(request))


def recalled(sale: OrderRequest = SALE, **limits: Any) -> Desk:
    """Return a desk on which alice's sale waits, and bob's resting buy is on its way back from the broker."""
    desk = a_crossing_desk(**limits)
    resting(desk)
    effects = handle(desk, asked(sale))
    assert not sent(effects)
    assert [e.client_order_id for e in effects if isinstance(e, ef.Cancel)] == [RESTING.client_order_id]
    assert order(desk, sale).is_held
    assert order(desk, RESTING).is_recalled
    return desk


def sums(desk: Desk) -> tuple[Decimal, Decimal]:
    return desk.portfolio.cash(), desk.portfolio.total_qty(AAPL)


# --- the way of an exchange -------------------------------------------------------------------------------------------


def test_what_comes_back_keeps_the_line_that_it_was_asked_for_on() -> None:
    """To whoever asked it is still the same order."""
    desk = a_crossing_desk()
    handle(desk, asked(RESTING, line="trade AAPL 2026-11-20T15:04:05Z", lines_together=2))
    for event in (accepted(RESTING), asked(SALE), canceled(RESTING)):
        handle(desk, event)
    back = order(desk, BACK)
    assert (back.line, back.lines_together) == ("trade AAPL 2026-11-20T15:04:05Z", 2)


def test_what_meets_is_exchanged_and_the_rest_goes_back_to_the_broker() -> None:
    """Four of bob's ten shares come from alice, at the midpoint; six go to the broker, as the order in its place."""
    desk = recalled()
    before, mine, his = sums(desk), desk.portfolio.book(ALICE).cash, desk.portfolio.book(BOB).cash
    effects = handle(desk, canceled(RESTING))
    assert [type(f) for f in facts(effects)] == [ev.OrderReplaced, ev.OrderReturned]
    assert ef.LookAtMarket(AAPL) in effects
    assert not sent(effects), "it waits for a look at the market"
    effects = handle(desk, looked())
    assert exchanges(effects) == [(BACK, 4), (SALE.client_order_id, 4)]
    assert {fill.price for fill in internal(effects)} == {price(100)}
    assert [f.quote for f in internal(effects)] == [QUOTE, QUOTE], "what the price rests on is kept"
    assert going(effects) == [(BACK, 6)]
    assert sums(desk) == before
    assert desk.portfolio.book(ALICE).cash == mine + 400
    assert desk.portfolio.book(BOB).cash == his - 400
    assert figures(desk.portfolio.qty(ALICE, AAPL), desk.portfolio.qty(BOB, AAPL)) == (46, 54)


def test_both_orders_end_as_they_should() -> None:
    """The whole one is filled and answered; the other is filled when the broker has filled its rest."""
    desk = recalled()
    handle(desk, canceled(RESTING))
    effects = handle(desk, looked())
    sale, back = order(desk, SALE), order(desk, BACK)
    assert figures(sale.status, sale.filled_qty, sale.avg_fill_price, sale.broker_order_id) == (S.FILLED, 4, 100, None)
    assert ef.Reply(SALE.client_order_id) in effects
    assert not desk.reservations.holds(sale)
    assert figures(back.status, back.filled_qty, back.leaves_qty, back.sent_qty, back.counted_qty) == (
        S.SUBMITTED,
        4,
        6,
        6,
        0,
    )
    assert order(desk, RESTING).status is S.REPLACED
    assert order(desk, RESTING).replaced_by == BACK
    rest = replace(back.request, qty=qty(6))
    handle(desk, accepted(rest))
    assert order(desk, BACK).status is S.PARTIALLY_FILLED
    assert desk.reservations.of(order(desk, BACK)).cash == Decimal("600.06")
    handle(desk, filled(rest, 6, at_price="100.01"))
    back = order(desk, BACK)
    assert figures(back.status, back.filled_qty, back.counted_qty, back.internal_qty) == (S.FILLED, 10, 6, 4)
    assert back.avg_fill_price == Decimal("100.006")
    assert not desk.reservations.by_order


def test_the_newcomer_goes_on_with_what_was_not_met() -> None:
    """Fifteen against ten: bob's order is filled, and five go to the broker under the newcomer's own id."""
    sale = replace(SALE, qty=qty(15))
    desk = recalled(sale)
    handle(desk, canceled(RESTING))
    effects = handle(desk, looked())
    assert going(effects) == [(sale.client_order_id, 5)]
    assert order(desk, BACK).status is S.FILLED
    rest = replace(sale, qty=qty(5))
    handle(desk, accepted(rest))
    assert not facts(handle(desk, ev.OrderLookedUp(client_order_id=sale.client_order_id, order=a_broker_order(rest), fills=(), at=NOON)))  # fmt: skip
    handle(desk, filled(rest, 5))
    assert figures(order(desk, sale).status, order(desk, sale).filled_qty) == (S.FILLED, 15)


def test_two_that_wait_at_the_desk_meet_at_once() -> None:
    """Nothing of either is at the broker: no cancel, and no look at the market but the newcomer's own."""
    desk = recalled()
    late_buy = a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob-late"), qty=qty(3), **a_limit("100"))
    effects = handle(desk, asked(late_buy))
    assert exchanges(effects) == [(SALE.client_order_id, 3), ("bob-late", 3)]
    assert order(desk, late_buy).status is S.FILLED
    assert order(desk, SALE).leaves_qty == 1
    assert order(desk, SALE).is_held, "one share waits for bob's order on its way back"


def test_strategies_hear_an_ordinary_fill() -> None:
    """A strategy need not know of any of this: `replaced` and `held`, then `fill` or `partial_fill`, then `released`."""
    desk = recalled()

    def told(effects: list[ef.Effect]) -> list[tuple[str, str, str | None, str]]:
        tells = [e.update for e in effects if isinstance(e, ef.Tell)]
        return [(str(u.order.request.client_order_id), u.event, u.fill_price, u.position_qty) for u in tells]

    assert told(handle(desk, canceled(RESTING))) == [
        ("bob-buys", "replaced", None, "50"),
        ("bob-buys~1", "held", None, "50"),
    ]
    assert told(handle(desk, looked())) == [
        ("bob-buys~1", "partial_fill", "100", "54"),
        ("alice-sells", "fill", "100", "46"),
        ("bob-buys~1", "released", None, "54"),
    ]


# --- races ------------------------------------------------------------------------------------------------------------


def test_that_the_broker_calls_a_recalled_order_canceled_is_no_news() -> None:
    """To it the order is canceled, to its strategy another is in its place: whichever look comes later, both are right."""
    desk = recalled()
    handle(desk, canceled(RESTING))
    assert order(desk, RESTING).broker_status == BrokerStatus.CANCELED
    assert not facts(handle(desk, canceled(RESTING)))
    gone = a_broker_order(RESTING, status=BrokerStatus.CANCELED)
    looked_up = ev.OrderLookedUp(client_order_id=RESTING.client_order_id, order=gone, fills=(), at=NOON)
    assert not facts(handle(desk, looked_up))
    handle(desk, a_snapshot(orders=(gone,), cash=desk.portfolio.cash(), fill_count=desk.fill_count))
    assert not [d for d in desk.standing.open if d == RESTING.client_order_id]
    assert desk.standing.found == 0


def test_what_the_broker_fills_first_is_not_there_to_meet() -> None:
    """The cancel loses the race: bob's order is filled at the broker, and alice's sale goes there."""
    desk = recalled()
    effects = handle(desk, filled(RESTING, 10, at_price="100.01"))
    assert not internal(effects)
    assert [r.client_order_id for r in sent(effects)] == [SALE.client_order_id]
    assert order(desk, RESTING).status is S.FILLED
    late = a_broker_order(RESTING, status=BrokerStatus.FILLED, filled_qty=qty(10), filled_avg_price=price("100.01"))
    handle(desk, ev.OrderLookedUp(client_order_id=RESTING.client_order_id, order=late, fills=(), at=NOON))
    assert BACK not in desk.orders


def test_a_part_that_the_broker_fills_first_is_not_there_to_meet() -> None:
    """Of ten shares seven were filled before the cancel took hold: three come back."""
    desk = recalled()
    handle(desk, filled(RESTING, 7, cumulative=7))
    handle(desk, canceled(RESTING, filled_qty=qty(7)))
    assert order(desk, BACK).leaves_qty == 3
    effects = handle(desk, looked())
    assert {f.qty for f in internal(effects)} == {qty(3)}
    assert order(desk, SALE).leaves_qty == 1
    assert desk.portfolio.qty(BOB, AAPL) == 60


def test_the_end_waits_for_fills_that_it_counts() -> None:
    """A cancel that counts a fill which nobody has told is no end yet: nothing comes back before it is booked."""
    desk = recalled()
    handle(desk, canceled(RESTING, filled_qty=qty(7)))
    assert order(desk, RESTING).is_recalled
    assert BACK not in desk.orders
    handle(desk, filled(RESTING, 7, cumulative=7))
    handle(desk, canceled(RESTING, filled_qty=qty(7)))
    assert order(desk, BACK).leaves_qty == 3


def test_an_order_that_its_owner_cancels_meanwhile_ends() -> None:
    """It is his: what is left of it is gone, and alice's sale goes to the broker."""
    desk = recalled()
    handle(desk, ev.CancelRequested(client_order_id=RESTING.client_order_id, by="bob", at=NOON))
    assert not order(desk, RESTING).is_recalled
    effects = handle(desk, canceled(RESTING))
    assert order(desk, RESTING).status is S.CANCELED
    assert BACK not in desk.orders
    assert [r.client_order_id for r in sent(effects)] == [SALE.client_order_id]


def test_an_order_that_came_back_can_be_canceled_at_once() -> None:
    """It is at the desk; the broker need not be asked."""
    desk = recalled()
    handle(desk, canceled(RESTING))
    effects = handle(desk, ev.CancelRequested(client_order_id=BACK, by="bob", at=NOON))
    assert order(desk, BACK).status is S.CANCELED
    assert not any(isinstance(e, ef.Cancel) for e in effects)
    assert not desk.reservations.holds(order(desk, BACK))


def test_a_cancel_that_the_broker_refuses_leaves_the_order_where_it_was() -> None:
    """It is not asked for again for the same order; alice waits as under `hold`."""
    desk = recalled()
    handle(desk, ev.CancelAnswered(client_order_id=RESTING.client_order_id, refusal="too late", at=NOON))
    assert order(desk, RESTING).status is S.ACCEPTED
    effects = handle(desk, looked())
    assert not any(isinstance(e, ef.Cancel) for e in effects)
    assert order(desk, SALE).is_held


def test_if_the_newcomer_is_gone_the_order_goes_back_at_once() -> None:
    """Nobody is left to meet: no look is waited for, and nothing is lost but the place in the broker's queue."""
    desk = recalled()
    handle(desk, ev.CancelRequested(client_order_id=SALE.client_order_id, by="alice", at=NOON))
    effects = handle(desk, canceled(RESTING))
    assert going(effects) == [(BACK, 10)]
    assert desk.reservations.of(order(desk, BACK)).cash == Decimal("1000.10")


@pytest.mark.parametrize("depth", KillDepth)
def test_a_kill_in_between_exchanges_nothing(depth: KillDepth) -> None:
    """Of the strategy that is killed nothing leaves the desk; what comes back to it ends, and says why."""
    desk = recalled()
    kill = a_kill(of_strategy(BOB), depth)
    handle(desk, kill)
    effects = handle(desk, canceled(RESTING))
    assert not internal(effects)
    assert (order(desk, BACK).status, order(desk, BACK).reason) == (S.REJECTED, RejectReason.NOT_SENT)
    assert "kill=strategy bob" in (order(desk, BACK).message or "")
    assert "did not go back to the broker, where bob-buys was" in (order(desk, BACK).message or "")
    assert [r.client_order_id for r in sent(effects)] == [SALE.client_order_id]


CLOSES = a_request(
    strategy_id=BOB, client_order_id=ClientOrderId("bob-sells"), side=Side.SELL, qty=qty(10), **a_limit("99.99")
)
CLOSES_AGAIN = ClientOrderId("bob-sells~1")
BUY = a_request(client_order_id=ClientOrderId("alice-buys"), qty=qty(4))


@pytest.mark.parametrize(
    "happens",
    [
        lambda desk: handle(desk, a_kill(of_strategy(BOB), KillDepth.REDUCE_ONLY)),
        lambda desk: handle(desk, a_breaker(BOB)),
        lambda desk: handle(
            desk, ev.StrategyStatusChanged(strategy_id=BOB, status=StrategyStatus.STOPPED, why="test", at=NOON)
        ),
        lambda desk: handle(desk, ev.StageChanged(strategy_id=BOB, stage=Stage.PAUSED, by="bob", why="test", at=NOON)),
    ],
)
@pytest.mark.parametrize("is_back", [True, False])
def test_a_closing_order_goes_back_to_the_broker_from_which_it_was_recalled(
    happens: Callable[[Desk], list[ef.Effect]], *, is_back: bool
) -> None:
    """It was there before the breaker or the stop, and would be there still: the desk must not end it for that."""
    desk = a_crossing_desk()
    resting(desk, CLOSES)
    handle(desk, asked(BUY))
    assert order(desk, CLOSES).is_recalled
    if is_back:
        handle(desk, canceled(CLOSES))
        effects = happens(desk) + handle(desk, looked())
    else:
        happens(desk)
        effects = handle(desk, canceled(CLOSES))
    assert not internal(effects)
    assert (CLOSES_AGAIN, 10) in going(effects)


def test_what_waits_for_a_way_back_to_the_broker_waits_no_longer_than_anybody() -> None:
    """The account's position is another by then: after hold_max it ends and says so, whatever its time in force."""
    desk = a_crossing_desk()
    lasting = replace(RESTING, time_in_force=TimeInForce.GTC)
    resting(desk, lasting)
    handle(desk, asked(SALE))
    handle(desk, canceled(lasting))
    assert order(desk, BACK).held_until == NOON + HOLD_MAX


def test_a_kill_ends_what_has_come_back() -> None:
    """It was to be sent anew: that is no way past a kill."""
    desk = recalled()
    handle(desk, canceled(RESTING))
    effects = handle(desk, a_kill(of_strategy(BOB)))
    assert (order(desk, BACK).status, order(desk, BACK).reason) == (S.REJECTED, RejectReason.NOT_SENT)
    assert not internal(effects)
    assert not internal(handle(desk, looked()))


def test_an_order_that_expires_meanwhile_is_over() -> None:
    """Its time is up; nothing of it comes back."""
    desk = recalled()
    over = a_broker_order(RESTING, status=BrokerStatus.EXPIRED)
    handle(desk, ev.TradeUpdated(event="expired", order=over, fill=None, at=NOON))
    assert order(desk, RESTING).status is S.EXPIRED
    assert BACK not in desk.orders


def test_without_a_look_at_the_market_nobody_waits_for_long() -> None:
    """Should no look come (a full inbox, a crash), what came back goes to the broker after MEET_MAX."""
    desk = recalled()
    effects = handle(desk, canceled(RESTING))
    assert ef.LookAgain(BACK, crossing.MEET_MAX) in effects
    late = NOON + crossing.MEET_MAX
    effects = handle(desk, ev.DoubtTimedOut(client_order_id=BACK, at=late))
    assert going(effects) == [(BACK, 10)]
    assert order(desk, SALE).is_held, "it waits for the order at the broker"


def test_who_came_back_and_did_not_meet_stays_at_the_broker() -> None:
    """Prices moved away and back: an order loses its place once for another, not again and again."""
    desk = recalled()
    handle(desk, canceled(RESTING))
    far = replace(QUOTE, bid_price=price("101.99"), ask_price=price("102.01"))
    effects = handle(desk, looked(quote=far))
    assert going(effects) == [(BACK, 10)]
    effects = handle(desk, accepted(order(desk, BACK).request))
    assert ef.LookAtMarket(AAPL) in effects
    assert not any(isinstance(e, ef.Cancel) for e in handle(desk, looked()))


def test_a_restart_finds_all_of_it_in_the_ledger() -> None:
    """Killed between the cancel at the broker and the exchange: the look at the account brings the end, and it goes on."""
    desk = recalled()
    again = fold.decode(fold.encode(desk))
    again.lane, again.limits, again.instruments = desk.lane, desk.limits, desk.instruments
    handle(again, ev.DeskStarted(version="1", broker="embedded", at=NOON))
    handle(again, ev.StreamChanged(stream=TRADES, is_up=True, why="listening", at=NOON))
    gone = a_broker_order(RESTING, status=BrokerStatus.CANCELED)
    money = again.portfolio.cash()
    positions = (ev.BrokerPosition(symbol=AAPL, qty=qty(100), avg_entry_price=price(100)),)
    look = a_snapshot(
        orders=(gone,), missing=(SALE.client_order_id,), cash=money, positions=positions, fill_count=again.fill_count
    )
    effects = handle(again, look)
    assert order(again, BACK).is_held
    assert ef.LookAtMarket(AAPL) in effects
    assert {f.qty for f in internal(handle(again, looked()))} == {qty(4)}
    assert again.last_reconciled is not None
    assert again.last_reconciled.differences == ()


# --- what never meets -------------------------------------------------------------------------------------------------


def test_nobody_trades_with_himself() -> None:
    """An order against one's own is denied, as always; and no exchange is ever within one strategy."""
    desk = recalled()
    own = a_request(client_order_id=ClientOrderId("alice-buys"), qty=qty(5), **a_limit("100.01"))
    effects = handle(desk, asked(own))
    assert not internal(effects)
    assert order(desk, own).reason == R.CONFLICT_WASH


def test_other_policies_exchange_nothing() -> None:
    """`deny` denies, `hold` holds: neither touches an order at the broker."""
    for policy, status in ((ConflictPolicy.DENY, S.DENIED), (ConflictPolicy.HOLD, S.SUBMITTED)):
        desk = a_crossing_desk(policy)
        resting(desk)
        effects = handle(desk, asked(SALE))
        assert not any(isinstance(e, ef.Cancel) for e in effects)
        assert order(desk, SALE).status is status


def stopped(desk: Desk) -> None:
    handle(desk, ev.StrategyStatusChanged(strategy_id=BOB, status=StrategyStatus.STOPPED, why="test", at=NOON))


def paused(desk: Desk) -> None:
    handle(desk, ev.StageChanged(strategy_id=BOB, stage=Stage.PAUSED, by="ada", why="test", at=NOON))


def frozen(desk: Desk) -> None:
    desk.apply(ev.SymbolFrozen(symbol=AAPL, why="test", at=NOON))


def unsynced(desk: Desk) -> None:
    desk.is_synced = False


def not_traded(desk: Desk) -> None:
    desk.instruments = {AAPL: replace(desk.instruments[AAPL], is_tradable=False)}


@pytest.mark.parametrize("happens", [stopped, paused, frozen, unsynced, not_traded])
def test_nothing_is_exchanged_where_one_could_not_trade(happens: Callable[[Desk], None]) -> None:
    """Both strategies are active, the books are sure, and the symbol is traded."""
    desk = recalled()
    handle(desk, canceled(RESTING))
    happens(desk)
    assert not internal(handle(desk, looked()))


@pytest.mark.parametrize(
    "look",
    [
        {"quote": None},
        {"quote": replace(QUOTE, received_at=NOON - timedelta(seconds=31))},
        {"quote": replace(QUOTE, bid_price=price(0))},
        {"quote": replace(QUOTE, bid_price=price("100.02"))},
        {"quote": replace(QUOTE, bid_price=price(99), ask_price=price(101))},
        {"clock": None},
        {"clock": a_clock(is_open=False)},
        {"clock": a_clock(timestamp=NOON + timedelta(hours=4))},
        {"is_halted": True},
    ],
)
def test_nothing_is_exchanged_where_the_price_is_not_known(look: dict[str, Any]) -> None:
    """A quote that is missing, old, one-sided, crossed or wide, a market that is shut or halted: both go on as under hold."""
    desk = recalled()
    handle(desk, canceled(RESTING))
    effects = handle(desk, looked(**look))
    assert not internal(effects)
    assert going(effects) == [(BACK, 10)]
    assert order(desk, SALE).is_held


def test_a_look_without_a_price_recalls_nothing() -> None:
    """The newcomer was asked for in a market whose session nobody knows: it waits."""
    desk = a_crossing_desk()
    resting(desk)
    effects = handle(desk, asked(SALE, clock=None))
    assert not any(isinstance(e, ef.Cancel) for e in effects)
    assert order(desk, SALE).is_held


@pytest.mark.parametrize(
    "overrides",
    [
        a_limit("99.99"),
        {"order_type": OrderType.STOP, "stop_price": price(105)},
        a_limit("100.01", qty=qty("2.5")),
        a_limit("100.01", client_order_id=ClientOrderId("b" * 127)),
    ],
)
def test_what_cannot_meet_is_left_at_the_broker(overrides: dict[str, Any]) -> None:
    """A limit that the midpoint does not meet, a stop, fractions, an id without room for another: alice waits."""
    desk = a_crossing_desk()
    one = replace(RESTING, **overrides)
    resting(desk, one)
    wanted = replace(SALE, **a_limit("99.98"))
    effects = handle(desk, asked(wanted))
    assert order(desk, one).status is S.ACCEPTED
    assert order(desk, wanted).is_held
    assert not any(isinstance(e, ef.Cancel) for e in effects)


@pytest.mark.parametrize(
    ("overrides", "status"),
    [
        ({"time_in_force": TimeInForce.IOC}, S.DENIED),
        ({"qty": qty("2.5")}, S.SUBMITTED),
        (a_limit("100.01"), S.SUBMITTED),
    ],
)
def test_a_newcomer_that_cannot_meet_recalls_nothing(overrides: dict[str, Any], status: OrderStatus) -> None:
    """One for at once is denied; fractions, and a limit that the midpoint does not meet, wait."""
    desk = a_crossing_desk()
    resting(desk)
    one = replace(SALE, **overrides)
    effects = handle(desk, asked(one))
    assert order(desk, one).status is status
    assert not any(isinstance(e, ef.Cancel) for e in effects)


def test_no_more_is_recalled_than_can_meet() -> None:
    """The oldest first, and one order for one other."""
    desk = a_crossing_desk()
    second = replace(RESTING, client_order_id=ClientOrderId("bob-second"))
    for one in (RESTING, second):
        resting(desk, one)
    effects = handle(desk, asked(SALE))
    assert [e.client_order_id for e in effects if isinstance(e, ef.Cancel)] == [RESTING.client_order_id]
    assert not any(isinstance(e, ef.Cancel) for e in handle(desk, looked())), "four shares are on their way"


def test_money_that_is_not_held_is_not_spent() -> None:
    """A purchase at the market holds two percent over its time's ask: beyond that it is not exchanged."""
    desk = a_crossing_desk()
    resting(desk, replace(RESTING, side=Side.SELL, **a_limit("99.99")))
    buy = replace(SALE, side=Side.BUY)
    handle(desk, asked(buy))
    handle(desk, canceled(replace(RESTING, side=Side.SELL, **a_limit("99.99"))))
    dear = replace(QUOTE, bid_price=price("103.99"), ask_price=price("104.01"))
    assert not internal(handle(desk, looked(quote=dear)))


def test_what_was_exchanged_cannot_be_asked_for_anew() -> None:
    """A new quantity would count what the broker does not know: it is refused. A new price is not.

    Nor is one beside the quantity that the order has, which is not the broker's: it is not sent there.
    """
    desk = recalled()
    handle(desk, canceled(RESTING))
    handle(desk, looked())
    rest = replace(order(desk, BACK).request, qty=qty(6))
    handle(desk, accepted(rest))

    def wanted(name: str, **changes: Any) -> list[ef.Effect]:
        asked_for = Replacement(replaces=BACK, **changes)
        return handle(
            desk,
            ev.ReplaceRequested(
                client_order_id=ClientOrderId(name),
                replacement=asked_for,
                quote=QUOTE,
                market_day=MONDAY,
                by="bob",
                at=NOON,
            ),
        )

    (refused,) = [e for e in wanted("more", qty=qty(12)) if isinstance(e, ef.Refuse)]
    assert refused.reason is RefusalReason.NOT_REPLACEABLE
    assert "4 of it were exchanged at the desk" in refused.message
    dearer: dict[str, Any] = {"qty": qty(10), "limit_price": price("100.02")}
    (new,) = [e.request for e in wanted("dearer", **dearer) if isinstance(e, ef.Replace)]
    assert new.qty == 6
    assert new.replacement == Replacement(replaces=BACK, limit_price=price("100.02"))
    kept = order(desk, ClientOrderId("dearer")).request.replacement
    assert kept == Replacement(replaces=BACK, **dearer), "asked for again, it is the same order"


def test_a_broker_that_made_the_rest_smaller_is_believed() -> None:
    """What it says is of what it was sent: six of ten, four being exchanged."""
    desk = recalled()
    handle(desk, canceled(RESTING))
    handle(desk, looked())
    rest = replace(order(desk, BACK).request, qty=qty(6))
    handle(desk, accepted(rest))
    smaller = a_broker_order(rest, qty=qty(5))
    handle(desk, ev.OrderLookedUp(client_order_id=BACK, order=smaller, fills=(), at=NOON))
    back = order(desk, BACK)
    assert figures(back.qty, back.sent_qty, back.leaves_qty) == (9, 5, 5)
    handle(desk, filled(replace(rest, qty=qty(5)), 5))
    assert order(desk, BACK).status is S.FILLED


def test_an_order_may_come_back_more_than_once() -> None:
    """Each return has a name of its own, beside whatever a member calls his orders."""
    desk = recalled()
    desk.orders[BACK] = order(desk, RESTING)  # a member used that name
    effects = handle(desk, canceled(RESTING))
    (new,) = [f.request.client_order_id for f in facts(effects) if isinstance(f, ev.OrderReturned)]
    assert new == "bob-buys~2"
    handle(desk, looked())
    rest = replace(order(desk, new).request, qty=qty(6))
    handle(desk, accepted(rest))
    handle(desk, asked(replace(SALE, client_order_id=ClientOrderId("alice-again"), qty=qty(6))))
    assert order(desk, new).is_recalled
    handle(desk, canceled(rest))
    assert order(desk, ClientOrderId("bob-buys~3")).request.qty == 6
    assert order(desk, ClientOrderId("bob-buys~3")).filled_qty == NO_QTY


# --- the price --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bid", "ask", "middle"),
    [
        ("99.99", "100.01", "100.00"),
        ("10.00", "10.01", "10.00"),
        ("10.01", "10.02", "10.02"),
        ("10.01", "10.01", "10.01"),
        ("0.5001", "0.5002", "0.5002"),
        ("0.9999", "1.00", "1.0000"),
        ("10.00", "10.30", None),
        ("0", "10.00", None),
        ("10.01", "10.00", None),
        ("10.001", "10.004", None),
    ],
)
def test_the_price_is_the_midpoint_on_the_tick(bid: str, ask: str, middle: str | None) -> None:
    """Between two ticks the even one; no price in a wide, one-sided, crossed or off-tick market."""
    found = crossing.midpoint(replace(QUOTE, bid_price=price(bid), ask_price=price(ask)))
    assert found == (None if middle is None else price(middle))


@given(
    bid=st.integers(1, 30_000),
    spread=st.integers(0, 200),
    tick=st.sampled_from(["0.01", "0.0001"]),
)
def test_the_price_is_on_a_tick_and_within_the_market(bid: int, spread: int, tick: str) -> None:
    """Whatever the market: never outside the NBBO, never at a price that no order could have."""
    low, high = bid * Decimal(tick), (bid + spread) * Decimal(tick)
    if tick == "0.0001" and high > 1:
        return
    found = crossing.midpoint(replace(QUOTE, bid_price=price(str(low)), ask_price=price(str(high))))
    if found is not None:
        assert low <= found <= high
        assert found % (Decimal("0.01") if found >= 1 else Decimal("0.0001")) == 0


# --- whatever happens -------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from([ALICE, BOB]),
        st.sampled_from(list(Side)),
        st.integers(1, 9),
        st.none() | st.integers(9_990, 10_010),
        st.integers(9_990, 10_010),
        st.integers(0, 9),
    ),
    min_size=3,
    max_size=25,
)


@given(steps=STEPS)
@settings(deadline=None)
def test_an_exchange_moves_and_makes_nothing(steps: list[tuple[Any, Side, int, int | None, int, int]]) -> None:
    """Whoever meets whom: the sums of cash and shares stay to the last digit, prices lie in the NBBO and both limits.

    And the ledger tells the same desk, no order is filled twice or for more than it is for, and nothing that is over
    holds money or shares.
    """
    desk = a_crossing_desk()
    twin = fold.decode(fold.encode(desk))
    for number, (who, side, shares, limit, bid, chance) in enumerate(steps):
        quote = replace(
            QUOTE, bid_price=price(str(Decimal(bid) / 100)), ask_price=price(str(Decimal(bid + chance % 3) / 100))
        )
        at = a_limit(str(Decimal(limit) / 100)) if limit is not None else {}
        request = a_request(
            strategy_id=who, client_order_id=ClientOrderId(f"o{number}"), side=side, qty=qty(shares), **at
        )
        apart(desk, twin, asked(request, quote=quote))
        for oid in list(desk.open_ids):
            one = desk.orders[oid]
            here = replace(one.request, qty=one.sent_qty)
            if one.is_held:
                continue
            if one.is_recalled and chance < 8:
                apart(desk, twin, canceled(here, filled_qty=one.counted_qty))
            elif one.status is S.SUBMITTED:
                apart(desk, twin, accepted(here))
            elif chance == 9 and one.leaves_qty:
                apart(desk, twin, filled(here, 1, cumulative=str(one.counted_qty + 1), at_price="100"))
        apart(desk, twin, looked(quote=quote))
    held = {oid for oid in desk.reservations.by_order if not desk.orders[oid].status.is_open}
    assert not held


def apart(desk: Desk, twin: Desk, event: ev.Event) -> None:
    """Handle the event; assert that of what it brought, internal fills changed no sum."""
    before = sums(desk)
    effects = handle(desk, event)
    money = shares = Decimal(0)
    pairs = internal(effects)
    for fact in facts(effects):
        twin.apply(decode(*encode(fact)))
        if isinstance(fact, ev.OrderFilled) and not fact.internal_with:
            sign = desk.orders[fact.client_order_id].request.side.sign
            money, shares = money - sign * fact.qty * fact.price, shares + sign * fact.qty
    assert sums(desk) == (before[0] + money, before[1] + shares)
    assert twin == desk
    for one, other in zip(pairs[::2], pairs[1::2], strict=True):
        assert (one.client_order_id, other.client_order_id) == (other.internal_with, one.internal_with)
        assert (one.qty, one.price, one.quote) == (other.qty, other.price, other.quote)
        first, second = (desk.orders[f.client_order_id].request for f in (one, other))
        assert first.strategy_id != second.strategy_id
        assert first.side is not second.side
        for request in (first, second):
            assert_fair(request, one)


def assert_fair(request: OrderRequest, fill: ev.OrderFilled) -> None:
    quote: Quote | None = fill.quote
    assert quote is not None
    assert quote.bid_price <= fill.price <= quote.ask_price
    if request.limit_price is not None:
        assert (fill.price - request.limit_price) * request.side.sign <= 0
