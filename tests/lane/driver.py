"""Plays a plan: many strategies on one desk against the embedded exchange, over a line that is late and reorders.

Rule 1: the desk is the core alone: what it wants sent is carried to the exchange here, and the answers back. Nothing is
        written to bytes, stored or logged: the decisions are the real ones, on both sides.
Rule 2: the exchange's stream arrives in its order, some time later; what is sent, and the answers to it, in any order.
Rule 3: a refusal by the exchange for a rule between orders of one account is a failure, whatever led to it.

A policy that is new needs nothing here: `ConflictPolicy` is what is played, and each kind of fact is counted by its name.
What must hold of a new kind of fact is a function in ON_FACT, of a new kind of end one in AT_THE_END.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from deskd.core import conflicts, crossing, sequencing
from deskd.core.checks import MARKET_MARGIN
from deskd.core.deciding import handle
from deskd.core.desk import TRADES, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol
from deskd.domain.lane import LaneRules
from deskd.domain.limits import Limits
from deskd.domain.market import Instrument, MarketClock, Quote, TradingDay
from deskd.domain.money import NO_QTY, Cash, Price, Qty
from deskd.domain.order import Fill, Order, OrderRequest, OrderStatus, Replacement
from deskd.domain.run import StrategyStatus
from deskd.exchange.account import Asset
from deskd.exchange.errors import ApiError
from deskd.exchange.exchange import Exchange
from deskd.exchange.fill_model import IMMEDIATE, PAPER
from deskd.exchange.order import ExchangeOrder, OrderChanges
from deskd.exchange.session import SessionDay
from tests.exchange.given import NOON, a_day
from tests.factories import MONDAY, a_snapshot, an_instrument, cash, price, qty, registered, some_limits
from tests.lane import keeping, told
from tests.lane.keeping import EXITS, Keeper
from tests.lane.plan import MIDDLE, SYMBOLS, Ask, Cancel, Kill, Look, Move, Plan, Release, Replace, Restart, Wait
from tests.lane.wide import STRATEGIES_MAX

MONEY, ALLOCATION = 100_000_000, 1_000_000
LATE_MAX = timedelta(seconds=8)  # under the desk's doubt_settle: later nothing arrives at the broker
ROUNDS_MAX = 8  # in which all that is on its way arrives, and what is in doubt is asked for
PENDING = frozenset({OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE})
_ASSETS = tuple(Asset(id=f"aaaa-{symbol}", symbol=symbol, name=symbol, exchange="NASDAQ") for symbol in SYMBOLS)
_INSTRUMENTS = {symbol: an_instrument(symbol) for symbol in SYMBOLS}
_SIZE = qty(100)
_CENT = Decimal("0.01")


def _limits(plan: Plan) -> Limits:
    return some_limits(
        is_short_allowed=plan.is_short_allowed,
        may_wait_for_open=plan.may_wait_for_open,
        order_notional_max=cash(MONEY),
        position_notional_max=cash(MONEY),
        open_orders_max=1000,
        orders_per_day_max=100_000,
    )


def _opening(who: StrategyId) -> tuple[ev.Fact, ...]:
    active = StrategyStatus.ACTIVE
    return (
        registered(who),
        ev.StrategyStatusChanged(strategy_id=who, status=active, why="test", at=NOON),
        ev.AllocationChanged(strategy_id=who, allocation=cash(ALLOCATION), by="test", at=NOON),
    )


_OPENINGS = {StrategyId(f"s{n}"): _opening(StrategyId(f"s{n}")) for n in range(STRATEGIES_MAX)}
_SNAPSHOT = a_snapshot(cash=Cash(Decimal(MONEY)), at=NOON)


@dataclass
class Counts:
    """What the sequences brought."""

    sequences: int = 0
    asked: int = 0
    sent: int = 0
    facts: Counter[str] = field(default_factory=Counter)  # by their kind: OrderHeld, OrderFilled, ...
    denied: Counter[str] = field(default_factory=Counter)  # by reason
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    answers: Counter[str] = field(default_factory=Counter)  # of the exchange to orders and replaces
    conflicts: Counter[str] = field(
        default_factory=Counter
    )  # of those, for a rule between orders; none, if all is well

    def add(self, other: "Counts") -> None:
        """Count what *other* has counted."""
        self.sequences += other.sequences
        self.asked += other.asked
        self.sent += other.sent
        for name in ("facts", "denied", "rejected", "answers", "conflicts"):
            getattr(self, name).update(getattr(other, name))


class MakeDesk(Protocol):
    """Makes a desk from what is no part of its fold: `Desk`, or one that does not see all."""

    def __call__(
        self, *, limits: dict[StrategyId, Limits], instruments: dict[Symbol, Instrument], lane: LaneRules
    ) -> Desk:
        """Return a desk without a history."""


@dataclass
class Story:
    """One plan as it is played."""

    plan: Plan
    counts: Counts
    make_desk: MakeDesk = Desk
    is_strict: bool = True  # False: a refusal for a conflict is counted, and nothing is checked
    exchange: Exchange = field(init=False)
    desk: Desk = field(init=False)
    now: datetime = field(init=False)
    day: SessionDay = field(init=False)
    keeper: Keeper = field(default_factory=Keeper)  # of kills
    quotes: dict[Symbol, tuple[Price, Price]] = field(default_factory=dict)
    to_broker: list[tuple[datetime, ef.Effect]] = field(default_factory=list)  # since when on its way
    answers: list[ev.Event] = field(default_factory=list)  # of the broker to what was sent, on their way
    stream: deque[ev.TradeUpdated] = field(default_factory=deque)  # the same of its stream
    looks: deque[Symbol] = field(default_factory=deque)  # at the market, which the desk wants and gets some time later
    wakes: list[tuple[datetime, ClientOrderId]] = field(default_factory=list)  # when the desk looks at an order again
    facts: list[ev.Fact] = field(default_factory=list)
    fills: dict[str, list[Fill]] = field(default_factory=dict)  # by the exchange's id of the order
    asked_at: dict[ClientOrderId, Price] = field(default_factory=dict)  # at what price an order for money was asked for
    exchanges: int = 0  # halves of those between two strategies at the desk
    is_look_due: bool = False
    has_restarted: bool = False  # something was lost: the desk has to ask

    def __post_init__(self) -> None:
        """Open the account, and give each strategy its part of it."""
        plan = self.plan
        self.now, self.day = plan.begins_at, a_day(close=plan.closes)
        fills = PAPER if plan.is_paper else IMMEDIATE
        self.exchange = Exchange(
            assets=_ASSETS, cash=_SNAPSHOT.cash, fills=fills, seed=plan.seed + 1, id_seed=7, now=self.now
        )
        self.exchange.on_session(self.day, self.now)
        for symbol in SYMBOLS:
            self._move(symbol, MIDDLE)
        self.desk = self._new_desk()
        self._keep(ev.StreamChanged(stream=TRADES, is_up=True, why="listening", at=self.now))
        self.tell(replace(_SNAPSHOT, at=self.now))
        for who in plan.strategies:
            for fact in _OPENINGS[who]:
                self._keep(fact)

    def _new_desk(self) -> Desk:
        limits = dict.fromkeys(self.plan.strategies, _limits(self.plan))
        desk = self.make_desk(limits=limits, instruments=_INSTRUMENTS, lane=self.plan.rules)
        if self.plan.is_wide:
            desk.calendar = {self.day.day: _trading_day(self.day)}
        if self.plan.has_exits:
            desk.exit_rules = dict.fromkeys(self.plan.strategies, EXITS)
        return desk

    def clock(self) -> MarketClock:
        """Return the market's clock as the broker tells it."""
        day, now = self.day, self.now
        is_open = day.open_at <= now < day.close_at
        next_open = day.open_at if now < day.open_at else day.next_open_at
        return MarketClock(
            timestamp=now,
            is_open=is_open,
            next_open=next_open,
            next_close=day.close_at if now < day.close_at else day.next_close_at,
        )

    def _keep(self, fact: ev.Fact) -> None:
        self.desk.apply(fact)
        self.facts.append(fact)

    # --- the line ----------------------------------------------------------------------------------------------------

    def tell(self, event: ev.Event) -> None:
        """Let the desk handle *event*; what it wants sent is on its way."""
        for effect in handle(self.desk, event):
            match effect:
                case ef.Record(fact):
                    self._recorded(fact)
                case ef.Submit() | ef.Replace():
                    self.to_broker.append((self.now, effect))
                case ef.Cancel() | ef.LookUp():
                    if all(effect != one for _, one in self.to_broker):  # however often it is asked for
                        self.to_broker.append((self.now, effect))
                case ef.LookAtMarket(symbol):
                    self.looks.append(symbol)
                case ef.LookAgain(oid, after):
                    self.wakes.append((self.now + after, oid))
                case ef.Reconcile():
                    self.is_look_due = True
                case _:
                    pass

    def _recorded(self, fact: ev.Fact) -> None:
        self.facts.append(fact)
        kind, counts = type(fact), self.counts
        counts.facts[kind.__name__] += 1
        if kind is ev.OrderDenied:
            assert isinstance(fact, ev.OrderDenied)
            counts.denied[str(fact.reason)] += 1
        elif kind is ev.OrderRejected:
            assert isinstance(fact, ev.OrderRejected)
            counts.rejected[str(fact.reason)] += 1
        if self.is_strict and (check := ON_FACT.get(kind)):
            check(self, fact)

    def carry(self, picks: Sequence[float]) -> None:
        """Bring some of what was sent to the exchange, in any order."""
        for pick in picks:
            if not self.to_broker:
                break
            self._act(self.to_broker.pop(int(pick * len(self.to_broker)))[1])

    def hear(self, picks: Sequence[float]) -> None:
        """Let some of what the exchange said arrive: its stream in order, its answers in any."""
        for pick in picks:
            if self.looks and pick < 0.3:
                self._look_at_market(self.looks.popleft())
            elif self.answers and (pick < 0.5 or not self.stream):
                answer = self.answers.pop(int(pick * 2 * len(self.answers)) % len(self.answers))
                # An event's time is that at which the desk hears of it; a look is as old as when it was asked for.
                self.tell(answer if isinstance(answer, ev.OrderLookedUp) else replace(answer, at=self.now))
            elif self.stream:
                self.tell(replace(self.stream.popleft(), at=self.now))
            else:
                break

    def _look_at_market(self, symbol: Symbol) -> None:
        self.tell(ev.MarketLooked(symbol=symbol, quote=self.quote(symbol), at=self.now, clock=self.clock()))

    def _listen(self) -> None:
        for event in self.exchange.take_events():
            update = told.update(event)
            if update.fill is not None:
                self.fills.setdefault(event.order.id, []).append(update.fill)
            self.stream.append(update)

    def _act(self, effect: ef.Effect) -> None:
        match effect:
            case ef.Submit(request):
                self.counts.sent += 1
                self._answered(request, self.exchange.submit(told.new_order(request), self.now))
            case ef.Replace(request, broker_order_id):
                wanted = request.replacement
                assert wanted is not None
                changes = OrderChanges(
                    qty=wanted.qty, limit_price=wanted.limit_price, client_order_id=request.client_order_id
                )
                self._answered(request, self.exchange.replace(broker_order_id, changes, self.now))
            case ef.Cancel(oid, broker_order_id):
                error = self.exchange.cancel(broker_order_id, self.now)
                refusal = None if error is None else error.message
                self.answers.append(ev.CancelAnswered(client_order_id=oid, refusal=refusal, at=self.now))
            case ef.LookUp(oid):
                self.answers.append(self._found(oid))
            case _:
                raise AssertionError(f"{effect} is nothing that is sent")
        self._listen()

    def _answered(self, request: OrderRequest, answer: ExchangeOrder | ApiError) -> None:
        oid = request.client_order_id
        if not isinstance(answer, ApiError):
            self.counts.answers["200"] += 1
            self.answers.append(ev.SubmitAccepted(client_order_id=oid, order=self._told(answer), at=self.now))
            return
        rule = told.conflict_in(answer.message)
        # Shares for an amount of money are those at the price at which they arrive; 2 % are provided for.
        is_surprise = rule is not None and request.notional is not None and self._has_moved(request)
        is_surprise = is_surprise or (rule == "auction_window" and self._is_late(request))
        self.counts.answers[f"{answer.http} {'surprise' if is_surprise else rule or answer.message[:40]}"] += 1
        if rule is not None and not is_surprise:
            self.counts.conflicts[rule] += 1
            assert not self.is_strict, f"the broker says: {answer.message}: {request}"
        self.answers.append(ev.SubmitRejected(client_order_id=oid, message=answer.message, at=self.now))

    def _has_moved(self, request: OrderRequest) -> bool:
        then, (_, ask) = self.asked_at[request.client_order_id], self.quotes[request.symbol]
        return abs(ask / then - 1) > MARKET_MARGIN

    def _is_late(self, request: OrderRequest) -> bool:
        """Tell whether the order for an auction was in time when it was approved, and has arrived when it is not."""
        asked = self.desk.orders[request.client_order_id].requested_at
        return conflicts.auction_window(request.time_in_force, asked, _trading_day(self.day)) is None and (
            conflicts.auction_window(request.time_in_force, self.now, _trading_day(self.day)) is not None
        )

    def _told(self, theirs: ExchangeOrder) -> ev.BrokerOrder:
        by_id = self.exchange.order
        return told.order(theirs, [leg for leg_id in theirs.legs if (leg := by_id(leg_id))])

    def _found(self, oid: ClientOrderId) -> ev.OrderLookedUp:
        theirs = self.exchange.by_client_order_id(oid)
        if theirs is None:
            return ev.OrderLookedUp(client_order_id=oid, order=None, fills=(), at=self.now)
        successors: list[ev.BrokerOrder] = []
        link: ExchangeOrder | None = theirs
        while link is not None and link.replaced_by is not None:
            link = self.exchange.order(link.replaced_by)
            assert link is not None
            successors.append(self._told(link))
        fills = tuple(self.fills.get(theirs.id, ()))
        found = self._told(theirs)
        return ev.OrderLookedUp(
            client_order_id=oid, order=found, fills=fills, successors=tuple(successors), at=self.now
        )

    def _look(self) -> None:
        """Look at the whole account, as after each start."""
        self.is_look_due = False
        theirs = [self._told(order) for order in self.exchange.orders(status="all", limit=1_000, is_descending=False)]
        known = {order.client_order_id for order in theirs}
        leaving = {one.request.client_order_id for _, one in self.to_broker if isinstance(one, ef.Submit | ef.Replace)}
        ids = {order.request.client_order_id: None for order in self.desk.sent_orders()}
        fills = {order.client_order_id: tuple(self.fills.get(order.broker_order_id, ())) for order in theirs}
        snapshot = ev.BrokerSnapshot(
            cash=self.exchange.account().cash,
            equity=_SNAPSHOT.equity,
            buying_power=_SNAPSHOT.buying_power,
            positions=tuple(
                ev.BrokerPosition(symbol=Symbol(one.symbol), qty=one.qty, avg_entry_price=one.avg_entry_price)
                for one in self.exchange.positions()
            ),
            orders=tuple(theirs),
            fills=tuple((oid, found) for oid, found in fills.items() if found),
            missing=tuple(oid for oid in ids if oid not in known and oid not in leaving),
            fill_count=self.desk.execution_count,
            why="test",
            at=self.now,
        )
        self.tell(snapshot)

    # --- what happens ------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play the plan, then let all that is on its way arrive, and compare the books with the account."""
        for step in self.plan.steps:
            match step.what:
                case Ask(request):
                    self._ask(request)
                case Cancel(pick):
                    if known := self._an_open_order(pick):
                        asked = ev.CancelRequested(client_order_id=known.request.client_order_id, by="x", at=self.now)
                        self.tell(asked)
                case Replace() as wish:
                    if known := self._an_open_order(wish.pick):
                        self._replace(known, wish)
                case Move(symbol, middle):
                    self._move(symbol, middle)
                case Wait(seconds):
                    self._wait(seconds)
                case Restart(arrives):
                    self._restart(arrives)
                case Kill(target, depth):
                    self.tell(keeping.pulled(target, depth, self.now))
                case Release(pick):
                    keeping.release(self, pick)
                case Look():
                    keeping.look(self)
            self.carry(step.carried)
            self.hear(step.heard)
            if self.is_look_due:
                self._look()
            if self.plan.is_wide:
                self.keeper.step(self)
            if self.is_strict and self.desk.held_ids:
                self._nobody_waits_for_nothing()
        self._settle()
        self.counts.sequences += 1

    def _ask(self, request: OrderRequest) -> None:
        self.counts.asked += 1
        quote = self.quote(request.symbol)
        if request.notional is not None:
            self.asked_at[request.client_order_id] = quote.ask_price
        self.tell(ev.OrderRequested(request=request, quote=quote, market_day=MONDAY, at=self.now, clock=self.clock()))

    def _replace(self, old: Order, wish: Replace) -> None:
        if old.qty is None or old.qty + wish.more <= 0:
            return
        limit_price = old.request.limit_price
        wanted = Replacement(
            replaces=old.request.client_order_id,
            qty=Qty(old.qty + wish.more) if old.parent_id is None else None,
            limit_price=None if limit_price is None else Price(limit_price + wish.higher),
        )
        asked = ev.ReplaceRequested(
            client_order_id=wish.client_order_id,
            replacement=wanted,
            quote=self.quote(old.request.symbol),
            market_day=MONDAY,
            by="x",
            at=self.now,
        )
        self.tell(asked)

    def quote(self, symbol: Symbol) -> Quote:
        """Return the market as it is now."""
        bid, ask = self.quotes[symbol]
        return Quote(
            symbol=symbol,
            bid_price=bid,
            bid_size=_SIZE,
            ask_price=ask,
            ask_size=_SIZE,
            quoted_at=self.now,
            received_at=self.now,
        )

    def _move(self, symbol: Symbol, middle: int) -> None:
        self.quotes[symbol] = Price(middle - _CENT), Price(middle + _CENT)
        bid, ask = self.quotes[symbol]
        self.exchange.on_quote(symbol, bid, _SIZE, ask, _SIZE, self.now)
        self.exchange.on_trade(symbol, price(middle), _SIZE, self.now)
        self._listen()

    def _wait(self, seconds: float) -> None:
        """Let time pass; nothing is on its way to the broker for longer than the desk knows (`doubt_settle`)."""
        now = self.now + timedelta(seconds=seconds)
        for one in [one for one in self.to_broker if now - one[0] >= LATE_MAX]:
            self.to_broker.remove(one)
            self._act(one[1])
        self.now = now
        self.exchange.advance(self.now)
        self._listen()
        due = [oid for at, oid in self.wakes if at <= self.now]
        self.wakes = [one for one in self.wakes if one[0] > self.now]
        for oid in due:
            self._look_at(oid)
        if self.has_restarted:
            for order in self.desk.open_orders():
                if self._is_doubtful(order):
                    self._look_at(order.request.client_order_id)
        if self.is_strict:
            for oid in self.desk.held_ids:
                until = self.desk.orders[oid].held_until
                assert until is not None
                assert self.now < until, f"{oid} waits longer than it may"
            for oid in list(self.desk.split_ids):  # its time counts from the market's word, which is older than now
                if sequencing.is_overdue(self.desk, self.desk.orders[oid], self.now):
                    self._look_at(oid)
            for oid in self.desk.split_ids:
                assert not sequencing.is_overdue(self.desk, self.desk.orders[oid], self.now), f"the rest of {oid} waits"

    def _look_at(self, oid: ClientOrderId) -> None:
        if oid in self.desk.open_ids or oid in self.desk.split_ids:
            self.tell(ev.DoubtTimedOut(client_order_id=oid, at=self.now))

    def _restart(self, arrives: Sequence[bool]) -> None:
        """Kill the desk. One that replays the same facts is the same desk; then it asks the broker how things stand."""
        again = self._new_desk()
        for fact in self.facts:
            again.apply(fact)
        if self.is_strict:
            assert again == self.desk, "the replay of its facts is another desk"
        lost = [one for n, one in enumerate(self.to_broker) if arrives[n % len(arrives)]]
        self.to_broker.clear()
        is_early = self.now - lost[0][0] > LATE_MAX / 2 if lost else False
        if is_early:
            self._arrive_unheard(lost)
        self.answers.clear()
        self.stream.clear()
        self.looks.clear()
        self.desk, self.wakes, self.has_restarted = again, [], True
        self.keeper = Keeper()
        self.tell(ev.DeskStarted(version="test", broker="test", at=self.now))
        self.tell(ev.TradeStreamChanged(is_up=True, why="listening", at=self.now))
        self._look()
        if not is_early:
            self._arrive_unheard(lost)
        for oid in self.desk.held_ids:
            until = self.desk.orders[oid].held_until
            assert until is not None
            self.wakes.append((until, oid))
            if self.desk.orders[oid].recalled_for is not None:  # the runtime asks after it before long
                self.wakes.append((self.now + crossing.MEET_MAX, oid))
        for oid in self.desk.split_ids:  # the runtime looks every few seconds, whatever it knows
            split = self.desk.orders[oid].split
            if split is not None and split.waits_since is not None:
                self.wakes.append((min(split.until, split.waits_since + self.plan.rules.hold_max), oid))

    def _arrive_unheard(self, left: Sequence[tuple[datetime, ef.Effect]]) -> None:
        """Let arrive what had left before the desk died: nobody hears the answers."""
        for _, effect in left:
            self._act(effect)
            self.answers.pop()

    def _an_open_order(self, pick: float) -> Order | None:
        ids = list(self.desk.open_ids)
        return self.desk.orders[ids[int(pick * len(ids))]] if ids else None

    def _nobody_waits_for_nothing(self) -> None:
        """Have the first in line of each symbol wait for an order at the broker: so the line always moves."""
        desk = self.desk
        first = {desk.orders[oid].request.symbol: oid for oid in reversed(desk.held_ids)}
        untold = {desk.orders[oid].request.symbol for oid in desk.awaits_legs}  # exits, which the broker has
        for symbol, oid in first.items():
            is_at_the_broker = any(not desk.orders[one].is_held for one in desk.open_by_symbol[symbol])
            soon = self.now + crossing.MEET_MAX  # a look at the market, for an order that was recalled
            is_recalled = desk.orders[oid].recalled_for is not None
            is_looked_at = is_recalled and any(one == oid and at <= soon for at, one in self.wakes)
            is_kills_turn = bool(desk.kills.in_force)  # what it closes comes first
            has_reason = is_kills_turn or is_at_the_broker or symbol in untold or is_looked_at or not desk.is_synced
            assert has_reason, f"{oid} waits for nothing"

    # --- the end -----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Let everything arrive, and ask for what is in doubt."""
        for n in range(ROUNDS_MAX):
            self._wait(self.plan.rules.hold_max.total_seconds() + 1)
            while self.to_broker or self.answers or self.stream or self.looks:
                self.carry((0.0,) * len(self.to_broker))
                self.hear((0.0,) * len(self.looks) + (0.0,) * len(self.answers) + (0.9,) * len(self.stream))
            if self.is_look_due:
                self._look()
            if self.plan.is_wide:
                self.keeper.step(self)
            if n >= 2 and not self.has_restarted:
                break
        if self.is_strict:
            for check in AT_THE_END:
                check(self)

    def _is_doubtful(self, order: Order) -> bool:
        """Tell whether the runtime asks for the order from time to time."""
        return order.broker_order_id is None or order.status in PENDING or self.desk.has_lost_its_group(order)


