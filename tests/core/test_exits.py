"""Positions are closed at their bounds: once, for what is free, whatever the prices do, over restarts and refusals."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from deskd.core import exits
from deskd.core.deciding import decide, handle
from deskd.core.desk import TRADES, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.exits import ExitKind, ExitRules, SeenQuote
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import OrderClass, OrderRequest, OrderStatus, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.domain.reasons import DenialReason
from deskd.domain.run import StrategyStatus
from deskd.domain.schedule import Schedule
from deskd.ledger import fold
from tests.core.some_orders import a_leg
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    SPY,
    a_broker_order,
    a_desk,
    a_limit_request,
    a_quote,
    a_request,
    accepted,
    filled,
    price,
    qty,
    requested,
    some_limits,
    updated,
)

SECOND = timedelta(seconds=1)
RULES = ExitRules(stop_loss_pct=Decimal(2), take_profit_pct=Decimal(5), trailing_pct=Decimal(3))


def rules(**bounds: int) -> ExitRules:
    made: dict[str, Any] = {name: Decimal(value) for name, value in bounds.items()}
    return ExitRules(**made)


def a_holder(rules: ExitRules = RULES, *, shares: int = 10, side: Side = Side.BUY) -> Desk:
    """Return a desk on which alice holds *shares* of AAPL at 100, or owes them, under *rules*."""
    desk = a_desk(limits=some_limits(is_short_allowed=True))
    desk.exit_rules[ALICE] = rules
    trade(desk, a_request(side=side, qty=qty(shares)))
    return desk


def trade(desk: Desk, request: OrderRequest, at_price: str = "100") -> None:
    for event in (requested(request), accepted(request), filled(request, str(request.qty), at_price=at_price)):
        handle(desk, event)


def a_pair(bid: str, *, spread: str = "0.02", at: datetime = NOON, before: str | None = None) -> SeenQuote:
    """Return a quote at two looks, whose bid was *before* at the first of them."""

    def quote(low: str, when: datetime) -> Any:
        ask = Decimal(low) + Decimal(spread)
        return a_quote(bid_price=price(low), ask_price=price(str(ask)), quoted_at=when, received_at=when)

    return SeenQuote(symbol=AAPL, quote=quote(bid, at), before=quote(before or bid, at - SECOND))


def seen(bid: str, *, after: int = 0, is_open: bool = True, **how: Any) -> ev.PricesSeen:
    at = NOON + after * SECOND
    pair = a_pair(bid, at=at, **how)
    return ev.PricesSeen(seen=(pair,), is_open=is_open, market_day=MONDAY, at=at)


def facts(effects: list[ef.Effect]) -> list[ev.Fact]:
    return [effect.fact for effect in effects if isinstance(effect, ef.Record)]


def sent(effects: list[ef.Effect]) -> list[OrderRequest]:
    return [effect.request for effect in effects if isinstance(effect, ef.Submit)]


# --- where the bounds lie -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bid", "kind", "level"),
    [
        ("98.01", None, ""),
        ("98.00", ExitKind.STOP_LOSS, "98"),
        ("60", ExitKind.STOP_LOSS, "98"),
        ("104.99", None, ""),
        ("105", ExitKind.TAKE_PROFIT, "105"),
        ("140", ExitKind.TAKE_PROFIT, "105"),
    ],
)
def test_a_long_position_is_closed_at_its_bounds_by_the_bid(bid: str, kind: ExitKind | None, level: str) -> None:
    """The bid is what a sale gets. The bounds themselves fire."""
    found = [f for f in facts(handle(a_holder(), seen(bid))) if isinstance(f, ev.ExitTriggered)]
    assert [(f.kind, f.level, f.price) for f in found] == ([] if kind is None else [(kind, price(level), price(bid))])


def test_a_symbol_can_have_bounds_of_its_own() -> None:
    """They hold in the place of the others, and a position of which they know is watched; so over a restart."""
    own = ExitRules(stop_loss_pct=Decimal(2), by_symbol={AAPL: rules(stop_loss_pct=5)})
    assert facts(handle(a_holder(own), seen("95.01"))) == []
    [found, *_] = facts(handle(a_holder(own), seen("95")))
    assert isinstance(found, ev.ExitTriggered)
    assert (found.kind, found.level) == (ExitKind.STOP_LOSS, price(95))
    apart = ExitRules(stop_loss_pct=Decimal(2), by_symbol={SPY: rules(stop_loss_pct=5)})
    assert facts(handle(a_holder(apart), seen("98")))
    only = a_holder(ExitRules(by_symbol={AAPL: rules(trailing_pct=4)}))
    assert exits.watched(only) == {AAPL}
    again = fold.decode(fold.encode(only))
    again.exit_rules, again.limits, again.instruments = only.exit_rules, only.limits, only.instruments
    assert facts(handle(again, seen("95")))


@pytest.mark.parametrize(
    ("ask", "kind"),
    [("101.99", None), ("102", ExitKind.STOP_LOSS), ("95.01", None), ("95", ExitKind.TAKE_PROFIT)],
)
def test_a_short_position_is_closed_at_its_bounds_by_the_ask(ask: str, kind: ExitKind | None) -> None:
    """The ask is what covering costs: everything the other way round."""
    desk = a_holder(side=Side.SELL)
    effects = handle(desk, seen(str(Decimal(ask) - Decimal("0.02"))))
    assert [f.kind for f in facts(effects) if isinstance(f, ev.ExitTriggered)] == ([] if kind is None else [kind])
    assert [(r.side, r.qty) for r in sent(effects)] == ([] if kind is None else [(Side.BUY, qty(10))])


@pytest.mark.parametrize(
    ("side", "best", "calm", "fires"),
    [(Side.BUY, "110", "106.71", "106.70"), (Side.SELL, "89.98", "92.67", "92.68")],
)
def test_the_trail_follows_the_best_price_and_fires_at_its_distance(
    side: Side, best: str, calm: str, fires: str
) -> None:
    """Three percent under a bid of 110, three over an ask of 90."""
    desk = a_holder(rules(trailing_pct=3), side=side)
    handle(desk, seen(best, after=1))
    assert handle(desk, seen(calm, after=2)) == []
    effects = handle(desk, seen(fires, after=3))
    assert [f.kind for f in facts(effects) if isinstance(f, ev.ExitTriggered)] == [ExitKind.TRAILING]


def test_the_trail_is_kept_in_steps_of_a_tenth_of_its_distance() -> None:
    """Not a fact for each tick: 0.3 percent of the price, and no step back."""
    desk = a_holder(rules(trailing_pct=3))
    moved = []
    for after, bid in enumerate(("100.29", "100.30", "100.50", "100.61", "100.40", "103", "102"), 1):
        moved += [f.price for f in facts(handle(desk, seen(bid, after=after))) if isinstance(f, ev.TrailMoved)]
    assert moved == [price("100.30"), price("100.61"), price("103")]


def test_an_average_price_that_rises_takes_the_trail_along() -> None:
    """The trail is never under what was paid."""
    desk = a_holder(rules(trailing_pct=3))
    trade(desk, a_request(client_order_id=ClientOrderId("alice-2"), qty=qty(10)), "110")
    assert desk.exits.trail(desk.portfolio.books[ALICE].positions[AAPL]) == price(105)


# --- what does not fire -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        seen("50", before="100"),  # one bad tick
        seen("50", spread="100"),  # a side that is no price
        seen("97", spread="2"),  # wider than two percent
        seen("97", spread="-1"),  # crossed
        seen("97", is_open=False),
        ev.PricesSeen(seen=(a_pair("97"),), is_open=True, market_day=MONDAY, at=NOON + 11 * SECOND),  # stale
    ],
)
def test_what_is_no_price_sells_nothing(event: ev.PricesSeen) -> None:
    """A bad tick, a quote that is wide, crossed or old, and a market that is closed."""
    assert handle(a_holder(), event) == []


def test_a_bad_tick_lifts_no_trail() -> None:
    """Else the next true price would fire."""
    assert handle(a_holder(rules(trailing_pct=3)), seen("150", before="100")) == []


def test_nothing_fires_while_fills_cannot_be_seen() -> None:
    """The position may be closed already."""
    desk = a_holder()
    desk.apply(ev.StreamChanged(stream=TRADES, is_up=False, why="gone", at=NOON))
    assert handle(desk, seen("90")) == []


def test_nobody_without_rules_is_sold_out() -> None:
    """No default but the configuration's."""
    desk = a_desk()
    trade(desk, a_request())
    assert handle(desk, seen("1")) == []
    assert exits.watched(desk) == set()


