"""Runs the core: one inbox, one owner. Facts are on disk before anything leaves the desk.

Rule 1: events are drained in batches; each is decided and applied in order; all facts of a batch are one commit; then
        the effects are performed in order. So a burst shares the cost of durability.
Rule 2: what speaks with the broker runs in tasks of its own, and comes back as events.
Rule 3: a ledger that cannot be written ends the desk: what is in memory is ahead of the disk, and a restart replays.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Protocol, assert_never
from zoneinfo import ZoneInfo

import structlog

from deskd.core import killing
from deskd.core.asking import STREAM_DOWN
from deskd.core.closing import Closing, request_for
from deskd.core.deciding import handle
from deskd.core.desk import TRADES, Desk
from deskd.core.pacing import Pace
from deskd.core.silence import Silence
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.book import Account, Position
from deskd.domain.effects import Effect, Refuse
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId, Symbol
from deskd.domain.look import Look
from deskd.domain.market import MarketClock, Quote
from deskd.domain.money import Price
from deskd.domain.order import Order, OrderRequest, OrderStatus, Replacement
from deskd.domain.priority import Priority
from deskd.domain.reasons import RefusalReason
from deskd.latency import Latency
from deskd.ledger.projections import project
from deskd.ports import Broker, Clock, Ledger, OnFact, Quotes, RawMarketMessage, Tells

INBOX_MAX = 10_000  # some seconds of a busy open; beyond it the endpoint answers 503
BATCH_MAX = 64  # events decided between two turns of the loop: 64 requests were measured at 4 ms
MARKS_EVERY = timedelta(seconds=10)
RECONCILE_GAP_S = 1.0  # the broker's positions may lag its orders: two looks in a row are never closer
STUCK_AFTER = timedelta(seconds=5)  # a cancel or replace without an answer is looked into, and asked for again
STUCK_AGAIN_MAX = timedelta(minutes=10)  # a night of stuck cancels must leave room in the broker's request limit
TICK_S = 0.001  # by which the loop's clock and the wall's may differ: to come too early is to come for nothing
CLOCK_OLD = timedelta(minutes=1)  # it is asked for four times a minute: older, nobody knows whether a session is on
CANCEL_WAIT_S = 10.0  # for the wish to be on disk; the broker's answer comes as an order line
CANCELED_WAITING = "it was canceled while it waited for its turn"
LISTED_MAX = 1_000  # orders in one list, the newest: a long history must not hold up the loop; the ledger has all

_PENDING = frozenset({OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE})
_NEW_YORK = ZoneInfo("America/New_York")

log = structlog.get_logger()


class Marks(Protocol):
    """The latest prices, for valuation."""

    def marks(self) -> Mapping[Symbol, Price]:
        """Return the latest price of each symbol that has one."""


@dataclass(slots=True, eq=False)
class _Waiter:
    """Somebody who waits for what becomes of an event."""

    event: ev.OrderRequested | ev.ReplaceRequested | ev.CancelRequested
    answer: asyncio.Future[Order | Refuse]


type TakeSnapshot = Callable[[Sequence[Order], Callable[[], int], str], Awaitable[ev.BrokerSnapshot]]


@dataclass(slots=True, kw_only=True)
class Runtime:
    """The only owner of the desk. Whoever wants something posts an event (satisfies ports.Orders)."""

    desk: Desk
    ledger: Ledger
    broker: Broker
    take_snapshot: TakeSnapshot
    quotes: Quotes
    marks: Marks
    tells: Tells
    wall: Clock  # the desk's own clock
    doubt_check: timedelta
    reconcile_every: timedelta
    clock_age_max: timedelta  # the broker's clock is asked for again when its last answer is older
    on_fact: list[OnFact] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    silence: Silence = field(default_factory=lambda: Silence(timedelta(seconds=10)))
    on_silence: list[Callable[[str], None]] = field(
        default_factory=list
    )  # the trade stream does not bring what it must
    inbox: asyncio.Queue[ev.Event] = field(default_factory=lambda: asyncio.Queue(INBOX_MAX))
    closing: str | None = "the desk is starting"  # why no new orders are taken; None: they are
    disk_low: str | None = None  # what the disk lacks for new orders; None: nothing
    to_send: Latency = field(default_factory=Latency)  # from an order's request until it leaves for the broker
    to_answer: Latency = field(default_factory=Latency)  # from then until the broker has it
    commits: Latency = field(default_factory=Latency)  # of the ledger, each of a batch of facts
    refusals: dict[str, int] = field(default_factory=dict)  # of requests of which no order came to be
    _waiters: dict[ClientOrderId, list[_Waiter]] = field(default_factory=dict)
    _kept: list[tuple[ev.Event, "asyncio.Future[None]"]] = field(default_factory=list)
    _looking_up: set[ClientOrderId] = field(default_factory=set)
    _waiting: set[ClientOrderId] = field(default_factory=set)  # for their turn to leave for the broker
    _left_at: dict[ClientOrderId, float] = field(default_factory=dict)  # of orders that the broker has to answer
    _canceling: set[ClientOrderId] = field(default_factory=set)
    _reconcile_why: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(1))
    _committed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _market_clock: MarketClock | None = None
    _clock_heard_at: float = 0.0  # on the monotonic clock
    _clock_asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looks_begun: int = 0
    _looks_ended: int = 0
    _last_look: Look = field(default_factory=Look)
    _tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    async def run(self) -> None:
        """Handle events until canceled. A crash of any task ends the desk; a restart replays the ledger."""
        async with self._tasks:
            self._tasks.create_task(self._reconciling(), name="reconcile")
            self._tasks.create_task(self._watching(), name="doubts and marks")
            while True:
                batch = [await self.inbox.get()]
                while len(batch) < BATCH_MAX and not self.inbox.empty():
                    batch.append(self.inbox.get_nowait())
                await self._handle(batch)
                for _ in batch:
                    self.inbox.task_done()

    async def _handle(self, batch: Sequence[ev.Event]) -> None:
        effects: list[tuple[Effect, ev.Event]] = []
        for event in batch:
            if isinstance(event, ev.InstrumentsListed):
                self.desk.instruments = {i.symbol: i for i in event.instruments}
            elif isinstance(event, ev.CalendarListed):
                self.desk.calendar = {day.day: day for day in event.days}
            self.silence.see(event, self.desk)
            effects += [(effect, event) for effect in handle(self.desk, event)]
            if not self.desk.outages.open.get(TRADES):
                self.desk.refused.clear()  # its end, if there was one, told them
        facts = [effect.fact for effect, _ in effects if isinstance(effect, ef.Record)]
        if facts:
            statements = project(facts, self.desk)
            began = self.wall.monotonic()
            await self.ledger.append(facts, statements)
            self.commits.observe(self.wall.monotonic() - began)
        for event in batch:
            if isinstance(event, ev.BrokerSnapshot):
                its = tuple(e.fact for e, why in effects if why is event and isinstance(e, ef.Record))
                self._last_look, self._looks_ended = Look(facts=its), self._looks_ended + 1
        for effect, event in effects:
            self._perform(effect, event)
        self._tell_kept(batch)
        async with self._committed:
            self._committed.notify_all()

    def _tell_kept(self, batch: Sequence[ev.Event]) -> None:
        """Tell those who wait until their event is on disk: few, and seldom."""
        for waits in [one for one in self._kept if any(one[0] is event for event in batch)]:
            self._kept.remove(waits)
            if not waits[1].done():
                waits[1].set_result(None)

    def _perform(self, effect: Effect, event: ev.Event) -> None:
        match effect:
            case ef.Record(fact):
                for listener in self.on_fact:
                    listener(fact)
                if self._waiting and isinstance(fact, ev.OrderCancelRequested | ev.StreamChanged):
                    self._withdraw(fact)
            case ef.Submit(request, priority):
                self._waiting.add(request.client_order_id)
                self._tasks.create_task(self._submit(request, priority), name=f"submit {request.client_order_id}")
            case ef.Replace(request, broker_order_id):
                self._waiting.add(request.client_order_id)
                name = f"replace by {request.client_order_id}"
                self._tasks.create_task(self._replace(request, broker_order_id), name=name)
            case ef.Cancel(oid, broker_order_id):
                if oid not in self._canceling:  # however often it is asked for
                    self._canceling.add(oid)
                    self._tasks.create_task(self._cancel(oid, broker_order_id), name=f"cancel {oid}")
            case ef.LookUp(oid):
                if oid not in self._looking_up:
                    self._looking_up.add(oid)
                    self._tasks.create_task(self._look_up(oid), name=f"look up {oid}")
            case ef.LookAgain(oid, after):
                asyncio.get_running_loop().call_later(after.total_seconds() + TICK_S, self._look_again, oid)
            case ef.Reconcile(why, after, is_routine):
                wait = self.pace.wait(self.wall.now()) if is_routine else after
                if wait is None:
                    return  # a look that is on its way will serve it
                if wait:
                    asyncio.get_running_loop().call_later(wait.total_seconds(), self.reconcile, why)
                else:
                    self.reconcile(why)
            case ef.Reply(oid):
                if order := self.desk.orders.get(oid):  # else an old denial: newer ones pushed it out of memory
                    self._reply(order, event)
            case ef.Refuse(oid):
                self._answer(oid, effect, lambda waiter: waiter.event is event)
            case ef.Tell(strategy_id, update):
                self.tells.tell(strategy_id, update)
            case _:
                assert_never(effect)

    # --- what speaks with the broker -----------------------------------------------------------------------------

    async def _submit(self, request: OrderRequest, priority: Priority) -> None:
        oid = request.client_order_id
        try:
            answer = await self.broker.submit(request, priority=priority, leaves=lambda: self._leaves(oid, priority))
            self._answered(oid, answer)
        finally:
            self._waiting.discard(oid)
            self._left_at.pop(oid, None)
        await self.inbox.put(answer)

    async def _replace(self, request: OrderRequest, broker_order_id: BrokerOrderId) -> None:
        oid = request.client_order_id
        priority = Priority.ORDER if self.desk.orders[oid].parent_id is None else Priority.EXIT
        try:
            answer = await self.broker.replace(
                request, broker_order_id, priority=priority, leaves=lambda: self._leaves(oid, priority)
            )
            self._answered(oid, answer)
        finally:
            self._waiting.discard(oid)
            self._left_at.pop(oid, None)
        await self.inbox.put(answer)

    def _leaves(self, oid: ClientOrderId, priority: Priority) -> str | None:
        """Let an order leave whose turn has come; return why it does not after all."""
        if self.desk.orders[oid].status is not OrderStatus.SUBMITTED:
            return CANCELED_WAITING
        if why := killing.stops_leaving(self.desk, self.desk.orders[oid].request):
            return why
        if not self.desk.is_trade_stream_up and priority is not Priority.KILL:  # to be flat unseen beats to be in
            return f"while it waited for its turn {STREAM_DOWN}"
        if oid in self._waiting:  # else it leaves once more: the broker had turned it away
            self.to_send.observe((self.wall.now() - self.desk.orders[oid].requested_at).total_seconds())
            self._waiting.discard(oid)
        self._left_at[oid] = self.wall.monotonic()
        return None

    def _answered(self, oid: ClientOrderId, answer: ev.SubmitAccepted | ev.SubmitRejected | ev.SubmitInDoubt) -> None:
        left_at = self._left_at.get(oid)
        if left_at is not None and isinstance(answer, ev.SubmitAccepted):
            self.to_answer.observe(self.wall.monotonic() - left_at)

    def _withdraw(self, fact: ev.OrderCancelRequested | ev.StreamChanged) -> None:
        """Let orders not leave that wait for their turn, where *fact* is why."""
        if isinstance(fact, ev.OrderCancelRequested):
            if fact.client_order_id in self._waiting:
                self.broker.withdraw(CANCELED_WAITING, fact.client_order_id)
        elif not self.desk.is_trade_stream_up:
            self.broker.withdraw(f"while it waited for its turn {STREAM_DOWN}")

    async def _cancel(self, oid: ClientOrderId, broker_order_id: BrokerOrderId) -> None:
        try:
            answer = await self.broker.cancel(oid, broker_order_id)
        finally:
            self._canceling.discard(oid)
        await self.inbox.put(answer)

    def _look_again(self, oid: ClientOrderId) -> None:
        if oid in self.desk.open_ids and not self.inbox.full():  # else `_watching` will
            self.inbox.put_nowait(ev.DoubtTimedOut(client_order_id=oid, at=self.wall.now()))

    async def _look_up(self, oid: ClientOrderId) -> None:
        try:
            answer = await self.broker.look_up(oid)
        finally:
            self._looking_up.discard(oid)
        if answer is not None:
            await self.inbox.put(answer)

    def reconcile(self, why: str) -> None:
        """Have the account compared with the broker's soon; several wishes are one look."""
        if self._reconcile_why.empty():
            self._reconcile_why.put_nowait(why)

    async def look(self, why: str) -> Look:
        """Return what a comparison with the broker brought that began after this call."""
        mine = self._looks_begun + 1
        self.reconcile(why)
        await self.until(lambda _: self._looks_ended >= mine)
        return self._last_look

    async def _reconciling(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self.reconcile_every.total_seconds()):
                    why = await self._reconcile_why.get()
            except TimeoutError:
                why = "on schedule"
            self._looks_begun += 1
            try:
                known = [o for o in self.desk.sent_orders() if o.request.client_order_id not in self._waiting]
                snapshot = await self.take_snapshot(known, lambda: self.desk.execution_count, why)
            except (OSError, TimeoutError) as error:
                log.warning("reconcile_failed", why=why, error=str(error))
                self._last_look, self._looks_ended = Look(problem=str(error)), self._looks_ended + 1
                async with self._committed:
                    self._committed.notify_all()
                self._retry_if_not_synced()
            else:
                await self.inbox.put(snapshot)
            await asyncio.sleep(RECONCILE_GAP_S)

    def _retry_if_not_synced(self) -> None:
        if self.desk.is_trade_stream_up and not self.desk.is_synced:
            self.reconcile("the last look failed")

    async def _watching(self) -> None:
        """Ask after orders in doubt, stuck cancels and replaces, and legs that lost their group; value positions."""
        marked_at = self.wall.now()
        asked_at: dict[ClientOrderId, datetime] = {}
        while True:
            await asyncio.sleep(self.doubt_check.total_seconds())
            now = self.wall.now()
            for order in self.desk.open_orders():
                oid = order.request.client_order_id
                if self._is_doubtful(order, asked_at.get(oid), now):
                    asked_at[oid] = now
                    await self.inbox.put(ev.DoubtTimedOut(client_order_id=oid, at=now))
            asked_at = {oid: at for oid, at in asked_at.items() if oid in self.desk.open_ids}
            if why := self.silence.overdue(now):
                for listener in self.on_silence:
                    listener(why)
            if now - marked_at >= MARKS_EVERY:
                marked_at = now
                await self.inbox.put(ev.MarksTaken(marks=tuple(self.marks.marks().items()), at=now))

    def _is_doubtful(self, order: Order, asked_at: datetime | None, now: datetime) -> bool:
        """Tell whether the order is to be asked after. One that is stuck for long is asked after ever less often."""
        if order.request.client_order_id in self._waiting:
            return False  # it may still wait for its turn: whoever sends it tells
        age = now - order.updated_at
        if order.broker_order_id is None:
            return age > self.doubt_check
        is_stuck = order.status in _PENDING or self.desk.has_lost_its_group(order)
        since = order.updated_at if asked_at is None else max(asked_at, order.updated_at)
        return is_stuck and now - since > max(STUCK_AFTER, min(age / 4, STUCK_AGAIN_MAX))

    # --- the face to the doors (ports.Orders) ----------------------------------------------------------------------

    def refusal(self) -> Refuse | None:
        """Return why no new order is taken at the moment, or None."""
        nobody = ClientOrderId("")
        if self.closing is not None:
            return Refuse(nobody, RefusalReason.DESK_NOT_READY, f"{self.closing}: try again later")
        if self.disk_low is not None:
            return Refuse(nobody, RefusalReason.DISK_LOW, f"{self.disk_low}: no new orders; cancels pass")
        if kill := self.desk.kills.stopping_desk():
            return killing.refusal(nobody, kill)
        if not self.desk.is_synced:
            return Refuse(nobody, RefusalReason.TRADE_STREAM_DOWN, STREAM_DOWN)
        if not self.desk.instruments:
            text = "the broker's list of what can be traded is not there yet: try again later"
            return Refuse(nobody, RefusalReason.DESK_NOT_READY, text)
        return None

    async def place(self, request: OrderRequest, *, timeout_s: float) -> Order | Refuse:
        """Put the request through the gate and to the broker; see ports.Orders."""
        oid = request.client_order_id
        refusal = self.refusal()
        if refusal is not None and oid not in self.desk.orders:
            return self._counted(request.strategy_id, Refuse(oid, refusal.reason, refusal.message))
        if oid not in self.desk.orders and (refusal := self._crowded(oid, request.strategy_id)):
            return self._counted(request.strategy_id, refusal)
        quote, market_day = self._market(request.symbol)
        event = ev.OrderRequested(
            request=request,
            quote=quote,
            market_day=market_day,
            at=self.wall.now(),
            is_halted=self.quotes.is_halted(request.symbol),
            clock=self._clock_now(quote),
        )
        outcome = await self._ask(oid, event, timeout_s) or self._undecided(event)
        return self._counted(request.strategy_id, outcome)

    async def replace(
        self,
        strategy_id: StrategyId | None,
        replacement: Replacement,
        *,
        client_order_id: ClientOrderId,
        by: str,
        timeout_s: float,
    ) -> Order | Refuse:
        """Put another order in the place of an open one; see ports.Orders."""
        oid = client_order_id
        old = self.find(strategy_id, replacement.replaces)
        if old is None:
            text = f"order_id={replacement.replaces}: no such order of this strategy"
            return Refuse(oid, RefusalReason.NOT_FOUND, text)
        refusal = self.refusal()
        if refusal is not None and oid not in self.desk.orders:
            return self._counted(old.request.strategy_id, Refuse(oid, refusal.reason, refusal.message))
        if oid not in self.desk.orders and (refusal := self._crowded(oid, old.request.strategy_id)):
            return self._counted(old.request.strategy_id, refusal)
        quote, market_day = self._market(old.request.symbol)
        event = ev.ReplaceRequested(
            client_order_id=oid,
            replacement=replace(replacement, replaces=old.request.client_order_id),
            quote=quote,
            market_day=market_day,
            by=by,
            at=self.wall.now(),
            is_halted=self.quotes.is_halted(old.request.symbol),
            clock=self._clock_now(quote),
        )
        outcome = await self._ask(oid, event, timeout_s) or self._undecided(event)
        return self._counted(old.request.strategy_id, outcome)

    def _crowded(self, oid: ClientOrderId, who: StrategyId) -> Refuse | None:
        """Return the refusal of an order that would wait too long for its turn at the broker, behind its own."""
        crowded = self.broker.crowded(who)
        if crowded is None:
            return None
        wait_s, text = crowded
        return Refuse(oid, RefusalReason.RATE, text, retry_after_s=math.ceil(wait_s))

    def _counted(self, who: StrategyId, outcome: Order | Refuse) -> Order | Refuse:
        """Return *outcome*, counted where it is a refusal; what the trade stream's outage cost goes on record, too."""
        if isinstance(outcome, Refuse):
            self.refusals[outcome.reason] = self.refusals.get(outcome.reason, 0) + 1
            if outcome.reason is RefusalReason.TRADE_STREAM_DOWN:
                self.desk.refused[who] = self.desk.refused.get(who, 0) + 1
        return outcome

    def _market(self, symbol: Symbol) -> tuple[Quote | None, date]:
        """Return the latest quote, and the market's day."""
        quote = self.quotes.quote(symbol)
        known = quote.quoted_at if quote else self._market_clock.timestamp if self._market_clock else self.wall.now()
        return quote, known.astimezone(_NEW_YORK).date()

    def market_clock(self) -> MarketClock | None:
        """Return the market's clock moved on to now; None where it was not heard of late."""
        return self._clock_now(None)

    def _clock_now(self, quote: Quote | None) -> MarketClock | None:
        """Return the market's clock moved on to now; None where it was not heard for CLOCK_OLD.

        On a fast tape the market's time runs ahead of ours: a newer stamp of a quote tells.
        """
        age = timedelta(seconds=self.wall.monotonic() - self._clock_heard_at)
        known = self._market_clock
        if known is None or age > CLOCK_OLD:
            return None
        moved = known.timestamp + age
        return replace(known, timestamp=moved if quote is None else max(moved, quote.quoted_at))

    def _undecided(self, event: ev.OrderRequested | ev.ReplaceRequested) -> Order | Refuse:
        """Return the order as it stands after the wait for it was over."""
        oid = event.request.client_order_id if isinstance(event, ev.OrderRequested) else event.client_order_id
        order = self.desk.orders.get(oid)
        if order is not None and _is_meant(event, order):  # the id alone may be another's
            return order
        return Refuse(oid, RefusalReason.TIMEOUT, "the desk has not decided yet: ask for the order by its id")

    async def cancel(self, strategy_id: StrategyId | None, order_id: str, *, by: str) -> Order | Refuse:
        """Ask for a cancel; see ports.Orders."""
        order = self.find(strategy_id, order_id)
        if order is None:
            text = f"order_id={order_id}: no such order of this strategy"
            return Refuse(ClientOrderId(order_id), RefusalReason.NOT_FOUND, text)
        oid = order.request.client_order_id
        if order.request.for_kill and strategy_id is not None:
            return killing.not_to_be_canceled(order)
        event = ev.CancelRequested(client_order_id=oid, by=by, at=self.wall.now())
        return await self._ask(oid, event, CANCEL_WAIT_S) or self.desk.orders.get(oid, order)

    async def _ask(
        self, oid: ClientOrderId, event: ev.OrderRequested | ev.ReplaceRequested | ev.CancelRequested, timeout_s: float
    ) -> Order | Refuse | None:
        """Return what becomes of *event*; None when that took longer than *timeout_s*."""
        waiter = _Waiter(event, asyncio.get_running_loop().create_future())
        try:
            self.inbox.put_nowait(event)
        except asyncio.QueueFull:
            text = f"inbox={INBOX_MAX}: the desk has more to do than it can: try again in a second"
            return Refuse(oid, RefusalReason.OVERLOADED, text)
        self._waiters.setdefault(oid, []).append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter.answer
        except TimeoutError:
            return None
        finally:  # whoever asked may have gone away, too
            self._waiters[oid].remove(waiter)
            if not self._waiters[oid]:
                del self._waiters[oid]

    def _reply(self, order: Order, event: ev.Event) -> None:
        """Answer who posted *event*, and all who asked for this very order; another may have used its id.

        Who placed an order that is in doubt waits for the broker's word, though somebody wants it canceled.
        """
        self._answer(
            order.request.client_order_id,
            order,
            lambda waiter: waiter.event is event or (_is_meant(waiter.event, order) and not order.is_in_doubt),
        )

    def _answer(self, oid: ClientOrderId, answer: Order | Refuse, is_meant: Callable[[_Waiter], bool]) -> None:
        for waiter in self._waiters.get(oid, ()):
            if is_meant(waiter) and not waiter.answer.done():
                waiter.answer.set_result(answer)

    def find(self, strategy_id: StrategyId | None, order_id: str) -> Order | None:
        """Return the order of that client_order_id or broker_order_id, if it is the strategy's."""
        oid = self.desk.by_broker_id.get(BrokerOrderId(order_id), ClientOrderId(order_id))
        order = self.desk.orders.get(oid)
        if order is None or strategy_id not in {None, order.request.strategy_id}:
            return None
        return order

    def orders(self, strategy_id: StrategyId | None, *, is_open: bool | None = None) -> Sequence[Order]:
        """Return orders, oldest first: all that are open, else the newest LISTED_MAX; *is_open* None: of all."""
        if is_open:
            return [o for o in self.desk.open_orders() if strategy_id in {None, o.request.strategy_id}]
        listed = (o for o in self.desk.newest_first(strategy_id) if is_open is None or not o.status.is_open)
        return list(islice(listed, LISTED_MAX))[::-1]

    def positions(self, strategy_id: StrategyId | None) -> Sequence[Position]:
        """Return positions at the latest mark, flat ones left out."""
        books = self.desk.portfolio.books
        wanted = books.values() if strategy_id is None else [books[strategy_id]] if strategy_id in books else []
        return [p for book in wanted for p in book.positions.values() if p.qty]

    def account(self, strategy_id: StrategyId) -> Account | None:
        """Return the strategy's sub-ledger."""
        return self.desk.account(strategy_id)

    async def clock(self) -> MarketClock:
        """Return the market's clock, its last answer moved on by the time since where that is not too old.

        Many who ask at once are one question: the broker's requests are counted for everybody together.
        """
        async with self._clock_asking:
            since = timedelta(seconds=self.wall.monotonic() - self._clock_heard_at)
            known = self._market_clock
            if known is not None and since < self.clock_age_max:
                moved = replace(known, timestamp=known.timestamp + since)
                if moved.timestamp < min(known.next_open, known.next_close):  # else the session may have changed
                    return moved
            self._market_clock = await self.broker.clock()
            self._clock_heard_at = self.wall.monotonic()
            return self._market_clock

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        """Return the latest bars of *symbol*, oldest first."""
        return await self.broker.bars(symbol, timeframe, limit)

    def to_close(self, closing: Closing, *, is_extended: bool) -> ev.ClosingRequested:
        """Return what a kill wants closed, at the market as it is now; post it to have it sent."""
        quote, market_day = self._market(closing.symbol)
        known = quote if quote is not None and quote.is_two_sided else None
        at = self.wall.now()
        request = request_for(self.desk, closing, at, quote=known, is_extended=is_extended)
        return ev.ClosingRequested(request=request, quote=known, market_day=market_day, at=at)

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def post(self, event: ev.Event) -> None:
        """Put *event* into the inbox, waiting for room."""
        await self.inbox.put(event)

    async def keep(self, event: ev.Event) -> None:
        """Put *event* into the inbox; return when it is handled, and what follows from it on disk."""
        kept = asyncio.get_running_loop().create_future()
        self._kept.append((event, kept))
        await self.inbox.put(event)
        await kept

    async def until_idle(self) -> None:
        """Return when everything posted so far is handled and on disk."""
        await self.inbox.join()

    async def until(self, holds: Callable[[Desk], bool]) -> None:
        """Return as soon as *holds* is true of the desk, looking after every batch."""
        async with self._committed:
            await self._committed.wait_for(lambda: holds(self.desk))


def _is_meant(event: ev.OrderRequested | ev.ReplaceRequested | ev.CancelRequested, order: Order) -> bool:
    """Tell whether *event* asked for this very order; another may have used its id."""
    match event:
        case ev.OrderRequested(request=request):
            return request == order.request
        case ev.ReplaceRequested(replacement=wanted):
            return wanted == order.request.replacement
        case ev.CancelRequested():
            return False
        case _:
            assert_never(event)
