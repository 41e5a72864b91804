"""The desk: the only place where decisions are made.

`decide` looks and does not touch; `apply` touches and does not decide. The state is a fold of `apply` over the
ledger, so that a restart, a backtest and a test all stand where the live desk stood. What is not in the ledger
(limits from the configuration, the broker's list of instruments) only ever enters decisions, never the fold.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import assert_never

from deskd.core import gate, house, lifecycle, reconcile, updates
from deskd.core.checks import Denied, Evidence, cash_needed
from deskd.core.gate import Verdict
from deskd.core.lifecycle import ImpossibleTransition
from deskd.core.portfolio import Portfolio
from deskd.core.reservation import Reservations, leg_holds_shares
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.book import Account
from deskd.domain.effects import Effect, Record
from deskd.domain.ids import BrokerOrderId, ClientOrderId, FillId, StrategyId, Symbol
from deskd.domain.limits import Limits
from deskd.domain.market import Instrument, Quote
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty, notional
from deskd.domain.order import Fill, Order, OrderClass, OrderRequest, OrderStatus, Side
from deskd.domain.reasons import DenialReason, RefusalReason, RejectReason
from deskd.domain.run import StrategyStatus

DUPLICATE_MEMORY = timedelta(seconds=60)  # the longest duplicate window that can be configured
DENIED_KEPT = 1_000  # of each strategy in memory: a loop that is denied for a day must not fill it; the ledger has all
TAPE_BACK = timedelta(hours=1)  # no real market's time goes back so far: a tape began anew, and with it the day
TRADES = "trades"  # the name of the trade_updates stream in StreamChanged


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many orders a strategy had approved on its latest market day."""

    day: date
    count: int
    latest: datetime  # the market's time of the last of them