def test_only_symbols_that_an_exit_rests_on_are_watched() -> None:
    """What is held under rules; nothing of a flat book."""
    desk = a_holder()
    trade(desk, a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob-1"), symbol=SPY))
    assert exits.watched(desk) == {AAPL}


# --- the order ----------------------------------------------------------------------------------------------------------


def test_the_exit_is_a_fact_then_an_order_of_the_strategy() -> None:
    """Recorded before it is sent, with the bound that was reached in the order's reason."""
    desk = a_holder()
    triggered, approved, submit, *rest = (e for e in handle(desk, seen("97.5")) if not isinstance(e, ef.Tell))
    assert isinstance(triggered, ef.Record)
    assert isinstance(triggered.fact, ev.ExitTriggered)
    assert isinstance(approved, ef.Record)
    assert isinstance(approved.fact, ev.OrderApproved)
    assert isinstance(submit, ef.Submit)
    assert not rest
    r = submit.request
    assert (r.strategy_id, r.user_id, r.side, r.qty, r.exit) == (ALICE, "alice", Side.SELL, qty(10), "stop_loss")
    assert r.reason == "exit=stop_loss level=98 avg_entry_price=100 price=97.5"


def test_the_strategy_hears_of_its_exit_as_of_any_order() -> None:
    """Accepted and filled, with the position after it."""
    desk = a_holder()
    (request,) = sent(handle(desk, seen("97")))
    told = [e.update for e in handle(desk, filled(request, 10, at_price="97")) if isinstance(e, ef.Tell)]
    assert [(u.event, u.position_qty, u.order.request.exit) for u in told][-1] == ("fill", "0", ExitKind.STOP_LOSS)


@pytest.mark.parametrize("status", [StrategyStatus.STOPPED, StrategyStatus.PAUSED, StrategyStatus.FAILED])
def test_a_strategy_that_does_not_run_is_protected_all_the_same(status: StrategyStatus) -> None:
    """Stopped, paused or dead: the desk keeps its exits."""
    desk = a_holder()
    desk.apply(ev.StrategyStatusChanged(strategy_id=ALICE, status=status, why="test", at=NOON))
    assert len(sent(handle(desk, seen("97")))) == 1


def test_one_exit_order_at_a_time() -> None:
    """Whatever the price does while it is open."""
    desk = a_holder()
    (request,) = sent(handle(desk, seen("97")))
    handle(desk, accepted(request))
    for after, bid in enumerate(("96", "105", "90"), 1):
        assert handle(desk, seen(bid, after=100 * after)) == []
    handle(desk, filled(request, 10, at_price="97"))
    assert desk.portfolio.qty(ALICE, AAPL) == 0
    assert handle(desk, seen("50", after=999)) == []
    assert desk.exits.running == {}


def test_an_exit_that_was_refused_is_tried_again_until_the_position_is_flat() -> None:
    """With growing waits, under a new id each, though the price has come back."""
    desk = a_holder()
    (first,) = sent(handle(desk, seen("97")))
    reject(desk, first)
    assert handle(desk, seen("101", after=4)) == []
    (second,) = sent(handle(desk, seen("101", after=5)))
    assert second.client_order_id != first.client_order_id
    reject(desk, second)
    assert handle(desk, seen("101", after=14)) == []
    (third,) = sent(handle(desk, seen("101", after=15)))
    assert third.qty == 10
    assert exits.watched(desk) == {AAPL}


def reject(desk: Desk, request: OrderRequest) -> None:
    handle(desk, updated(a_broker_order(request, status=BrokerStatus.REJECTED)))
    assert not desk.orders[request.client_order_id].status.is_open


def test_what_an_exit_left_open_is_closed_by_the_next_order() -> None:
    """A part was executed, the rest was canceled by somebody: six of ten are still held."""
    desk = a_holder()
    (first,) = sent(handle(desk, seen("97")))
    handle(desk, accepted(first))
    handle(desk, filled(first, 4, at_price="97"))
    handle(desk, updated(a_broker_order(first, status=BrokerStatus.CANCELED, filled_qty=qty(4))))
    (second,) = sent(handle(desk, seen("97", after=60)))
    assert second.qty == 6


# --- beside other orders ------------------------------------------------------------------------------------------------


def rests(desk: Desk, shares: int, limit: str = "120", **fields: Any) -> OrderRequest:
    """Let alice's sale at a limit rest at the broker."""
    own = a_limit_request(limit, client_order_id=ClientOrderId("alice-2"), side=Side.SELL, qty=qty(shares), **fields)
    handle(desk, requested(own))
    handle(desk, accepted(own))
    assert desk.orders[own.client_order_id].status is OrderStatus.ACCEPTED
    return own


def test_shares_that_an_open_sell_promises_are_left_to_it() -> None:
    """Four of ten are on sale already: six are sold."""
    desk = a_holder()
    rests(desk, 4)
    (request,) = sent(handle(desk, seen("105")))
    assert request.qty == 6


def test_where_all_shares_are_promised_nothing_is_won_twice() -> None:
    """The open sell is the strategy's own take-profit; once it is gone, the desk's holds again."""
    desk = a_holder()
    own = rests(desk, 10)
    assert handle(desk, seen("105")) == []
    handle(desk, updated(a_broker_order(own, status=BrokerStatus.CANCELED)))
    assert len(sent(handle(desk, seen("105", after=1)))) == 1


@pytest.mark.parametrize(("shares", "first", "then"), [(10, [], 10), (4, [6], 4)])
def test_a_stop_waits_for_no_better_price(shares: int, first: list[int], then: int) -> None:
    """A limit order that keeps shares for 120 is canceled when they fall to 97: free ones go at once, these after it."""
    desk = a_holder()
    own = rests(desk, shares)
    effects = handle(desk, seen("97"))
    assert ev.ExitTriggered in map(type, facts(effects))
    assert [e.client_order_id for e in effects if isinstance(e, ef.Cancel)] == [own.client_order_id]
    assert [request.qty for request in sent(effects)] == first
    for request in sent(effects):
        handle(desk, accepted(request))
        handle(desk, filled(request, str(request.qty), at_price="97"))
    assert sent(handle(desk, seen("97", after=1))) == []  # the cancel is on its way: it may still fill
    handle(desk, updated(a_broker_order(own, status=BrokerStatus.CANCELED)))
    handle(desk, requested(replace(own, client_order_id=ClientOrderId("alice-3"))))  # and asked for again at once
    assert desk.orders[ClientOrderId("alice-3")].status is OrderStatus.DENIED
    (last,) = sent(handle(desk, seen("97", after=9)))
    assert (last.qty, last.order_type) == (qty(then), OrderType.MARKET)


def test_a_sale_that_waits_for_an_auction_is_left_to_it() -> None:
    """Near the auction the broker gives no such order back."""
    desk = a_holder()
    rests(desk, 10, time_in_force=TimeInForce.CLS)
    assert handle(desk, seen("97")) == []


@pytest.mark.parametrize(
    ("side", "profit", "loss", "bid"), [(Side.BUY, "110", "90", "97"), (Side.SELL, "90", "110", "103")]
)
def test_a_bracket_whose_exits_are_at_the_broker_is_not_doubled(side: Side, profit: str, loss: str, bid: str) -> None:
    """Of a long position, and of a short one, whose exits buy and hold no shares."""
    desk = a_desk(limits=some_limits(is_short_allowed=True))
    desk.exit_rules[ALICE] = RULES
    bracket = a_request(
        side=side,
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(profit)),
        stop_loss=StopLoss(stop_price=price(loss)),
    )
    other = Side.SELL if side is Side.BUY else Side.BUY
    legs = (
        a_leg("leg-1", side=other, limit_price=price(profit)),
        a_leg("leg-2", side=other, order_type=OrderType.STOP, limit_price=None, stop_price=price(loss)),
    )
    handle(desk, requested(bracket))
    entry = a_broker_order(bracket, legs=legs)
    handle(desk, ev.SubmitAccepted(client_order_id=bracket.client_order_id, order=entry, at=NOON))
    handle(desk, filled(bracket, 10))
    assert desk.portfolio.qty(ALICE, AAPL) == side.sign * 10
    assert desk.awaits_legs == {}
    assert handle(desk, seen(bid)) == []


