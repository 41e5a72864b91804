"""Under a kill or an open breaker nothing that rests may open a position; what closes one stays."""

from dataclasses import replace
from typing import Any

import pytest

from deskd.core.closing import due, has_work
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.core.reducing import openings
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.kill import KillDepth, KillScope, KillTarget
from deskd.domain.order import OrderClass, OrderStatus, OrderType, Replacement, Side, StopLoss, TakeProfit
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_desk,
    a_kill,
    a_quote,
    a_release,
    a_request,
    accepted,
    filled,
    of_strategy,
    price,
    qty,
    requested,
    some_limits,
)

OPEN = ev.BreakerMoved(strategy_id=ALICE, state=BreakerState.OPEN, why="test", trips=1, until=None, at=NOON)


def a_desk_that_holds(shares: int = 0, *, is_short_allowed: bool = False) -> Desk:
    """Return a desk on which alice holds so many shares of AAPL."""
    desk = a_desk(limits=some_limits(is_short_allowed=is_short_allowed))
    if shares:
        side = Side.BUY if shares > 0 else Side.SELL
        request = a_request(client_order_id=ClientOrderId("alice-0"), side=side, qty=qty(abs(shares)))
        for event in (requested(request), accepted(request), filled(request, abs(shares))):
            handle(desk, event)
    return desk


def resting(desk: Desk, name: str, side: Side, shares: int, at: int, **more: Any) -> ClientOrderId:
    """Let an order rest at the broker."""
    request = a_request(
        client_order_id=ClientOrderId(f"{more.get('strategy_id', ALICE)}-{name}"),
        side=side,
        qty=qty(shares),
        order_type=OrderType.LIMIT,
        limit_price=price(at),
        **more,
    )
    handle(desk, requested(request))
    handle(desk, accepted(request))
    assert desk.orders[request.client_order_id].status is OrderStatus.ACCEPTED, desk.orders[request.client_order_id]
    return request.client_order_id


def wanted(desk: Desk) -> list[ClientOrderId]:
    return [order.request.client_order_id for order in openings(desk)]


@pytest.mark.parametrize("depth", [KillDepth.REDUCE_ONLY, KillDepth.STOP_NEW])
@pytest.mark.parametrize("target", [of_strategy(ALICE), KillTarget(KillScope.SYMBOL, AAPL), KillTarget(KillScope.DESK)])
def test_what_rests_and_opens_is_canceled_and_what_closes_stays(depth: KillDepth, target: KillTarget) -> None:
    """A buy that would grow the position is wanted gone; a sale of what is held is not."""
    desk = a_desk_that_holds(10)
    buy = resting(desk, "1", Side.BUY, 3, 90)
    sale = resting(desk, "2", Side.SELL, 10, 120)
    assert wanted(desk) == []
    assert not has_work(desk)
    handle(desk, a_kill(target, depth))
    assert wanted(desk) == [buy]
    assert due(desk).cancels == (buy,)
    assert has_work(desk)
    handle(desk, ev.CancelRequested(client_order_id=buy, by="kill", at=NOON))
    desk.apply(ev.OrderCanceled(client_order_id=buy, at=NOON))
    assert not has_work(desk)
    assert desk.orders[sale].status is OrderStatus.ACCEPTED


def test_an_open_breaker_cancels_what_opens_of_its_own_strategy_alone() -> None:
    """Others trade on, and so does it when the breaker lets it try again."""
    desk = a_desk_that_holds()
    mine, _ = resting(desk, "1", Side.BUY, 3, 90), resting(desk, "1", Side.BUY, 3, 90, strategy_id=BOB)
    handle(desk, OPEN)
    assert wanted(desk) == [mine]
    assert has_work(desk)
    handle(desk, replace(OPEN, state=BreakerState.HALF_OPEN))
    assert wanted(desk) == []


def test_of_sales_the_oldest_close_and_what_would_be_short_opens() -> None:
    """Together they are for more than is held: the newer one would cross zero."""
    desk = a_desk_that_holds(10, is_short_allowed=True)
    desk.limits[BOB] = desk.limits[ALICE]
    theirs = a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob-0"), qty=qty(10))
    for event in (requested(theirs), accepted(theirs), filled(theirs, 10)):
        handle(desk, event)
    resting(desk, "1", Side.SELL, 7, 120)
    newer = resting(desk, "2", Side.SELL, 5, 121)
    third = resting(desk, "3", Side.SELL, 3, 122)
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.REDUCE_ONLY))
    assert wanted(desk) == [newer]
    assert third not in wanted(desk)


def test_of_a_short_position_what_covers_stays() -> None:
    """Both ways alike."""
    desk = a_desk_that_holds(-10, is_short_allowed=True)
    resting(desk, "1", Side.BUY, 10, 90)
    more = resting(desk, "2", Side.SELL, 1, 120)
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.REDUCE_ONLY))
    assert wanted(desk) == [more]


def test_the_exits_of_a_bracket_stay_and_its_entry_goes() -> None:
    """What protects a position is no order that opens one."""
    desk = a_desk_that_holds()
    fields: dict[str, Any] = {
        "order_class": OrderClass.BRACKET,
        "take_profit": TakeProfit(limit_price=price(120)),
        "stop_loss": StopLoss(stop_price=price(80)),
    }
    entry = resting(desk, "1", Side.BUY, 10, 100, **fields)
    request = desk.orders[entry].request
    legs_of = (("leg-1", OrderType.LIMIT, price(120), None), ("leg-2", OrderType.STOP, None, price(80)))
    legs = tuple(
        ev.LegSpec(
            client_order_id=ClientOrderId(name),
            broker_order_id=BrokerOrderId(f"b-{name}"),
            side=Side.SELL,
            order_type=kind,
            time_in_force=request.time_in_force,
            qty=qty(10),
            limit_price=limit,
            stop_price=stop,
        )
        for name, kind, limit, stop in legs_of
    )
    desk.apply(ev.LegsFound(client_order_id=request.client_order_id, legs=legs, at=NOON))
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.REDUCE_ONLY))
    assert wanted(desk) == [entry]
    handle(desk, filled(request, 10))
    assert wanted(desk) == []


def test_an_order_and_what_is_to_take_its_place_are_one() -> None:
    """A sale that is being replaced closes once, whichever of the two lives."""
    desk = a_desk_that_holds(10)
    sale = resting(desk, "1", Side.SELL, 10, 120)
    event = ev.ReplaceRequested(
        client_order_id=ClientOrderId("alice-2"),
        replacement=Replacement(replaces=sale, limit_price=price(121)),
        quote=a_quote(),
        market_day=MONDAY,
        by="x",
        at=NOON,
    )
    assert any(isinstance(effect, ef.Replace) for effect in handle(desk, event))
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.REDUCE_ONLY))
    assert wanted(desk) == []


def test_a_release_ends_it() -> None:
    """What rests again rests."""
    desk = a_desk_that_holds()
    buy = resting(desk, "1", Side.BUY, 3, 90)
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.REDUCE_ONLY))
    assert wanted(desk) == [buy]
    handle(desk, a_release(of_strategy(ALICE)))
    assert wanted(desk) == []
    assert not has_work(desk)
