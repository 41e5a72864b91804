"""Many strategies on one desk against the embedded exchange, in one process, over a line that is late and reorders.

Rule 1: the desk is the core alone: what it wants sent is carried to the exchange here, and the answers back.
Rule 2: what the exchange says arrives in its order, some time later; what is sent arrives in any order.
Rule 3: a refusal by the exchange for a rule between orders of one account is a failure, whatever led to it.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from deskd.core.checks import MARKET_MARGIN
from deskd.core.deciding import handle
from deskd.core.desk import TRADES, Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerOrder
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, Symbol
from deskd.domain.lane import LaneRules
from deskd.domain.market import Quote
from deskd.domain.money import NO_QTY, Cash, Price, Qty
from deskd.domain.order import Fill, Order, OrderClass, OrderRequest, OrderType, Replacement, Side, TimeInForce, fill_id
from deskd.domain.run import StrategyStatus
from deskd.exchange.errors import ApiError
from deskd.exchange.fill_model import IMMEDIATE, PAPER
from deskd.exchange.order import ExchangeOrder, NewOrder, OrderChanges, OrderEvent
from tests.exchange.given import Trading, loss, profit, trading
from tests.factories import (
    AAPL,
    MONDAY,
    SPY,
    a_quote,
    a_request,
    a_snapshot,
    an_instrument,
    cash,
    price,
    qty,
    registered,
    some_limits,
)

# How the exchange begins to say that an order breaks a rule between orders of one account.
CONFLICTS = (
    "insufficient qty",
    "cannot open a",
    "potential wash trade",
    "bracket orders must be entry",
    "fractional orders cannot be sold short",
)
MONEY = 100_000_000
FILL_WORDS = frozenset({"fill", "partial_fill"})


@dataclass
class Counts:
    """What the sequences brought."""

    sequences: int = 0
    asked: int = 0
    sent: int = 0
    fills: int = 0
    held: int = 0
    released: int = 0
    denied: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass
class Story:
    """One sequence: some strategies, two symbols, one account."""

    seed: int
    rules: LaneRules
    counts: Counts
    strategies: int = 6
    random: Random = field(init=False)
    world: Trading = field(init=False)
    desk: Desk = field(init=False)
    to_broker: list[ef.Submit | ef.Replace | ef.Cancel] = field(default_factory=list)
    to_desk: deque[ev.Event] = field(default_factory=deque)
    number: int = 0
    asked_at: dict[ClientOrderId, Price] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the account, and give each strategy its part of it."""
        self.random = Random(self.seed)
        is_paper = self.random.random() < 0.7
        self.world = trading(money=MONEY, fills=PAPER if is_paper else IMMEDIATE, seed=self.seed + 1)
        limits = some_limits(
            is_short_allowed=self.random.random() < 0.6,
            order_notional_max=cash(MONEY),
            position_notional_max=cash(MONEY),
            open_orders_max=1000,
            orders_per_day_max=100_000,
        )
        names = [StrategyId(f"s{n}") for n in range(self.strategies)]
        self.desk = Desk(
            limits=dict.fromkeys(names, limits),
            instruments={AAPL: an_instrument(AAPL), SPY: an_instrument(SPY)},
            lane=self.rules,
        )
        self.tell(ev.StreamChanged(stream=TRADES, is_up=True, why="listening", at=self.now))
        self.tell(a_snapshot(cash=Cash(Decimal(MONEY)), at=self.now))
        for who in names:
            self.desk.apply(registered(who))
            active = StrategyStatus.ACTIVE
            self.desk.apply(ev.StrategyStatusChanged(strategy_id=who, status=active, why="test", at=self.now))
            self.desk.apply(ev.AllocationChanged(strategy_id=who, allocation=cash(1_000_000), by="test", at=self.now))

    @property
    def now(self) -> datetime:
        """Return the one clock of desk and market."""
        return self.world.now

    # --- the line ----------------------------------------------------------------------------------------------------

    def tell(self, event: ev.Event) -> None:
        """Let the desk handle *event*; what it wants sent is on its way."""
        for effect in handle(self.desk, event):
            match effect:
                case ef.Submit() | ef.Replace() | ef.Cancel():
                    self.to_broker.append(effect)
                case ef.Record(ev.OrderDenied(reason=reason)):
                    self.counts.denied[reason] = self.counts.denied.get(reason, 0) + 1
                case ef.Record(ev.OrderRejected(reason=reason)):
                    self.counts.rejected[reason] = self.counts.rejected.get(reason, 0) + 1
                case ef.Record(ev.OrderHeld()):
                    self.counts.held += 1
                case ef.Record(ev.OrderReleased()):
                    self.counts.released += 1
                case ef.Record(ev.OrderFilled()):
                    self.counts.fills += 1
                case _:
                    pass

    def carry(self, most: int) -> None:
        """Bring up to *most* of what was sent to the exchange, in any order."""
        for _ in range(min(most, len(self.to_broker))):
            self._act(self.to_broker.pop(self.random.randrange(len(self.to_broker))))
            self.listen()

    def _act(self, effect: ef.Submit | ef.Replace | ef.Cancel) -> None:
        match effect:
            case ef.Submit(request):
                self.counts.sent += 1
                self._answered(request, self.world.exchange.submit(_new_order(request), self.now))
            case ef.Replace(request, broker_order_id):
                wanted = request.replacement
                assert wanted is not None
                changes = OrderChanges(
                    qty=wanted.qty, limit_price=wanted.limit_price, client_order_id=request.client_order_id
                )
                self._answered(request, self.world.exchange.replace(broker_order_id, changes, self.now))
            case ef.Cancel(oid, broker_order_id):
                error = self.world.exchange.cancel(broker_order_id, self.now)
                refusal = None if error is None else error.message
                self.to_desk.append(ev.CancelAnswered(client_order_id=oid, refusal=refusal, at=self.now))

    def _answered(self, request: OrderRequest, answer: ExchangeOrder | ApiError) -> None:
        oid = request.client_order_id
        if isinstance(answer, ApiError):
            # Shares for an amount of money are those at the price at which they arrive; 2 % are provided for.
            is_surprise = request.notional is not None and self._has_moved(request)
            is_conflict = answer.message.startswith(CONFLICTS) and not is_surprise
            assert not is_conflict, f"seed={self.seed} {self.rules.conflict}: {answer.message}: {request}"
            self.to_desk.append(ev.SubmitRejected(client_order_id=oid, message=answer.message, at=self.now))
        else:
            legs = tuple(map(_told, self.world.legs(answer)))
            told = _told(answer, legs)
            self.to_desk.append(ev.SubmitAccepted(client_order_id=oid, order=told, at=self.now))

    def _has_moved(self, request: OrderRequest) -> bool:
        then = self.asked_at[request.client_order_id]
        return abs(self._quote(request.symbol).ask_price / then - 1) > MARKET_MARGIN

    def listen(self) -> None:
        """Put what the exchange has said on its way to the desk."""
        self.world._listen()
        for event in self.world.events:
            self.to_desk.append(_update(event))
        self.world.events.clear()

    def hear(self, most: int) -> None:
        """Let up to *most* of what the exchange said arrive."""
        for _ in range(min(most, len(self.to_desk))):
            self.tell(self.to_desk.popleft())

    # --- what happens ------------------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        """Play *steps*, then let all that is on its way arrive, and compare the books with the account."""
        for _ in range(steps):
            self.step()
        self.settle()
        self.counts.sequences += 1

    def step(self) -> None:
        """Do one thing, and let some of what is on its way arrive."""
        match self.random.choices(["order", "cancel", "replace", "move", "wait"], (60, 12, 6, 10, 12))[0]:
            case "order":
                self.counts.asked += 1
                self._ask(self._a_request())
            case "cancel" if known := self._an_open_order():
                self.tell(ev.CancelRequested(client_order_id=known.request.client_order_id, by="x", at=self.now))
            case "replace" if known := self._an_open_order():
                self._replace(known)
            case "move":
                self._move(self.random.choice((AAPL, SPY)))
            case _:
                self.world.wait(self.random.choice((0.01, 0.2, 2)))
        self.listen()
        self.carry(self.random.choice((0, 1, 1, 3)))
        self.hear(self.random.choice((0, 1, 4, 16)))
        if self.desk.held_ids:
            self.tell(ev.MarksTaken(marks=(), at=self.now))
        for oid in self.desk.held_ids:
            until = self.desk.orders[oid].held_until
            assert until is not None
            assert self.now < until, f"seed={self.seed}: {oid} waits longer than it may"

    def _ask(self, request: OrderRequest) -> None:
        quote = self._quote(request.symbol)
        self.asked_at[request.client_order_id] = quote.ask_price
        self.tell(ev.OrderRequested(request=request, quote=quote, market_day=MONDAY, at=self.now))

    def _replace(self, old: Order) -> None:
        if old.qty is None:
            return
        self.number += 1
        is_limit = old.request.limit_price is not None
        moved = Price(old.request.limit_price + self.random.randint(-2, 2)) if old.request.limit_price else None
        wanted = Replacement(
            replaces=old.request.client_order_id,
            qty=Qty(old.qty + self.random.randint(0, 3)) if old.parent_id is None else None,
            limit_price=moved if is_limit else None,
        )
        asked = ev.ReplaceRequested(
            client_order_id=ClientOrderId(f"r{self.number}"),
            replacement=wanted,
            quote=self._quote(old.request.symbol),
            market_day=MONDAY,
            by="x",
            at=self.now,
        )
        self.tell(asked)

    def _quote(self, symbol: Symbol) -> Quote:
        nbbo = self.world.exchange._prices.nbbo(symbol, self.now - timedelta(days=1))
        assert nbbo is not None
        return a_quote(symbol=symbol, bid_price=nbbo.bid, ask_price=nbbo.ask, quoted_at=self.now, received_at=self.now)

    def _move(self, symbol: Symbol) -> None:
        middle = 100 + self.random.randint(-3, 3)
        self.world.quote(symbol, bid=middle - 0.01, ask=middle + 0.01)
        self.world.trade(float(middle), symbol)

    def _an_open_order(self) -> Order | None:
        ids = list(self.desk.open_ids)
        return self.desk.orders[self.random.choice(ids)] if ids else None

    def _a_request(self) -> OrderRequest:
        random = self.random
        self.number += 1
        who = StrategyId(f"s{random.randrange(self.strategies)}")
        side = random.choice((Side.BUY, Side.SELL))
        kind = random.choice((OrderType.MARKET, OrderType.LIMIT, OrderType.LIMIT, OrderType.LIMIT, *OrderType))
        fields: dict[str, object] = {"qty": qty(random.randint(1, 9))}
        sign, limit_price = side.sign, price(100 + random.randint(-4, 4))
        match kind:
            case OrderType.MARKET if random.random() < 0.15:
                fields = {"qty": None, "notional": cash(random.randint(50, 900))}
            case OrderType.LIMIT:
                fields |= {"limit_price": limit_price}
            case OrderType.STOP:
                fields |= {"stop_price": price(100 + sign * 5)}
            case OrderType.STOP_LIMIT:
                fields |= {"stop_price": price(100 + sign * 5), "limit_price": price(100 + sign * 6)}
            case OrderType.TRAILING_STOP:
                fields |= {"trail_price": price(3)}
            case _ if random.random() < 0.25:
                legs = {"take_profit": profit(100 + sign * 9), "stop_loss": loss(100 - sign * 9)}
                fields |= {"order_class": OrderClass.BRACKET, **legs}
            case _:
                pass
        if kind is OrderType.LIMIT and random.random() < 0.1:
            fields |= {"time_in_force": random.choice((TimeInForce.GTC, TimeInForce.IOC))}
        return a_request(
            strategy_id=who,
            client_order_id=ClientOrderId(f"o{self.number}"),
            symbol=random.choice((AAPL, SPY)),
            side=side,
            order_type=kind,
            **fields,
        )

    # --- the end -----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let everything arrive; nothing waits for ever, and the sum over the books is the account."""
        for _ in range(3):
            self.world.wait(self.rules.hold_max.total_seconds() + 1)
            self.tell(ev.MarksTaken(marks=(), at=self.now))
            while self.to_broker or self.to_desk:
                self.carry(100)
                self.listen()
                self.hear(10_000)
            self.listen()
            self.hear(10_000)
        assert not self.desk.held_ids, f"seed={self.seed}: somebody waits for ever"
        for symbol in (AAPL, SPY):
            view = self.world.exchange.position(symbol)
            has = NO_QTY if view is None else view.qty
            assert self.desk.portfolio.total_qty(symbol) == has, f"seed={self.seed}: books and account differ"
        assert self.desk.portfolio.cash() == self.world.exchange._portfolio.cash, f"seed={self.seed}: cash differs"


