"""The desk: the only place where decisions are made.

`decide` looks and does not touch; `apply` touches and does not decide. The state is a fold of `apply` over the
ledger, so that a restart, a backtest and a test all stand where the live desk stood. What is not in the ledger
(limits from the configuration, the broker's list of instruments) only ever enters decisions, never the fold.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import assert_never

from deskd.core import activities, comparing, corrections, gate, house, lifecycle, replacing, updates, words
from deskd.core.checks import Denied, Evidence, cash_needed
from deskd.core.gate import Verdict
from deskd.core.lifecycle import ENDED_WITHOUT_BROKER, ImpossibleTransition, is_news
from deskd.core.outages import Outages
from deskd.core.portfolio import Portfolio
from deskd.core.reservation import NOTHING, Reservation, Reservations, leg_holds_shares
from deskd.core.standing import Standing
from deskd.core.words import Follows
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.activity import CORRECTIONS, Activity
from deskd.domain.book import Account
from deskd.domain.effects import Effect, Record
from deskd.domain.events import BrokerStatus, Source
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
CANCEL_AGAIN = timedelta(seconds=5)  # a cancel without an answer is asked for again
STREAM_DOWN = "the stream of trade updates is down or not yet re-synced: no order could be watched; cancels pass"
LEGS_TOLD_IN = timedelta(minutes=10)  # what the broker has not told by then of a bracket's legs, it will not tell
TRADES, MARKET = "trades", "market"  # the streams' names in StreamChanged and OutageEnded


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many orders a strategy had approved on its latest market day."""

    day: date
    count: int
    latest: datetime  # the market's time of the last of them


@dataclass(frozen=True, slots=True)
class ReplaceOf:
    """Which order is to be replaced, and who wants it."""

    old: Order
    by: str


