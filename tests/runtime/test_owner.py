"""The owner of the desk: durable before acting, and what its face answers to the doors."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate
from typing import Any

import pytest

from deskd.core.deciding import handle
from deskd.core.listing import LISTED_MAX
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.errors import LedgerError
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import Order, OrderRequest, OrderStatus, Side
from deskd.domain.reasons import RefusalReason, RejectReason
from deskd.domain.stage import Stage
from deskd.domain.strategy import AtWork
from deskd.runtime.owner import INBOX_MAX
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    NOON,
    a_broker_order,
    a_limit_request,
    a_request,
    a_snapshot,
    an_instrument,
    filled,
    price,
    qty,
    requested,
    some_limits,
    updated,
)
from tests.runtime.a_live_desk import LOWER, OID, SlowLedger, World, a_wish, a_world


async def test_nothing_reaches_the_broker_before_it_is_on_disk() -> None:
    """Recording comes first, however slow the disk."""
    async with a_world() as world:
        order = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(order, Order)
        assert order.status is OrderStatus.ACCEPTED
        assert world.broker.known_at_submit == [True]


async def test_an_order_keeps_the_line_that_it_was_asked_for_on() -> None:
    """From the market's line to the fill: what the strategy was at work on stands in the approval, or in the denial."""
    async with a_world() as world:
        world.runtime.at_work = {ALICE: AtWork(line="trade AAPL 2026-11-20T15:04:05Z", together=3)}.__getitem__
        await world.runtime.place(a_request(), timeout_s=5)
        await world.runtime.place(a_request(client_order_id=ClientOrderId("o2"), qty=qty(1_000_000)), timeout_s=5)
        kinds = ev.OrderApproved | ev.OrderDenied
        asked = [fact for fact in world.ledger.facts if isinstance(fact, kinds)]
        assert [type(fact) for fact in asked] == [ev.OrderApproved, ev.OrderDenied]
        assert {(fact.line, fact.lines_together) for fact in asked} == {("trade AAPL 2026-11-20T15:04:05Z", 3)}


@pytest.mark.parametrize(("who", "line"), [(ALICE, "trade AAPL 2026-11-20T15:04:06Z"), (None, "")])
async def test_an_order_in_the_place_of_another_has_a_line_of_its_own(who: StrategyId | None, line: str) -> None:
    """The strategy's second thought came on another line; an officer reads none."""
    async with a_world() as world:
        world.runtime.at_work = lambda _: AtWork(line="trade AAPL 2026-11-20T15:04:05Z")
        await world.runtime.place(a_limit_request(), timeout_s=5)
        world.runtime.at_work = lambda _: AtWork(line="trade AAPL 2026-11-20T15:04:06Z")
        await world.runtime.replace(who, LOWER, **a_wish())
        lines = [world.runtime.desk.orders[oid].line for oid in (OID, ClientOrderId("new"))]
        assert lines == ["trade AAPL 2026-11-20T15:04:05Z", line]


async def test_a_burst_shares_the_cost_of_durability() -> None:
    """Twenty orders at once are a few commits, and every one is on disk before it leaves."""
    async with a_world() as world:
        requests = [a_request(client_order_id=ClientOrderId(f"o{i}"), qty=a_request().qty) for i in range(20)]
        async with asyncio.TaskGroup() as tasks:
            for request in requests:
                tasks.create_task(world.runtime.place(request, timeout_s=5))
        assert all(world.broker.known_at_submit)
        approvals = sum(isinstance(f, ev.OrderApproved) for f in world.ledger.facts)
        assert len(world.broker.submitted) == approvals > 0
        assert len(world.ledger.batches) < 20


async def test_a_strategy_hears_of_a_fact_only_when_it_is_on_disk() -> None:
    """Record, then act, then tell."""
    async with a_world() as world:
        seen: list[int] = []
        world.runtime.on_fact.append(lambda fact: seen.append(world.ledger.facts.index(fact)))
        request = a_request()
        await world.runtime.place(request, timeout_s=5)
        await world.runtime.post(filled(request, 10))
        await world.runtime.until(lambda desk: desk.orders[OID].status is OrderStatus.FILLED)
        assert world.told == [(ALICE, "accepted"), (ALICE, "fill")]
        assert seen == sorted(seen)


async def test_what_is_kept_is_on_disk() -> None:
    """Who has something kept goes on when the fact is in the ledger, not when it is decided."""
    async with a_world() as world:
        fact = ev.CommandGiven(by="root", command="stop", arguments="alice", at=NOON)
        await world.runtime.keep(fact)
        assert fact in world.ledger.facts
        assert world.runtime._kept == []


