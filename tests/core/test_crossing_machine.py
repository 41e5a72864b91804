"""The desk and the naive broker once more, with strategies that meet: the line loses, doubles and reorders recalls, too.

All that `test_desk_machine` asserts of a desk holds of one that crosses; and after each step the sums over the books
are the broker's fills alone.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import initialize, invariant, precondition, rule

from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.ids import Symbol
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.market import MarketClock
from deskd.domain.order import Order, OrderRequest, OrderStatus, Side
from tests.core.test_desk_machine import EXAMPLES, STEPS, DeskAndBroker, let_go
from tests.factories import BOB, MONDAY, a_limit_request, a_request, qty

DAY = timedelta(days=1)


class CrossingDeskAndBroker(DeskAndBroker):
    """Whatever is asked, done and lost: what was exchanged at the desk was exchanged once, and by two."""

    def __init__(self) -> None:
        super().__init__()
        self.desk.lane = self.twin.lane = LaneRules(conflict=ConflictPolicy.CROSS)
        self.looks: list[Symbol] = []

    def tell(self, event: ev.Event) -> list[ef.Effect]:
        effects = super().tell(event)
        self.looks += [effect.symbol for effect in effects if isinstance(effect, ef.LookAtMarket)]
        return effects

    def ask(self, request: OrderRequest) -> None:
        self.asked.append(request)
        asked = ev.OrderRequested(
            request=request, quote=self.a_quote(), market_day=MONDAY, at=self.now, clock=self.a_clock()
        )
        self.tell(asked)

    def a_clock(self) -> MarketClock:
        return MarketClock(timestamp=self.now, is_open=True, next_open=self.now + DAY, next_close=self.now + DAY / 4)

    @initialize()
    def alice_holds_shares(self) -> None:
        self.rests(a_request(client_order_id=self.an_id(), qty=qty(20)))
        for oid in list(self.broker.kept):
            self.broker.execute(oid, Decimal(20), Decimal(100), self.now)
        self.deliver_everything()

    def rests(self, request: OrderRequest) -> None:
        """Have the desk synced with its broker, and the order there."""
        self.deliver_everything()
        self.look_begins()
        self.take_look(*self.broker.account())
        self.ask(request)
        self.deliver_everything()

    @rule(resting=st.integers(1, 9), coming=st.integers(1, 9))
    def two_meet(self, resting: int, coming: int) -> None:
        """Have bob's bid rest at the broker, and alice's sale come upon it: what follows is the line's."""
        self.rests(a_limit_request("100", strategy_id=BOB, client_order_id=self.an_id(), qty=qty(resting)))
        self.ask(a_request(client_order_id=self.an_id(), side=Side.SELL, qty=qty(coming)))

    @precondition(lambda self: self.looks)
    @rule(is_lost=st.integers(0, 4))
    def looks_at_the_market(self, is_lost: int) -> None:
        """Tell the desk of the market; or not: then nobody waits for it for long."""
        symbol = self.looks.pop(0)
        if is_lost:
            self.tell(ev.MarketLooked(symbol=symbol, quote=self.a_quote(), at=self.now, clock=self.a_clock()))

    def deliver_everything(self) -> None:
        super().deliver_everything()
        while self.looks:
            self.looks_at_the_market(is_lost=1)
            super().deliver_everything()

    def lets_leave(self, fact: ev.Fact, request: OrderRequest) -> bool:
        """Let an order leave that was approved or came back, for what was not exchanged of it, and a part as it was cut."""
        if isinstance(fact, ev.OrderSplit):
            return let_go(fact, request)
        if not isinstance(fact, ev.OrderApproved | ev.OrderReturned):
            return False
        order = self.desk.orders.get(request.client_order_id)
        return order is not None and replace(fact.request, qty=order.sent_qty) == replace(request, qty=order.sent_qty)

    def never_there(self, order: Order) -> set[OrderStatus]:
        """Let an order end at the desk that was exchanged whole, or canceled while it waited."""
        ends = {OrderStatus.CANCELED} | ({OrderStatus.FILLED} if order.filled_qty == order.internal_qty else set())
        return super().never_there(order) | ends

    def as_here(self, order: Order, there: ev.BrokerOrder) -> str:
        """Know an order that was taken back: the broker calls it canceled, and the desk replaced."""
        came_back = order.recalled_for is not None and order.status is OrderStatus.REPLACED
        return "replaced" if came_back and str(there.status) == "canceled" else super().as_here(order, there)

    @invariant()
    def internal_fills_are_two_by_two(self) -> None:
        internal = [fact for fact in self.facts if isinstance(fact, ev.OrderFilled) and fact.internal_with]
        for one, other in zip(internal[::2], internal[1::2], strict=True):
            assert (one.internal_with, other.internal_with) == (other.client_order_id, one.client_order_id)
            first, second = (self.desk.orders[fact.client_order_id].request for fact in (one, other))
            assert first.side is not second.side
            assert first.strategy_id != second.strategy_id
            assert (one.qty, one.price) == (other.qty, other.price)

    @invariant()
    def no_order_lives_twice(self) -> None:
        """Have a recalled order and what came back of it never be open both."""
        for order in self.desk.open_orders():
            old: Any = None if order.replaces is None else self.desk.orders[order.replaces]
            assert old is None or old.recalled_for is None or order.request.replacement or not old.status.is_open


TestCrossingDeskAndBroker = CrossingDeskAndBroker.TestCase
TestCrossingDeskAndBroker.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
