"""The machine of test_desk_machine.py with shorts on: books cross zero, and so do orders of the account.

What it adds: an order in parts is never more at the broker than was asked for, and one part at a time.
"""

from decimal import Decimal

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import initialize, invariant, rule

from deskd.domain.ids import StrategyId
from deskd.domain.money import NO_QTY
from deskd.domain.order import OrderStatus, OrderType, Side
from tests.core.naive_broker import CAN_FILL
from tests.core.test_desk_machine import EXAMPLES, STEPS, WHO, DeskAndBroker
from tests.factories import AAPL, a_request, price, qty

KINDS = (OrderType.MARKET, OrderType.LIMIT)


class ShortDeskAndBroker(DeskAndBroker):
    """Whatever is lost, doubled and reordered: a split order's parts add up, and follow each other."""

    is_short_allowed = True

    @initialize(who=st.sampled_from(WHO), side=st.sampled_from(Side), shares=st.integers(1, 10))
    def hold(self, who: StrategyId, side: Side, shares: int) -> None:
        """Begin with an account that an order can take across zero."""
        self.order(who, side, shares, OrderType.MARKET)
        self.deliver_everything()
        self.fill_all("")
        self.deliver_everything()

    @rule(who=st.sampled_from(WHO), shares=st.integers(1, 20), kind=st.sampled_from(KINDS), is_heard=st.booleans())
    def order_across_zero(self, who: StrategyId, shares: int, kind: OrderType, is_heard: bool) -> None:
        """Ask for more than closes what the account holds; the line may be a good one for a moment."""
        held = self.desk.portfolio.total_qty(AAPL)
        request = a_request(
            strategy_id=who,
            client_order_id=self.an_id(),
            side=Side.SELL if held >= 0 else Side.BUY,
            qty=qty(str(abs(held) + shares)),
            order_type=kind,
            limit_price=price(100) if kind is OrderType.LIMIT else None,
        )
        self.ask(request)
        if is_heard:
            self.deliver_everything()

    @rule(is_heard=st.booleans())
    def parts_fill(self, is_heard: bool) -> None:
        """Have the broker fill whatever part it has."""
        self.fill_all("~")
        if is_heard:
            self.deliver_everything()

    def fill_all(self, mark: str) -> None:
        for oid, kept in list(self.broker.kept.items()):
            if mark in oid and kept.order.status in CAN_FILL:
                self.broker.execute(oid, kept.left, kept.order.limit_price or Decimal(100), self.now)

    @invariant()
    def parts_are_no_more_than_was_asked_for(self) -> None:
        for order in self.desk.orders.values():
            if order.split is None:
                continue
            parts = [self.desk.orders[part] for part in order.split.parts]
            assert order.request.qty is not None
            assert sum((part.request.qty or NO_QTY for part in parts), NO_QTY) == order.split.qty <= order.request.qty
            assert all(part.status is OrderStatus.FILLED for part in parts[:-1]), "one at a time"
            assert {(part.request.side, part.request.strategy_id) for part in parts} == {
                (order.request.side, order.request.strategy_id)
            }
            if order.status.is_open:
                assert parts[-1].status.is_open or order.split.waits_since is not None

    @invariant()
    def a_simple_order_holds_what_it_may_still_need(self) -> None:
        """Of a sale that opens a short only that part holds money: shares alone are counted here."""
        for oid, held in self.desk.reservations.by_order.items():
            order = self.desk.orders[oid]
            if order.split is not None and order.leaves_qty is not None and not order.surplus_qty:
                assert held.opening == order.leaves_qty

    @invariant()
    def nobody_is_overdrawn_or_short(self) -> None:
        """With shorts on, books may be short; what may be lost by them is the gate's to bound, not this machine's."""


TestShortDeskAndBroker = ShortDeskAndBroker.TestCase
TestShortDeskAndBroker.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
