"""Orders in parts, exchanges and a kill's blocks, at the same time: what each does for itself must not undo another."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from deskd.core import exit_orders
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import HOUSE, ClientOrderId
from deskd.domain.kill import KillDepth
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import OrderStatus, Side
from deskd.domain.reasons import DenialReason
from tests.core.test_blocks import a_block, execute
from tests.core.test_closing import a_killed_desk
from tests.core.test_crossing import (
    BACK,
    HOLD_MAX,
    RESTING,
    SALE,
    a_clock,
    a_crossing_desk,
    a_limit,
    asked,
    canceled,
    exchanges,
    figures,
    going,
    looked,
    order,
    resting,
    sent,
)
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    DAY,
    NOON,
    a_kill,
    a_quote,
    a_release,
    a_request,
    accepted,
    filled,
    price,
    qty,
    requested,
)

# --- the day's end ----------------------------------------------------------------------------------------------------

LAST = DAY.close_at - timedelta(seconds=1)


def at_close(moment: datetime = LAST) -> dict[str, Any]:
    quote = a_quote(bid_price=price("99.99"), ask_price=price("100.01"), quoted_at=moment, received_at=moment)
    return {"quote": quote, "clock": a_clock(timestamp=moment, next_close=DAY.close_at), "at": moment}


def test_a_day_order_that_comes_back_after_the_close_is_not_sent_for_another_day() -> None:
    """At the broker it would have ended by then."""
    desk = a_crossing_desk()
    resting(desk)
    handle(desk, asked(SALE, **at_close()))
    assert order(desk, RESTING).is_recalled
    after = DAY.close_at + timedelta(seconds=1)
    effects = handle(desk, canceled(RESTING, at=after))
    effects += handle(desk, ev.DoubtTimedOut(client_order_id=BACK, at=after + timedelta(seconds=2)))
    assert sent(effects) == []


def test_a_day_order_that_waits_over_the_close_is_not_sent_for_another_day() -> None:
    """It ends at the desk, as it would have ended at the broker."""
    desk = a_crossing_desk(ConflictPolicy.HOLD)
    resting(desk)
    handle(desk, asked(SALE, **at_close()))
    assert order(desk, SALE).is_held
    after = DAY.close_at + timedelta(seconds=1)
    gone = canceled(RESTING, at=after)
    assert sent(handle(desk, gone)) == []


# --- a block ----------------------------------------------------------------------------------------------------------


def test_what_a_block_closes_nobody_else_closes_after_the_release() -> None:
    """A sale beside the block would leave its strategy short."""
    world = a_killed_desk(alice=10, bob=5)
    world.desk.lane = LaneRules(conflict=ConflictPolicy.HOLD, hold_max=HOLD_MAX)
    world.desk.limits[ALICE] = replace(world.desk.limits[ALICE], is_short_allowed=False)
    block = a_block(world)
    world.tell(a_release())
    assert exit_orders.free_to_close(world.desk, ALICE, AAPL) == 0
    sale = a_request(client_order_id=ClientOrderId("mine"), side=Side.SELL, qty=qty(10))
    world.tell(requested(sale))
    assert order(world.desk, sale).reason == DenialReason.SHORT_NOT_ALLOWED
    execute(world, block, ("12", "100"), status=BrokerStatus.CANCELED)
    assert figures(world.desk.portfolio.qty(ALICE, AAPL), world.desk.portfolio.qty(BOB, AAPL)) == (0, 3)
    assert exit_orders.free_to_close(world.desk, BOB, AAPL) == 3, "the block has ended: what it left is free"


def test_a_block_that_was_given_up_and_is_executed_after_all_is_handed_over() -> None:
    """Else the house would be short of what the books still hold."""
    world = a_killed_desk(alice=10, bob=5)
    world.tell(a_kill(depth=KillDepth.FLATTEN))
    world.carry_out()
    [block] = [o.request for o in world.desk.open_orders()]
    world.tell(ev.SubmitInDoubt(client_order_id=block.client_order_id, why="?", at=NOON))
    world.tell(
        ev.OrderLookedUp(client_order_id=block.client_order_id, order=None, fills=(), at=NOON + timedelta(minutes=1))
    )
    assert world.desk.orders[block.client_order_id].status is OrderStatus.REJECTED
    execute(world, block, ("15", "100"), status=BrokerStatus.FILLED)
    assert not world.desk.portfolio.holdings()
    assert world.desk.portfolio.qty(HOUSE, AAPL) == 0


# --- parts of what was exchanged --------------------------------------------------------------------------------------


def a_small_account() -> Desk:
    """Alice and bob own 50 each; bob goes short, so that the account has 5."""
    desk = a_crossing_desk()
    gone = a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob-sold"), side=Side.SELL, qty=qty(95))
    handle(desk, asked(gone))
    handle(desk, filled(gone, 95))
    assert desk.portfolio.total_qty(AAPL) == 5
    return desk


def test_what_is_left_after_an_exchange_goes_in_parts() -> None:
    """What was exchanged counts as filled beside the parts."""
    desk = a_small_account()
    resting(desk, replace(RESTING, qty=qty(4)))
    sale = replace(SALE, qty=qty(20))
    handle(desk, asked(sale))
    assert order(desk, RESTING).is_recalled
    handle(desk, canceled(replace(RESTING, qty=qty(4))))
    effects = handle(desk, looked())
    assert exchanges(effects) == [(BACK, 4), (sale.client_order_id, 4)]
    assert going(effects) == [("alice-sells~1", 5)]
    handle(desk, accepted(sent(effects)[0]))
    assert figures(order(desk, sale).filled_qty, order(desk, sale).status) == (4, OrderStatus.PARTIALLY_FILLED)
    effects = handle(desk, filled(sent(effects)[0], 5))
    assert going(effects) == [("alice-sells~2", 11)]
    handle(desk, filled(sent(effects)[0], 11))
    assert figures(order(desk, sale).filled_qty, order(desk, sale).status) == (20, OrderStatus.FILLED)
    assert not desk.reservations.holds(order(desk, sale))


def test_an_order_that_waited_goes_in_parts_and_a_day_is_long_enough_for_its_rest() -> None:
    """Its own time bounds its rest, not the wait that is over."""
    desk = a_small_account()
    have = replace(RESTING, qty=qty(4))
    resting(desk, have)
    sale = replace(SALE, qty=qty(20), **a_limit("100.01"))  # does not meet at the midpoint
    handle(desk, asked(sale))
    effects = handle(desk, canceled(have))
    assert going(effects) == [("alice-sells~1", 5)]
    first = sent(effects)[0]
    handle(desk, accepted(first))
    later = filled(first, 5)
    effects = handle(desk, replace(later, at=NOON + timedelta(minutes=5)))
    assert going(effects) == [("alice-sells~2", 15)]
