"""The desk against a naive broker and naive books, over a line that loses, doubles, delays and reorders.

Rule 1: the broker is right. What the desk knows of it comes over the line, and the line is played by the machine.
Rule 2: after each step the desk is what its facts lead to, and what plain sums over the broker's fills say.
Rule 3: when the line has delivered, both agree.

DESKD_EXAMPLES and DESKD_STEPS have it run for longer.
"""

import os
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deskd.core.deciding import handle
from deskd.core.splitting import is_waiting
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import HOUSE, ClientOrderId, StrategyId
from deskd.domain.market import Quote
from deskd.domain.money import Cash
from deskd.domain.order import (
    Order,
    OrderClass,
    OrderRequest,
    OrderStatus,
    OrderType,
    Replacement,
    Side,
    StopLoss,
    TakeProfit,
)
from deskd.ledger.codec import decode, encode
from tests.core.naive_broker import CAN_FILL, LAG, OPEN, Kept, Look, NaiveBroker
from tests.factories import (
    AAPL,
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_desk,
    a_quote,
    a_request,
    a_snapshot,
    cash,
    price,
    qty,
    some_limits,
)

EXAMPLES = int(os.environ.get("DESKD_EXAMPLES", "40"))
STEPS = int(os.environ.get("DESKD_STEPS", "40"))
ROUNDS_MAX = 30  # of a line that delivers everything: more is a desk that turns in circles
WHO = (ALICE, BOB)
ALLOCATION, ACCOUNT = Decimal(10_000), Decimal(100_000)
SHORT_OF_SETTLED = timedelta(seconds=9)
PENDING = {OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE}

type Request = ef.Submit | ef.Replace | ef.Cancel | ef.LookUp


@dataclass
class OnItsWay:
    """Something that the desk asks of the broker, and has not reached it."""

    request: Request


def is_overfillable(kept: Kept) -> bool:
    """Tell whether the broker could make that mistake: shares were asked for, and were or are to be traded."""
    return kept.order.qty is not None and kept.order.status in CAN_FILL | {BrokerStatus.FILLED}


def let_go(fact: ev.Fact, request: OrderRequest) -> bool:
    """Tell whether it is by *fact* that the order, or the part of one, goes to the broker."""
    if isinstance(fact, ev.OrderSplit):
        return (fact.part_id, fact.qty) == (request.client_order_id, request.qty)
    return isinstance(fact, ev.OrderApproved) and fact.request == request


