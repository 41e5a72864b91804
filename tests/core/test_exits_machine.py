"""A position is closed at most once, and an exit opens none the other way round.

Whatever prices, refusals, fills in parts, cancels, restarts and orders of the strategy's own come.
"""

from datetime import timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.exits import ExitRules, SeenQuote
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import Qty
from deskd.domain.order import Order, OrderRequest, OrderType, Side
from tests.factories import (
    AAPL,
    ALICE,
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_quote,
    a_request,
    accepted,
    filled,
    price,
    qty,
    some_limits,
    updated,
)

RULES = ExitRules(stop_loss_pct=Decimal(5), take_profit_pct=Decimal(10), trailing_pct=Decimal(4))
bids = st.sampled_from([80, 94, 95, 96, 99, 100, 101, 104, 106, 109, 110, 111, 125])


class Exits(RuleBasedStateMachine):
    """One strategy under rules, its broker, and a market."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = self._fresh()
        self.facts: list[ev.Fact] = []
        self.now = NOON
        self.bid = self.before = 100
        self.count = 0

    @staticmethod
    def _fresh() -> Desk:
        desk = a_desk(
            allocation="1000000",
            limits=some_limits(
                is_short_allowed=True, order_notional_max=10**9, position_notional_max=10**9, open_orders_max=10**6
            ),
        )
        desk.exit_rules[ALICE] = RULES
        return desk

    def _happens(self, event: ev.Event) -> None:
        before = self._held()
        for effect in handle(self.desk, event):
            if isinstance(effect, ef.Record):
                self.facts.append(effect.fact)
                if isinstance(effect.fact, ev.OrderFilled):
                    self._count(before, effect.fact)
                    before = self._held()

    def _count(self, before: Qty, fact: ev.OrderFilled) -> None:
        request = self.desk.orders[fact.client_order_id].request
        signed = request.side.sign * fact.qty
        if request.exit is None:
            return
        assert before * signed < 0, "an exit only closes"
        assert abs(signed) <= abs(before), "and never more than is held"

    def _held(self) -> Qty:
        return self.desk.portfolio.qty(ALICE, AAPL)

    def _exits(self) -> list[Order]:
        return [o for o in self.desk.open_orders() if o.request.exit is not None]

    def _quote(self, bid: int) -> object:
        return a_quote(bid_price=price(bid), ask_price=price(f"{bid}.1"), quoted_at=self.now, received_at=self.now)

    @initialize(side=st.sampled_from(Side))
    def begin(self, side: Side) -> None:
        """Hold something, or owe it."""
        self.trade(side=side, shares=10)

    @rule(side=st.sampled_from(Side), shares=st.integers(1, 15))
    def trade(self, side: Side, shares: int) -> None:
        """Let the strategy trade at the market, and the broker fill it at once."""
        self.ask(side=side, shares=shares, far=False)
        request = next(reversed(self.desk.orders.values())).request
        if self.desk.orders[request.client_order_id].status.is_open and request.exit is None:
            self._happens(accepted(request))
            self._happens(filled(request, shares, at_price=str(self.bid)))

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule(
        bid=bids,
        seconds=st.sampled_from([1, 1, 3, 20, 400]),
        once=st.sampled_from([False, False, True]),
        is_open=st.booleans() | st.just(True),
    )
    def look(self, bid: int, seconds: int, once: bool, is_open: bool) -> None:
        """Let the market move, and two looks see it, or one."""
        for _ in range(1 + (not once)):
            self.now += timedelta(seconds=seconds)
            self.before, self.bid = self.bid, bid
            pair = SeenQuote(symbol=AAPL, quote=self._quote(self.bid), before=self._quote(self.before))  # type: ignore[arg-type]
            self._happens(ev.PricesSeen(seen=(pair,), is_open=is_open, market_day=MONDAY, at=self.now))

    @rule(side=st.sampled_from(Side), shares=st.integers(1, 30), far=st.booleans())
    def ask(self, side: Side, shares: int, far: bool) -> None:
        """Ask for the strategy, at the market or far from it."""
        self.count += 1
        request = a_request(client_order_id=ClientOrderId(f"alice-{self.count}"), side=side, qty=qty(shares))
        if far:
            away = "1" if side is Side.BUY else "1000"
            request = a_request(
                client_order_id=request.client_order_id,
                side=side,
                qty=qty(shares),
                order_type=OrderType.LIMIT,
                limit_price=price(away),
            )
        quote = self._quote(self.bid)
        self._happens(ev.OrderRequested(request=request, quote=quote, market_day=MONDAY, at=self.now))  # type: ignore[arg-type]

    def _pick(self, data: st.DataObject) -> OrderRequest:
        return data.draw(st.sampled_from([o.request for o in self.desk.open_orders()]))

    @precondition(lambda self: self.desk.open_ids)
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        request = self._pick(data)
        if self.desk.orders[request.client_order_id].broker_order_id is None:
            self._happens(accepted(request))

    @precondition(lambda self: self.desk.open_ids)
    @rule(data=st.data(), share=st.sampled_from([1, 1, 2, 3]))
    def fill(self, data: st.DataObject, share: int) -> None:
        """Fill a whole order, a half or a third of what is left."""
        request = self._pick(data)
        order = self.desk.orders[request.client_order_id]
        left = order.leaves_qty or qty(0)
        part = max(left // share, Decimal(1))
        self._happens(filled(request, str(part), cumulative=str(order.filled_qty + part), at_price=str(self.bid)))

    @precondition(lambda self: self.desk.open_ids)
    @rule(data=st.data(), word=st.sampled_from([BrokerStatus.CANCELED, BrokerStatus.REJECTED, BrokerStatus.EXPIRED]))
    def end(self, data: st.DataObject, word: BrokerStatus) -> None:
        """Let the broker cancel, reject or let expire, exits too."""
        request = self._pick(data)
        done = self.desk.orders[request.client_order_id].filled_qty
        average = price(self.bid) if done else None
        self._happens(updated(a_broker_order(request, status=word, filled_qty=done, filled_avg_price=average)))

    @rule()
    def restart(self) -> None:
        """Kill the desk: its replay stands where it stood."""
        again = self._fresh()
        for fact in self.facts:
            again.apply(fact)
        assert again == self.desk
        self.desk = again

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def one_exit_order_at_a_time(self) -> None:
        assert len(self._exits()) <= 1

    @invariant()
    def no_more_is_promised_than_is_held(self) -> None:
        """While an exit is open: in whatever order the fills come, the position ends at zero and not beyond."""
        for exit_ in self._exits():
            side = exit_.request.side
            same_side = (o for o in self.desk.open_orders() if o.request.side is side)
            promised = sum((o.leaves_qty or qty(0) for o in same_side), Decimal(0))
            opposite = [o for o in self.desk.open_orders() if o.request.side is not side]
            assert side.sign * self._held() < 0
            assert promised <= abs(self._held())
            assert not opposite, "it would trade with itself"

    @invariant()
    def what_is_flat_has_no_exit(self) -> None:
        if not self._held():
            assert (ALICE, AAPL) not in self.desk.exits.running
            assert (ALICE, AAPL) not in self.desk.exits.trails


Exits.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestExits = Exits.TestCase
