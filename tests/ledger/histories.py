"""Random short lives of a desk, as the facts that it records: for properties that hold of every history."""

from dataclasses import replace
from datetime import timedelta

import hypothesis.strategies as st

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId, RunId
from deskd.domain.order import OrderClass, OrderRequest, OrderType, Side, StopLoss, TakeProfit
from deskd.domain.run import StrategyStatus
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    DAY,
    MONDAY,
    NOON,
    SPY,
    a_broker_order,
    a_fill,
    a_quote,
    a_request,
    a_snapshot,
    an_instrument,
    cash,
    price,
    qty,
    registered,
    requested,
    some_limits,
    updated,
)

type Step = tuple[str, int, int]  # what happens, to which of the orders so far, how much of it

STEPS = (
    "market",
    "limit",
    "bracket",
    "accept",
    "fill",
    "cancel",
    "canceled",
    "expired",
    "reject",
    "marks",
    "look",
    "drop",
    "restart",
    "by hand",
    "allocate",
)


def histories(max_size: int = 40) -> st.SearchStrategy[list[ev.Fact]]:
    """Return lists of facts, as a real desk has recorded them."""
    steps = st.tuples(st.sampled_from(STEPS), st.integers(0, 30), st.integers(1, 12))
    return st.lists(steps, max_size=max_size).map(_facts)


def _facts(steps: list[Step]) -> list[ev.Fact]:
    life = _Life()
    for number, step in enumerate(steps):
        life.goes_on(number, step)
    return life.facts


class _Life:
    def __init__(self) -> None:
        self.facts: list[ev.Fact] = []
        self.asked: list[OrderRequest] = []
        limits = dict.fromkeys((ALICE, BOB), some_limits())
        self.desk = Desk(limits=limits, instruments={s: an_instrument(s) for s in (AAPL, SPY)}, calendar={MONDAY: DAY})
        self.now = NOON
        self.happens(ev.TradeStreamChanged(is_up=True, why="listening", at=NOON))
        self.happens(a_snapshot())
        for who in (ALICE, BOB):
            self.happens(registered(who))
            self.happens(ev.StrategyStatusChanged(strategy_id=who, status=StrategyStatus.ACTIVE, why="test", at=NOON))
            self.happens(ev.AllocationChanged(strategy_id=who, allocation=cash(10_000), by="test", at=NOON))

    def happens(self, event: ev.Event) -> None:
        self.facts += [e.fact for e in handle(self.desk, event) if isinstance(e, ef.Record)]

    def goes_on(self, number: int, step: Step) -> None:
        what, which, much = step
        self.now += timedelta(seconds=which)
        if what in {"market", "limit", "bracket"}:
            self._asks(number, what, which, much)
        elif what in {"accept", "fill", "cancel", "canceled", "expired", "reject"}:
            if self.asked:
                self._moves(self.asked[which % len(self.asked)], what, much)
        else:
            self._goes_by(what, much)

    def _asks(self, number: int, what: str, which: int, much: int) -> None:
        who = ALICE if which % 2 else BOB
        request = a_request(
            strategy_id=who,
            client_order_id=ClientOrderId(f"{who}-{number}"),
            symbol=AAPL if which % 3 else SPY,
            side=Side.SELL if which % 5 == 0 and what != "bracket" else Side.BUY,
            qty=qty(much),
        )
        if what != "market":
            request = replace(request, order_type=OrderType.LIMIT, limit_price=price(f"{much}.25"))
        if what == "bracket":
            request = replace(
                request,
                order_class=OrderClass.BRACKET,
                take_profit=TakeProfit(limit_price=price(110)),
                stop_loss=StopLoss(stop_price=price("0.5")),
            )
        quote = a_quote(symbol=request.symbol, quoted_at=self.now, received_at=self.now)
        self.happens(requested(request, quote=quote, at=self.now, market_day=self.now.date()))
        asked = self.desk.orders.get(request.client_order_id)  # none while the stream is down
        if asked is not None and asked.status.is_open:
            self.asked.append(request)

    def _moves(self, request: OrderRequest, what: str, much: int) -> None:
        oid = request.client_order_id
        order = self.desk.orders[oid]
        match what:
            case "accept":
                self.happens(ev.SubmitAccepted(client_order_id=oid, order=self._theirs(request), at=self.now))
            case "fill" if order.leaves_qty:
                shares = min(order.leaves_qty, qty(much))
                total = qty(str(order.filled_qty + shares))
                status = BrokerStatus.FILLED if total == request.qty else BrokerStatus.PARTIALLY_FILLED
                theirs = self._theirs(request, status=status, filled_qty=total)
                fill = a_fill(theirs, str(shares), cumulative=str(total), at_price=f"10.{much}")
                self.happens(updated(theirs, fill=fill))
            case "cancel":
                self.happens(ev.CancelRequested(client_order_id=oid, by="test", at=self.now))
            case "canceled" | "expired":
                self.happens(updated(self._theirs(request, status=BrokerStatus(what), filled_qty=order.filled_qty)))
            case "reject":
                self.happens(ev.SubmitRejected(client_order_id=oid, message="no", at=self.now))
            case _:
                pass

    def _theirs(self, request: OrderRequest, **overrides: object) -> ev.BrokerOrder:
        legs: tuple[ev.BrokerOrder, ...] = ()
        if request.order_class is OrderClass.BRACKET:
            legs = tuple(
                a_broker_order(
                    replace(
                        request,
                        client_order_id=ClientOrderId(f"{request.client_order_id}-{kind}"),
                        side=Side.SELL,
                        order_type=kind,
                        limit_price=price(110) if kind is OrderType.LIMIT else None,
                        stop_price=price("0.5") if kind is OrderType.STOP else None,
                    ),
                    status=BrokerStatus.HELD,
                )
                for kind in (OrderType.LIMIT, OrderType.STOP)
            )
        return a_broker_order(request, legs=legs, **overrides)

    def _goes_by(self, what: str, much: int) -> None:
        match what:
            case "marks":
                self.happens(ev.MarksTaken(marks=((AAPL, price(f"9.{much}")),), at=self.now))
            case "look":
                self.happens(a_snapshot(at=self.now, asked_at=self.now, fill_count=self.desk.fill_count, cash=cash(99)))
            case "drop":
                self.happens(ev.TradeStreamChanged(is_up=bool(much % 2), why="test", at=self.now))
            case "restart":
                self.happens(ev.DeskStarted(version="0", broker="embedded", at=self.now))
                self.happens(ev.RunStarted(run_id=RunId(f"r{much}"), strategy_id=ALICE, at=self.now))
            case "by hand":
                stopped = ev.StrategyStatusChanged(
                    strategy_id=BOB, status=StrategyStatus.PAUSED, why="test", at=self.now, by_hand=True
                )
                self.happens(stopped)
            case _:
                self.happens(
                    ev.AllocationChanged(strategy_id=ALICE, allocation=cash(10_000 + much), by="test", at=self.now)
                )