@dataclass(slots=True)
class Desk:
    """The desk's whole state."""

    # inputs to decisions, not part of the fold
    limits: dict[StrategyId, Limits] = field(default_factory=dict, compare=False)
    instruments: Mapping[Symbol, Instrument] = field(default_factory=dict, compare=False)
    doubt_settle: timedelta = field(default=timedelta(seconds=10), compare=False)
    refused: dict[StrategyId, int] = field(default_factory=dict, compare=False)  # orders not taken in this outage

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
    needs: dict[ClientOrderId, Reservation] = field(default_factory=dict)  # of new orders beside those they replace
    fill_ids: set[FillId] = field(default_factory=set)
    days: dict[StrategyId, DayCount] = field(default_factory=dict)
    last_asked: dict[StrategyId, dict[OrderRequest, datetime]] = field(default_factory=dict)
    last_reconciled: ev.AccountReconciled | None = None
    standing: Standing = field(default_factory=Standing)
    last_root: ev.RootSigned | None = None  # up to where the ledger is signed
    is_trade_stream_up: bool = False
    trade_stream_changed_at: datetime | None = None
    is_synced: bool = False  # reconciled since the trade stream last came up
    outages: Outages = field(default_factory=Outages)

    def handle(self, event: ev.Event) -> list[Effect]:
        """Decide what follows from *event*, let the facts take hold, and say who is to be told of each."""
        effects: list[Effect] = []
        for decided in self.decide(event):
            effect = self._with_position(decided)
            effects.append(effect)
            if isinstance(effect, Record):
                self.apply(effect.fact)
                effects += self._tell(effect.fact)
        return effects

    def _with_position(self, effect: Effect) -> Effect:
        """Return a fill's record with the position after it: only now are the fills before it in the book."""
        if not isinstance(effect, Record) or not isinstance(effect.fact, ev.OrderFilled):
            return effect
        request = self.orders[effect.fact.client_order_id].request
        held = self.portfolio.book(request.strategy_id).qty(request.symbol)
        after = Qty(held + request.side.sign * effect.fact.qty)
        return Record(replace(effect.fact, position_qty=after))

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
            case ev.SubmitInDoubt():
                return self._on_submit_in_doubt(event)
            case ev.DoubtTimedOut():
                return self._on_doubt(event.client_order_id)
            case ev.OrderLookedUp():
                return self._on_looked_up(event)
            case ev.ReplaceRequested():
                return self._on_replace_request(event)
            case ev.CancelRequested():
                return self._on_cancel_request(event)
            case ev.CancelAnswered():
                return self._on_cancel_answered(event)
            case ev.CancelInDoubt():
                return self._said(event.client_order_id, words.IN_DOUBT, event.why, event.at, Source.CANCEL)
            case ev.TradeStreamChanged():
                return self._on_trade_stream(event)
            case ev.StreamChanged():
                return self._on_stream(event)
            case ev.MarketResumed():
                return self._on_market_resumed(event)
            case ev.BrokerSnapshot():
                return self._on_resync(event, self._on_snapshot(event))
            case ev.ResolutionRequested():
                return [*map(Record, self.standing.settled(event))]
            case ev.DeskStarted():
                return [Record(event), *map(Record, self.outages.cut_short(event.at))]
            case ev.MarksTaken():
                return self._on_marks(event)
            case ev.InstrumentsListed():
                return []  # an input, taken by the runtime; nothing to keep
            case (
                ev.DeskStopped()
                | ev.StrategyRegistered()
                | ev.StrategyStatusChanged()
                | ev.AllocationChanged()
                | ev.RunStarted()
                | ev.RunEnded()
                | ev.CommandGiven()
                | ev.RootSigned()
                | ev.Heartbeat()
            ):
                return [Record(event)]
            case _:
                assert_never(event)

    def _on_request(self, event: ev.OrderRequested) -> list[Effect]:
        request = event.request
        oid = request.client_order_id
        if known := self.orders.get(oid):
            return self._known(known, is_same=known.request == request)
        if not self.is_synced:  # it was, when the door let the request in
            return [ef.Refuse(oid, RefusalReason.TRADE_STREAM_DOWN, STREAM_DOWN)]
        return self._judged(event, replaces=None)

    @staticmethod
    def _known(known: Order, *, is_same: bool) -> list[Effect]:
        """Return the answer to a request under an id that was used before."""
        oid = known.request.client_order_id
        if is_same:
            # One that is in doubt is answered when the broker has answered.
            return [] if known.is_in_doubt else [ef.Reply(oid)]
        message = f"client_order_id={oid} was used for another order: use a new one for each order"
        return [ef.Refuse(oid, RefusalReason.CONFLICT, message)]

    def _on_replace_request(self, event: ev.ReplaceRequested) -> list[Effect]:
        oid, wanted = event.client_order_id, event.replacement
        if known := self.orders.get(oid):
            return self._known(known, is_same=known.request.replacement == wanted)
        if not self.is_synced:
            return [ef.Refuse(oid, RefusalReason.TRADE_STREAM_DOWN, STREAM_DOWN)]
        old = self.orders[wanted.replaces]
        if refusal := replacing.refusal(old, wanted, oid):
            return [refusal]
        asked = ev.OrderRequested(
            request=replacing.request_of(old, wanted, oid),
            quote=event.quote,
            market_day=event.market_day,
            at=event.at,
        )
        return self._judged(asked, replaces=ReplaceOf(old, event.by))

    def _judged(self, event: ev.OrderRequested, *, replaces: ReplaceOf | None) -> list[Effect]:
        """Return the order sent, or denied by the gate."""
        request = event.request
        evidence = self._evidence(event, replaces.old if replaces else None)
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
            reserved_cash=NO_CASH if evidence.is_exit else cash_needed(evidence, valued),
            reserved_qty=NO_QTY if request.side is Side.BUY or evidence.is_exit else valued.qty,
            market_day=event.market_day,
            at=event.at,
            checks=verdict.checks,
        )
        if replaces is None:
            return [Record(approved), ef.Submit(request)]
        old = replaces.old
        assert old.broker_order_id is not None, "what the broker does not have is not replaced"
        wish = ev.OrderReplaceRequested(
            client_order_id=old.request.client_order_id,
            replaced_by=request.client_order_id,
            by=replaces.by,
            at=event.at,
        )
        return [Record(wish), Record(approved), ef.Replace(request, old.broker_order_id)]

    def _evidence(self, event: ev.OrderRequested, old: Order | None = None) -> Evidence | None:
        request = event.request
        who, symbol = request.strategy_id, request.symbol
        status, limits = self.statuses.get(who), self.limits.get(who)
        if status is None or limits is None:
            return None
        book = self.portfolio.books.get(who)
        freed = NOTHING if old is None else self.reservations.of(old)
        is_exit = old is not None and old.parent_id is not None
        return Evidence(
            # A leg that the broker made is judged as the simple order that it is.
            request=replace(request, order_class=OrderClass.SIMPLE) if is_exit else request,
            status=status,
            limits=limits,
            instrument=self.instruments.get(symbol),
            quote=event.quote,
            position_qty=book.qty(symbol) if book else NO_QTY,
            promised_qty=Qty(self.reservations.qty(who, symbol) - freed.qty),
            opening_qty=Qty(self.reservations.opening(who, symbol, request.side) - freed.opening),
            margin_per_share=book.short_margin_per_share(symbol) if book else Price(ZERO),
            buying_power=Cash(self.buying_power(who) + freed.cash),
            open_orders=self.reservations.count(who) - (old is not None and self.reservations.holds(old)),
            orders_today=self._orders_today(who, event.market_day, event.quote),
            last_same_at=self.last_asked.get(who, {}).get(_signature(request)),
            frozen=self.standing.frozen.get(symbol),
            now=event.at,
            freed=freed,
            is_exit=is_exit,
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
        fills = (event.fill,) if event.fill else ()
        order = self.find(event.order)
        if order is not None:
            effects = self._caught_up(
                order, event.order, fills, event.at, asks_for_missing=True, source=Source.STREAM, word=event.event
            )
            if event.event in CORRECTIONS:
                stamp = event.stamp or event.at
                taken = corrections.judged(order, event.order, word=event.event, stamp=stamp, at=event.at)
                effects += map(Record, taken or ())  # fills that are missing come first: a look will tell it again
            return effects
        if adopted := self.adoptions((event.order,), event.at, Source.STREAM):
            effects = self._adopted(adopted, event.at, Source.STREAM, fills)
            # What it replaced ends with its own fills: the broker tells how many.
            return [*effects, *(ef.LookUp(fact.replaces) for fact, _, _ in adopted)]
        # Not ours: an officer trades by hand. Only what moved the account matters, and the house takes it.
        moves_account = event.fill is not None or event.event in CORRECTIONS
        return [ef.Reconcile(f"order {event.order.broker_order_id} is not the desk's")] if moves_account else []

    def _on_submit_accepted(self, event: ev.SubmitAccepted) -> list[Effect]:
        order = self.orders[event.client_order_id]
        # Fills that the answer counts are on their way by the stream, with their prices.
        return self._caught_up(order, event.order, (), event.at, asks_for_missing=False, source=_sent_by(order))

    def _caught_up(
        self,
        order: Order,
        broker: ev.BrokerOrder,
        fills: tuple[Fill, ...],
        at: datetime,
        *,
        asks_for_missing: bool,
        source: str = Source.RECONCILE,
        word: str = "",
        successor: ClientOrderId | None = None,
    ) -> list[Effect]:
        """Return what follows from the broker's word on *order*, *word* or else its status (core/words.py)."""
        oid = order.request.client_order_id
        word = word or broker.raw_status
        successor = successor or self._successor(order, broker)
        if order.status is OrderStatus.DENIED:
            fills = ()  # it never left: what the broker calls by its id is another's
        caught = lifecycle.catch_up(order, broker, fills, self.fill_ids, at, source=source, successor=successor)
        effects: list[Effect] = self._recorded(order, caught.facts)
        if note := words.noted(order, broker, word, at=at, source=source):
            effects.append(Record(note))
        effects += self._outcome(order, broker, word, at=at, source=source)
        if source in {Source.LOOK_UP, Source.RECONCILE} and _is_alive(broker) and self._has_failed_to_replace(order):
            text = "the new order ended without life, and this one lives"
            back = ev.OrderReplaceRefused(client_order_id=oid, message=text, at=at, source=source)
            effects += self._recorded(order, (back,))
        if order.broker_order_id is None and order.status.is_open and effects:
            effects.append(ef.Reply(oid))
        if order.status is OrderStatus.PENDING_CANCEL and self._is_to_cancel(order, broker, at, source):
            effects.append(ef.Cancel(oid, broker.broker_order_id))
        effects += self._legs_found(order, broker, at, source)
        misses = caught.misses_fills or (not broker.legs and self._lacks_legs(order)) or caught.misses_successor
        if asks_for_missing and misses:
            effects.append(ef.LookUp(oid))
        return effects

    @staticmethod
    def _is_to_cancel(order: Order, broker: ev.BrokerOrder, at: datetime, source: str) -> bool:
        """Tell whether a cancel is sent now: it had to wait for the broker's id, or it got stuck."""
        if order.broker_order_id is None:
            return not lifecycle.has_ended(broker)
        is_stuck = source == Source.LOOK_UP or (source == Source.RECONCILE and at - order.updated_at >= CANCEL_AGAIN)
        return is_stuck and _is_alive(broker)

    def _outcome(self, order: Order, broker: ev.BrokerOrder, word: str, *, at: datetime, source: str) -> list[Effect]:
        """Return what follows from a word beside what was caught up."""
        oid, outcome = order.request.client_order_id, words.follows(order.status, word)
        if outcome is Follows.FORBIDDEN:
            if not is_news(order, word, source):
                return []
            found = _discrepancy(oid, f"no {word} of an order that is {order.status}", word, "reconcile", at)
            return [Record(found), ef.Reconcile(f"order {oid}: {order.status} + {word}")]
        if outcome is Follows.COMPARED:
            return [ef.Reconcile(f"order {oid}: {word}")]
        if outcome is Follows.REVIVED and order.reason in ENDED_WITHOUT_BROKER:
            found = _discrepancy(oid, str(order.reason), f"the broker has it after all: {word}", "cancel", at)
            after_all = self._said(oid, word, "after all", at, source)
            cancel = [ef.Cancel(oid, broker.broker_order_id)] if _is_alive(broker) else []
            return [*([Record(found)] if after_all else []), *after_all, *cancel]
        if outcome is Follows.CANCEL_REFUSED:
            refused = ev.OrderCancelRefused(client_order_id=oid, message=f"the broker: {word}", at=at, source=source)
            return [Record(refused), ef.LookUp(oid)]
        if outcome is Follows.REPLACE_REFUSED and order.replaced_by is not None:
            new = self.orders[order.replaced_by]
            return [
                *self._rejected(new, RejectReason.BROKER_REJECTED, f"the broker: {word}", at, source),
                ef.LookUp(order.replaced_by),
            ]
        return []

    def _has_failed_to_replace(self, order: Order) -> bool:
        """Tell whether the order that was to take the place of an open one is over, and did nothing."""
        new = None if order.replaced_by is None or not order.status.is_open else self.orders[order.replaced_by]
        return new is not None and not new.status.is_open and not new.filled_qty

    def _successor(self, order: Order, broker: ev.BrokerOrder) -> ClientOrderId | None:
        """Return the order of ours that took the place of *order*, where it is known."""
        if broker.replaced_by is not None and broker.replaced_by in self.by_broker_id:
            return self.by_broker_id[broker.replaced_by]
        new = None if order.replaced_by is None else self.orders[order.replaced_by]
        # The broker's answer to our own replace is under way.
        return order.replaced_by if new is not None and new.status.is_open and new.broker_order_id is None else None

    # --- orders that somebody put in the place of ours --------------------------------------------------------------

    def adoptions(
        self, theirs: Iterable[ev.BrokerOrder], at: datetime, source: str
    ) -> list[tuple[ev.OrderAdopted, Order, ev.BrokerOrder]]:
        """Return the orders among *theirs* that replace ours and are not ours yet, each before what replaced it."""
        found: list[tuple[ev.OrderAdopted, Order, ev.BrokerOrder]] = []
        new: dict[BrokerOrderId, Order] = {}
        waiting = [o for o in theirs if o.replaces is not None and o.broker_order_id not in self.by_broker_id]
        while waiting:
            left: list[ev.BrokerOrder] = []
            for broker in waiting:
                assert broker.replaces is not None, "picked for it"
                old = new.get(broker.replaces) or self.orders.get(
                    self.by_broker_id.get(broker.replaces, ClientOrderId(""))
                )
                if old is None:
                    left.append(broker)
                elif broker.client_order_id not in self.orders:  # else our id: our own replace, or a stranger's trick
                    held = self.reservations.of(old)
                    fact = replacing.adopted(broker, old, held, self._free_to_close(old, held), at=at, source=source)
                    new[broker.broker_order_id] = lifecycle.adopt(fact, old)
                    found.append((fact, new[broker.broker_order_id], broker))
            if len(left) == len(waiting):
                break
            waiting = left
        return found

    def _free_to_close(self, old: Order, held: Reservation) -> Qty:
        who, symbol = old.request.strategy_id, old.request.symbol
        promised = Qty(self.reservations.qty(who, symbol) - held.qty)
        return Qty(max(self.portfolio.book(who).qty(symbol) - promised, NO_QTY))

    def _adopted(
        self,
        found: list[tuple[ev.OrderAdopted, Order, ev.BrokerOrder]],
        at: datetime,
        source: str,
        fills: tuple[Fill, ...] = (),
    ) -> list[Effect]:
        """Return the adoptions as effects, and what follows from how the orders stand."""
        effects: list[Effect] = []
        for fact, order, broker in found:
            oid = order.request.client_order_id
            by_hand = f"the broker has {oid} in its place"
            effects.append(Record(_discrepancy(fact.replaces, "an order that nobody replaced", by_hand, "adopted", at)))
            effects.append(Record(fact))
            heirs = [f for f, _, _ in found if f.replaces == oid]
            successor = heirs[0].request.client_order_id if heirs else None
            effects += self._caught_up(
                order, broker, fills, at, asks_for_missing=True, source=source, successor=successor
            )
        return effects

    def _legs_found(self, order: Order, broker: ev.BrokerOrder, at: datetime, source: str) -> list[Effect]:
        """Return the legs of an order that was acknowledged without them, and questions after those that moved on."""
        effects: list[Effect] = []
        for leg in broker.legs:
            if (known := self.orders.get(leg.client_order_id)) and known.broker_order_id == leg.broker_order_id:
                restated = lifecycle.restates(known, leg, at, source)
                effects += self._recorded(known, (restated,) if restated else ())
        if not self._lacks_legs(order) or not broker.legs:
            return effects
        is_unheard = order.broker_order_id is None and order.status.is_open
        if is_unheard and broker.status is BrokerStatus.REJECTED:
            return effects  # it ends without an acknowledgement, and its legs with it
        if not is_unheard:  # else the acknowledgement carries them
            oid = order.request.client_order_id
            found = ev.LegsFound(client_order_id=oid, legs=lifecycle.legs_of(broker), at=at, source=source)
            effects.append(Record(found))
        moved_on = [leg for leg in broker.legs if leg.filled_qty or lifecycle.has_ended(leg)]
        return [*effects, *(ef.LookUp(leg.client_order_id) for leg in moved_on)]

    def _lacks_legs(self, order: Order) -> bool:
        """Tell whether the broker made legs for the order that the desk does not know yet."""
        is_carrier = order.request.order_class is not OrderClass.SIMPLE and order.parent_id is None
        lives_on = order.status.is_open or bool(order.filled_qty)  # legs end with an entry that never filled
        if order.status is OrderStatus.REPLACED:
            return False  # its legs went to the order in its place
        if order.replaces is not None and self.legs.get(order.replaces):
            return False  # it will have those of the order that it replaces
        return is_carrier and lives_on and not self.legs.get(order.request.client_order_id)

    def _is_strange(self, line: Activity, owner: activities.Owner) -> bool:
        """Tell whether the line is news of an order that is not, as far as is known, the desk's."""
        is_of_nobody = line.broker_order_id is not None and owner(line.broker_order_id) is None
        return is_of_nobody and activities.is_news(line, self.standing)

    def _legless(self, now: datetime, symbols: Container[Symbol | None]) -> list[Order]:
        """Return the orders of late whose legs the broker has not told: their fills look like a stranger's."""
        recent = takewhile(lambda order: now - order.requested_at < LEGS_TOLD_IN, self.newest_first(None))
        return [order for order in recent if order.request.symbol in symbols and self._lacks_legs(order)]

    def _recorded(self, order: Order, facts: tuple[ev.OrderFact, ...]) -> list[Effect]:
        """Return the facts as effects; from the first that the table forbids on, record a discrepancy instead."""
        effects: list[Effect] = []
        for fact in facts:
            try:
                order = lifecycle.apply(order, fact)
            except ImpossibleTransition as impossible:
                oid = order.request.client_order_id
                word, source = f"forbidden: {impossible}", getattr(fact, "source", "")
                if is_news(order, word, source):  # else every look at the account would call for another
                    effects.append(Record(_discrepancy(oid, "the order table", str(impossible), "reconcile", fact.at)))
                    effects.append(Record(words.said(order, word, "not applied", at=fact.at, source=source)))
                    effects.append(ef.Reconcile(f"order {oid}: {impossible}"))
                break
            effects.append(Record(fact))
        return effects

    def _on_submit_rejected(self, event: ev.SubmitRejected) -> list[Effect]:
        order = self.orders[event.client_order_id]
        if order.broker_order_id is not None:  # the stream said that the broker has it: it knows better
            return [ef.LookUp(event.client_order_id)]
        reason = RejectReason.BROKER_REJECTED if event.was_sent else RejectReason.NOT_SENT
        return self._rejected(order, reason, event.message, event.at, _sent_by(order))

    def _rejected(self, order: Order, reason: RejectReason, message: str, at: datetime, source: str) -> list[Effect]:
        """Return the order ended without life; what it was to replace is back where it was."""
        oid = order.request.client_order_id
        if not order.status.is_open:
            return []
        fact = ev.OrderRejected(client_order_id=oid, reason=reason, message=message, at=at, source=source)
        effects = self._recorded(order, (fact,))
        old = None if order.replaces is None else self.orders[order.replaces]
        if old is not None and old.replaced_by == oid:
            old_oid = old.request.client_order_id
            if old.status.is_open:
                back = ev.OrderReplaceRefused(client_order_id=old_oid, message=message, at=at, source=source)
                effects += self._recorded(old, (back,))
            # Mostly it is filled already, or somebody else replaced it.
            effects += [ef.LookUp(old_oid)] if reason is not RejectReason.NOT_SENT else []
        return [*effects, ef.Reply(oid)]

    def _on_submit_in_doubt(self, event: ev.SubmitInDoubt) -> list[Effect]:
        order = self.orders[event.client_order_id]
        effects: list[Effect] = []
        if order.status.is_open and order.broker_order_id is None:
            effects += self._said(event.client_order_id, words.IN_DOUBT, event.why, event.at, _sent_by(order))
        return effects + self._on_doubt(event.client_order_id)

    def _said(self, oid: ClientOrderId, word: str, detail: str, at: datetime, source: str) -> list[Effect]:
        """Return the fact that the broker said so, if it is another word than the last."""
        order = self.orders[oid]
        return [Record(words.said(order, word, detail, at=at, source=source))] if is_news(order, word, source) else []

    def _on_doubt(self, client_order_id: ClientOrderId) -> list[Effect]:
        order = self.orders.get(client_order_id)
        return [ef.LookUp(client_order_id)] if order is not None and order.status.is_open else []

    def _on_looked_up(self, event: ev.OrderLookedUp) -> list[Effect]:
        order, at = self.orders[event.client_order_id], event.at
        if event.order is None:
            unknown = self._said(event.client_order_id, words.NOT_FOUND, "", at, Source.LOOK_UP)
            if order.broker_order_id is not None and order.status.is_open:
                return [*unknown, ef.Reconcile(f"the broker does not find order {event.client_order_id}")]
            if not order.status.is_open:
                return []
            return self._on_missing(order, at) or unknown
        if self.find(event.order) is not order:
            return []  # an order of somebody else, in the place of ours
        adopted = self.adoptions(event.successors, at, Source.LOOK_UP)
        effects = self._adopted(adopted, at, Source.LOOK_UP)
        heir = next((b for b in event.successors if b.replaces == event.order.broker_order_id), None)
        ours = None if heir is None else self.find(heir)
        ids = {theirs.broker_order_id: fact.request.client_order_id for fact, _, theirs in adopted}
        successor = None if heir is None else ids.get(heir.broker_order_id)
        if ours is not None:
            successor = ours.request.client_order_id
        effects += self._caught_up(
            order, event.order, event.fills, at, asks_for_missing=False, source=Source.LOOK_UP, successor=successor
        )
        if ours is not None and heir is not None:
            effects += self._caught_up(ours, heir, (), at, asks_for_missing=True, source=Source.LOOK_UP)
        if event.order.status is BrokerStatus.REPLACED and successor is None and order.status.is_open:
            effects += self._on_no_successor(order, event, effects)
        return effects

    def _on_no_successor(self, order: Order, event: ev.OrderLookedUp, effects: list[Effect]) -> list[Effect]:
        """Return the end of an order of which the broker says that it was replaced, and names no order in its place."""
        oid = order.request.client_order_id
        assert event.order is not None, "it was found"
        booked = [e.fact for e in effects if isinstance(e, Record) and isinstance(e.fact, ev.OrderFilled)]
        is_whole = order.counted_qty + sum(f.qty for f in booked) >= event.order.filled_qty
        has_ended = any(isinstance(e, Record) and isinstance(e.fact, ev.OrderReplaced) for e in effects)
        if has_ended or not is_whole:
            return []
        end = ev.OrderReplaced(client_order_id=oid, replaced_by=None, at=event.at, source=Source.LOOK_UP)
        found = _discrepancy(oid, "an order in its place", "the broker names none", "closed", event.at)
        return [Record(end), Record(found), ef.Reconcile(f"order {oid} was replaced by nothing")]

    def _on_missing(self, order: Order, at: datetime) -> list[Effect]:
        """Return what follows when the broker says that it does not have the order."""
        if not order.status.is_open:
            return []
        if order.broker_order_id is not None:
            return self._on_lost(order, at)
        if at - order.requested_at < self.doubt_settle:
            return []  # it may still be on its way: the next look decides
        message = "the broker says that it never saw the order: it was not traded; ask again if you still want it"
        return self._rejected(order, RejectReason.NEVER_ARRIVED, message, at, Source.LOOK_UP)

    def _on_lost(self, order: Order, at: datetime) -> list[Effect]:
        """Return what follows when the broker had the order, and knows it no more: it ends, or it would for ever hold.

        *at* is when the broker was asked. What it acknowledged shortly before then may not be in its lists yet.
        """
        if at - order.updated_at < self.doubt_settle:
            return []
        oid = order.request.client_order_id
        lost = _discrepancy(oid, "an order that the broker had", "the broker has none", "closed", at)
        message = "the broker knows the order no more (was its account reset?): what it filled until then is booked"
        return [Record(lost), *self._rejected(order, RejectReason.BROKER_LOST, message, at, Source.RECONCILE)]

    def _on_cancel_request(self, event: ev.CancelRequested) -> list[Effect]:
        oid = event.client_order_id
        order = self.orders[oid]
        if not order.status.is_open:
            text = f"status={order.status}: there is nothing left to cancel"
            if order.status is OrderStatus.REPLACED and order.replaced_by is not None:
                text = f"{text}; {order.replaced_by} is in its place: cancel that one"
            return [ef.Refuse(oid, RefusalReason.ORDER_FINAL, text)]
        effects = self._canceling(order, event)
        if order.replaced_by is not None and order.status is not OrderStatus.PENDING_CANCEL:
            effects += self._canceling(self.orders[order.replaced_by], event)  # whichever of the two lives
        return [*effects, ef.Reply(oid)]

    @staticmethod
    def _canceling(order: Order, event: ev.CancelRequested) -> list[Effect]:
        oid = order.request.client_order_id
        effects: list[Effect] = []
        if not order.status.is_open:
            return effects
        if order.status is not OrderStatus.PENDING_CANCEL:
            effects.append(Record(ev.OrderCancelRequested(client_order_id=oid, by=event.by, at=event.at)))
        if order.broker_order_id is not None:
            effects.append(ef.Cancel(oid, order.broker_order_id))
        return effects

    def _on_cancel_answered(self, event: ev.CancelAnswered) -> list[Effect]:
        oid = event.client_order_id
        order = self.orders[oid]
        if order.status is not OrderStatus.PENDING_CANCEL:
            return []
        if event.refusal is None:
            return self._said(oid, words.ACKNOWLEDGED, "the broker will try to cancel", event.at, Source.CANCEL)
        refused = ev.OrderCancelRefused(client_order_id=oid, message=event.refusal, at=event.at, source=Source.CANCEL)
        # Mostly it is filled already: the look-up brings the fills that crossed the cancel.
        return [Record(refused), ef.LookUp(oid)]

    def _on_trade_stream(self, event: ev.TradeStreamChanged) -> list[Effect]:
        affected = () if event.is_up else tuple(sorted({o.request.strategy_id for o in self.open_orders()}))
        changed = ev.StreamChanged(stream=TRADES, is_up=event.is_up, why=event.why, at=event.at, affected=affected)
        return [*self._on_stream(changed), *([ef.Reconcile("the trade stream came up")] if event.is_up else [])]

    def _on_stream(self, event: ev.StreamChanged) -> list[Effect]:
        if event.is_up:
            return [Record(event)]
        if self.outages.is_down(event.stream):
            return []  # a night of refused connections, each for another reason, is one fact
        return [Record(replace(event, open_orders=len(self.open_ids)))]

    def _on_resync(self, event: ev.BrokerSnapshot, effects: list[Effect]) -> list[Effect]:
        """Return *effects*, and the end of the trade stream's outage where they are the look that it waited for."""
        is_compared = any(isinstance(e, Record) and isinstance(e.fact, ev.AccountReconciled) for e in effects)
        ended = self.outages.end_of(TRADES, refusals=self.refused, at=event.at) if is_compared else None
        return [*effects, Record(ended)] if ended else effects

    def _on_market_resumed(self, event: ev.MarketResumed) -> list[Effect]:
        ended = self.outages.end_of(
            MARKET,
            affected=event.affected,
            bars_fetched=event.bars_fetched,
            bars_missing=event.bars_missing,
            at=event.at,
        )
        return [Record(ended)] if ended else []

    def _on_snapshot(self, snapshot: ev.BrokerSnapshot) -> list[Effect]:
        adopted = self.adoptions(snapshot.orders, snapshot.at, Source.RECONCILE)
        heirs = {broker.broker_order_id: order for _, order, broker in adopted}
        theirs = {one.broker_order_id: one for one in snapshot.orders}

        def owner(oid: BrokerOrderId) -> Order | None:
            if oid in self.by_broker_id:
                return self.orders[self.by_broker_id[oid]]
            # One that we gave up before the broker named it is known by its description.
            return heirs.get(oid) or (self.find(theirs[oid]) if oid in theirs else None)

        strangers = [line for line in snapshot.activities if line.fill is not None and self._is_strange(line, owner)]
        legless = self._legless(snapshot.at, {line.symbol for line in strangers}) if strangers else []
        held_back = {order.request.symbol for order in legless}
        news = activities.sorted_out(snapshot, self.standing, owner, self.fill_ids, held_back)
        effects = self._adopted(adopted, snapshot.at, Source.RECONCILE)  # a look-up will bring their fills
        effects += self._orders_caught_up(snapshot, {o: f for o, f in news.fills.items() if o in self.orders})
        effects += [ef.LookUp(order.request.client_order_id) for order in legless]
        asked_at = snapshot.asked_at or snapshot.at
        for oid in snapshot.missing:
            effects += self._on_missing(self.orders[oid], asked_at)
        if self.trade_stream_changed_at is not None and asked_at < self.trade_stream_changed_at:
            # It may lack what happened before the stream listened again: no order rests on it.
            return [*effects, ef.Reconcile("the last look was older than the stream")]
        known = comparing.Known(
            orders=self.orders,
            portfolio=self.portfolio,
            standing=self.standing,
            last=self.last_reconciled,
            count=self.execution_count,
        )
        return effects + comparing.compared(snapshot, news, effects, known)

    def _orders_caught_up(self, snapshot: ev.BrokerSnapshot, late: dict[ClientOrderId, list[Fill]]) -> list[Effect]:
        """Bring our orders to where the broker's are; *late* fills of orders that no list has are booked, too."""
        effects: list[Effect] = []
        fills = dict(snapshot.fills)
        for theirs in snapshot.orders:
            order = self.find(theirs)
            if order is not None:
                oid = order.request.client_order_id
                known = (*fills.get(oid, ()), *late.pop(oid, ()))
                effects += self._caught_up(order, theirs, known, snapshot.at, asks_for_missing=True)
        for oid, found in late.items():
            order = self.orders[oid]
            effects += self._recorded(order, lifecycle.late_fills(order, found, snapshot.at, Source.RECONCILE))
        return effects

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
                | ev.OrderReplaceRequested()
                | ev.OrderReplaceRefused()
                | ev.OrderReplaced()
                | ev.OrderRestated()
            ):
                self._advance(fact)
            case ev.OrderAdopted():
                self._adopt(fact)
            case ev.BrokerSaid():
                self.orders[fact.client_order_id] = lifecycle.hear(self.orders[fact.client_order_id], fact)
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
            case ev.FillCorrected():
                self._correct(fact)
            case ev.HouseAdjusted():
                house.adjust(self.portfolio, fact)
                self.standing.adjust(fact)
            case ev.SharesDistributed():
                house.distribute(self.portfolio, fact)
            case ev.DiscrepancyFound():
                self.standing.find(fact)
            case ev.DiscrepancyResolved():
                self.standing.open.pop(fact.subject, None)
            case ev.SymbolFrozen():
                self.standing.frozen[fact.symbol] = fact
            case ev.SymbolThawed():
                self.standing.frozen.pop(fact.symbol, None)
            case ev.AccountReconciled():
                self.last_reconciled = fact
                self.standing.read(fact.activities_until, fact.seen)
                self.is_synced = self.is_trade_stream_up
            case ev.StreamChanged():
                self.outages.change(fact)
                if fact.stream == TRADES:
                    self.is_trade_stream_up, self.is_synced = fact.is_up, False
                    self.trade_stream_changed_at = fact.at
            case ev.OutageEnded():
                self.outages.end(fact)
            case ev.RootSigned():
                self.last_root = fact
            case ev.DeskStarted():
                self.is_trade_stream_up = self.is_synced = False
            case ev.PositionsMarked():
                for symbol, price in fact.marks:
                    self._mark(symbol, price, fact.at)
            case ev.RunStarted() | ev.RunEnded() | ev.DeskStopped() | ev.CommandGiven() | ev.Heartbeat():
                pass  # kept for people; no decision rests on them
            case _:
                assert_never(fact)

    def _approve(self, fact: ev.OrderApproved) -> None:
        request = fact.request
        who = request.strategy_id
        old = None if request.replacement is None else self.orders[request.replacement.replaces]
        order = Order(
            request=request,
            status=OrderStatus.SUBMITTED,
            requested_at=fact.at,
            updated_at=fact.at,
            replaces=None if old is None else old.request.client_order_id,
            parent_id=None if old is None else old.parent_id,
        )
        self._put(order)
        valued = gate.value(request, fact.quote, position_free=NO_QTY)
        need = Reservation(cash=fact.reserved_cash, qty=fact.reserved_qty, opening=valued.qty, price=valued.price)
        if old is None:
            self.reservations.hold(order, need)
        else:
            self._stand_beside(order, old, need)
        count = self._orders_today(who, fact.market_day, fact.quote)
        self.days[who] = DayCount(fact.market_day, count + 1, fact.quote.quoted_at)
        asked = self.last_asked.setdefault(who, {})
        asked.pop(_signature(request), None)  # so that the oldest are always first
        asked[_signature(request)] = fact.at
        while fact.at - asked[oldest := next(iter(asked))] > DUPLICATE_MEMORY:
            del asked[oldest]

    def _adopt(self, fact: ev.OrderAdopted) -> None:
        old = self.orders[fact.replaces]
        order = lifecycle.adopt(fact, old)
        self._put(order)
        self.by_broker_id[fact.broker_order_id] = fact.request.client_order_id
        need = Reservation(
            cash=fact.reserved_cash, qty=fact.reserved_qty, opening=fact.request.qty or NO_QTY, price=fact.price
        )
        self._stand_beside(order, old, need)
        if not old.status.is_open:
            self._inherit(old, order)

    def _stand_beside(self, new: Order, old: Order, need: Reservation) -> None:
        """Let *new* hold what it may need beyond what *old* holds, until it is settled which of them lives."""
        if old.parent_id is not None:
            siblings = self.legs.get(old.parent_id, ())
            self.legs[old.parent_id] = (*siblings, new.request.client_order_id)
            self._promise(new)
            return
        self.needs[new.request.client_order_id] = need
        self._hold_pair(new, old)

    def _hold_pair(self, new: Order, old: Order) -> None:
        """Hold for *new*, beside *old*, what both together may still trade and *old* does not hold."""
        need = self.needs[new.request.client_order_id]
        held = self.reservations.of(old)
        left = replacing.left_of(new, old)
        worst = max(need.price, held.price)
        self.reservations.hold(new, replacing.beyond(replacing.need_for(need, left, worst=Price(worst)), held))

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
        match fact:
            case ev.OrderAccepted():
                self.by_broker_id[fact.broker_order_id] = fact.client_order_id
                self._add_legs(order, fact.legs, fact.at)
            case ev.OrderFilled():
                self._settle(order, fact)
            case ev.OrderRestated():
                self._restate(order)
            case _:
                pass
        if not order.status.is_open:
            self.reservations.release(order)
            self.needs.pop(fact.client_order_id, None)
            heir = None if order.replaced_by is None else self.orders.get(order.replaced_by)
            if heir is not None:
                self._inherit(order, heir)

    def _inherit(self, old: Order, new: Order) -> None:
        """Let *new* hold all that it needs: *old* holds nothing any more. Its legs are those of *old*, if it took its place."""
        old_id, new_id = old.request.client_order_id, new.request.client_order_id
        if old.status is OrderStatus.REPLACED and (legs := self.legs.pop(old_id, ())):
            self.legs[new_id] = tuple(dict.fromkeys((*self.legs.get(new_id, ()), *legs)))
            for leg in legs:
                self.orders[leg] = replace(self.orders[leg], parent_id=new_id)
        if new.parent_id is not None:
            self._promise(new)
        if new_id not in self.needs or not new.status.is_open:
            return
        if old.status is OrderStatus.REPLACED:
            need, left = self.needs.pop(new_id), new.leaves_qty
            assert left is not None, "an order that replaces one has a quantity"
            self.reservations.hold(new, replacing.need_for(need, left, worst=need.price))
        else:  # the replace is to fail; until then nobody knows
            self._hold_pair(new, old)

    def _restate(self, order: Order) -> None:
        """Hold no more than the smaller order can trade."""
        oid = order.request.client_order_id
        if order.parent_id is not None:
            self._promise(order)
        elif oid not in self.needs and order.leaves_qty is not None:
            held = self.reservations.of(order)
            self.reservations.hold(order, replacing.need_for(held, order.leaves_qty, worst=held.price))

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
        self.standing.executed(request.symbol, fill.at)
        if request.client_order_id not in self.needs:
            self.reservations.shrink(order, fill.qty, notional(fill.qty, fill.price))
        self._hold_pairs_of(order)
        parent = order.parent_id or request.client_order_id
        for leg in self.legs.get(parent, ()):
            self._promise(self.orders[leg])

    def _hold_pairs_of(self, order: Order) -> None:
        """Hold anew for an order that stands beside another, one of the two having filled."""
        oid = order.request.client_order_id
        pairs = [oid] if oid in self.needs else [n for n in self.needs if self.orders[n].replaces == oid]
        for new in (self.orders[n] for n in pairs):
            assert new.replaces is not None, "it has a need because it replaces"
            self._hold_pair(new, self.orders[new.replaces])

    def _correct(self, fact: ev.FillCorrected) -> None:
        order = corrections.apply(self.orders[fact.client_order_id], fact)
        self._put(order)
        if fact.client_order_id not in self.needs:
            self.reservations.grow(order, Qty(-fact.qty))  # an open order may trade again what was busted
        self._hold_pairs_of(order)
        self.standing.corrected += 1
        self.standing.executed(order.request.symbol, fact.at)

    def _add_legs(self, parent: Order, legs: tuple[ev.LegSpec, ...], at: datetime) -> None:
        for spec in legs:
            self.by_broker_id[spec.broker_order_id] = spec.client_order_id
            if known := self.orders.get(spec.client_order_id):  # of the order that this one replaced
                self.orders[spec.client_order_id] = replace(known, parent_id=parent.request.client_order_id)
                continue
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
                replacement=None,
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
        leaves = leg.leaves_qty
        assert leaves is not None, "a LegSpec has a quantity"
        promised = Qty(min(leaves, self._bought(leg.parent_id)))
        need = Reservation(cash=NO_CASH, qty=promised, opening=NO_QTY, price=Price(ZERO))
        old = None if leg.replaces is None else self.orders[leg.replaces]
        self.reservations.hold(leg, need if old is None else replacing.beyond(need, self.reservations.of(old)))

    def _bought(self, entry: ClientOrderId | None) -> Qty:
        """Return what an entry has filled, and before it those that it replaced."""
        bought = NO_QTY
        while entry is not None:
            bought = Qty(bought + self.orders[entry].filled_qty)
            entry = self.orders[entry].replaces
        return bought

    def _mark(self, symbol: Symbol, price: Price, at: datetime) -> None:
        for book in self.portfolio.books.values():
            book.mark(symbol, price, at)

    # --- look ----------------------------------------------------------------------------------------------------

    @property
    def fill_count(self) -> int:
        """Return how many fills the ledger holds."""
        return len(self.fill_ids)

    @property
    def execution_count(self) -> int:
        """Return how many fills, busts and corrections the ledger holds."""
        return len(self.fill_ids) + self.standing.corrected

    def knows(self, activity: Activity) -> bool:
        """Tell whether the line of the broker's history needs no look: it is booked, or noted."""
        if activity.fill is not None and activity.broker_order_id in self.by_broker_id:
            order = self.orders[self.by_broker_id[activity.broker_order_id]]
            return order.identity(activity.fill) in self.fill_ids
        return not activities.is_news(activity, self.standing) or (
            activity.fill is not None and activity.fill.fill_id in self.fill_ids
        )

    def find(self, broker: ev.BrokerOrder) -> Order | None:
        """Return our order that the broker speaks of: one that carries our id alone may be another."""
        oid = self.by_broker_id.get(broker.broker_order_id, broker.client_order_id)
        order = self.orders.get(oid)
        if order is None or order.broker_order_id not in {None, broker.broker_order_id}:
            return None
        return order

    def has_lost_its_group(self, order: Order) -> bool:
        """Tell whether an open leg should be over: its sibling is filled, or its entry ended without a fill.

        The broker cancels it, and does not always say so (ALPACA.md 1.5): it must be asked.
        """
        if order.parent_id is None or not order.status.is_open:
            return False
        parent = self.orders[order.parent_id]
        is_entry = parent.request.order_class is not OrderClass.OCO
        if not parent.status.is_open and (not is_entry or not self._bought(order.parent_id)):
            return True
        siblings = (self.orders[oid] for oid in self.legs.get(order.parent_id, ()))
        return any(leg.status is OrderStatus.FILLED for leg in siblings)

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


# Of an order in these, nothing can be canceled, or a cancel is under way.
_PAST_CANCEL = frozenset({BrokerStatus.PENDING_CANCEL, BrokerStatus.UNKNOWN})


def _is_alive(broker: ev.BrokerOrder) -> bool:
    """Tell whether the broker's order is one that a cancel can end."""
    return not lifecycle.has_ended(broker) and broker.status not in _PAST_CANCEL


def _sent_by(order: Order) -> Source:
    """Return by which road the order went to the broker."""
    return Source.SUBMIT if order.request.replacement is None else Source.REPLACE


def _signature(request: OrderRequest) -> OrderRequest:
    """Return what makes two requests the very same order: all but the id and the words."""
    return replace(request, client_order_id=ClientOrderId(""), reason=None)


def _discrepancy(subject: str, expected: str, actual: str, action: str, at: datetime) -> ev.DiscrepancyFound:
    return ev.DiscrepancyFound(subject=subject, expected=expected, actual=actual, action=action, at=at)
