"""What the desk closes by itself is the strategy's own order, closes what is free, and never more."""

from dataclasses import replace

import pytest

from deskd.core import exit_orders
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, Symbol
from deskd.domain.kill import KillDepth
from deskd.domain.market import Quote
from deskd.domain.order import OrderType, Side
from deskd.domain.priority import Priority
from deskd.domain.reasons import DenialReason
from deskd.domain.run import StrategyStatus
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_desk,
    a_kill,
    a_limit_request,
    a_quote,
    a_request,
    accepted,
    an_instrument,
    cash,
    filled,
    price,
    qty,
    requested,
    some_limits,
)

CLOSE = ClientOrderId("close-1")


def a_holder(shares: int = 10, *, side: Side = Side.BUY) -> Desk:
    """Return a desk on which alice holds *shares* of AAPL, or owes them."""
    desk = a_desk(limits=some_limits(is_short_allowed=True))
    request = a_request(side=side, qty=qty(shares))
    for event in (requested(request), accepted(request), filled(request, shares)):
        handle(desk, event)
    assert desk.portfolio.qty(ALICE, AAPL) == side.sign * shares
    return desk


def close(desk: Desk, *, quote: Quote | None = None) -> list[ef.Effect]:
    request = exit_orders.closing_order(desk, ALICE, AAPL, client_order_id=CLOSE, reason="the test wants it flat")
    assert request is not None
    return exit_orders.closed_by(desk, request, quote=quote or a_quote(), market_day=MONDAY, at=NOON)


@pytest.mark.parametrize(("held_by", "closes_by"), [(Side.BUY, Side.SELL), (Side.SELL, Side.BUY)])
def test_the_whole_position_is_closed_at_the_market(held_by: Side, closes_by: Side) -> None:
    """Long or short, one market order, in the strategy's name, with the reason in words."""
    desk = a_holder(side=held_by)
    approved, submit = close(desk)
    assert isinstance(approved, ef.Record)
    assert isinstance(approved.fact, ev.OrderApproved)
    request = approved.fact.request
    assert submit == ef.Submit(request, Priority.EXIT)
    assert (request.strategy_id, request.user_id, request.reason) == (ALICE, "alice", "the test wants it flat")
    assert (request.side, request.qty, request.order_type) == (closes_by, qty(10), OrderType.MARKET)


@pytest.mark.parametrize("status", [StrategyStatus.STOPPED, StrategyStatus.PAUSED, StrategyStatus.FAILED])
def test_a_strategy_that_does_not_run_is_closed_all_the_same(status: StrategyStatus) -> None:
    """What only stops opening does not look at what closes: status, symbols, value, counts."""
    desk = a_holder()
    desk.apply(ev.StrategyStatusChanged(strategy_id=ALICE, status=status, why="test", at=NOON))
    tight = some_limits(
        symbols=frozenset({Symbol("SPY")}), order_notional_max=cash(1), orders_per_day_max=1, open_orders_max=1
    )
    desk.limits[ALICE] = tight
    assert isinstance(close(desk)[-1], ef.Submit)


def test_promised_shares_are_not_sold_twice() -> None:
    """Six shares are promised to an open sell: four are free."""
    desk = a_holder()
    sell = a_limit_request("120", client_order_id=ClientOrderId("alice-2"), side=Side.SELL, qty=qty(6))
    handle(desk, requested(sell))
    assert exit_orders.free_to_close(desk, ALICE, AAPL) == 4
    request = exit_orders.closing_order(desk, ALICE, AAPL, client_order_id=CLOSE, reason="")
    assert request is not None
    assert request.qty == 4


def test_what_open_buys_may_cover_is_not_covered_twice() -> None:
    """The short of ten has an open buy of six: four are free."""
    desk = a_holder(side=Side.SELL)
    buy = a_limit_request("80", client_order_id=ClientOrderId("alice-2"), qty=qty(6))
    handle(desk, requested(buy))
    assert exit_orders.free_to_close(desk, ALICE, AAPL) == -4


def test_where_nothing_is_free_there_is_no_order() -> None:
    """A flat book, an unknown one, and one that is being closed."""
    desk = a_holder()
    assert exit_orders.closing_order(desk, BOB, AAPL, client_order_id=CLOSE, reason="") is None
    first = exit_orders.closing_order(desk, ALICE, AAPL, client_order_id=CLOSE, reason="")
    assert first is not None
    handle(desk, requested(replace(first, reason=None)))
    assert exit_orders.closing_order(desk, ALICE, AAPL, client_order_id=ClientOrderId("close-2"), reason="") is None


def test_a_part_of_a_share_is_closed_only_where_such_parts_are_sold() -> None:
    """Else the order would be refused for ever, and the whole shares would stay."""
    desk = a_holder()
    desk.portfolio.book(ALICE).trade(AAPL, qty("0.5"), price(100), NOON)
    assert exit_orders.free_to_close(desk, ALICE, AAPL) == qty("10.5")
    desk.instruments = {AAPL: an_instrument(AAPL, is_fractionable=False)}
    assert exit_orders.free_to_close(desk, ALICE, AAPL) == 10


def test_a_closing_order_for_more_than_is_free_is_denied() -> None:
    """The gate trusts nobody who says `closing`: it never opens and never crosses zero."""
    desk = a_holder()
    request = exit_orders.closing_order(desk, ALICE, AAPL, client_order_id=CLOSE, reason="")
    assert request is not None
    more = replace(request, qty=qty(11))
    effects = exit_orders.closed_by(desk, more, quote=a_quote(), market_day=MONDAY, at=NOON)
    assert isinstance(effects[0], ef.Record)
    assert isinstance(effects[0].fact, ev.OrderDenied)
    assert effects[0].fact.reason == DenialReason.CLOSES_ONLY
    assert "qty=11 position_qty=10 free_qty=10" in effects[0].fact.message


def test_in_a_frozen_symbol_nothing_is_closed() -> None:
    """Books and broker disagree: nobody knows what there is to close."""
    desk = a_holder()
    desk.apply(ev.SymbolFrozen(symbol=AAPL, why="test", at=NOON))
    effects = close(desk)
    assert isinstance(effects[0], ef.Record)
    assert isinstance(effects[0].fact, ev.OrderDenied)
    assert effects[0].fact.reason == DenialReason.SYMBOL_FROZEN


@pytest.mark.parametrize("depth", KillDepth)
def test_a_kill_that_cancels_stops_the_desks_own_exits_as_well(depth: KillDepth) -> None:
    """Until then they go on: they only close. What cancels leaves positions as they are, or closes them itself."""
    desk = a_holder()
    handle(desk, a_kill(depth=depth))
    order = exit_orders.closing_order(desk, ALICE, AAPL, client_order_id=CLOSE, reason="stop-loss")
    assert order is not None
    [first, *_] = exit_orders.closed_by(desk, order, quote=a_quote(), market_day=MONDAY, at=NOON)
    assert isinstance(first, ef.Record)
    assert isinstance(first.fact, ev.OrderDenied) is depth.reaches(KillDepth.CANCEL)