@dataclass(slots=True)
class Desk:
    """The desk's whole state."""

    # inputs to decisions, not part of the fold
    limits: dict[StrategyId, Limits] = field(default_factory=dict, compare=False)
    instruments: Mapping[Symbol, Instrument] = field(default_factory=dict, compare=False)
    doubt_settle: timedelta = field(default=timedelta(seconds=10), compare=False)

    # the fold of the ledger
    orders: dict[ClientOrderId, Order] = field(default_factory=dict)
    by_strategy: dict[StrategyId, dict[ClientOrderId, None]] = field(default_factory=dict)  # of all orders, in order
    denied_ids: dict[StrategyId, dict[ClientOrderId, None]] = field(default_factory=dict)  # of those still in memory
    by_broker_id: dict[BrokerOrderId, ClientOrderId] = field(default_factory=dict)
    open_ids: dict[ClientOrderId, None] = field(default_factory=dict)  # an ordered set
    strategies: dict[StrategyId, ev.StrategyRegistered] = field(default_factory=dict)
    statuses: dict[StrategyId, StrategyStatus] = field(default_factory=dict)
    stopped_by_hand: set[StrategyId] = field(default_factory=set)  # stay stopped when the desk starts again
    portfolio: Portfolio = field(default_factory=Portfolio)
    reservations: Reservations = field(default_factory=Reservations)
    legs: dict[ClientOrderId, tuple[ClientOrderId, ...]] = field(default_factory=dict)
    fill_ids: set[FillId] = field(default_factory=set)
    days: dict[StrategyId, DayCount] = field(default_factory=dict)
    last_asked: dict[StrategyId, dict[OrderRequest, datetime]] = field(default_factory=dict)
    last_reconciled: ev.AccountReconciled | None = None
    is_trade_stream_up: bool = False
    trade_stream_changed_at: datetime | None = None
    is_synced: bool = False  # reconciled since the trade stream last came up

    def handle(self, event: ev.Event) -> list[Effect]:
        """Decide what follows from *event*, let the facts take hold, and say who is to be told of each."""
        effects: list[Effect] = []
        for effect in self.decide(event):
            effects.append(effect)
            if isinstance(effect, Record):
                self.apply(effect.fact)
                effects += self._tell(effect.fact)
        return effects

    # --- decide: looks, and does not touch ---------------------------------------------------------------------

    def decide(self, event: ev.Event) -> list[Effect]:
        """Return what follows from *event*. Changes nothing."""
        match event:
            case ev.OrderRequested():
                return self._on_request(event)
            case ev.TradeUpdated():
                return self._on_trade_update(event)
            case ev.SubmitAccepted():
                return self._on_submit_accepted(event)
            case ev.SubmitRejected():
                return self._on_submit_rejected(event)
            case ev.SubmitInDoubt() | ev.DoubtTimedOut():
                return self._on_doubt(event.client_order_id)
            case ev.OrderLookedUp():
                return self._on_looked_up(event)
            case ev.CancelRequested():
                return self._on_cancel_request(event)
            case ev.CancelAnswered():
                return self._on_cancel_answered(event)
            case ev.TradeStreamChanged():
                return self._on_trade_stream(event)
            case ev.BrokerSnapshot():
                return self._on_snapshot(event)
            case ev.MarksTaken():
                return self._on_marks(event)
            case ev.InstrumentsListed():
                return []  # an input, taken by the runtime; nothing to keep
            case (
                ev.DeskStarted()
                | ev.DeskStopped()
                | ev.StrategyRegistered()
                | ev.StrategyStatusChanged()
                | ev.AllocationChanged()
                | ev.RunStarted()
                | ev.RunEnded()
                | ev.StreamChanged()
                | ev.CommandGiven()
            ):
                return [Record(event)]
            case _:
                assert_never(event)

    def _on_request(self, event: ev.OrderRequested) -> list[Effect]:
        request = event.request
        oid = request.client_order_id
        if known := self.orders.get(oid):
            if known.request == request:
                # One that is in doubt is answered when the broker has answered.
                return [] if known.is_in_doubt else [ef.Reply(oid)]
            message = f"client_order_id={oid} was used for another order: use a new one for each order"
            return [ef.Refuse(oid, RefusalReason.CONFLICT, message)]
        evidence = self._evidence(event)
        if evidence is None:
            text = f"strategy_id={request.strategy_id}: the desk does not know this strategy"
            checked = ev.Checked("strategy_is_known", f"strategy_id={request.strategy_id}")
            return self._denied(event, Verdict(Denied(DenialReason.STRATEGY_UNKNOWN, text), (checked,)))
        verdict = gate.judge(evidence)
        valued = verdict.answer
        if isinstance(valued, Denied):
            return self._denied(event, verdict)
        assert event.quote is not None, "the gate denies orders without a quote"
        approved = ev.OrderApproved(
            request=request,
            quote=event.quote,
            reserved_cash=cash_needed(evidence, valued),
            reserved_qty=NO_QTY if request.side is Side.BUY else valued.qty,
            market_day=event.market_day,
            at=event.at,
            checks=verdict.checks,
        )
        return [Record(approved), ef.Submit(request)]

    def _evidence(self, event: ev.OrderRequested) -> Evidence | None:
        request = event.request
        who, symbol = request.strategy_id, request.symbol
        status, limits = self.statuses.get(who), self.limits.get(who)
        if status is None or limits is None:
            return None
        book = self.portfolio.books.get(who)
        return Evidence(
            request=request,
            status=status,
            limits=limits,
            instrument=self.instruments.get(symbol),
            quote=event.quote,
            position_qty=book.qty(symbol) if book else NO_QTY,
            promised_qty=self.reservations.qty(who, symbol),
            opening_qty=self.reservations.opening(who, symbol, request.side),
            margin_per_share=book.short_margin_per_share(symbol) if book else Price(ZERO),
            buying_power=self.buying_power(who),
            open_orders=self.reservations.count(who),
            orders_today=self._orders_today(who, event.market_day, event.quote),
            last_same_at=self.last_asked.get(who, {}).get(_signature(request)),
            now=event.at,
        )

    @staticmethod
    def _denied(event: ev.OrderRequested, verdict: Verdict) -> list[Effect]:
        denied = verdict.answer
        assert isinstance(denied, Denied)
        fact = ev.OrderDenied(
            request=event.request,
            reason=denied.reason,
            message=denied.message,
            quote=event.quote,
            market_day=event.market_day,
            at=event.at,
            checks=verdict.checks,
        )
        return [Record(fact), ef.Reply(event.request.client_order_id)]

    def _on_trade_update(self, event: ev.TradeUpdated) -> list[Effect]:
        order = self.find(event.order)
        if order is None:
            # Not ours: an officer trades by hand. Only what moved the account matters, and the house takes it.
            return [ef.Reconcile(f"order {event.order.broker_order_id} is not the desk's")] if event.fill else []
        fills = (event.fill,) if event.fill else ()
        return self._caught_up(order, event.order, fills, event.at, asks_for_missing=True)

    def _on_submit_accepted(self, event: ev.SubmitAccepted) -> list[Effect]:
        order = self.orders[event.client_order_id]
        # Fills that the answer counts are on their way by the stream, with their prices.
        return self._caught_up(order, event.order, (), event.at, asks_for_missing=False)

    def _caught_up(
        self,
        order: Order,
        broker: ev.BrokerOrder,
        fills: tuple[Fill, ...],
        at: datetime,
        *,
        asks_for_missing: bool,
    ) -> list[Effect]:
        oid = order.request.client_order_id
        caught = lifecycle.catch_up(order, broker, fills, self.fill_ids, at)
        effects: list[Effect] = self._recorded(order, caught.facts)
        is_ended_here_alone = order.reason in _ENDED_WITHOUT_BROKER and broker.status in _ALIVE
        if is_ended_here_alone:
            text = f"the broker has it after all: {broker.raw_status}"
            effects.append(Record(_discrepancy(oid, str(order.reason), text, "cancel", at)))
            effects.append(ef.Cancel(oid, broker.broker_order_id))
        if order.broker_order_id is None and order.status.is_open and effects:
            effects.append(ef.Reply(oid))
            if order.status is OrderStatus.PENDING_CANCEL:  # the cancel that had to wait for the broker's id
                effects.append(ef.Cancel(oid, broker.broker_order_id))
        effects += self._legs_found(order, broker, at)
        if asks_for_missing and (caught.misses_fills or (not broker.legs and self._lacks_legs(order))):
            effects.append(ef.LookUp(oid))
        return effects

    def _legs_found(self, order: Order, broker: ev.BrokerOrder, at: datetime) -> list[Effect]:
        """Return the legs of an order that was acknowledged without them, and questions after those that moved on."""
        effects: list[Effect] = []
        if not self._lacks_legs(order) or not broker.legs:
            return effects
        if order.broker_order_id is not None:
            oid = order.request.client_order_id
            effects.append(Record(ev.LegsFound(client_order_id=oid, legs=lifecycle.legs_of(broker), at=at)))
        moved_on = [leg for leg in broker.legs if leg.filled_qty or lifecycle.has_ended(leg)]
        return [*effects, *(ef.LookUp(leg.client_order_id) for leg in moved_on)]

    def _lacks_legs(self, order: Order) -> bool:
        """Tell whether the broker made legs for the order that the desk does not know yet."""
        is_carrier = order.request.order_class is not OrderClass.SIMPLE and order.parent_id is None
        lives_on = order.status.is_open or bool(order.filled_qty)  # legs end with an entry that never filled
        return is_carrier and lives_on and not self.legs.get(order.request.client_order_id)

    def _recorded(self, order: Order, facts: tuple[ev.OrderFact, ...]) -> list[Effect]:
        """Return the facts as effects; from the first that the table forbids on, record a discrepancy instead."""
        effects: list[Effect] = []
        for fact in facts:
            try:
                order = lifecycle.apply(order, fact)
            except ImpossibleTransition as impossible:
                oid = order.request.client_order_id
                effects.append(Record(_discrepancy(oid, "the order table", str(impossible), "reconcile", fact.at)))
                effects.append(ef.Reconcile(f"order {oid}: {impossible}"))
                break
            effects.append(Record(fact))
        return effects

    def _on_submit_rejected(self, event: ev.SubmitRejected) -> list[Effect]:
        order = self.orders[event.client_order_id]
        if order.broker_order_id is not None:  # the stream said that the broker has it: it knows better
            return [ef.LookUp(event.client_order_id)]
        return self._rejected(order, RejectReason.BROKER_REJECTED, event.message, event.at)

    def _rejected(self, order: Order, reason: RejectReason, message: str, at: datetime) -> list[Effect]:
        oid = order.request.client_order_id
        if not order.status.is_open:
            return []
        fact = ev.OrderRejected(client_order_id=oid, reason=reason, message=message, at=at)
        return [*self._recorded(order, (fact,)), ef.Reply(oid)]

    def _on_doubt(self, client_order_id: ClientOrderId) -> list[Effect]:
        order = self.orders.get(client_order_id)
        return [ef.LookUp(client_order_id)] if order is not None and order.status.is_open else []

    def _on_looked_up(self, event: ev.OrderLookedUp) -> list[Effect]:
        order = self.orders[event.client_order_id]
        if event.order is None:
            if order.broker_order_id is not None and order.status.is_open:
                return [ef.Reconcile(f"the broker does not find order {event.client_order_id}")]
            return self._on_missing(order, event.at)
        if self.find(event.order) is not order:
            return []  # an order of somebody else, in the place of ours
        effects = self._caught_up(order, event.order, event.fills, event.at, asks_for_missing=False)
        if order.status is OrderStatus.PENDING_CANCEL and event.order.status in _ALIVE:
            effects.append(ef.Cancel(event.client_order_id, event.order.broker_order_id))  # stuck: ask again
        return effects

    def _on_missing(self, order: Order, at: datetime) -> list[Effect]:
        """Return what follows when the broker says that it does not have the order."""
        if not order.status.is_open:
            return []
        if order.broker_order_id is not None:
            return self._on_lost(order, at)
        if at - order.requested_at < self.doubt_settle:
            return []  # it may still be on its way: the next look decides
        message = "the broker says that it never saw the order: it was not traded; ask again if you still want it"
        return self._rejected(order, RejectReason.NEVER_ARRIVED, message, at)

    def _on_lost(self, order: Order, at: datetime) -> list[Effect]:
        """Return what follows when the broker had the order, and knows it no more: it ends, or it would for ever hold.

        *at* is when the broker was asked. What it acknowledged shortly before then may not be in its lists yet.
        """
        if at - order.updated_at < self.doubt_settle:
            return []
        oid = order.request.client_order_id
        lost = _discrepancy(oid, "an order that the broker had", "the broker has none", "closed", at)
        message = "the broker knows the order no more (was its account reset?): what it filled until then is booked"
        return [Record(lost), *self._rejected(order, RejectReason.BROKER_LOST, message, at)]

    def _on_cancel_request(self, event: ev.CancelRequested) -> list[Effect]:
        oid = event.client_order_id
        order = self.orders[oid]
        if not order.status.is_open:
            text = f"status={order.status}: there is nothing left to cancel"
            return [ef.Refuse(oid, RefusalReason.ORDER_FINAL, text)]
        effects: list[Effect] = []
        if order.status is not OrderStatus.PENDING_CANCEL:
            effects.append(Record(ev.OrderCancelRequested(client_order_id=oid, by=event.by, at=event.at)))
        if order.broker_order_id is not None:
            effects.append(ef.Cancel(oid, order.broker_order_id))
        return [*effects, ef.Reply(oid)]

    def _on_cancel_answered(self, event: ev.CancelAnswered) -> list[Effect]:
        order = self.orders[event.client_order_id]
        if event.refusal is None or order.status is not OrderStatus.PENDING_CANCEL:
            return []
        oid = event.client_order_id
        refused = ev.OrderCancelRefused(client_order_id=oid, message=event.refusal, at=event.at)
        # Mostly it is filled already: the look-up brings the fills that crossed the cancel.
        return [Record(refused), ef.LookUp(oid)]

    def _on_trade_stream(self, event: ev.TradeStreamChanged) -> list[Effect]:
        if not event.is_up and not self.is_trade_stream_up:
            return []
        changed = ev.StreamChanged(stream=TRADES, is_up=event.is_up, why=event.why, at=event.at)
        return [Record(changed), *([ef.Reconcile("the trade stream came up")] if event.is_up else [])]

    def _on_snapshot(self, snapshot: ev.BrokerSnapshot) -> list[Effect]:
        effects: list[Effect] = []
        fills = dict(snapshot.fills)
        for theirs in snapshot.orders:
            order = self.find(theirs)
            if order is not None:
                known = fills.get(order.request.client_order_id, ())
                effects += self._caught_up(order, theirs, known, snapshot.at, asks_for_missing=True)
        asked_at = snapshot.asked_at or snapshot.at
        for oid in snapshot.missing:
            effects += self._on_missing(self.orders[oid], asked_at)
        if self.trade_stream_changed_at is not None and asked_at < self.trade_stream_changed_at:
            # It may lack what happened before the stream listened again: no order rests on it.
            return [*effects, ef.Reconcile("the last look was older than the stream")]
        found = [e.fact for e in effects if isinstance(e, Record) and isinstance(e.fact, ev.OrderFilled)]
        trades = [self._trade_of(fill) for fill in found]
        books = reconcile.Books.of(self.portfolio, trades, fill_count=self.fill_count)
        return effects + reconcile.judged(snapshot, books, self.last_reconciled)

    def _trade_of(self, fill: ev.OrderFilled) -> reconcile.Trade:
        request = self.orders[fill.client_order_id].request
        return reconcile.Trade(request.symbol, Qty(request.side.sign * fill.qty), fill.price)

    def _on_marks(self, event: ev.MarksTaken) -> list[Effect]:
        held = {p.symbol: p.mark_price for b in self.portfolio.books.values() for p in b.positions.values() if p.qty}
        news = tuple((s, price) for s, price in event.marks if s in held and held[s] != price)
        return [Record(ev.PositionsMarked(marks=news, at=event.at))] if news else []

    # --- apply: touches, and does not decide -------------------------------------------------------------------

    def apply(self, fact: ev.Fact) -> None:
        """Let *fact* take hold. Decides nothing."""
        match fact:
            case ev.OrderApproved():
                self._approve(fact)
            case ev.OrderDenied():
                self._deny(fact)
            case (
                ev.OrderAccepted()
                | ev.OrderRejected()
                | ev.OrderFilled()
                | ev.OrderCancelRequested()
                | ev.OrderCancelRefused()
                | ev.OrderCompleted()
                | ev.OrderCanceled()
                | ev.OrderExpired()
            ):
                self._advance(fact)
            case ev.LegsFound():
                self._add_legs(self.orders[fact.client_order_id], fact.legs, fact.at)
            case ev.StrategyRegistered():
                self.strategies[fact.strategy_id] = fact
                self.statuses.setdefault(fact.strategy_id, StrategyStatus.STOPPED)
            case ev.StrategyStatusChanged():
                self.statuses[fact.strategy_id] = fact.status
                self.stopped_by_hand.discard(fact.strategy_id)
                if fact.by_hand:
                    self.stopped_by_hand.add(fact.strategy_id)
            case ev.AllocationChanged():
                self.portfolio.allocate(fact.strategy_id, fact.allocation)
            case ev.HouseAdjusted():
                house.adjust(self.portfolio, fact)
            case ev.AccountReconciled():
                self.last_reconciled = fact
                self.is_synced = self.is_trade_stream_up
            case ev.StreamChanged():
                if fact.stream == TRADES:
                    self.is_trade_stream_up, self.is_synced = fact.is_up, False
                    self.trade_stream_changed_at = fact.at
            case ev.DeskStarted():
                self.is_trade_stream_up = self.is_synced = False
            case ev.PositionsMarked():
                for symbol, price in fact.marks:
                    self._mark(symbol, price, fact.at)
            case ev.DiscrepancyFound() | ev.RunStarted() | ev.RunEnded() | ev.DeskStopped() | ev.CommandGiven():
                pass  # kept for people; no decision rests on them
            case _:
                assert_never(fact)

    def _approve(self, fact: ev.OrderApproved) -> None:
        request = fact.request
        who = request.strategy_id
        order = Order(request=request, status=OrderStatus.SUBMITTED, requested_at=fact.at, updated_at=fact.at)
        self._put(order)
        valued = gate.value(request, fact.quote, position_free=NO_QTY)
        self.reservations.hold(
            order, cash=fact.reserved_cash, qty=fact.reserved_qty, opening=valued.qty, price=valued.price
        )
        count = self._orders_today(who, fact.market_day, fact.quote)
        self.days[who] = DayCount(fact.market_day, count + 1, fact.quote.quoted_at)
        asked = self.last_asked.setdefault(who, {})
        asked.pop(_signature(request), None)  # so that the oldest are always first
        asked[_signature(request)] = fact.at
        while fact.at - asked[oldest := next(iter(asked))] > DUPLICATE_MEMORY:
            del asked[oldest]

    def _deny(self, fact: ev.OrderDenied) -> None:
        who = fact.request.strategy_id
        kept = self.denied_ids.setdefault(who, {})
        kept[fact.request.client_order_id] = None
        if len(kept) > DENIED_KEPT:
            oldest = next(iter(kept))
            del kept[oldest], self.orders[oldest], self.by_strategy[who][oldest]
        self._put(
            Order(
                request=fact.request,
                status=OrderStatus.DENIED,
                requested_at=fact.at,
                updated_at=fact.at,
                reason=fact.reason,
                message=fact.message,
            )
        )

    def _advance(self, fact: ev.OrderFact) -> None:
        before = self.orders[fact.client_order_id]
        order = lifecycle.apply(before, fact)
        self._put(order)
        if isinstance(fact, ev.OrderAccepted):
            self.by_broker_id[fact.broker_order_id] = fact.client_order_id
            self._add_legs(order, fact.legs, fact.at)
        if isinstance(fact, ev.OrderFilled):
            self._settle(order, fact)
        if not order.status.is_open:
            self.reservations.release(order)

    def _put(self, order: Order) -> None:
        oid = order.request.client_order_id
        self.orders[oid] = order
        self.by_strategy.setdefault(order.request.strategy_id, {})[oid] = None
        if order.status.is_open:
            self.open_ids[oid] = None
        else:
            self.open_ids.pop(oid, None)

    def _settle(self, order: Order, fill: ev.OrderFilled) -> None:
        request = order.request
        self.fill_ids.add(fill.fill_id)
        signed = Qty(request.side.sign * fill.qty)
        self.portfolio.book(request.strategy_id).trade(request.symbol, signed, fill.price, fill.at)
        self.reservations.shrink(order, fill.qty, notional(fill.qty, fill.price))
        parent = order.parent_id or request.client_order_id
        for leg in self.legs.get(parent, ()):
            self._promise(self.orders[leg])

    def _add_legs(self, parent: Order, legs: tuple[ev.LegSpec, ...], at: datetime) -> None:
        for spec in legs:
            self.by_broker_id[spec.broker_order_id] = spec.client_order_id
            request = replace(
                parent.request,
                client_order_id=spec.client_order_id,
                side=spec.side,
                order_type=spec.order_type,
                time_in_force=spec.time_in_force,
                qty=spec.qty,
                notional=None,
                limit_price=spec.limit_price,
                stop_price=spec.stop_price,
                take_profit=None,
                stop_loss=None,
            )
            leg = Order(
                request=request,
                status=OrderStatus.ACCEPTED,
                requested_at=at,
                updated_at=at,
                submitted_at=parent.submitted_at,
                broker_order_id=spec.broker_order_id,
                parent_id=parent.request.client_order_id,
            )
            self._put(leg)
            self._promise(leg)
        if legs:
            self.legs[parent.request.client_order_id] = tuple(spec.client_order_id for spec in legs)

    def _promise(self, leg: Order) -> None:
        """Hold the shares that a leg may sell: those that its entry has bought by now."""
        if not leg.status.is_open or not leg_holds_shares(leg) or leg.parent_id is None:
            return
        leaves, bought = leg.leaves_qty, self.orders[leg.parent_id].filled_qty
        assert leaves is not None, "a LegSpec has a quantity"
        promised = Qty(min(leaves, bought))
        self.reservations.hold(leg, cash=NO_CASH, qty=promised, opening=NO_QTY, price=Price(ZERO))

    def _mark(self, symbol: Symbol, price: Price, at: datetime) -> None:
        for book in self.portfolio.books.values():
            book.mark(symbol, price, at)

    # --- look ----------------------------------------------------------------------------------------------------

    @property
    def fill_count(self) -> int:
        """Return how many fills the ledger holds."""
        return len(self.fill_ids)

    def find(self, broker: ev.BrokerOrder) -> Order | None:
        """Return our order that the broker speaks of: one that carries our id alone may be another."""
        oid = self.by_broker_id.get(broker.broker_order_id, broker.client_order_id)
        order = self.orders.get(oid)
        if order is None or order.broker_order_id not in {None, broker.broker_order_id}:
            return None
        return order

    def newest_first(self, strategy_id: StrategyId | None) -> Iterator[Order]:
        """Yield the orders of one strategy, or of all, the newest first."""
        ids = self.orders if strategy_id is None else self.by_strategy.get(strategy_id, {})
        return (self.orders[oid] for oid in reversed(ids))

    def _orders_today(self, who: StrategyId, day: date, quote: Quote | None) -> int:
        """Return how many orders the strategy had approved this market day, and this time round of a looped tape."""
        known = self.days.get(who)
        if known is None or known.day != day:
            return 0
        has_begun_anew = quote is not None and known.latest - quote.quoted_at > TAPE_BACK
        return 0 if has_begun_anew else known.count

    def buying_power(self, strategy_id: StrategyId) -> Cash:
        """Return the cash that no open order and no short position holds."""
        book = self.portfolio.books.get(strategy_id)
        if book is None:
            return NO_CASH
        return Cash(book.cash - self.reservations.cash(strategy_id) - book.short_margin())

    def account(self, strategy_id: StrategyId) -> Account | None:
        """Return the strategy's sub-ledger."""
        book = self.portfolio.books.get(strategy_id)
        if book is None:
            return None
        return book.account(Cash(self.reservations.cash(strategy_id) + book.short_margin()))

    def open_orders(self) -> list[Order]:
        """Return all open orders, oldest first."""
        return [self.orders[oid] for oid in self.open_ids]

    def _tell(self, fact: ev.Fact) -> list[Effect]:
        oid = updates.order_of(fact)
        if oid is None:
            return []
        order = self.orders[oid]
        book = self.portfolio.books.get(order.request.strategy_id)
        position = book.qty(order.request.symbol) if book else NO_QTY
        update = updates.update(fact, order, position)
        return [ef.Tell(order.request.strategy_id, update)] if update else []


_ALIVE = frozenset(
    {
        ev.BrokerStatus.NEW,
        ev.BrokerStatus.ACCEPTED,
        ev.BrokerStatus.PENDING_NEW,
        ev.BrokerStatus.PARTIALLY_FILLED,
        ev.BrokerStatus.HELD,
    }
)


# Ends that the desk wrote without the broker's word that the order is dead: if it lives, it must go.
_ENDED_WITHOUT_BROKER = frozenset({RejectReason.BROKER_REJECTED, RejectReason.NEVER_ARRIVED, RejectReason.BROKER_LOST})


def _signature(request: OrderRequest) -> OrderRequest:
    """Return what makes two requests the very same order: all but the id and the words."""
    return replace(request, client_order_id=ClientOrderId(""), reason=None)


def _discrepancy(subject: str, expected: str, actual: str, action: str, at: datetime) -> ev.DiscrepancyFound:
    return ev.DiscrepancyFound(subject=subject, expected=expected, actual=actual, action=action, at=at)
