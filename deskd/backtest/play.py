"""Plays a tape to one strategy in step: each instant of the market is done with before the next one comes.

Rule 1: an order is handled at the market's time of the line that caused it, however long the strategy took for it.
Rule 2: what the exchange owes (acknowledgements, fills, openings, ends) happens at its own time between two instants,
        and the strategy hears of it before anything later.
Rule 3: what the desk looks at every second live, it looks at here every second of the market, as long as a look can
        bring anything new: between two instants that is the second look in a row, and no third.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from deskd.backtest.clock import TapeClock
from deskd.backtest.desk import SteppedDesk
from deskd.backtest.feed import StepFeed
from deskd.backtest.market import StepMarket
from deskd.domain import events as ev
from deskd.exchange.exchange import Exchange
from deskd.venue.bars import MINUTE
from deskd.venue.calendar import Calendar, MarketDay, new_york_day
from deskd.venue.floor import tell_exchange
from deskd.venue.market import Market
from deskd.venue.tape import Tape
from deskd.wire.alpaca.market import Message, to_datetime, to_ns

LOOKS_IN_A_ROW = 2  # after the market moved; what two looks see counts, and a third sees the same

type Act = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Look:
    """Something that the desk does again and again."""

    every: timedelta
    act: Act
    next_at: datetime | None = None
    left: int = 0  # before the market moves again

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time."""
        return self.left > 0 and (self.next_at is None or self.next_at <= now)


@dataclass(slots=True, kw_only=True)
class Play:
    """One tape, one strategy."""

    tape: Tape
    calendar: Calendar
    exchange: Exchange
    market: Market  # the exchange's own
    seen: StepMarket  # the desk's
    desk: SteppedDesk
    feed: StepFeed
    wall: TapeClock
    looks: Sequence[Look] = ()
    on_minute: Callable[[datetime], None] = lambda _: None  # of the market, while it is open for anybody
    days: list[str] = field(default_factory=list)  # that were played
    has_ended: bool = False  # the tape has, and not the strategy before it

    async def prepare(self, begin: int) -> None:
        """Catch up with the first day as if it had played until *begin*, so that prices are there from the start."""
        now = to_datetime(begin)
        self._begin_day(new_york_day(begin), now)
        self.market.prime(self.tape, now)
        known = [(self.market.trade(symbol), self.market.quote(symbol)) for symbol in self.market.symbols()]
        messages = [message for pair in known for message in pair if message is not None]
        tell_exchange(self.exchange, messages, now)
        for message in messages:
            if message["T"] == "q":
                self.seen.seed(message)

    async def run(self, begin: int, warm_up: Sequence[bytes]) -> None:
        """Play from *begin*, which `prepare` has reached, to the tape's end, or the strategy's."""
        for line in warm_up:
            await self.feed.hand_over(line)
        day = new_york_day(begin)
        while not self.feed.is_over:
            await self._play_day(day, begin)
            later = self.tape.day_after(day, loop=False)
            if later is None:
                self.has_ended = not self.feed.is_over
                return
            day, begin = later, self.tape.first_at(later)
            await self._pass_until(to_datetime(begin))
            self._begin_day(day, self.wall.move_to(to_datetime(begin)))
            self.desk.hear()

    def _begin_day(self, day: date, now: datetime) -> None:
        session = self.calendar.session_day(day)
        assert session is not None, "a tape's days are trading days"
        self.days.append(day.isoformat())
        self.market.start_day(day, self.tape.outline(day))
        self.exchange.on_session(session, now)
        self.desk.happen(ev.MarketDayBegan(market_day=day, at=now))

    async def _play_day(self, day: date, begin: int) -> None:
        session = self.calendar.day(day)
        assert session is not None, "a tape's days are trading days"
        for at, messages in instants(self.tape, session, begin):
            if self.feed.is_over:
                return
            moment = to_datetime(at)
            await self._pass_until(moment)
            await self._take(moment, messages)
            if at % MINUTE == 0:
                self.on_minute(self.wall.now())

    async def _take(self, at: datetime, messages: list[Message]) -> None:
        now = self.wall.move_to(at)
        published = self.market.feed(now, messages)
        tell_exchange(self.exchange, published, now)
        self.exchange.advance(now)
        self.desk.hear()
        self.seen.see(published, now)
        for line in self.seen.lines(published):
            await self.feed.hand_over(line)
        await self.feed.settle()
        if published:
            for look in self.looks:
                look.left = LOOKS_IN_A_ROW
        await self._look()

    async def _pass_until(self, at: datetime) -> None:
        """Let happen what is due before *at*, each thing at its own time."""
        while (due := self._next_due()) is not None and due < at and not self.feed.is_over:
            now = self.wall.move_to(due)
            self.exchange.advance(now)
            self.desk.hear()
            self.desk.pass_time()
            await self.feed.settle()
            await self._look()

    def _next_due(self) -> datetime | None:
        dues = [self.exchange.next_timer(), self.desk.next_due()]
        dues += [look.next_at for look in self.looks if look.left]
        return min((due for due in dues if due is not None), default=None)

    async def _look(self) -> None:
        now = self.wall.now()
        for look in self.looks:
            if look.is_due(now):
                look.left -= 1
                look.next_at = now + look.every
                await look.act()
                self.desk.hear()
                await self.feed.settle()


def instants(tape: Tape, session: MarketDay, begin: int) -> Iterator[tuple[int, list[Message]]]:
    """Yield what comes at each instant of the day, and every edge of its sessions and minutes between, in order.

    Nothing comes of a minute's edge but what the market makes of it: its bars. There is none after the day's last print,
    but the session's own.
    """
    edges = [
        at
        for at in map(to_ns, (session.extended_open_at, session.open_at, session.close_at, session.extended_close_at))
        if at > begin
    ]
    minute = (begin // MINUTE + 1) * MINUTE
    coming: list[Message] = []
    present = begin
    for batch in tape.play(session.day, begin):
        for at, message in zip(batch.times, batch.messages, strict=True):
            if at != present:
                if coming:
                    yield present, coming
                    coming = []
                while (edge := min(minute, edges[0]) if edges else minute) < at:
                    yield edge, []
                    if edges and edge == edges[0]:
                        edges.pop(0)
                    if edge == minute:
                        minute += MINUTE
                present = at
                if edges and edges[0] == at:
                    edges.pop(0)
                if minute == at:
                    minute += MINUTE
            coming.append(message)
    if coming:
        yield present, coming
    if edges and minute < edges[0]:
        yield minute, []
    for edge in edges:
        yield edge, []