def test_a_take_profit_at_the_broker_without_a_stop_is_no_stop() -> None:
    """An OTO's only leg waits for 110: at 97 it is canceled, and the shares are sold."""
    desk = a_desk()
    desk.exit_rules[ALICE] = RULES
    entry = a_request(order_class=OrderClass.OTO, take_profit=TakeProfit(limit_price=price(110)))
    handle(desk, requested(entry))
    leg = a_leg("leg-1")
    known = a_broker_order(entry, legs=(leg,))
    handle(desk, ev.SubmitAccepted(client_order_id=entry.client_order_id, order=known, at=NOON))
    handle(desk, filled(entry, 10))
    effects = handle(desk, seen("97"))
    assert [e.client_order_id for e in effects if isinstance(e, ef.Cancel)] == [leg.client_order_id]
    handle(desk, updated(a_leg("leg-1", status=BrokerStatus.CANCELED)))
    (request,) = sent(handle(desk, seen("97", after=1)))
    assert request.qty == 10


def test_a_bracket_guards_its_own_shares_alone() -> None:
    """Ten shares that were bought without one are sold, whatever bracket rests beside them; its entry is canceled."""
    desk = a_holder()
    bracket = a_limit_request(
        "90",
        client_order_id=ClientOrderId("alice-2"),
        qty=qty(1),
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(50)),
    )
    handle(desk, requested(bracket))
    handle(desk, accepted(bracket))
    effects = handle(desk, seen("97"))
    assert [e.client_order_id for e in effects if isinstance(e, ef.Cancel)] == [bracket.client_order_id]
    handle(desk, updated(a_broker_order(bracket, status=BrokerStatus.CANCELED)))
    (request,) = sent(handle(desk, seen("97", after=1)))
    assert request.qty == 10


