"""Runs the core: one inbox, one owner. Facts are on disk before anything leaves the desk.

Rule 1: events are drained in batches; each is decided and applied in order; all facts of a batch are one commit; then
        the effects are performed in order. So a burst shares the cost of durability.
Rule 2: what speaks with the broker runs in tasks of its own, and comes back as events.
Rule 3: a ledger that cannot be written ends the desk: what is in memory is ahead of the disk, and a restart replays.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from datetime import date, timedelta
from typing import assert_never

from deskd.core import killing, listing
from deskd.core.asking import STREAM_DOWN
from deskd.core.blocks import Closing
from deskd.core.closing import request_for
from deskd.core.deciding import handle
from deskd.core.desk import TRADES, Desk
from deskd.core.silence import Silence
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.book import Account, Position
from deskd.domain.effects import Effect, Refuse
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol
from deskd.domain.look import Look
from deskd.domain.market import MarketClock, Quote
from deskd.domain.order import Order, OrderRequest, Replacement
from deskd.domain.reasons import RefusalReason
from deskd.domain.strategy import NOTHING, AtWork
from deskd.latency import Latency
from deskd.ledger.projections import project
from deskd.ports import Broker, Clock, Ledger, OnFact, Quotes, RawMarketMessage, Tells
from deskd.runtime.answers import Answers, Request, is_meant
from deskd.runtime.looking import Looking, TakeSnapshot
from deskd.runtime.market_time import MarketTime
from deskd.runtime.sending import Sending
from deskd.runtime.stepping import Stepping
from deskd.runtime.watching import Marks, Watching

INBOX_MAX = 10_000  # some seconds of a busy open; beyond it the endpoint answers 503
BATCH_MAX = 64  # events decided between two turns of the loop: 64 requests were measured at 4 ms
TICK_S = 0.001  # by which the loop's clock and the wall's may differ: to come too early is to come for nothing
CANCEL_WAIT_S = 10.0  # for the wish to be on disk; the broker's answer comes as an order line


@dataclass(slots=True, kw_only=True)
class Runtime:
    """The only owner of the desk. Whoever wants something posts an event (satisfies ports.Orders)."""

    desk: Desk
    ledger: Ledger
    broker: InitVar[Broker]
    take_snapshot: InitVar[TakeSnapshot]
    quotes: Quotes
    marks: InitVar[Marks]
    tells: Tells
    wall: Clock  # the desk's own clock
    doubt_check: InitVar[timedelta]
    reconcile_every: InitVar[timedelta]
    clock_age_max: InitVar[timedelta]  # the broker's clock is asked for again when its last answer is older
    on_fact: list[OnFact] = field(default_factory=list)
    at_work: Callable[[StrategyId], AtWork] = lambda _: NOTHING
    silence: Silence = field(default_factory=lambda: Silence(timedelta(seconds=10)))
    on_silence: list[Callable[[str], None]] = field(
        default_factory=list
    )  # the trade stream does not bring what it must
    inbox: asyncio.Queue[ev.Event] = field(default_factory=lambda: asyncio.Queue(INBOX_MAX))
    closing: str | None = "the desk is starting"  # why no new orders are taken; None: they are
    disk_low: str | None = None  # what the disk lacks for new orders; None: nothing
    commits: Latency = field(default_factory=Latency)  # of the ledger, each of a batch of facts
    refusals: dict[str, int] = field(default_factory=dict)  # of requests of which no order came to be
    sending: Sending = field(init=False)
    looking: Looking = field(init=False)
    watching: Watching = field(init=False)
    market_time: MarketTime = field(init=False)
    stepping: Stepping = field(init=False)
    answers: Answers = field(default_factory=Answers)
    _kept: list[tuple[ev.Event, "asyncio.Future[None]"]] = field(default_factory=list)
    _committed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    def __post_init__(  # noqa: PLR0917  a dataclass hands them over by position
        self,
        broker: Broker,
        take_snapshot: TakeSnapshot,
        marks: Marks,
        doubt_check: timedelta,
        reconcile_every: timedelta,
        clock_age_max: timedelta,
    ) -> None:
        self.sending = Sending(desk=self.desk, broker=broker, wall=self.wall, post=self.post, tasks=self._tasks)
        self.looking = Looking(
            desk=self.desk,
            take_snapshot=take_snapshot,
            every=reconcile_every,
            wall=self.wall,
            post=self.post,
            waiting=self.sending.waiting,
            committed=self._committed,
        )
        self.watching = Watching(
            desk=self.desk,
            wall=self.wall,
            doubt_check=doubt_check,
            silence=self.silence,
            on_silence=self.on_silence,
            marks=marks,
            post=self.post,
            waiting=self.sending.waiting,
        )
        self.stepping = Stepping(self.wall)
        self.market_time = MarketTime(broker=broker, wall=self.wall, age_max=clock_age_max)

    async def run(self) -> None:
        """Handle events until canceled. A crash of any task ends the desk; a restart replays the ledger."""
        async with self._tasks:
            self._tasks.create_task(self.looking.run(), name="reconcile")
            self._tasks.create_task(self.watching.run(), name="doubts and marks")
            while True:
                batch = [await self.inbox.get()]
                while len(batch) < BATCH_MAX and not self.inbox.empty():
                    batch.append(self.inbox.get_nowait())
                await self._handle(batch)
                for _ in batch:
                    self.inbox.task_done()

    async def _handle(self, batch: Sequence[ev.Event]) -> None:
        effects: list[tuple[Effect, ev.Event]] = []
        if (stepped := self.stepping.taken()) is not None:  # before anything is held against the clock as it is now
            batch = [stepped, *batch]
            self.watching.asks_anew()
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
                self.looking.ended(Look(facts=its))
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
                self.sending.withdraw(fact)
            case ef.Submit(request, priority):
                self.sending.submit(request, priority)
            case ef.Replace(request, broker_order_id):
                self.sending.replace(request, broker_order_id)
            case ef.Cancel(oid, broker_order_id):
                self.sending.cancel(oid, broker_order_id)
            case ef.CancelAll(orders):
                self.sending.cancel_all(orders)
            case ef.LookUp(oid):
                self.sending.look_up(oid)
            case ef.LookAgain(oid, after):
                asyncio.get_running_loop().call_later(after.total_seconds() + TICK_S, self._look_again, oid)
            case ef.LookAtMarket(symbol):
                self._look_at_market(symbol)
            case ef.Reconcile(why, after, is_routine):
                self.looking.reconcile_after(after, why, is_routine=is_routine)
            case ef.Reply(oid):
                if order := self.desk.orders.get(oid):  # else an old denial: newer ones pushed it out of memory
                    self.answers.reply(order, event)
            case ef.Refuse():
                self.answers.refuse(effect, event)
            case ef.Tell(strategy_id, update):
                self.tells.tell(strategy_id, update)
            case _:
                assert_never(effect)

    def _look_again(self, oid: ClientOrderId) -> None:
        is_open = oid in self.desk.open_ids or oid in self.desk.split_ids
        if is_open and not self.inbox.full():  # else `watching` will
            self.inbox.put_nowait(ev.DoubtTimedOut(client_order_id=oid, at=self.wall.now()))

    def _look_at_market(self, symbol: Symbol) -> None:
        if not self.inbox.full():  # else whoever waits for it goes to the broker without
            quote = self.quotes.quote(symbol)
            is_halted, clock = self.quotes.is_halted(symbol), self.market_time.now(quote)
            looked = ev.MarketLooked(symbol=symbol, quote=quote, at=self.wall.now(), clock=clock, is_halted=is_halted)
            self.inbox.put_nowait(looked)

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

    def is_shut_out(self, order: Order) -> bool:
        """Tell whether the order was denied because no order of its strategy is taken."""
        return killing.is_shut_out(self.desk, order)

    async def place(self, request: OrderRequest, *, timeout_s: float) -> Order | Refuse:
        """Put the request through the gate and to the broker; see ports.Orders."""
        oid = request.client_order_id
        refusal = self.refusal()
        if refusal is not None and oid not in self.desk.orders:
            return self._counted(request.strategy_id, Refuse(oid, refusal.reason, refusal.message))
        if oid not in self.desk.orders and (refusal := self.sending.crowded(oid, request.strategy_id)):
            return self._counted(request.strategy_id, refusal)
        quote, market_day = self._market(request.symbol)
        at_work = self.at_work(request.strategy_id)
        event = ev.OrderRequested(
            request=request,
            quote=quote,
            market_day=market_day,
            at=self.wall.now(),
            is_halted=self.quotes.is_halted(request.symbol),
            clock=self.market_time.now(quote),
            line=at_work.line,
            lines_together=at_work.together,
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
        if oid not in self.desk.orders and (refusal := self.sending.crowded(oid, old.request.strategy_id)):
            return self._counted(old.request.strategy_id, refusal)
        quote, market_day = self._market(old.request.symbol)
        at_work = NOTHING if strategy_id is None else self.at_work(strategy_id)  # an officer reads none of its lines
        event = ev.ReplaceRequested(
            client_order_id=oid,
            replacement=replace(replacement, replaces=old.request.client_order_id),
            quote=quote,
            market_day=market_day,
            by=by,
            at=self.wall.now(),
            is_halted=self.quotes.is_halted(old.request.symbol),
            clock=self.market_time.now(quote),
            line=at_work.line,
            lines_together=at_work.together,
        )
        outcome = await self._ask(oid, event, timeout_s) or self._undecided(event)
        return self._counted(old.request.strategy_id, outcome)

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
        return quote, self.market_time.day(quote)

    def market_clock(self) -> MarketClock | None:
        """Return the market's clock moved on to now; None where it was not heard of late."""
        return self.market_time.now(None)

    def _undecided(self, event: ev.OrderRequested | ev.ReplaceRequested) -> Order | Refuse:
        """Return the order as it stands after the wait for it was over."""
        oid = event.request.client_order_id if isinstance(event, ev.OrderRequested) else event.client_order_id
        order = self.desk.orders.get(oid)
        if order is not None and is_meant(event, order):  # the id alone may be another's
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

    async def _ask(self, oid: ClientOrderId, event: Request, timeout_s: float) -> Order | Refuse | None:
        """Return what becomes of *event*; None when that took longer than *timeout_s*."""
        try:
            self.inbox.put_nowait(event)
        except asyncio.QueueFull:
            text = f"inbox={INBOX_MAX}: the desk has more to do than it can: try again in a second"
            return Refuse(oid, RefusalReason.OVERLOADED, text)
        return await self.answers.to(oid, event, timeout_s)

    def find(self, strategy_id: StrategyId | None, order_id: str) -> Order | None:
        """Return the order of that client_order_id or broker_order_id, if it is the strategy's."""
        return listing.find(self.desk, strategy_id, order_id)

    def orders(self, strategy_id: StrategyId | None, *, is_open: bool | None = None) -> Sequence[Order]:
        """Return orders, oldest first: all that are open, else the newest LISTED_MAX; *is_open* None: of all."""
        return listing.orders(self.desk, strategy_id, is_open=is_open)

    def positions(self, strategy_id: StrategyId | None) -> Sequence[Position]:
        """Return positions at the latest mark, flat ones left out."""
        return listing.positions(self.desk, strategy_id)

    def account(self, strategy_id: StrategyId) -> Account | None:
        """Return the strategy's sub-ledger."""
        return self.desk.account(strategy_id)

    async def clock(self) -> MarketClock:
        """Return the market's clock, its last answer moved on by the time since where that is not too old."""
        return await self.market_time.heard()

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        """Return the latest bars of *symbol*, oldest first."""
        return await self.sending.broker.bars(symbol, timeframe, limit)

    def to_close(self, closing: Closing, *, is_extended: bool) -> ev.ClosingRequested:
        """Return what a kill wants closed, at the market as it is now; post it to have it sent."""
        quote, market_day = self._market(closing.symbol)
        known = quote if quote is not None and quote.is_two_sided else None
        at = self.wall.now()
        request = request_for(self.desk, closing, at, quote=known, is_extended=is_extended)
        return ev.ClosingRequested(request=request, quote=known, market_day=market_day, at=at, parts=closing.parts)

    # --- start and stop ----------------------------------------------------------------------------------------------

    @property
    def is_canceling_all(self) -> bool:
        """Say whether the broker was asked to cancel all that is open, and has not answered yet."""
        return self.sending.is_canceling_all

    async def look(self, why: str) -> Look:
        """Return what a comparison with the broker brought that began after this call."""
        return await self.looking.look(why)

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
