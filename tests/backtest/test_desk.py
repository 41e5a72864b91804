"""The desk in step: an order is judged, sent, filled and told before the next thing happens."""

from dataclasses import replace
from datetime import timedelta

from deskd.app.kill_keeper import KillKeeper
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.effects import Refuse
from deskd.domain.ids import ClientOrderId
from deskd.domain.kill import KillDepth
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import Order, OrderStatus, Replacement, Side
from deskd.domain.reasons import DenialReason, RefusalReason
from deskd.exchange.fill_model import PAPER
from tests.backtest.given import CLOCK, in_step
from tests.exchange.given import told
from tests.factories import AAPL, ALICE, BOB, NOON, a_kill, a_limit_request, a_request, price, qty, registered


async def test_an_order_is_done_with_when_it_is_answered() -> None:
    """At an instant of its own; facts, fills and order lines are there already."""
    step = in_step()
    order = await step.desk.place(a_request(), timeout_s=0)
    assert isinstance(order, Order)
    assert (order.status, order.requested_at) == (OrderStatus.FILLED, NOON + timedelta(microseconds=1))
    assert [type(fact).__name__ for fact in step.facts][:2] == ["OrderApproved", "OrderAccepted"]
    assert step.ears.words()[-1] == "fill"
    (held,) = step.desk.positions(ALICE)
    assert told(held.symbol, held.qty) == (AAPL, 10)
    assert step.desk.positions(BOB) == []


async def test_a_fill_comes_at_the_exchanges_own_time() -> None:
    """And not before the market's time has come to it."""
    step = in_step(PAPER)
    order = await step.desk.place(a_request(), timeout_s=0)
    assert isinstance(order, Order)
    assert order.status is OrderStatus.ACCEPTED
    step.wait(1)
    found = step.desk.find(ALICE, "alice-1")
    assert found is not None
    assert found.filled_qty == 10
    assert step.desk.find(BOB, "alice-1") is None


async def test_the_same_desk_gives_the_same_facts() -> None:
    """To the last field."""
    told = []
    for _ in range(2):
        step = in_step(PAPER)
        for number in range(5):
            step.wait(1)
            await step.desk.place(
                a_request(client_order_id=ClientOrderId(f"a-{number}"), qty=qty(number + 1)), timeout_s=0
            )
        step.wait(1)
        told.append(step.facts)
    assert told[0] == told[1]


async def test_what_is_no_order_is_refused_and_counted() -> None:
    """An id with other content, an order that is not there, a desk that is killed."""
    step = in_step()
    await step.desk.place(a_request(), timeout_s=0)
    again = await step.desk.place(a_request(), timeout_s=0)
    assert isinstance(again, Order)  # the same request, the same answer
    other = await step.desk.place(a_request(qty=qty(3)), timeout_s=0)
    assert isinstance(other, Refuse)
    nobody = await step.desk.cancel(ALICE, "nobody", by="alice")
    assert isinstance(nobody, Refuse)
    wish = Replacement(replaces=ClientOrderId("nobody"), qty=qty(1))
    lost = await step.desk.replace(ALICE, wish, client_order_id=ClientOrderId("r-1"), by="alice", timeout_s=0)
    assert isinstance(lost, Refuse)
    step.desk.happen(a_kill())
    killed = await step.desk.place(a_request(client_order_id=ClientOrderId("alice-9")), timeout_s=0)
    assert isinstance(killed, Refuse)
    assert killed.reason == RefusalReason.KILLED
    assert step.desk.refusals == {"CONFLICT": 1, "NOT_FOUND": 2, "KILLED": 1}
    step.desk.closing = "it is over"
    refusal = step.desk.refusal()
    assert refusal is not None
    assert refusal.reason == RefusalReason.DESK_NOT_READY


