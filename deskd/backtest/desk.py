"""The desk in step: core and exchange, event by event, each done with before the next begins.

The same `handle` decides as in the live desk, and the same exchange fills. What the live runtime does in tasks is done
here at once: record, then act, then tell.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from heapq import heappop, heappush
from typing import Protocol, assert_never
from zoneinfo import ZoneInfo

from deskd.backtest.broker import StepBroker
from deskd.backtest.clock import TapeClock
from deskd.core import killing, listing
from deskd.core.blocks import Closing
from deskd.core.closing import request_for
from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.book import Account, Position
from deskd.domain.effects import Effect, OrderUpdate, Refuse
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol
from deskd.domain.market import MarketClock, Quote
from deskd.domain.order import Order, OrderRequest, Replacement
from deskd.domain.reasons import RefusalReason
from deskd.ports import OnFact, Quotes, RawMarketMessage

_NEW_YORK = ZoneInfo("America/New_York")
_NOBODY = ClientOrderId("")

type Bars = Callable[[Symbol, str, int], Sequence[RawMarketMessage]]


class Hears(Protocol):
    """Who passes order updates on to the strategy."""

    def tell(self, strategy_id: StrategyId, update: OrderUpdate) -> None:
        """Queue the line for the strategy, where it wants orders."""


@dataclass(slots=True, kw_only=True)
class SteppedDesk:
    """The only owner of the desk (satisfies ports.Orders)."""

    desk: Desk
    broker: StepBroker
    wall: TapeClock
    quotes: Quotes
    market: Callable[[datetime], MarketClock]  # the market's clock at that time
    bars_of: Bars
    hears: Hears
    on_fact: list[OnFact] = field(default_factory=list)
    closing: str | None = None  # why no new orders are taken; None: they are
    refusals: dict[str, int] = field(default_factory=dict)  # of requests of which no order came to be
    _due: list[tuple[datetime, int, ClientOrderId | str]] = field(default_factory=list)  # an order to look at, or why
    _count: int = 0
    _refused: list[Refuse] = field(default_factory=list)  # what the event under way is answered with

    is_canceling_all = False  # every answer is there before the next event

    # --- events ------------------------------------------------------------------------------------------------------

    def happen(self, event: ev.Event) -> None:
        """Decide what follows from the event, and from all that follows from that."""
        waiting = deque([event])
        while waiting:
            one = waiting.popleft()
            if isinstance(one, ev.InstrumentsListed):
                self.desk.instruments = {i.symbol: i for i in one.instruments}
            elif isinstance(one, ev.CalendarListed):
                self.desk.calendar = {day.day: day for day in one.days}
            for effect in handle(self.desk, one):
                waiting.extend(self._performed(effect))

    async def post(self, event: ev.Event) -> None:
        """Let the event happen; nothing of it is left to do when this returns."""
        self.happen(event)

    async def keep(self, event: ev.Event) -> None:
        """Let the event happen; a backtest keeps nothing on disk."""
        self.happen(event)

    async def until(self, holds: Callable[[Desk], bool]) -> None:
        """Return, where *holds* is true of the desk: nobody else makes it so while one waits."""
        assert holds(self.desk), "in step nothing happens meanwhile"

    def hear(self) -> None:
        """Take what the exchange has to tell of orders since the last call."""
        for update in self.broker.updates(self.wall.now()):
            self.happen(update)

    def next_due(self) -> datetime | None:
        """Return when `pass_time` next has something to do."""
        return self._due[0][0] if self._due else None

    def pass_time(self) -> None:
        """Look again at what was to be looked at by now."""
        while self._due and self._due[0][0] <= self.wall.now():
            _, _, what = heappop(self._due)
            order = self.desk.orders.get(ClientOrderId(what))
            if order is None:
                self.happen(self._snapshot(what))
            elif order.status.is_open or order.request.client_order_id in self.desk.split_ids:
                self.happen(ev.DoubtTimedOut(client_order_id=ClientOrderId(what), at=self.wall.now()))

    def reconcile(self, why: str) -> None:
        """Compare the books with the exchange's account."""
        self.happen(self._snapshot(why))

    def _snapshot(self, why: str) -> ev.BrokerSnapshot:
        return self.broker.snapshot(self.desk.sent_orders(), self.desk.execution_count, why, self.wall.now())

    def _performed(self, effect: Effect) -> Sequence[ev.Event]:
        """Do it, and return the events that come of it."""
        now = self.wall.now()
        match effect:
            case ef.Record(fact):
                for listener in self.on_fact:
                    listener(fact)
            case ef.Submit(request, _):
                why = killing.stops_leaving(self.desk, request)
                if why is not None:
                    oid = request.client_order_id
                    return [ev.SubmitRejected(client_order_id=oid, message=why, at=now, was_sent=False)]
                return [self.broker.submit(request, now), *self.broker.updates(now)]
            case ef.Replace(request, broker_order_id):
                return [self.broker.replace(request, broker_order_id, now), *self.broker.updates(now)]
            case ef.Cancel(oid, broker_order_id):
                return [self.broker.cancel(oid, broker_order_id, now), *self.broker.updates(now)]
            case ef.CancelAll(orders):
                return [*self.broker.cancel_all(orders, now), *self.broker.updates(now)]
            case ef.LookUp(oid):
                return [self.broker.look_up(oid, now)]
            case ef.LookAgain(oid, after):
                self._wake(now + after, oid)
            case ef.LookAtMarket(symbol):
                return [self._looked(symbol)]
            case ef.Reconcile(why, after):
                if not after:
                    return [self._snapshot(why)]
                self._wake(now + after, why)
            case ef.Reply():
                pass  # who asked looks at the order
            case ef.Refuse():
                self._refused.append(effect)
            case ef.Tell(strategy_id, update):
                self.hears.tell(strategy_id, update)
            case _:
                assert_never(effect)
        return ()

    def _looked(self, symbol: Symbol) -> ev.MarketLooked:
        """Return the market as it is now in the symbol."""
        now, is_halted = self.wall.now(), self.quotes.is_halted(symbol)
        quote, _ = self._market(symbol)
        return ev.MarketLooked(symbol=symbol, quote=quote, at=now, clock=self.market(now), is_halted=is_halted)

    def _wake(self, at: datetime, what: ClientOrderId | str) -> None:
        self._count += 1
        heappush(self._due, (at, self._count, what))

    # --- the face to the order channel (ports.Orders) ------------------------------------------------------------------

    def refusal(self) -> Refuse | None:
        """Return why no new order is taken at the moment, or None."""
        if self.closing is not None:
            return Refuse(_NOBODY, RefusalReason.DESK_NOT_READY, f"{self.closing}: try again later")
        if kill := self.desk.kills.stopping_desk():
            return killing.refusal(_NOBODY, kill)
        return None

    async def place(self, request: OrderRequest, *, timeout_s: float) -> Order | Refuse:  # noqa: ARG002  it takes none
        """Put the request through the gate and to the exchange; see ports.Orders."""
        oid = request.client_order_id
        if (refusal := self.refusal()) is not None and oid not in self.desk.orders:
            return self._counted(Refuse(oid, refusal.reason, refusal.message))
        at = self.wall.stamp()
        quote, market_day = self._market(request.symbol)
        return self._asked(
            oid,
            ev.OrderRequested(
                request=request,
                quote=quote,
                market_day=market_day,
                at=at,
                is_halted=self.quotes.is_halted(request.symbol),
                clock=self.market(at),
            ),
        )

    async def replace(
        self,
        strategy_id: StrategyId | None,
        replacement: Replacement,
        *,
        client_order_id: ClientOrderId,
        by: str,
        timeout_s: float,  # noqa: ARG002  it takes none
    ) -> Order | Refuse:
        """Put another order in the place of an open one; see ports.Orders."""
        oid = client_order_id
        old = self.find(strategy_id, replacement.replaces)
        if old is None:
            return self._counted(self._no_such(ClientOrderId(oid), replacement.replaces))
        if (refusal := self.refusal()) is not None and oid not in self.desk.orders:
            return self._counted(Refuse(oid, refusal.reason, refusal.message))
        at = self.wall.stamp()
        quote, market_day = self._market(old.request.symbol)
        return self._asked(
            oid,
            ev.ReplaceRequested(
                client_order_id=oid,
                replacement=replace(replacement, replaces=old.request.client_order_id),
                quote=quote,
                market_day=market_day,
                by=by,
                at=at,
                is_halted=self.quotes.is_halted(old.request.symbol),
                clock=self.market(at),
            ),
        )

    async def cancel(self, strategy_id: StrategyId | None, order_id: str, *, by: str) -> Order | Refuse:
        """Ask for a cancel; see ports.Orders."""
        order = self.find(strategy_id, order_id)
        if order is None:
            return self._counted(self._no_such(ClientOrderId(order_id), order_id))
        oid = order.request.client_order_id
        if order.request.for_kill and strategy_id is not None:
            return killing.not_to_be_canceled(order)
        return self._asked(oid, ev.CancelRequested(client_order_id=oid, by=by, at=self.wall.stamp()))

    def is_shut_out(self, order: Order) -> bool:
        """Tell whether the order was denied because no order of its strategy is taken."""
        return killing.is_shut_out(self.desk, order)

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
        """Return the market's clock."""
        return self.market_clock()

    def market_clock(self) -> MarketClock:
        """Return the market's clock."""
        return self.market(self.wall.now())

    async def bars(self, symbol: Symbol, timeframe: str, limit: int) -> Sequence[RawMarketMessage]:
        """Return the latest bars of *symbol*, oldest first."""
        return self.bars_of(symbol, timeframe, limit)

    def to_close(self, closing: Closing, *, is_extended: bool) -> ev.ClosingRequested:
        """Return what a kill wants closed, at the market as it is now."""
        quote, market_day = self._market(closing.symbol)
        known = quote if quote is not None and quote.is_two_sided else None
        at = self.wall.stamp()
        request = request_for(self.desk, closing, at, quote=known, is_extended=is_extended)
        return ev.ClosingRequested(request=request, quote=known, market_day=market_day, at=at, parts=closing.parts)

    def _asked(self, oid: ClientOrderId, event: ev.Event) -> Order | Refuse:
        """Let it happen, and return what became of it."""
        self._refused = []
        self.happen(event)
        return self._counted(self._refused[0]) if self._refused else self.desk.orders[oid]

    def _counted(self, refused: Refuse) -> Refuse:
        self.refusals[refused.reason] = self.refusals.get(refused.reason, 0) + 1
        return refused

    @staticmethod
    def _no_such(oid: ClientOrderId, order_id: str) -> Refuse:
        return Refuse(oid, RefusalReason.NOT_FOUND, f"order_id={order_id}: no such order of this strategy")

    def _market(self, symbol: Symbol) -> tuple[Quote | None, date]:
        """Return the latest quote, and the market's day."""
        return self.quotes.quote(symbol), self.wall.now().astimezone(_NEW_YORK).date()
