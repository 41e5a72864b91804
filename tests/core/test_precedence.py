"""Who waits at the desk goes in his turn: what closes before what opens, and nobody before his own earlier order."""

from decimal import Decimal
from typing import Any

import pytest

from deskd.core import precedence
from deskd.core.closing import due, request_for
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.precedence import Rank
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.exits import ExitRules
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.kill import KillDepth
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import OrderRequest, OrderStatus, Side
from deskd.domain.reasons import RejectReason
from deskd.domain.run import StrategyStatus
from tests.core.test_exits import seen
from tests.core.test_line import HOLD_MAX, a_patient_desk, canceled, limit, order, ours, sent, theirs
from tests.factories import (
    AAPL,
    ALICE,
    MONDAY,
    NOON,
    a_kill,
    a_request,
    accepted,
    cash,
    filled,
    of_strategy,
    qty,
    registered,
    requested,
)

CAROL = StrategyId("carol")


def a_desk_of_three() -> Desk:
    """Return a desk that holds; alice and bob own 50 shares each, carol none."""
    desk = a_patient_desk()
    desk.limits[CAROL] = desk.limits[ALICE]
    desk.apply(registered(CAROL))
    desk.apply(ev.StrategyStatusChanged(strategy_id=CAROL, status=StrategyStatus.ACTIVE, why="test", at=NOON))
    desk.apply(ev.AllocationChanged(strategy_id=CAROL, allocation=cash(50_000), by="test", at=NOON))
    return desk


def carols(name: str, **overrides: Any) -> OrderRequest:
    return a_request(strategy_id=CAROL, client_order_id=ClientOrderId(f"carol-{name}"), **overrides)


def rest(desk: Desk, request: OrderRequest) -> OrderRequest:
    handle(desk, requested(request))
    handle(desk, accepted(request))
    return request


BOBS_SALE = theirs("sells", side=Side.SELL, **limit("101"))
CAROLS_BUY = carols("buys")


def an_opening_that_waits() -> Desk:
    """Return a desk on which carol's buy waits for bob's resting sale."""
    desk = a_desk_of_three()
    rest(desk, BOBS_SALE)
    handle(desk, requested(CAROLS_BUY))
    assert order(desk, CAROLS_BUY).is_held
    return desk


# --- what closes does not wait for what waits to open -------------------------------------------------------------------


def test_a_closing_order_leaves_before_an_opening_that_waits_in_its_way() -> None:
    """Carol waits to open; alice's sale of what she holds goes at once, and carol waits for it, too."""
    desk = an_opening_that_waits()
    sale = ours("closes", side=Side.SELL)
    assert sent(handle(desk, requested(sale))) == [sale.client_order_id]
    handle(desk, canceled(BOBS_SALE))
    assert order(desk, CAROLS_BUY).is_held
    assert sent(handle(desk, filled(sale, 10))) == [CAROLS_BUY.client_order_id]


def test_an_order_that_opens_a_short_waits_for_one_that_came_before_it() -> None:
    """It does more than to close: nobody overtakes to open."""
    desk = an_opening_that_waits()
    short = ours("shorts", side=Side.SELL, qty=qty(60))
    assert sent(handle(desk, requested(short))) == []
    assert order(desk, short).is_held


def test_a_kill_closes_past_what_waits_to_open() -> None:
    """What waits at the desk is in nobody's way at the broker."""
    desk = an_opening_that_waits()
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.FLATTEN))
    [closing] = due(desk).closings
    assert (closing.strategy_id, closing.side, closing.qty) == (ALICE, Side.SELL, qty(50))
    asked = ev.ClosingRequested(request=request_for(desk, closing, NOON), quote=None, market_day=MONDAY, at=NOON)
    assert len(sent(handle(desk, asked))) == 1
    handle(desk, canceled(BOBS_SALE))
    assert order(desk, CAROLS_BUY).is_held, "it waits for the kill's order now"


def test_what_waits_to_open_does_not_leave_while_a_kill_is_about_to_close() -> None:
    """The kill has canceled alice's sale, for which carol's buy waited: it stays until alice's shares are sold."""
    desk = a_desk_of_three()
    sale = rest(desk, ours("sells", side=Side.SELL, **limit("101")))
    handle(desk, requested(CAROLS_BUY))
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.FLATTEN))
    assert sent(handle(desk, canceled(sale))) == []
    [closing] = due(desk).closings
    asked = ev.ClosingRequested(request=request_for(desk, closing, NOON), quote=None, market_day=MONDAY, at=NOON)
    [kills] = [e.request for e in handle(desk, asked) if isinstance(e, ef.Submit)]
    assert sent(handle(desk, filled(kills, 50))) == [CAROLS_BUY.client_order_id]


@pytest.mark.parametrize("policy", [ConflictPolicy.DENY, ConflictPolicy.HOLD])
def test_a_new_order_is_not_put_in_the_way_of_a_kill_that_is_about_to_close(policy: ConflictPolicy) -> None:
    """Far from the market, on the kill's side, or once the kill says that it gets on no more, it passes."""
    desk = a_desk_of_three()
    desk.lane = LaneRules(conflict=policy, hold_max=HOLD_MAX)
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.FLATTEN))
    near = carols("near", **limit("99.50"))
    assert sent(handle(desk, requested(near))) == []
    status = OrderStatus.DENIED if policy is ConflictPolicy.DENY else OrderStatus.SUBMITTED
    assert order(desk, near).status is status
    assert "a kill is about to close what is held of AAPL" in (order(desk, near).message or "")
    for passes in (carols("far", **limit("90")), theirs("sells", side=Side.SELL, qty=qty(60), **limit("130"))):
        assert sent(handle(desk, requested(passes))) == [passes.client_order_id]
    told = ev.FlattenHindered(target=of_strategy(ALICE), left=("alice: 50 AAPL: the market is closed",), at=NOON)
    effects = handle(desk, told) + handle(desk, requested(carols("later", **limit("99.40"))))
    assert sent(effects) == [*(["carol-near"] if policy is ConflictPolicy.HOLD else []), "carol-later"]