async def test_a_ledger_that_cannot_be_written_ends_the_desk_before_anything_leaves() -> None:
    """Memory is ahead of the disk: only a replay is true now."""
    world = World(ledger=SlowLedger(is_full=True))
    asking = asyncio.get_running_loop().create_task(world.runtime.place(a_request(), timeout_s=0.2))
    with pytest.raises(ExceptionGroup) as failure:
        await world.runtime.run()
    assert failure.group_contains(LedgerError, match="disk is full")
    assert world.broker.submitted == []
    await asking


async def test_a_full_inbox_refuses_and_forgets() -> None:
    """Beyond the bound the endpoint says 503 at once, and the order never was."""
    async with a_world() as world:
        world.runtime.inbox = asyncio.Queue(1)
        world.runtime.inbox.put_nowait(ev.DeskStopped(at=NOON))
        refusal = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.OVERLOADED
        assert OID not in world.runtime.desk.orders
        assert INBOX_MAX >= 10_000


async def test_an_order_that_waits_at_the_desk_is_looked_at_again_when_its_wait_is_over() -> None:
    """Nobody is sent, nobody is asked after; at its end whoever placed the order is answered."""
    resting = a_limit_request("99", strategy_id=BOB, client_order_id=ClientOrderId("bob-1"))
    async with a_world() as world, asyncio.TaskGroup() as tasks:
        world.desk.lane = LaneRules(conflict=ConflictPolicy.HOLD, hold_max=timedelta(milliseconds=20))
        await world.runtime.place(resting, timeout_s=5)
        world.desk.portfolio.book(ALICE).trade(AAPL, qty(10), price(100), NOON)
        placed = tasks.create_task(world.runtime.place(a_request(side=Side.SELL), timeout_s=5))
        await world.runtime.until(lambda desk: bool(desk.held_ids))
        world.wall.time += timedelta(milliseconds=20)
        outcome = await placed
    assert isinstance(outcome, Order)
    assert (outcome.status, outcome.reason) == (OrderStatus.REJECTED, RejectReason.HELD_TOO_LONG)
    assert world.broker.submitted == [resting.client_order_id]
    assert not world.broker.looked_up


async def test_orders_that_meet_at_the_desk_see_the_market_of_that_moment() -> None:
    """Both halves of an exchange are one commit; whoever placed the order is answered, and the broker hears nothing."""
    resting = a_limit_request("100", strategy_id=BOB, client_order_id=ClientOrderId("bob-1"))
    async with a_world() as world, asyncio.TaskGroup() as tasks:
        world.desk.lane = LaneRules(conflict=ConflictPolicy.CROSS)
        await world.runtime.clock()
        await world.runtime.place(resting, timeout_s=5)
        world.desk.portfolio.book(ALICE).trade(AAPL, qty(10), price(100), NOON)
        placed = tasks.create_task(world.runtime.place(a_request(side=Side.SELL), timeout_s=5))
        await world.runtime.until(lambda desk: desk.orders[resting.client_order_id].is_recalled)
        await world.runtime.post(updated(a_broker_order(resting, status=BrokerStatus.CANCELED), "canceled"))
        outcome = await placed
    assert isinstance(outcome, Order)
    assert (outcome.status, outcome.internal_qty) == (OrderStatus.FILLED, qty(10))
    assert world.broker.submitted == world.broker.canceled == [resting.client_order_id]
    first, second = (n for n, fact in enumerate(world.ledger.facts) if isinstance(fact, ev.OrderFilled))
    assert second == first + 1
    assert second not in accumulate(world.ledger.batches), "a commit ends between the two"


async def test_a_full_inbox_lets_nobody_wait_for_a_look_at_the_market() -> None:
    """Who came back to the desk goes to the broker without it, in a second."""
    async with a_world() as world:
        world.runtime.inbox = asyncio.Queue(1)
        world.runtime.inbox.put_nowait(ev.DeskStopped(at=NOON))
        world.runtime._look_at_market(AAPL)
        assert world.runtime.inbox.qsize() == 1


async def test_a_replacement_is_on_disk_before_it_leaves_and_leaves_once() -> None:
    """By either id of the old order; whoever asks for the same again gets the same answer."""
    async with a_world() as world:
        placed = await world.runtime.place(a_limit_request(), timeout_s=5)
        assert isinstance(placed, Order)
        assert placed.broker_order_id is not None
        by_broker_id = replace(LOWER, replaces=ClientOrderId(placed.broker_order_id))
        async with asyncio.TaskGroup() as tasks:
            asking = [
                tasks.create_task(world.runtime.replace(ALICE, wanted, **a_wish())) for wanted in (LOWER, by_broker_id)
            ]
        assert {a.result() for a in asking} == {world.desk.orders[ClientOrderId("new")]}
        assert world.broker.known_at_submit == [True, True]
        assert world.broker.replaced == [("new", placed.broker_order_id)]
        assert world.desk.orders[OID].status is OrderStatus.PENDING_REPLACE