def test_a_bracket_at_the_broker_is_not_doubled() -> None:
    """From its entry on: its legs close the position."""
    desk = a_desk()
    desk.exit_rules[ALICE] = RULES
    bracket = a_request(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=price(110)),
        stop_loss=StopLoss(stop_price=price(90)),
    )
    handle(desk, requested(bracket))
    handle(desk, accepted(bracket))
    handle(desk, filled(bracket, 4))
    assert desk.portfolio.qty(ALICE, AAPL) == 4
    assert handle(desk, seen("97")) == []


def test_open_buys_are_canceled_before_a_long_position_is_sold() -> None:
    """They would open it anew, and the broker refuses what could trade with itself."""
    desk = a_holder()
    bid = a_limit_request("90", client_order_id=ClientOrderId("alice-2"))
    handle(desk, requested(bid))
    handle(desk, accepted(bid))
    effects = handle(desk, seen("97"))
    assert [type(f) for f in facts(effects)] == [ev.ExitTriggered, ev.OrderCancelRequested]
    assert [e.client_order_id for e in effects if isinstance(e, ef.Cancel)] == [bid.client_order_id]
    assert sent(effects) == []
    assert handle(desk, seen("97", after=1)) == []  # the cancel is on its way
    handle(desk, updated(a_broker_order(bid, status=BrokerStatus.CANCELED)))
    (request,) = sent(handle(desk, seen("99", after=2)))
    assert request.order_type is OrderType.MARKET