def _new_order(r: OrderRequest) -> NewOrder:
    return NewOrder(
        symbol=r.symbol,
        side=r.side,
        order_type=r.order_type,
        time_in_force=r.time_in_force,
        qty=r.qty,
        notional=r.notional,
        limit_price=r.limit_price,
        stop_price=r.stop_price,
        trail_price=r.trail_price,
        client_order_id=r.client_order_id,
        order_class=r.order_class,
        take_profit=r.take_profit,
        stop_loss=r.stop_loss,
    )


def _told(order: ExchangeOrder, legs: tuple[BrokerOrder, ...] = ()) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id=BrokerOrderId(order.id),
        client_order_id=ClientOrderId(order.client_order_id),
        status=order.status,
        raw_status=order.status.value,
        symbol=Symbol(order.symbol),
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        qty=order.qty,
        notional=order.notional,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        filled_qty=order.filled_qty,
        filled_avg_price=order.filled_avg_price,
        submitted_at=order.submitted_at,
        legs=legs,
        replaced_by=None if order.replaced_by is None else BrokerOrderId(order.replaced_by),
        replaces=None if order.replaces is None else BrokerOrderId(order.replaces),
    )


def _update(event: OrderEvent) -> ev.TradeUpdated:
    order, fill = event.order, None
    if event.event.value in FILL_WORDS:
        assert event.qty is not None
        assert event.price is not None
        name = fill_id(BrokerOrderId(order.id), order.filled_qty)
        fill = Fill(fill_id=name, qty=event.qty, price=event.price, at=event.at)
    return ev.TradeUpdated(event=event.event.value, order=_told(order), fill=fill, at=event.at)