class DeskAndBroker(RuleBasedStateMachine):
    """Whatever is asked, done and lost, the desk is solvent, its ledger true, and in the end the broker's equal."""

    is_short_allowed = False

    def __init__(self) -> None:
        super().__init__()
        limits = some_limits(is_short_allowed=self.is_short_allowed)
        self.desk = a_desk(limits=limits)
        self.twin = a_desk(limits=limits)  # of the facts alone, as they are stored
        self.broker = NaiveBroker(ACCOUNT)
        self.now = NOON
        self.facts: list[ev.Fact] = []
        self.asked: list[OrderRequest] = []
        self.to_broker: list[OnItsWay] = []
        self.answers: list[ev.Event] = []
        self.look: Look | None = None
        self.is_look_due = False
        self.sent: Counter[ClientOrderId] = Counter()
        self.final: dict[ClientOrderId, OrderStatus] = {}
        self.accounts = [(NOON, *self.broker.account())]

    # --- the desk's side of the line ---------------------------------------------------------------------------------

    def tell(self, event: ev.Event) -> list[ef.Effect]:
        """Have the desk handle the event, keep its facts, and put what it wants on the line."""
        before = deepcopy(self.desk.reservations), deepcopy(self.desk.portfolio)
        effects = handle(self.desk, event)
        for effect in effects:
            match effect:
                case ef.Record(fact):
                    self.facts.append(fact)
                    self.twin.apply(decode(*encode(fact)))
                case ef.Submit(request) | ef.Replace(request):
                    oid = request.client_order_id
                    self.sent[oid] += 1
                    known = [f for f in self.facts if self.lets_leave(f, request)]
                    assert len(known) == 1, f"{oid} leaves before it is approved, or was approved twice"
                    self.to_broker.append(OnItsWay(effect))
                case ef.LookUp():  # one at a time of each order, as the runtime asks
                    if OnItsWay(effect) not in self.to_broker:
                        self.to_broker.append(OnItsWay(effect))
                case ef.Cancel():
                    self.to_broker.append(OnItsWay(effect))
                case ef.Reconcile():
                    self.is_look_due = True
                case _:
                    pass
        kinds = {type(e.fact) for e in effects if isinstance(e, ef.Record)}
        if kinds <= {ev.OrderDenied}:
            assert before == (self.desk.reservations, self.desk.portfolio), "a refusal changed a book"
        return effects

    def lets_leave(self, fact: ev.Fact, request: OrderRequest) -> bool:
        """Tell whether *fact* is the one that lets this order go to the broker."""
        return let_go(fact, request)

    def an_id(self) -> ClientOrderId:
        return ClientOrderId(f"o{len(self.asked) + 1}")

    def ask(self, request: OrderRequest) -> None:
        self.asked.append(request)
        self.tell(ev.OrderRequested(request=request, quote=self.a_quote(), market_day=MONDAY, at=self.now))

    def a_quote(self) -> Quote:
        return a_quote(received_at=self.now, quoted_at=self.now)

    # --- strategies and officers -------------------------------------------------------------------------------------

    @rule(
        who=st.sampled_from(WHO),
        side=st.sampled_from(Side),
        shares=st.integers(1, 20),
        kind=st.sampled_from([OrderType.MARKET, OrderType.LIMIT]),
    )
    def order(self, who: StrategyId, side: Side, shares: int, kind: OrderType) -> None:
        limit = price(100) if kind is OrderType.LIMIT else None
        self.ask(
            a_request(
                strategy_id=who,
                client_order_id=self.an_id(),
                side=side,
                qty=qty(shares),
                order_type=kind,
                limit_price=limit,
            )
        )

    @rule(who=st.sampled_from(WHO), amount=st.integers(1, 900))
    def order_for_money(self, who: StrategyId, amount: int) -> None:
        self.ask(a_request(strategy_id=who, client_order_id=self.an_id(), qty=None, notional=cash(amount)))

    @rule(who=st.sampled_from(WHO), shares=st.integers(1, 20))
    def bracket(self, who: StrategyId, shares: int) -> None:
        self.ask(
            a_request(
                strategy_id=who,
                client_order_id=self.an_id(),
                qty=qty(shares),
                order_class=OrderClass.BRACKET,
                take_profit=TakeProfit(limit_price=price(110)),
                stop_loss=StopLoss(stop_price=price(90)),
            )
        )

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), is_same=st.booleans())
    def order_again(self, data: st.DataObject, is_same: bool) -> None:
        """Use an id again: with the same content the same answer, with other content none.

        Nothing new is approved or denied; what waited may be over meanwhile.
        """
        request = data.draw(st.sampled_from(self.asked))
        if request.client_order_id not in self.desk.orders:
            return
        other = request if is_same else replace(request, reason="another")
        facts = len(self.facts)
        effects = self.tell(ev.OrderRequested(request=other, quote=self.a_quote(), market_day=MONDAY, at=self.now))
        assert not any(isinstance(fact, ev.OrderApproved | ev.OrderDenied) for fact in self.facts[facts:])
        assert all(e.request.client_order_id != request.client_order_id for e in effects if isinstance(e, ef.Submit))
        assert is_same or any(isinstance(e, ef.Refuse) for e in effects)

    @precondition(lambda self: self.desk.orders)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        oid = data.draw(st.sampled_from(sorted(self.desk.orders)))
        self.tell(ev.CancelRequested(client_order_id=oid, by="x", at=self.now))

    @precondition(lambda self: self.desk.open_ids)
    @rule(
        data=st.data(), shares=st.none() | st.integers(1, 25), limit=st.sampled_from([None, "90", "99", "101", "120"])
    )
    def replace(self, data: st.DataObject, shares: int | None, limit: str | None) -> None:
        old = data.draw(st.sampled_from(sorted(self.desk.open_ids)))
        wanted = Replacement(
            replaces=old,
            qty=None if shares is None else qty(shares),
            limit_price=None if limit is None else price(limit),
        )
        new = self.an_id()
        event = ev.ReplaceRequested(
            client_order_id=new,
            replacement=wanted,
            quote=self.a_quote(),
            market_day=MONDAY,
            by="x",
            at=self.now,
        )
        self.tell(event)
        if new in self.desk.orders:
            self.asked.append(self.desk.orders[new].request)

    # --- the market, and the broker's own mind -----------------------------------------------------------------------

    @precondition(lambda self: any(k.order.status in CAN_FILL for k in self.broker.kept.values()))
    @rule(data=st.data(), shares=st.sampled_from(["0.5", "1", "3", "20"]), better=st.sampled_from([0, 1]))
    def execute(self, data: st.DataObject, shares: str, better: int) -> None:
        able = sorted(oid for oid, k in self.broker.kept.items() if k.order.status in CAN_FILL)
        oid = data.draw(st.sampled_from(able))
        order = self.broker.kept[oid].order
        at = order.limit_price or order.stop_price or Decimal(100)
        amount = Decimal(shares) if order.qty is None else Decimal(shares).to_integral_value(rounding="ROUND_UP")
        self.broker.execute(oid, amount, at - better * order.side.sign, self.now)

    @precondition(lambda self: any(is_overfillable(k) for k in self.broker.kept.values()))
    @rule(data=st.data(), beyond=st.integers(1, 3))
    def overfill(self, data: st.DataObject, beyond: int) -> None:
        """Have the broker execute more than the order is for, of one that lives or is filled already."""
        able = sorted(oid for oid, k in self.broker.kept.items() if is_overfillable(k))
        oid = data.draw(st.sampled_from(able))
        self.broker.execute(oid, self.broker.kept[oid].left, Decimal(100), self.now, beyond=Decimal(beyond))

    @precondition(lambda self: any(k.order.status in CAN_FILL for k in self.broker.kept.values()))
    @rule(
        data=st.data(),
        status=st.sampled_from([BrokerStatus.CANCELED, BrokerStatus.EXPIRED, BrokerStatus.REJECTED]),
    )
    def end(self, data: st.DataObject, status: BrokerStatus) -> None:
        able = sorted(oid for oid, k in self.broker.kept.items() if k.order.status in CAN_FILL)
        self.broker.end(data.draw(st.sampled_from(able)), status, self.now)

    # --- the line ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.to_broker)
    @rule(data=st.data(), is_answered=st.booleans(), refuses=st.integers(0, 5))
    def arrives(self, data: st.DataObject, is_answered: bool, refuses: int) -> None:
        """Let the broker get it; the answer may be lost on the way back."""
        item = data.draw(st.sampled_from(self.to_broker))
        self.to_broker.remove(item)
        self.answers.append(self.done(item.request, is_answered=is_answered, refuses=not refuses))

    @precondition(lambda self: self.to_broker)
    @rule(data=st.data())
    def never_arrives(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.to_broker))
        self.to_broker.remove(item)
        self.answers.append(self.no_answer(item.request))

    @precondition(lambda self: any(not isinstance(item.request, ef.LookUp) for item in self.to_broker))
    @rule(data=st.data())
    def answer_overtaken(self, data: st.DataObject) -> None:
        """Have the desk wait no longer; the request arrives later."""
        items = [item for item in self.to_broker if not isinstance(item.request, ef.LookUp)]
        self.answers.append(self.no_answer(data.draw(st.sampled_from(items)).request))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answered(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.answers))
        self.answers.remove(event)
        self.tell(event)

    @precondition(lambda self: self.broker.stream)
    @rule(data=st.data(), again=st.booleans())
    def streamed(self, data: st.DataObject, again: bool) -> None:
        """Any of what the stream has to say, whatever came before it; perhaps once more later."""
        event = data.draw(st.sampled_from(self.broker.stream))
        if not again:
            self.broker.stream.remove(event)
        self.tell(replace(event, at=self.now))

    @precondition(lambda self: self.broker.stream)
    @rule(data=st.data())
    def stream_loses(self, data: st.DataObject) -> None:
        self.broker.stream.remove(data.draw(st.sampled_from(self.broker.stream)))

    @precondition(lambda self: self.broker.stream)
    @rule()
    def stream_catches_up(self) -> None:
        while self.broker.stream:
            self.tell(replace(self.broker.stream.pop(0), at=self.now))

    @rule(is_told=st.booleans())
    def stream_drops(self, is_told: bool) -> None:
        """Lose what was under way; nobody takes orders until a look has come after the next listening."""
        self.broker.stream.clear()
        if is_told:
            self.tell(ev.TradeStreamChanged(is_up=False, why="dropped", at=self.now))
        self.tell(ev.TradeStreamChanged(is_up=True, why="listening", at=self.now))

    @rule(seconds=st.sampled_from([1, 4, 11]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.accounts.append((self.now, *self.broker.account()))
        self.look = None if self.look and self.now - self.look.asked_at > SHORT_OF_SETTLED else self.look

    @rule()
    def doubts_time_out(self) -> None:
        for order in self.desk.open_orders():
            if self.is_doubtful(order):
                oid = order.request.client_order_id
                self.tell(ev.DoubtTimedOut(client_order_id=oid, at=self.now))

    def is_doubtful(self, order: Order) -> bool:
        return order.broker_order_id is None or order.status in PENDING or self.desk.has_lost_its_group(order)

    @rule()
    def look_begins(self) -> None:
        self.is_look_due = False
        kept = self.broker.kept
        self.look = Look(
            orders=tuple(k.order for k in kept.values()),
            fills=tuple((oid, tuple(k.fills)) for oid, k in kept.items() if k.fills),
            missing=tuple(oid for oid in self.desk.open_ids if oid not in kept),
            fill_count=self.desk.fill_count,
            asked_at=self.now,
        )

    @precondition(lambda self: self.look)
    @rule(data=st.data())
    def look_ends(self, data: st.DataObject) -> None:
        """Positions and cash may be behind, as Alpaca's are."""
        recent = [one for one in self.accounts if self.now - one[0] < LAG] + [(self.now, *self.broker.account())]
        _, money, positions = data.draw(st.sampled_from(recent))
        self.take_look(money, positions)

    def take_look(self, money: Cash, positions: tuple[ev.BrokerPosition, ...]) -> None:
        assert self.look is not None
        look, self.look = self.look, None
        snapshot = a_snapshot(
            cash=money,
            positions=positions,
            orders=look.orders,
            fills=look.fills,
            missing=look.missing,
            fill_count=look.fill_count,
            asked_at=look.asked_at,
            at=self.now,
        )
        self.tell(snapshot)

    @rule(data=st.data())
    def killed(self, data: st.DataObject) -> None:
        """Let the desk die; what it had sent may arrive, no answer does. The next one comes from the facts."""
        for item in self.to_broker:
            if data.draw(st.booleans()):
                self.done(item.request, is_answered=False, refuses=False)
        self.to_broker.clear()
        self.answers.clear()
        self.broker.stream.clear()
        self.look = None
        limits, instruments = self.desk.limits, self.desk.instruments
        self.desk = deepcopy(self.twin)
        self.desk.limits, self.desk.instruments = limits, instruments
        self.tell(ev.DeskStarted(version="0", broker="embedded", at=self.now))
        self.tell(ev.TradeStreamChanged(is_up=True, why="listening", at=self.now))

    def done(self, request: Request, *, is_answered: bool, refuses: bool) -> ev.Event:
        """Have the broker do it; return what comes of it."""
        match request:
            case ef.Submit(asked) | ef.Replace(asked):
                if isinstance(request, ef.Submit):
                    outcome = self.broker.submit(asked, self.now, refuses=refuses)
                else:
                    outcome = self.broker.replace(asked, request.broker_order_id, self.now)
                oid = asked.client_order_id
                if not is_answered or outcome == "client_order_id must be unique":
                    return self.no_answer(request)
                if isinstance(outcome, str):
                    return ev.SubmitRejected(client_order_id=oid, message=outcome, at=self.now)
                return ev.SubmitAccepted(client_order_id=oid, order=outcome, at=self.now)
            case ef.Cancel(oid, broker_order_id):
                refusal = self.broker.cancel(broker_order_id, self.now)
                if not is_answered:
                    return self.no_answer(request)
                return ev.CancelAnswered(client_order_id=oid, refusal=refusal, at=self.now)
            case ef.LookUp(oid):
                return self.broker.look_up(oid, self.now)

    def no_answer(self, request: Request) -> ev.Event:
        match request:
            case ef.Submit(asked) | ef.Replace(asked):
                return ev.SubmitInDoubt(client_order_id=asked.client_order_id, why="timeout", at=self.now)
            case ef.Cancel(oid, _):
                return ev.CancelInDoubt(client_order_id=oid, why="timeout", at=self.now)
            case ef.LookUp(oid):
                return ev.DoubtTimedOut(client_order_id=oid, at=self.now)  # asked again when the doubt is looked at

    # --- when the line has delivered ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Deliver everything, look at the account truthfully, and compare."""
        self.is_look_due = True
        for _ in range(ROUNDS_MAX):
            self.deliver_everything()
            looked = self.desk.last_reconciled
            is_asking = self.is_look_due or any(map(self.is_doubtful, self.desk.open_orders()))
            if looked is not None and not looked.differences and not is_asking:
                break
            self.now += timedelta(seconds=20)
            self.doubts_time_out()
            self.deliver_everything()
            self.look_begins()
            self.take_look(*self.broker.account())
        else:
            raise AssertionError(f"no rest after {ROUNDS_MAX} rounds: {self.desk.open_orders()}")
        self.agree()

    def deliver_everything(self) -> None:
        for _ in range(1_000):
            if not (self.to_broker or self.answers or self.broker.stream):
                return
            if self.to_broker:
                item = self.to_broker.pop(0)
                self.answers.append(self.done(item.request, is_answered=True, refuses=False))
            if self.broker.stream:
                self.tell(replace(self.broker.stream.pop(0), at=self.now))
            if self.answers:
                self.tell(self.answers.pop(0))
        raise AssertionError("the desk asks, and asks again")

    def agree(self) -> None:
        for oid, order in self.desk.orders.items():
            if order.split is not None:
                assert oid not in self.broker.kept
                parts = [self.desk.orders[part] for part in order.split.parts]
                assert order.counted_qty == sum(part.counted_qty for part in parts)
                assert order.status.is_open is (parts[-1].status.is_open or is_waiting(order))
                continue
            theirs = self.broker.kept.get(oid)
            if theirs is None:
                assert order.status in self.never_there(order), (oid, order.status)
                continue
            there = theirs.order
            assert order.counted_qty == there.filled_qty, oid
            assert order.status.is_open is (there.status in OPEN), (oid, order.status, there.status)
            if not order.status.is_open and order.status is not OrderStatus.REJECTED:
                assert str(order.status) == self.as_here(order, there), oid
        money, positions = self.broker.account()
        assert self.desk.portfolio.cash() == money
        assert self.desk.portfolio.holdings() == {p.symbol: p.qty for p in positions}
        internal = {f.fill_id for f in self.facts if isinstance(f, ev.OrderFilled) and f.internal_with}
        assert set(self.desk.fill_ids) - internal == set(self.broker.fills())
        assert self.desk.last_reconciled is not None
        assert self.desk.last_reconciled.differences == ()
        assert self.desk.is_synced
        self.the_books_are_sums_of_fills()

    def never_there(self, order: Order) -> set[OrderStatus]:
        """Return how an order may have ended that the broker never saw."""
        return {OrderStatus.DENIED, OrderStatus.REJECTED}

    def as_here(self, order: Order, there: ev.BrokerOrder) -> str:
        """Return what the broker's status of an order that is over is to the desk."""
        return str(there.status)

    # --- after every step --------------------------------------------------------------------------------------------

    @invariant()
    def the_facts_lead_to_the_desk(self) -> None:
        assert self.twin == self.desk

    @invariant()
    def the_books_are_sums_of_fills(self) -> None:
        """Each fill that is booked is the broker's, is booked once, and is booked to who asked for the order."""
        booked = [fact for fact in self.facts if isinstance(fact, ev.OrderFilled)]
        surplus = [fact for fact in self.facts if isinstance(fact, ev.HouseAdjusted)]
        assert {fact.cause for fact in surplus} <= {HouseCause.OVERFILL}, "the house took what was a member's"
        assert len({fact.fill_id for fact in booked}) == len(booked)
        assert len({fact.fill_id for fact in surplus}) == len(surplus)
        assert len({f.fill_id for f in booked} | {f.fill_id for f in surplus}) == self.desk.fill_count
        beyond = {fact.fill_id: abs(fact.qty) for fact in surplus}
        theirs = self.broker.fills()
        money = dict.fromkeys(WHO, ALLOCATION)
        held = dict.fromkeys(WHO, Decimal(0))
        for fact in booked:
            if fact.internal_with is None:
                oid, fill = theirs[fact.fill_id]
                whole = fact.qty + beyond.get(fact.fill_id, 0)
                assert (fact.client_order_id, whole, fact.price) == (oid, fill.qty, fill.price)
            request = self.desk.orders[fact.client_order_id].request
            money[request.strategy_id] -= request.side.sign * fact.qty * fact.price
            held[request.strategy_id] += request.side.sign * fact.qty
        books = self.desk.portfolio.books
        for who in WHO:
            assert books[who].cash == money[who]
            assert books[who].qty(AAPL) == held[who]
        assert books[HOUSE].cash == ACCOUNT - 2 * ALLOCATION + sum(fact.cash for fact in surplus)
        assert books[HOUSE].qty(AAPL) == sum(fact.qty for fact in surplus)
        for oid, order in self.desk.orders.items():
            names = {oid} if order.split is None else set(order.split.parts)
            own = [fact.qty for fact in booked if fact.client_order_id in names]
            assert order.filled_qty == sum(own)
            if (asked := order.qty) is not None:
                assert order.filled_qty <= asked

    @invariant()
    def open_orders_hold_and_others_do_not(self) -> None:
        held = self.desk.reservations
        open_orders = {o.request.client_order_id: o for o in self.desk.orders.values() if o.status.is_open}
        split = {oid for oid, order in open_orders.items() if order.split is not None}
        assert set(self.desk.open_ids) == set(open_orders) - split
        assert set(self.desk.split_ids) == split
        assert set(held.by_order) <= set(open_orders)
        assert set(self.desk.needs) <= set(open_orders)
        for oid, order in open_orders.items():
            assert oid in held.by_order or order.parent_id is not None or order.part_of is not None
            assert oid not in held.by_order or order.part_of is None, "the whole holds for its parts"
        for who in WHO:
            own = [held.by_order[oid] for oid in held.by_order if self.desk.orders[oid].request.strategy_id == who]
            assert held.cash(who) == sum(one.cash for one in own)
            assert held.qty(who, AAPL) == sum(one.qty for one in own)
            assert held.count(who) == len(own)
            assert all(min(one.cash, one.qty, one.opening) >= 0 for one in own)

    @invariant()
    def a_simple_order_holds_what_it_may_still_need(self) -> None:
        approved = {f.request.client_order_id: f for f in self.facts if isinstance(f, ev.OrderApproved)}
        for oid, held in self.desk.reservations.by_order.items():
            order, fact = self.desk.orders[oid], approved.get(oid)
            if fact is None or order.replaces or order.replaced_by or order.restated_qty or order.message:
                continue
            left = order.leaves_qty
            if left is not None and order.request.qty is not None:
                assert held.cash == fact.reserved_cash * left / order.request.qty
                assert held.qty == max(fact.reserved_qty - order.filled_qty, 0)

    @invariant()
    def nobody_is_overdrawn_or_short(self) -> None:
        """But for exits: the broker may fill one before the desk hears of its entry's fills, or of the exit itself."""
        with_exits = {r.strategy_id for r in self.asked if r.order_class is not OrderClass.SIMPLE}
        for who in set(WHO) - with_exits:
            assert self.desk.buying_power(who) >= 0
            assert self.desk.portfolio.book(who).qty(AAPL) >= 0

    @invariant()
    def what_is_final_stays_final(self) -> None:
        for oid, order in self.desk.orders.items():
            if oid in self.final:
                assert order.status is self.final[oid]
            elif not order.status.is_open:
                self.final[oid] = order.status

    @invariant()
    def nothing_is_sent_twice(self) -> None:
        assert all(count == 1 for count in self.sent.values())


TestDeskAndBroker = DeskAndBroker.TestCase
TestDeskAndBroker.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
