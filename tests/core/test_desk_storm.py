"""The desk in storms: whatever comes, it stays solvent and its ledger true."""

import dataclasses
from copy import deepcopy
from datetime import timedelta
from decimal import Decimal

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from deskd.core.deciding import handle
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import HOUSE, BrokerOrderId, ClientOrderId, StrategyId
from deskd.domain.order import Order, OrderStatus, OrderType, Replacement, Side, TimeInForce
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_fill,
    a_quote,
    a_request,
    a_snapshot,
    cash,
    price,
    qty,
    requested,
    some_limits,
    updated,
)


class DeskMachine(RuleBasedStateMachine):
    """Any storm of requests, broker answers, lies and outages leaves the desk solvent and its ledger true."""

    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.desk = a_desk(limits=some_limits(is_short_allowed=False))
        self.at_start = deepcopy(self.desk)
        self.ledger: list[ev.Fact] = []
        self.executed: dict[ClientOrderId, Decimal] = {}  # what the broker has filled, told or not
        self.sizes: dict[ClientOrderId, Decimal] = {}  # what each order is for, at the broker
        self.replaces: dict[ClientOrderId, ClientOrderId] = {}  # new: old, where a replace was asked for
        self.under_way: set[ClientOrderId] = set()  # replaces that have not come to the broker yet
        self.refused: set[ClientOrderId] = set()  # replaces that the broker refused, told or not
        self.ended: dict[ClientOrderId, BrokerStatus] = {}
        self.told: list[ev.TradeUpdated] = []
        self.fills: dict[ClientOrderId, list[ev.TradeUpdated]] = {}
        self.count = 0

    def send(self, event: ev.Event) -> list[ef.Effect]:
        effects = handle(self.desk, event)
        self.ledger += [e.fact for e in effects if isinstance(e, ef.Record)]
        return effects

    @initialize(target=orders)
    def open(self) -> object:
        """Begin with some that rest, so that a short story has something to happen to."""
        self.send(a_snapshot())
        resting = [self.request(ALICE, Side.BUY, shares, OrderType.LIMIT) for shares in (5, 10, 15)]
        for oid in resting:
            assert isinstance(oid, str)
            self.answer(ClientOrderId(oid))
        return multiple(*resting)

    @rule(
        target=orders,
        who=st.sampled_from([ALICE, BOB]),
        side=st.sampled_from(Side),
        shares=st.integers(1, 30),
        kind=st.sampled_from([OrderType.MARKET, OrderType.LIMIT]),
    )
    def request(self, who: StrategyId, side: Side, shares: int, kind: OrderType) -> object:
        self.count += 1
        oid = ClientOrderId(f"o-{self.count}")
        request = a_request(
            strategy_id=who,
            client_order_id=oid,
            side=side,
            qty=qty(shares),
            order_type=kind,
            limit_price=price(100) if kind is OrderType.LIMIT else None,
            time_in_force=TimeInForce.DAY,
        )
        effects = self.send(requested(request))
        if not any(isinstance(e, ef.Submit) for e in effects):
            return multiple()
        self.executed[oid] = Decimal(0)
        self.sizes[oid] = Decimal(shares)
        self.fills[oid] = []
        return oid

    @rule(
        target=orders,
        old=orders,
        shares=st.one_of(st.none(), st.integers(1, 40)),
        limit=st.one_of(st.none(), st.sampled_from([90, 99, 101, 120])),
    )
    def replace(self, old: ClientOrderId, shares: int | None, limit: int | None) -> object:
        """Ask for another order in the place of *old*; what it costs is the gate's to judge."""
        if self.desk.orders[old].request.order_type is OrderType.MARKET:
            limit = None
        self.count += 1
        oid = ClientOrderId(f"o-{self.count}")
        wanted = Replacement(
            replaces=old,
            qty=None if shares is None else qty(shares),
            limit_price=None if limit is None else price(limit),
        )
        asked = ev.ReplaceRequested(
            client_order_id=oid, replacement=wanted, quote=a_quote(), market_day=MONDAY, by="x", at=NOON
        )
        if not any(isinstance(e, ef.Replace) for e in self.send(asked)):
            return multiple()
        self.executed[oid] = Decimal(0)
        self.fills[oid] = []
        self.replaces[oid] = old
        self.under_way.add(oid)
        return oid

    @rule(is_told=st.booleans(), crossing=st.integers(0, 12), is_fill_told=st.booleans(), data=st.data())
    def arrive(self, is_told: bool, crossing: int, is_fill_told: bool, data: st.DataObject) -> None:
        """Let a replace come to the broker, which takes or refuses it; its answer may be lost, a fill may cross it."""
        if not self.under_way:
            return
        oid = data.draw(st.sampled_from(sorted(self.under_way)))
        self.under_way.discard(oid)
        old = self.replaces[oid]
        if crossing:
            self.execute(old, crossing, is_fill_told)
        request = self.desk.orders[oid].request
        assert request.replacement is not None
        total = request.replacement.qty or self.sizes[old]
        if not self.is_alive(old) or total <= self.executed[old]:
            self.refused.add(oid)
            if is_told:
                self.send(ev.SubmitRejected(client_order_id=oid, message="not open", at=NOON))
            return
        self.sizes[oid] = total - self.executed[old]
        self.ended[old] = BrokerStatus.REPLACED
        if is_told:
            self.send(updated(self.at_broker(old), "replaced"))
            self.answer(oid)

    def is_alive(self, oid: ClientOrderId) -> bool:
        is_there = oid not in self.under_way and oid not in self.refused
        return is_there and oid not in self.ended and self.executed[oid] < self.sizes[oid]

    @rule(
        oid=orders,
        status=st.sampled_from(
            [
                BrokerStatus.SUSPENDED,
                BrokerStatus.STOPPED,
                BrokerStatus.DONE_FOR_DAY,
                BrokerStatus.CALCULATED,
                BrokerStatus.PENDING_CANCEL,
                BrokerStatus.PENDING_REPLACE,
                BrokerStatus.ACCEPTED,
                BrokerStatus.PENDING_NEW,
            ]
        ),
    )
    def say(self, oid: ClientOrderId, status: BrokerStatus) -> None:
        """Tell a word that ends nothing."""
        if self.is_alive(oid):
            self.send(updated(dataclasses.replace(self.at_broker(oid), status=status, raw_status=status.value)))

    @rule(oid=orders, is_refused=st.booleans())
    def answer_cancel(self, oid: ClientOrderId, is_refused: bool) -> None:
        refusal = "no" if is_refused else None
        self.send(ev.CancelAnswered(client_order_id=oid, refusal=refusal, at=NOON))

    @rule(oid=orders)
    def answer(self, oid: ClientOrderId) -> None:
        if oid not in self.under_way and oid not in self.refused:
            first = BrokerStatus.NEW
            at_first = dataclasses.replace(
                self.at_broker(oid), status=first, raw_status=first.value, filled_qty=qty(0), filled_avg_price=None
            )
            self.send(ev.SubmitAccepted(client_order_id=oid, order=at_first, at=NOON))

    @rule(oid=orders)
    def doubt(self, oid: ClientOrderId) -> None:
        self.send(ev.SubmitInDoubt(client_order_id=oid, why="timeout", at=NOON))

    @rule(oid=orders)
    def cancel(self, oid: ClientOrderId) -> None:
        self.send(ev.CancelRequested(client_order_id=oid, by="x", at=NOON))

    @rule(oid=orders, shares=st.integers(1, 30), is_told=st.booleans())
    def execute(self, oid: ClientOrderId, shares: int, is_told: bool) -> None:
        """Fill at the broker; the stream may lose the message."""
        if not self.is_alive(oid):
            return
        done = min(Decimal(shares), self.sizes[oid] - self.executed[oid])
        self.executed[oid] += done
        broker = self.at_broker(oid)
        fill = a_fill(broker, str(done), cumulative=str(self.executed[oid]), at_price=str(self.price_of(oid)))
        message = updated(broker, "fill" if self.executed[oid] == self.sizes[oid] else "partial_fill", fill)
        self.fills[oid].append(message)
        if is_told:
            self.told.append(message)
            self.send(message)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Tell an old message again."""
        if self.told:
            self.send(data.draw(st.sampled_from(self.told)))

    @rule(oid=orders, status=st.sampled_from([BrokerStatus.CANCELED, BrokerStatus.EXPIRED]))
    def end(self, oid: ClientOrderId, status: BrokerStatus) -> None:
        if self.is_alive(oid):
            self.ended[oid] = status
            self.send(updated(self.at_broker(oid)))

    def price_of(self, oid: ClientOrderId) -> Decimal:
        """Return the price of all of its fills: the worst that it takes."""
        return self.desk.orders[oid].request.limit_price or Decimal(100)

    def at_broker(self, oid: ClientOrderId) -> ev.BrokerOrder:
        request = self.desk.orders[oid].request
        done = self.executed[oid]
        status = (
            BrokerStatus.FILLED
            if done == self.sizes[oid]
            else self.ended.get(oid, BrokerStatus.PARTIALLY_FILLED if done else BrokerStatus.NEW)
        )
        new = next((n for n, old in self.replaces.items() if old == oid and n in self.sizes), None)
        old = self.replaces.get(oid)
        return a_broker_order(
            request,
            status=status,
            qty=qty(str(self.sizes[oid])),
            filled_qty=qty(str(done)),
            filled_avg_price=price(str(self.price_of(oid))) if done else None,
            replaced_by=None if new is None else BrokerOrderId(f"b-{new}"),
            replaces=None if old is None else BrokerOrderId(f"b-{old}"),
        )

    @rule(oid=orders)
    def look_up(self, oid: ClientOrderId) -> None:
        at = NOON
        if oid in self.under_way:
            self.send(ev.OrderLookedUp(client_order_id=oid, order=None, fills=(), at=at))
            return
        if oid in self.refused:
            at = NOON + timedelta(seconds=11)
            self.send(ev.OrderLookedUp(client_order_id=oid, order=None, fills=(), at=at))
            return
        fills = tuple(m.fill for m in self.fills[oid] if m.fill)
        order = self.at_broker(oid)
        chain: list[ev.BrokerOrder] = []
        last = order
        while last.replaced_by is not None:
            last = self.at_broker(ClientOrderId(last.replaced_by.removeprefix("b-")))
            chain.append(last)
        found = ev.OrderLookedUp(client_order_id=oid, order=order, fills=fills, at=at, successors=tuple(chain))
        self.send(found)

    @rule()
    def reconnect(self) -> None:
        """After an outage, one snapshot brings the desk to where the broker is."""
        self.send(ev.TradeStreamChanged(is_up=False, why="x", at=NOON))
        self.send(ev.TradeStreamChanged(is_up=True, why="listening", at=NOON))
        position: dict[str, Decimal] = {}
        money = Decimal(100_000)
        for oid, done in self.executed.items():
            request = self.desk.orders[oid].request
            position[request.symbol] = position.get(request.symbol, Decimal(0)) + request.side.sign * done
            money -= request.side.sign * done * self.price_of(oid)
        self.send(
            a_snapshot(
                cash=cash(str(money)),
                positions=tuple(
                    ev.BrokerPosition(symbol=AAPL, qty=qty(str(q)), avg_entry_price=price(100))
                    for q in position.values()
                    if q
                ),
                orders=tuple(self.at_broker(oid) for oid in self.sizes),
                missing=tuple(self.refused),
                asked_at=NOON + timedelta(seconds=11),
                at=NOON + timedelta(seconds=11),
                fills=tuple((oid, tuple(m.fill for m in ms if m.fill)) for oid, ms in self.fills.items()),
                fill_count=self.desk.fill_count,
            )
        )
        assert self.desk.is_synced
        for oid, done in self.executed.items():
            assert self.desk.orders[oid].filled_qty == done
            assert self.desk.orders[oid].status.is_open is (self.is_alive(oid) or oid in self.under_way)
        for new, old in self.replaces.items():
            assert (self.desk.orders[old].status is OrderStatus.REPLACED) is (self.ended.get(old) == "replaced"), new

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        for oid, done in self.executed.items():
            assert self.desk.orders[oid].filled_qty <= done

    @invariant()
    def no_book_is_overdrawn_or_short(self) -> None:
        for who in (ALICE, BOB):
            assert self.desk.buying_power(who) >= 0
            assert self.desk.portfolio.book(who).qty(AAPL) >= 0

    def booked(self) -> list[Order]:
        return [self.desk.orders[oid] for oid in self.executed]

    @invariant()
    def nothing_is_held_below_zero(self) -> None:
        for held in self.desk.reservations.by_order.values():
            assert min(held.cash, held.qty, held.opening) >= 0

    @invariant()
    def a_pair_holds_what_either_could_still_trade(self) -> None:
        """At the broker, each order may still trade what is left of it there, and the desk's unknown fills count.

        An order may be replaced again before the desk knows the end of the one before it: all of them hold together.
        """
        for new, old in self.replaces.items():
            if self.desk.orders[new].request.side is Side.SELL or not self.desk.orders[new].status.is_open:
                continue
            chain = [new, old]
            while chain[-1] in self.replaces:
                chain.append(self.replaces[chain[-1]])
            pair = [oid for oid in chain if self.desk.orders[oid].status.is_open]
            held = sum((self.desk.reservations.of(self.desk.orders[oid]).cash for oid in pair), Decimal(0))
            shares = sum((self.desk.reservations.of(self.desk.orders[oid]).opening for oid in pair), Decimal(0))
            untold = [self.executed[o] - self.desk.orders[o].filled_qty for o in pair]
            alive = [self.sizes[o] - self.executed[o] if self.is_alive(o) else Decimal(0) for o in pair]
            needed = [(u + a) for u, a in zip(untold, alive, strict=True)]
            cost = sum((n * self.price_of(o) for n, o in zip(needed, pair, strict=True)), Decimal(0))
            assert shares >= sum(needed), (new, old)
            assert held >= cost, (new, old)

    @invariant()
    def the_books_add_up(self) -> None:
        booked = sum(
            (self.desk.orders[o].request.side.sign * self.desk.orders[o].filled_qty for o in self.executed), Decimal(0)
        )
        spent = sum(
            (o.request.side.sign * o.filled_qty * self.price_of(o.request.client_order_id) for o in self.booked()),
            Decimal(0),
        )
        assert self.desk.portfolio.cash() == 100_000 - spent
        assert self.desk.portfolio.holdings().get(AAPL, Decimal(0)) == booked
        assert self.desk.portfolio.book(HOUSE).cash == 80_000

    @invariant()
    def only_open_orders_hold_anything(self) -> None:
        open_ids = {o for o, order in self.desk.orders.items() if order.status.is_open}
        assert open_ids == set(self.desk.open_ids) == set(self.desk.reservations.by_order)
        if not open_ids:
            for who in (ALICE, BOB):
                assert self.desk.reservations.cash(who) == 0
                assert self.desk.reservations.qty(who, AAPL) == 0
                assert self.desk.reservations.count(who) == 0

    @invariant()
    def the_ledger_tells_the_whole_story(self) -> None:
        again = deepcopy(self.at_start)
        for fact in self.ledger:
            again.apply(fact)
        assert again == self.desk


TestDesk = DeskMachine.TestCase
TestDesk.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