def _trading_day(day: SessionDay) -> TradingDay:
    return TradingDay(
        day=day.day,
        extended_open_at=day.extended_open_at,
        open_at=day.open_at,
        close_at=day.close_at,
        extended_close_at=day.extended_close_at,
    )


def nobody_waits(story: Story) -> None:
    """Have nobody wait at the end."""
    assert not story.desk.held_ids, "somebody waits for ever"
    split = [story.desk.orders[oid].split for oid in story.desk.split_ids]
    assert all(one is not None and one.waits_since is None for one in split), "the rest of somebody's order does"


def exchanges_are_whole(story: Story) -> None:
    """Have no half of an exchange be alone."""
    assert story.exchanges % 2 == 0, "half an exchange"


def books_are_the_account(story: Story) -> None:
    """Have the sum over the books be the account, to the last cent and share."""
    holdings = story.desk.portfolio.holdings()
    for symbol in SYMBOLS:
        view = story.exchange.position(symbol)
        has = NO_QTY if view is None else view.qty
        assert holdings.get(symbol, NO_QTY) == has, f"books and account differ in {symbol}"
    assert story.desk.portfolio.cash() == story.exchange.account().cash, "cash differs"


def house_takes_nothing(_story: Story, fact: ev.Fact) -> None:
    """Have each fill be some strategy's: the house takes what was there before, and what it hands over after a kill."""
    assert isinstance(fact, ev.HouseAdjusted)
    assert fact.cause in {HouseCause.OPENING, HouseCause.BLOCK}, f"the house takes {fact}"