async def test_what_is_not_ones_own_is_not_replaced() -> None:
    """404, for a strategy; an officer names any order."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        refused = await world.runtime.replace(BOB, LOWER, **a_wish())
        assert isinstance(refused, Refuse)
        assert refused.reason == RefusalReason.NOT_FOUND
        assert isinstance(await world.runtime.replace(None, LOWER, **a_wish()), Order)


async def test_a_replacement_without_an_answer_is_answered_as_it_stands() -> None:
    """In doubt, under its own id; one that was refused by the desk is refused to who asked."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        forever = asyncio.Event()

        async def hangs(request: OrderRequest, broker_order_id: BrokerOrderId, **how: Any) -> Any:
            await forever.wait()

        world.broker.replace = hangs  # type: ignore[method-assign]
        order = await world.runtime.replace(ALICE, LOWER, **a_wish(timeout_s=0.05))
        assert isinstance(order, Order)
        assert (order.status, order.request.client_order_id) == (OrderStatus.SUBMITTED, "new")
        again = await world.runtime.replace(ALICE, LOWER, **a_wish(client_order_id=ClientOrderId("newer")))
        assert isinstance(again, Refuse)
        assert again.reason == RefusalReason.NOT_REPLACEABLE
        other = await world.runtime.replace(ALICE, replace(LOWER, limit_price=price(98)), **a_wish())
        assert isinstance(other, Refuse)
        assert other.reason == RefusalReason.CONFLICT


async def test_nothing_is_replaced_while_fills_could_not_be_seen() -> None:
    """A replacement is a new order."""
    async with a_world() as world:
        await world.runtime.place(a_limit_request(), timeout_s=5)
        await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
        await world.runtime.until(lambda desk: not desk.is_synced)
        refused = await world.runtime.replace(ALICE, LOWER, **a_wish())
        assert isinstance(refused, Refuse)
        assert refused.reason == RefusalReason.TRADE_STREAM_DOWN
        assert world.broker.replaced == []