async def test_orders_are_replaced_and_canceled() -> None:
    """By either id, through the exchange."""
    step = in_step()
    await step.desk.place(a_limit_request("90"), timeout_s=0)
    wish = Replacement(replaces=ClientOrderId("alice-1"), limit_price=price(91))
    new = await step.desk.replace(ALICE, wish, client_order_id=ClientOrderId("alice-2"), by="alice", timeout_s=0)
    assert isinstance(new, Order)
    step.wait(1)
    assert [o.request.client_order_id for o in step.desk.orders(ALICE, is_open=True)] == ["alice-2"]
    await step.desk.cancel(ALICE, "alice-2", by="alice")
    assert step.desk.orders(ALICE, is_open=True) == []
    assert [o.status for o in step.desk.orders(None)] == [OrderStatus.REPLACED, OrderStatus.CANCELED]
    assert step.desk.account(ALICE) is not None
    assert (await step.desk.clock()).is_open
    assert await step.desk.bars(AAPL, "1Min", 5) == []


async def test_an_order_that_waits_is_looked_at_when_its_time_has_come() -> None:
    """The desk's own timers run in the market's time, too."""
    step = in_step()
    step.desk.desk.lane = LaneRules(conflict=ConflictPolicy.HOLD, hold_max=timedelta(seconds=30))
    await step.desk.place(a_limit_request("90"), timeout_s=0)
    await step.desk.place(a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob-0")), timeout_s=0)
    sell = a_request(strategy_id=BOB, client_order_id=ClientOrderId("bob-1"), side=Side.SELL)
    held = await step.desk.place(sell, timeout_s=0)
    assert isinstance(held, Order)
    assert held.is_held
    due = step.desk.next_due()
    assert due is not None
    step.wait(31)
    ended = step.desk.find(BOB, "bob-1")
    assert ended is not None
    assert not ended.status.is_open


async def test_the_gate_is_the_live_desks() -> None:
    """What it denies is recorded, with its reason."""
    step = in_step()
    step.quotes.halted.add(AAPL)
    order = await step.desk.place(a_request(), timeout_s=0)
    assert isinstance(order, Order)
    assert (order.status, order.reason) == (OrderStatus.DENIED, DenialReason.SYMBOL_HALTED)


async def test_books_and_exchange_agree() -> None:
    """A look at the account finds nothing that the fills do not explain."""
    step = in_step()
    await step.desk.place(a_request(), timeout_s=0)
    step.desk.reconcile("to be sure")
    assert not [fact for fact in step.facts if isinstance(fact, ev.DiscrepancyFound)]
    assert any(isinstance(fact, ev.AccountReconciled) for fact in step.facts)


async def test_lists_of_the_broker_are_taken_and_time_is_never_waited_for() -> None:
    """Inputs to decisions, as the live runtime takes them."""
    step = in_step()
    step.desk.desk = replace(step.desk.desk)
    step.desk.happen(ev.InstrumentsListed(instruments=tuple(step.desk.broker.instruments()), at=NOON))
    step.desk.happen(ev.CalendarListed(days=(), at=NOON))
    assert AAPL in step.desk.desk.instruments
    assert step.desk.desk.calendar == {}
    await step.desk.post(registered(ALICE))
    await step.desk.until(lambda desk: isinstance(desk, Desk))


async def test_a_kill_that_flattens_is_carried_out_in_step() -> None:
    """By the same keeper as live: what is open is canceled, what is held is closed, and that is on record."""
    step = in_step()
    await step.desk.place(a_request(), timeout_s=0)
    await step.desk.place(a_limit_request("90", client_order_id=ClientOrderId("alice-2")), timeout_s=0)
    keeper = KillKeeper(runtime=step.desk, wall=step.wall, market=lambda: CLOCK)
    step.desk.on_fact.append(keeper.on_fact)
    step.desk.happen(a_kill(depth=KillDepth.FLATTEN))
    for _ in range(3):
        await keeper.step()
        step.wait(1)
    assert step.desk.positions(None) == []
    assert step.desk.orders(None, is_open=True) == []
    assert any(isinstance(fact, ev.FlattenCompleted) for fact in step.facts)
