"""An order that waits for another strategy's order: sent when the way is free, ended in time, and never lost."""

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from deskd.core import lane, line, precedence
from deskd.core.deciding import handle
from deskd.core.desk import TRADES, Desk
from deskd.core.precedence import Rank
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.domain.kill import KillDepth
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import Order, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from deskd.domain.reasons import DenialReason as R
from deskd.domain.reasons import RejectReason
from deskd.domain.run import StrategyStatus
from deskd.ledger import fold
from tests.factories import (
    ALICE,
    BOB,
    NOON,
    a_broker_order,
    a_desk,
    a_kill,
    a_limit_request,
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

HOLD_MAX = timedelta(seconds=30)
A_STOP = {"side": Side.SELL, "qty": qty(50), "order_type": OrderType.STOP, "stop_price": price(90)}
THROUGH_ZERO = {"qty": qty(150), "order_type": OrderType.STOP, "stop_price": price(90)}


def a_patient_desk() -> Desk:
    """Return a desk that holds; alice and bob own 50 shares each."""
    most = cash(50_000)
    limits = some_limits(
        is_short_allowed=True, open_orders_max=100, order_notional_max=most, position_notional_max=most
    )
    desk = a_desk(limits=limits, allocation="50000")
    desk.lane = LaneRules(conflict=ConflictPolicy.HOLD, hold_max=HOLD_MAX)
    for who in (ALICE, BOB):
        have = a_request(strategy_id=who, client_order_id=ClientOrderId(f"{who}-has"), qty=qty(50))
        handle(desk, requested(have))
        handle(desk, filled(have, 50))
    return desk


def ours(name: str, **overrides: Any) -> OrderRequest:
    return a_request(client_order_id=ClientOrderId(f"alice-{name}"), **overrides)


def theirs(name: str, **overrides: Any) -> OrderRequest:
    return a_request(strategy_id=BOB, client_order_id=ClientOrderId(f"bob-{name}"), **overrides)


def limit(at: str) -> dict[str, Any]:
    return {"order_type": OrderType.LIMIT, "limit_price": price(at)}


def sent(effects: list[ef.Effect]) -> list[str]:
    return [e.request.client_order_id for e in effects if isinstance(e, ef.Submit)]


def order(desk: Desk, request: OrderRequest) -> Order:
    return desk.orders[request.client_order_id]


@pytest.mark.parametrize("depth", KillDepth)
def test_an_order_that_waits_when_a_kill_is_pulled_is_never_sent(depth: KillDepth) -> None:
    """It was asked for before; that is no way past a kill of any depth. It opens: what closes is another matter."""
    desk = a_patient_desk()
    theirs_first, mine = theirs("buys", **limit("90")), ours("sells", side=Side.SELL, qty=qty(60))
    handle(desk, requested(theirs_first))
    handle(desk, accepted(theirs_first))
    handle(desk, requested(mine))
    assert order(desk, mine).is_held
    effects = handle(desk, a_kill(of_strategy(ALICE), depth))
    assert sent(effects) == []
    assert (order(desk, mine).status, order(desk, mine).reason) == (OrderStatus.REJECTED, RejectReason.NOT_SENT)


def canceled(request: OrderRequest, at: datetime = NOON) -> ev.TradeUpdated:
    return ev.TradeUpdated(
        event="canceled", order=a_broker_order(request, status=BrokerStatus.CANCELED), fill=None, at=at
    )


RESTING = theirs("1", **limit("99"))
SALE = ours("1", side=Side.SELL)


def waiting() -> Desk:
    """Return a desk where alice's sale waits for bob's resting buy."""
    desk = a_patient_desk()
    handle(desk, requested(RESTING))
    handle(desk, accepted(RESTING))
    effects = handle(desk, requested(SALE))
    assert not sent(effects)
    assert not any(isinstance(e, ef.Reply | ef.Refuse) for e in effects), "whoever asked waits for the broker's answer"
    assert order(desk, SALE).is_held
    return desk


def test_an_order_waits_for_the_one_in_its_way_and_then_goes() -> None:
    """It holds its shares from the first moment, and is sent in the very event that ends the other."""
    desk = waiting()
    held = order(desk, SALE)
    assert held.status is OrderStatus.SUBMITTED
    assert held.is_in_doubt
    assert (held.reason, held.held_until) == (R.CONFLICT_WASH, NOON + HOLD_MAX)
    assert desk.reservations.of(held).qty == 10
    effects = handle(desk, canceled(RESTING))
    assert sent(effects) == [SALE.client_order_id]
    kinds = [type(e.fact) for e in effects if isinstance(e, ef.Record)]
    assert kinds == [ev.OrderCanceled, ev.OrderReleased]
    assert not order(desk, SALE).is_held
    assert order(desk, SALE).message is None
    assert not desk.held_ids
    handle(desk, filled(SALE, 10))
    assert order(desk, SALE).status is OrderStatus.FILLED


def test_a_wait_has_an_end() -> None:
    """After hold_max_s the order ends unsent, with the figures; what it held is free."""
    desk = waiting()
    tick = ev.DoubtTimedOut(client_order_id=SALE.client_order_id, at=NOON + HOLD_MAX - timedelta(milliseconds=1))
    assert not handle(desk, tick), "nobody asks the broker for an order that it never saw"
    effects = handle(desk, ev.MarksTaken(marks=(), at=NOON + HOLD_MAX))
    ended = order(desk, SALE)
    assert (ended.status, ended.reason) == (OrderStatus.REJECTED, RejectReason.HELD_TOO_LONG)
    assert "waited_s=30.0 hold_max_s=30" in (ended.message or "")
    assert ef.Reply(SALE.client_order_id) in effects
    assert not desk.reservations.of(ended).qty
    assert not sent(handle(desk, canceled(RESTING)))


def test_a_wait_that_the_account_has_made_hopeless_ends_at_once() -> None:
    """Bob's sale leaves the account with less than alice's stop would sell: no order's end makes that possible."""
    desk = a_patient_desk()
    sale, stop = theirs("1", side=Side.SELL, qty=qty(60), **limit("110")), ours("2", **A_STOP)
    handle(desk, requested(sale))
    handle(desk, requested(stop))
    assert order(desk, stop).is_held
    handle(desk, filled(sale, 30))
    assert order(desk, stop).is_held, "when bob's order has ended it can go"
    effects = handle(desk, filled(sale, 30, cumulative=60))
    ended = order(desk, stop)
    assert (ended.status, ended.reason) == (OrderStatus.REJECTED, RejectReason.NOT_SENT)
    assert ended.message is not None
    assert ended.message.startswith("rule=zero_crossing position_qty=40: the shared account's position changed")
    assert not sent(effects)
    assert not desk.held_ids


def test_a_cancel_ends_a_wait_at_once() -> None:
    """Nothing goes to the broker, which knows nothing of it."""
    desk = waiting()
    effects = handle(desk, ev.CancelRequested(client_order_id=SALE.client_order_id, by="alice", at=NOON))
    assert order(desk, SALE).status is OrderStatus.CANCELED
    assert not any(isinstance(e, ef.Cancel) for e in effects)
    assert ef.Reply(SALE.client_order_id) in effects
    assert not desk.held_ids


def test_a_wait_survives_a_restart() -> None:
    """The fold of the ledger has the line; it moves only when the desk is synced with its broker again."""
    desk = waiting()
    again = fold.decode(fold.encode(desk))
    assert again == desk
    again.lane, again.limits, again.instruments = desk.lane, desk.limits, desk.instruments
    handle(again, ev.DeskStarted(version="1", broker="embedded", at=NOON))
    handle(again, ev.StreamChanged(stream=TRADES, is_up=True, why="listening", at=NOON))
    assert not sent(handle(again, canceled(RESTING))), "not synced"
    effects = handle(again, a_snapshot(missing=(SALE.client_order_id,), why="start", fill_count=again.fill_count))
    assert order(again, SALE).status is not OrderStatus.REJECTED, "that the broker misses it is no news"
    assert sent(effects) == [SALE.client_order_id]


def test_a_stopped_strategy_sends_nothing_any_more() -> None:
    """Its orders that wait end with it."""
    desk = waiting()
    handle(desk, ev.StrategyStatusChanged(strategy_id=ALICE, status=StrategyStatus.STOPPED, why="test", at=NOON))
    ended = order(desk, SALE)
    assert (ended.status, ended.reason) == (OrderStatus.REJECTED, RejectReason.NOT_SENT)


def test_nobody_waits_for_himself() -> None:
    """Alice's own order in the way is hers to cancel: she is told at once."""
    desk = a_patient_desk()
    handle(desk, requested(ours("1", **limit("99"))))
    handle(desk, requested(ours("2", side=Side.SELL)))
    assert order(desk, ours("2")).reason == R.CONFLICT_WASH
    assert order(desk, ours("2")).status is OrderStatus.DENIED


@pytest.mark.parametrize(
    "overrides", [{"time_in_force": TimeInForce.IOC}, THROUGH_ZERO, {"qty": None, "notional": cash(500)}]
)
def test_what_cannot_wait_is_denied(overrides: dict[str, Any]) -> None:
    """Who wants an answer at once gets it; and no wait makes a stop through zero one that can be split."""
    desk = a_patient_desk()
    handle(desk, requested(RESTING))
    handle(desk, requested(ours("1", **{"side": Side.SELL} | overrides)))
    assert order(desk, ours("1")).status is OrderStatus.DENIED


def test_the_first_in_line_goes_first() -> None:
    """Who comes later and would be in the way of one that waits, waits behind it; who is in nobody's way does not."""
    desk = waiting()
    late_buy = theirs("2", **limit("100"))  # meets alice's sale, which waits
    handle(desk, requested(late_buy))
    assert order(desk, late_buy).is_held
    beside = theirs("3", side=Side.SELL, **limit("120"))
    assert sent(handle(desk, requested(beside))) == [beside.client_order_id]
    assert sent(handle(desk, canceled(RESTING))) == [SALE.client_order_id]
    assert order(desk, late_buy).is_held, "now it waits for the sale at the broker"
    handle(desk, canceled(beside))
    assert sent(handle(desk, filled(SALE, 10))) == [late_buy.client_order_id]


def test_the_line_is_bounded() -> None:
    """Beyond its bound an order is denied as if nothing were held."""
    desk = waiting()
    for n in range(2, line.HELD_MAX + 2):
        desk.held_ids[ClientOrderId(f"x{n}")] = None
    assert not line.may_wait(desk, requested(SALE), lane.conflict_of(desk, SALE, qty(10)))


def test_a_closing_order_of_the_desk_does_not_wait() -> None:
    """Whoever closes a position looks again by himself."""
    desk = waiting()
    conflict = lane.conflict_of(desk, SALE, qty(10))
    assert line.may_wait(desk, requested(SALE), conflict)
    assert not line.may_wait(desk, requested(SALE, is_closing=True), conflict)


def test_a_released_order_is_given_time_to_arrive() -> None:
    """`not found` right after it was sent is no proof: its time counts from then."""
    desk = waiting()
    late = NOON + timedelta(seconds=20)
    handle(desk, canceled(RESTING, late))
    missing = ev.OrderLookedUp(client_order_id=SALE.client_order_id, order=None, fills=(), at=late)
    handle(desk, missing)
    assert order(desk, SALE).status is OrderStatus.SUBMITTED


@pytest.mark.parametrize("seed", range(25))
def test_every_order_that_waits_is_sent_or_ended_in_time(seed: int) -> None:
    """Whatever others do, and whatever the broker never says: nobody starves, and no two wait for each other."""
    random = Random(seed)
    desk, now, asked = a_patient_desk(), NOON, list[OrderRequest]()
    for n in range(120):
        now += timedelta(seconds=random.choice((0, 0, 1, 5)))
        who = random.choice((ALICE, BOB))
        side = random.choice(list(Side))
        request = _random_request(random, who, side, n)
        quote = a_quote(received_at=now, quoted_at=now)
        handle(desk, ev.OrderRequested(request=request, quote=quote, market_day=NOON.date(), at=now))
        asked.append(request)
        for one in random.sample(asked, k=min(3, len(asked))):
            _end_somehow(random, desk, one, now)
        handle(desk, ev.MarksTaken(marks=(), at=now))
        for oid in desk.held_ids:
            until = desk.orders[oid].held_until
            assert until is not None
            assert now < until, "it waited longer than it may"
        _check_the_line(desk)
    handle(desk, ev.MarksTaken(marks=(), at=now + HOLD_MAX))
    assert not desk.held_ids


def _random_request(random: Random, who: StrategyId, side: Side, n: int) -> OrderRequest:
    oid = ClientOrderId(f"{who}-r{n}")
    if random.random() < 0.3:
        return a_request(strategy_id=who, client_order_id=oid, side=side, qty=qty(random.randint(1, 5)))
    at = str(100 + random.randint(-3, 3))
    size = qty(random.randint(1, 5))
    return a_limit_request(at, strategy_id=who, client_order_id=oid, side=side, qty=size)


def _end_somehow(random: Random, desk: Desk, request: OrderRequest, now: datetime) -> None:
    known = desk.orders[request.client_order_id]
    if not known.status.is_open or known.is_held:
        return
    if random.random() < 0.5:
        handle(desk, canceled(request, now))
    else:
        handle(desk, filled(request, str(request.qty)))


def _check_the_line(desk: Desk) -> None:
    """Assert that the first of the line waits for the broker only, and nothing that waits could go."""
    first = next(iter(precedence.in_line(desk)), None)
    if first is None or first.rank is Rank.LATER:  # whose first part is at the broker
        return
    waits = first.order
    found = lane.conflict_of(desk, waits.request, desk.reservations.of(waits).opening)
    assert found is not None
    assert all(not desk.orders[r.client_order_id].is_held for r in found.rivals)
    assert not line.moved(desk, waits.updated_at), "what could go has gone"


def test_updates_name_the_wait() -> None:
    """The strategy hears that its order waits, and that it went."""
    desk = a_patient_desk()
    handle(desk, requested(RESTING))
    handle(desk, accepted(RESTING))
    told = [e.update.event for e in handle(desk, requested(SALE)) if isinstance(e, ef.Tell)]
    assert told == ["held"]
    told = [e.update.event for e in handle(desk, canceled(RESTING)) if isinstance(e, ef.Tell)]
    assert told == ["canceled", "released"]