async def test_no_order_is_taken_while_fills_could_not_be_seen() -> None:
    """503 with a reason while the trade stream is down; cancels pass."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="dropped", at=NOON))
        await world.runtime.until(lambda desk: not desk.is_synced)
        other = await world.runtime.place(a_request(client_order_id=ClientOrderId("o2")), timeout_s=5)
        assert isinstance(other, Refuse)
        assert other.reason == RefusalReason.TRADE_STREAM_DOWN
        order = await world.runtime.cancel(ALICE, OID, by="alice")
        assert isinstance(order, Order)
        assert order.status is OrderStatus.PENDING_CANCEL
        assert world.broker.canceled == [OID]


async def test_an_outage_tells_how_many_orders_it_cost_each_strategy() -> None:
    """Alice was refused two, bob one; the next outage begins at none."""
    async with a_world() as world:
        for number in range(2):
            at = NOON + timedelta(minutes=number)
            await world.runtime.post(ev.TradeStreamChanged(is_up=False, why="dropped", at=at))
            await world.runtime.until(lambda desk: not desk.is_synced)
            for who, count in ((ALICE, 2), (BOB, 1)) if number == 0 else ():
                for n in range(count):
                    request = a_request(strategy_id=who, client_order_id=ClientOrderId(f"{who}-{n}"))
                    assert isinstance(await world.runtime.place(request, timeout_s=5), Refuse)
            await world.runtime.post(ev.TradeStreamChanged(is_up=True, why="listening", at=at))
            await world.runtime.post(a_snapshot(at=at, asked_at=at))
            await world.runtime.until(lambda desk: desk.is_synced)
        ends = [f for f in world.ledger.facts if isinstance(f, ev.OutageEnded)]
    assert [end.refusals for end in ends] == [((ALICE, 2), (BOB, 1)), ()]


async def test_a_closing_desk_takes_no_orders() -> None:
    """Starting and stopping are said in words."""
    async with a_world() as world:
        world.runtime.closing = "the desk is stopping"
        refusal = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.DESK_NOT_READY
        assert refusal.message.startswith("the desk is stopping")


async def test_a_disk_that_is_nearly_full_takes_cancels_and_no_orders() -> None:
    """The figures are in the answer; what is open can still be called back, and its fills still find room."""
    async with a_world() as world:
        assert isinstance(await world.runtime.place(a_request(), timeout_s=5), Order)
        world.runtime.disk_low = "disk_free_mb=12 disk_free_min_mb=100"
        refusal = await world.runtime.place(a_request(client_order_id=ClientOrderId("next")), timeout_s=5)
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.DISK_LOW
        assert refusal.message.startswith("disk_free_mb=12 disk_free_min_mb=100")
        order = await world.runtime.cancel(ALICE, OID, by="alice")
        assert isinstance(order, Order)
        assert order.status is OrderStatus.PENDING_CANCEL
        world.runtime.disk_low = None
        again = await world.runtime.place(a_request(client_order_id=ClientOrderId("next")), timeout_s=5)
        assert isinstance(again, Order)


async def test_orders_are_seen_by_their_own_strategy_alone() -> None:
    """A strategy finds, lists and cancels its own; an officer all."""
    async with a_world() as world:
        await world.runtime.place(a_request(), timeout_s=5)
        runtime = world.runtime
        assert runtime.find(ALICE, OID) is runtime.find(None, f"b-{OID}") is not None
        assert runtime.find(BOB, OID) is None
        refusal = await runtime.cancel(BOB, OID, by="bob")
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.NOT_FOUND
        assert len(runtime.orders(ALICE, is_open=True)) == len(runtime.orders(None)) == 1
        assert runtime.orders(BOB) == runtime.orders(ALICE, is_open=False) == []
        await runtime.post(filled(a_request(), 10))
        await runtime.until(lambda desk: not desk.open_ids)
        assert [p.qty for p in runtime.positions(ALICE)] == [10]
        account = runtime.account(ALICE)
        assert account is not None
        assert account.cash == 9000
        assert runtime.account(StrategyId("nobody")) is None
        assert (await runtime.clock()).is_open


async def test_no_order_is_taken_before_it_is_known_what_can_be_traded() -> None:
    """A strategy that starts with the desk is not told that the broker does not list its symbol."""
    async with a_world() as world:
        world.desk.instruments = {}
        refusal = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(refusal, Refuse)
        assert refusal.reason == RefusalReason.DESK_NOT_READY
        await world.runtime.post(ev.InstrumentsListed(instruments=(an_instrument(),), at=NOON))
        await world.runtime.until_idle()
        assert isinstance(await world.runtime.place(a_request(), timeout_s=5), Order)


async def test_a_list_of_orders_is_bounded_and_the_newest() -> None:
    """However long the history, a strategy's list is its own newest thousand, oldest first."""
    async with a_world() as world:
        world.desk.limits[ALICE] = world.desk.limits[BOB] = some_limits(orders_per_day_max=10_000)
        for i in range(LISTED_MAX + 5):
            request = a_request(client_order_id=ClientOrderId(f"o{i}"), qty=qty(1))
            handle(world.desk, requested(request))
            handle(world.desk, filled(request, 1))
        handle(world.desk, requested(a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob"), qty=qty(1))))
        listed = world.runtime.orders(ALICE)
        assert [o.request.client_order_id for o in listed] == [f"o{i}" for i in range(5, LISTED_MAX + 5)]
        assert world.runtime.orders(ALICE, is_open=False) == listed
        assert [o.request.client_order_id for o in world.runtime.orders(None, is_open=True)] == ["bob"]
        assert world.runtime.orders(None)[-1].request.strategy_id == BOB
        assert world.runtime.positions(StrategyId("nobody")) == []
        assert world.runtime.positions(None) == world.runtime.positions(ALICE)
        assert await world.runtime.bars(AAPL, "1Min", 2) == [{"S": AAPL}] * 2


async def test_a_refusal_is_counted_by_its_code() -> None:
    """No fact tells of a request of which no order came to be: the count does."""
    async with a_world() as world:
        world.runtime.closing = "the desk is stopping"
        await world.runtime.place(a_request(), timeout_s=5)
        assert world.runtime.refusals == {RefusalReason.DESK_NOT_READY: 1}


async def test_a_clock_that_is_set_is_on_record_before_anything_is_decided_by_it() -> None:
    """The next event, whatever it is, is held against times that were taken along."""
    async with a_world() as world:
        await world.runtime.keep(ev.CommandGiven(by="o", command="status", arguments="", at=NOON))
        world.wall.set_by = timedelta(hours=-1)
        await world.runtime.keep(ev.CommandGiven(by="o", command="status", arguments="", at=world.wall.now()))
        kinds = [type(fact) for fact in world.ledger.facts[-3:]]
    assert kinds == [ev.CommandGiven, ev.ClockStepped, ev.CommandGiven]


async def test_who_is_paused_is_shut_out_and_who_asks_for_too_much_is_not() -> None:
    """The door answers them by another number; both are denials on record."""
    async with a_world() as world:
        much = await world.runtime.place(a_request(client_order_id=ClientOrderId("much"), qty=qty(1_000)), timeout_s=5)
        await world.runtime.keep(ev.StageChanged(strategy_id=ALICE, stage=Stage.PAUSED, by="ada", why="test", at=NOON))
        paused = await world.runtime.place(a_request(), timeout_s=5)
        assert isinstance(much, Order)
        assert isinstance(paused, Order)
        assert [order.status for order in (much, paused)] == [OrderStatus.DENIED] * 2
        assert [world.runtime.is_shut_out(order) for order in (much, paused)] == [False, True]