# --- before the close ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "fires"), [(301, False), (300, True), (1, True), (None, False)])
def test_before_the_close_what_is_held_is_closed_where_the_schedule_wants_that(left: int | None, fires: bool) -> None:
    """Won or lost, with rules or without; where the session is not known to be on, nothing."""
    desk = a_holder(ExitRules())
    desk.schedules[ALICE] = Schedule(flatten_before_close=timedelta(minutes=5))
    assert exits.watched(desk) == {AAPL}
    event = replace(seen("100"), left=None if left is None else left * SECOND)
    found = handle(desk, event)
    assert [r.exit for r in sent(found)] == ([ExitKind.BEFORE_CLOSE] if fires else [])


def test_before_the_close_every_open_order_in_the_symbol_goes_first() -> None:
    """A take-profit far away would keep the shares over night."""
    desk = a_holder(ExitRules())
    desk.schedules[ALICE] = Schedule(flatten_before_close=timedelta(minutes=5))
    own = a_limit_request("120", client_order_id=ClientOrderId("alice-2"), side=Side.SELL)
    handle(desk, requested(own))
    handle(desk, accepted(own))
    effects = handle(desk, replace(seen("100"), left=SECOND))
    assert [e.client_order_id for e in effects if isinstance(e, ef.Cancel)] == [own.client_order_id]
    handle(desk, updated(a_broker_order(own, status=BrokerStatus.CANCELED)))
    (request,) = sent(handle(desk, replace(seen("100", after=1), left=SECOND)))
    assert (request.qty, request.exit) == (qty(10), ExitKind.BEFORE_CLOSE)