def test_an_exit_closes_past_what_waits_to_open() -> None:
    """The desk's own stop-loss does not fail because somebody waits to buy."""
    desk = an_opening_that_waits()
    desk.exit_rules[ALICE] = ExitRules(stop_loss_pct=Decimal(2))
    effects = handle(desk, seen("90"))
    [request] = [e.request for e in effects if isinstance(e, ef.Submit)]
    assert (request.strategy_id, request.side, request.qty) == (ALICE, Side.SELL, qty(50))


def test_of_those_that_wait_what_closes_goes_first() -> None:
    """Carol's short sale came first; alice's sale of what she holds leaves before it when both may go."""
    desk = a_desk_of_three()
    resting = rest(desk, theirs("buys", **limit("99")))
    short, sale = carols("shorts", side=Side.SELL), ours("closes", side=Side.SELL)
    for request in (short, sale):
        handle(desk, requested(request))
        assert order(desk, request).is_held
    ranks = [(turn.order.request.client_order_id, turn.rank) for turn in precedence.in_line(desk)]
    assert ranks == [(sale.client_order_id, Rank.CLOSES), (short.client_order_id, Rank.OPENS)]
    assert sent(handle(desk, canceled(resting))) == [sale.client_order_id, short.client_order_id]


def test_two_sales_of_the_same_shares_close_once() -> None:
    """The second of them opens a short: it has no place before others who open."""
    desk = a_desk_of_three()
    rest(desk, theirs("buys", **limit("99")))
    first, second = (ours(name, side=Side.SELL, qty=qty(40)) for name in ("first", "second"))
    between = carols("shorts", side=Side.SELL)
    for request in (first, between, second):
        handle(desk, requested(request))
    assert [turn.order.request for turn in precedence.in_line(desk)] == [first, between, second]


def test_what_only_closes_waits_on_under_reduce_only() -> None:
    """A breaker stops openings: the sale of what is held waits on and leaves; the other ends, and says why."""
    desk = a_desk_of_three()
    resting = rest(desk, theirs("buys", **limit("99")))
    sale, short = ours("closes", side=Side.SELL, qty=qty(50)), ours("shorts", side=Side.SELL)
    for request in (sale, short):
        handle(desk, requested(request))
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.REDUCE_ONLY))
    assert (order(desk, short).status, order(desk, short).reason) == (OrderStatus.REJECTED, RejectReason.NOT_SENT)
    assert sent(handle(desk, canceled(resting))) == [sale.client_order_id]


# --- one strategy's orders keep their order -----------------------------------------------------------------------------


def test_an_order_that_waits_does_not_overtake_an_earlier_one_of_its_strategy() -> None:
    """The way of the second is free first: it leaves after the first all the same."""
    desk = a_desk_of_three()
    bobs, carols_buy = rest(desk, theirs("buys", **limit("99"))), rest(desk, carols("buys", **limit("106")))
    first, second = ours("first", side=Side.SELL), ours("second", side=Side.SELL, **limit("105"))
    for request in (first, second):
        handle(desk, requested(request))
        assert order(desk, request).is_held
    assert sent(handle(desk, canceled(carols_buy))) == []
    assert sent(handle(desk, canceled(bobs))) == [first.client_order_id, second.client_order_id]


def test_who_waits_does_not_overtake_the_rest_of_an_order_in_parts() -> None:
    """Its first part is still open: carol's short sale stays behind what is to follow it."""
    desk = a_desk_of_three()
    whole = ours("through-zero", side=Side.SELL, qty=qty(120), **limit("110"))
    handle(desk, requested(whole))
    assert order(desk, whole).split is not None
    more = rest(desk, theirs("more", **limit("100")))
    handle(desk, filled(more, 10))
    short = carols("shorts", side=Side.SELL, **limit("115"))
    assert sent(handle(desk, requested(short))) == []
    again = rest(desk, theirs("again", qty=qty(1), **limit("100")))
    assert sent(handle(desk, filled(again, 1))) == []
    assert order(desk, short).is_held


def test_the_rest_of_an_order_that_is_to_end_is_in_nobodys_way() -> None:
    """Its cancel is under way: nothing of it follows."""
    desk = a_desk_of_three()
    whole = ours("through-zero", side=Side.SELL, qty=qty(120), **limit("110"))
    handle(desk, requested(whole))
    handle(desk, ev.CancelRequested(client_order_id=whole.client_order_id, by="alice", at=NOON))
    assert precedence.in_line(desk, AAPL) == []


@pytest.mark.parametrize(("rank", "expected"), [(Rank.OPENS, 2), (Rank.CLOSES, 0), (Rank.REST, 1), (Rank.BACK, 1)])
def test_each_rank_minds_those_that_come_before_it(rank: Rank, expected: int) -> None:
    """Whoever opens minds all; what closes only what closes; who had his turn not those whose turn comes later."""
    desk = a_desk_of_three()
    handle(desk, requested(ours("through-zero", side=Side.SELL, qty=qty(120), **limit("110"))))
    rest(desk, theirs("buys", qty=qty(3), **limit("100")))
    handle(desk, requested(carols("shorts", side=Side.SELL, **limit("100"))))
    turns = precedence.in_line(desk, AAPL)
    assert [turn.rank for turn in turns] == [Rank.LATER, Rank.OPENS]
    assert len(precedence.in_its_way(StrategyId("dan"), rank, turns)) == expected