def exchanges_are_fair(story: Story, fact: ev.Fact) -> None:
    """Have internal fills come two by two: one price within the NBBO of now and both limits, between two strategies.

    So the sums over the books stay as they are.
    """
    assert isinstance(fact, ev.OrderFilled)
    request = story.desk.orders[fact.client_order_id].request
    if fact.internal_with is None or request.for_kill:  # or it is handed over what the house closed for it
        return
    bid, ask = story.quotes[request.symbol]
    assert bid <= fact.price <= ask, f"{fact.price} is not in {bid}/{ask}"
    limit = request.limit_price
    assert limit is None or (fact.price - limit) * request.side.sign <= 0, f"{fact.price} is past {limit}"
    story.exchanges += 1
    if story.exchanges % 2:
        return
    before = story.facts[-2]
    assert isinstance(before, ev.OrderFilled), "the other half is the fact before"
    assert (before.client_order_id, before.internal_with) == (fact.internal_with, fact.client_order_id)
    assert (before.qty, before.price) == (fact.qty, fact.price)
    other = story.desk.orders[before.client_order_id].request
    assert other.side is not request.side
    assert other.strategy_id != request.strategy_id
    assert other.symbol == request.symbol


def parts_go_in_turn(story: Story, fact: ev.Fact) -> None:
    """Have one part of an order live at a time, and all of them together be for no more than was asked for."""
    assert isinstance(fact, ev.OrderSplit)
    whole = story.desk.orders[fact.client_order_id]
    assert whole.split is not None
    assert whole.qty is not None
    parts = [story.desk.orders[oid] for oid in whole.split.parts]
    assert sum(part.status.is_open for part in parts) <= 1, f"two parts of {fact.client_order_id} live"
    may_trade = sum((part.qty or NO_QTY if part.status.is_open else part.filled_qty for part in parts), NO_QTY)
    assert may_trade <= whole.qty, f"the parts of {fact.client_order_id} come to more than it"


def parts_are_the_order(story: Story) -> None:
    """Have each order that went in parts have traded what they have and what it exchanged before, and have none of them live on without it."""
    for oid, whole in story.desk.orders.items():
        if whole.split is None:
            continue
        parts = [story.desk.orders[part] for part in whole.split.parts]
        assert whole.filled_qty == sum((part.filled_qty for part in parts), whole.internal_qty), (
            f"{oid} is not its parts"
        )
        assert whole.status.is_open or not any(part.status.is_open for part in parts), f"a part of {oid} lives on"


ON_FACT: dict[type[ev.Fact], Callable[[Story, ev.Fact], None]] = {
    ev.HouseAdjusted: house_takes_nothing,
    ev.OrderFilled: exchanges_are_fair,
    ev.OrderSplit: parts_go_in_turn,
}
AT_THE_END: tuple[Callable[[Story], None], ...] = (
    nobody_waits,
    exchanges_are_whole,
    books_are_the_account,
    parts_are_the_order,
    keeping.nothing_opens_under_a_kill,
)