# --- over restarts ------------------------------------------------------------------------------------------------------


def test_a_restart_stands_where_the_desk_stood() -> None:
    """Trail and exit are folds of facts: a replay has both."""
    desk = a_holder(rules(trailing_pct=3))
    kept = facts(handle(desk, seen("110", after=1)))
    kept += facts(handle(desk, seen("106", after=2)))
    again = a_holder(rules(trailing_pct=3))
    for fact in kept:
        again.apply(fact)
    assert again == desk
    assert again.exits.running == desk.exits.running != {}


def test_a_new_position_begins_a_new_trail() -> None:
    """What the last one reached is forgotten with it."""
    desk = a_holder(rules(trailing_pct=3))
    handle(desk, seen("150", after=1))
    trade(desk, a_request(client_order_id=ClientOrderId("alice-2"), side=Side.SELL), "150")
    assert desk.exits.trails == {}
    trade(desk, a_request(client_order_id=ClientOrderId("alice-3")))
    assert sent(handle(desk, seen("99", after=2))) == []


def test_a_split_counts_the_trail_in_new_shares() -> None:
    """Two for one: 150 is 75, and nothing fires."""
    desk = a_holder(rules(trailing_pct=3))
    handle(desk, seen("150", after=1))
    desk.apply(ev.SharesDistributed(symbol=AAPL, ratio=Decimal(2), by="ada", reason="split", at=NOON))
    assert desk.exits.trails[ALICE, AAPL] == 75
    assert decide(desk, seen("74", after=2)) == []


@pytest.mark.parametrize(("bid", "cools_down"), [("97", True), ("110", False)])
def test_after_a_stop_loss_of_the_desk_nothing_opens_for_the_cool_down(bid: str, *, cools_down: bool) -> None:
    """A stop is a stop, whoever keeps it: a strategy must not buy back a second later. A profit taken is none."""
    desk = a_holder(ExitRules(stop_loss_pct=Decimal(2), take_profit_pct=Decimal(5)))
    desk.limits[ALICE] = some_limits(stop_cooldown=timedelta(seconds=60))
    (request,) = sent(handle(desk, seen(bid)))
    handle(desk, filled(request, 10, at_price=bid))
    again = a_request(client_order_id=ClientOrderId("again"))
    handle(desk, requested(again))
    reason = desk.orders[again.client_order_id].reason
    assert reason == (DenialReason.STOP_COOLDOWN if cools_down else None)
