"""Market data and order lines to the runs: decoded once, encoded once, one write per run and flush.

1. No more is subscribed than the attached runs need; a run gets its own symbols and channels only.
2. A line leaves at once, unless the runs are still busy with the last ones: then lines gather, some microseconds for
   each run that was woken and a few milliseconds at most, so that a strategy wakes once for many lines.
3. A slow run delays nobody: see `feed` and `buffer`.
"""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from operator import itemgetter

import structlog

from deskd.config import MarketSection
from deskd.domain.effects import OrderUpdate
from deskd.domain.errors import WireError
from deskd.domain.events import HaltChanged
from deskd.domain.ids import RunId, StrategyId, Symbol
from deskd.domain.market import Quote
from deskd.domain.money import Price
from deskd.domain.strategy import Channel, Delivery, History, StrategySpec
from deskd.latency import Latency
from deskd.market.buffer import Batch, Buffer, Line, batch_of
from deskd.market.feed import Feed, set_pipe_size
from deskd.market.figures import MarketFigures
from deskd.market.halts import Halts
from deskd.market.interest import KIND_OF, Audience, Interest, wanted
from deskd.market.late import MINUTE, Fetch, LateBars, MarketNow
from deskd.market.prices import Prices
from deskd.ports import Clock, RawMarketMessage
from deskd.wire import lines
from deskd.wire.alpaca.market import rfc3339

WAKE_S = 25e-6  # of a core, for a strategy to wake and parse a line: no new flush before all have had that
GATHER_MAX_S = 0.005  # and no line waits longer for others
TICK_S = 0.0005  # loops count in milliseconds: for less than half of one, wait for the next turn instead
NOTHING = batch_of([])
PRICELESS = frozenset({Channel.ORDERS, Channel.STATUS})  # who asked for one of them gets lines without a price
MINUTE_BARS = frozenset({"1Min", "1T"})
SLICE = 64  # feeds written in one go: some 0.5 ms, then the loop may do other work

type Bars = Callable[[Symbol, str, int], Awaitable[Sequence[RawMarketMessage]]]
type Wanted = Mapping[str, frozenset[Symbol]]  # by Alpaca's channel: trades, quotes, bars, statuses

log = structlog.get_logger()


class Hub:
    """What the desk knows of prices, and the way to every run's standard input (ports Quotes, Tells, Feeds)."""

    def __init__(
        self,
        settings: MarketSection,
        *,
        clock: Clock,
        bars: Bars,
        bars_between: Fetch,
        market_now: MarketNow,
        on_wanted: Callable[[Wanted], None],
        on_slow: Callable[[RunId], None],
        on_halt: Callable[[HaltChanged], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._bars = bars
        self._on_wanted = on_wanted
        self._on_slow = on_slow
        self._prices = Prices()
        self._interest = Interest()
        self._feeds: dict[RunId, Feed] = {}
        self._wanted = wanted(())
        self._watched: frozenset[Symbol] = frozenset()  # by the desk itself
        self._unplaced: list[Feed] = []  # nothing has come since they are there
        self.late = LateBars(
            feeds=self._feeds,
            fetch=bars_between,
            market_now=market_now,
            resend=self.on_messages,
            clock=clock,
            minutes_max=settings.late_bars_max,
        )
        self.halts = Halts(on_change=on_halt)
        self._dirty: list[Audience] = []  # have gathered lines
        self._round: deque[tuple[Feed, Batch]] = deque()  # writes of this flush still to be made
        self._turn = 0  # rotates who is first
        self._pause = 0.0  # after this flush
        self._next_flush = 0.0  # not before
        self._is_due = False  # a flush is on the loop's calendar
        self._encoders: dict[str, Callable[[RawMarketMessage, str], bytes]] = {
            "t": lines.trade_line,
            "q": lines.quote_line,
            "b": lines.bar_line,
            "s": self._status_line,
        }
        self.malformed = 0  # messages that were no such thing as their kind says
        self.to_stdin = Latency()  # from a message's arrival until its line is written, or kept for a run that is slow
        self._oldest = 0.0  # of the lines of this flush, when the first arrived
        self._messages = self._flushes = self._gathered = 0
        self._delivered_before = self._dropped_before = 0  # to runs that are gone

    # -- from the stream

    def on_messages(self, messages: Sequence[RawMarketMessage]) -> None:
        """Take one frame's messages: keep the prices, gather each run's lines, and send them if it is time."""
        now = self._clock.now()
        arrived = self._clock.monotonic()
        self._messages += len(messages)
        for message in messages:
            try:
                self._take(message, now, arrived)
            except (KeyError, TypeError, ValueError, OverflowError, WireError) as problem:
                self._count_malformed(problem)
        self._flush_when_due(arrived)

    def _take(self, message: RawMarketMessage, now: datetime, arrived: float) -> None:
        kind, symbol = message["T"], message["S"]
        if kind == "q":
            self._prices.see_quote(message, now)
            if not self.halts.is_heard(symbol):
                self.halts.see(kind, message, now)
        elif kind == "t":
            self._prices.see_trade(message)
            if not self.halts.is_heard(symbol):
                self.halts.see(kind, message, now)
        elif kind == "b":
            self._prices.see_bar(message)
            if self.late.holds(message):
                return
        elif kind == "s":
            self.halts.see_status(message, now)
        else:
            return  # a channel that no line is made of, like corrections, which come along with trades
        route = self._interest.routes[kind].get(symbol)
        if route is None:
            return
        sent_at = lines.stamp_ns(message["t"])
        if self._unplaced:
            self._place(sent_at)
        if kind == "b" and self.late.is_repeated(symbol, sent_at):
            return
        data = self._encoders[kind](message, rfc3339(sent_at))
        if not data:
            return
        line = Line(data, route.key, sent_at, arrived)
        if kind == "b" and (had := self.late.who_had(symbol, sent_at)):
            for feed in [feed for audience in route.audiences for feed in audience.feeds if feed not in had]:
                feed.write(batch_of([line]))
            return
        for audience in route.audiences:
            if not audience.lines:
                self._dirty.append(audience)
            audience.lines.append(line)

    def _place(self, sent_at: int) -> None:
        """Note since when runs are there, in the market's time: the first message after their start tells."""
        for feed in self._unplaced:
            feed.bars_after = sent_at - MINUTE  # the minute that was under way is theirs
        self._unplaced.clear()

    def _status_line(self, message: RawMarketMessage, stamp: str) -> bytes:
        return lines.status_line(message, stamp, halted=self.halts.is_halted(message["S"]) is True)

    def _count_malformed(self, problem: Exception) -> None:
        self.malformed += 1
        if self.malformed.bit_count() == 1:  # the 1st, 2nd, 4th, 8th, ...: a broken feed must not flood the log
            log.warning("market_message_malformed", count=self.malformed, problem=repr(problem))

    # -- the flush

    def _flush_when_due(self, now: float) -> None:
        if not self._dirty or self._round or self._is_due:
            return  # what is under way looks again when it is done
        wait = self._next_flush - now
        if wait <= 0:
            self._flush()
        elif wait < TICK_S:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush)
        else:
            self._is_due = True
            asyncio.get_running_loop().call_later(wait, self._flush)

    def _flush(self) -> None:
        self._is_due = False
        if self._round:
            return
        if self._dirty:
            self._flushes += 1
            self._oldest = self._dirty[0].lines[0].arrived
        for audience in self._dirty:
            self._gathered += len(audience.lines)
            batch, audience.lines = batch_of(audience.lines), []
            self._round.extend([(feed, batch) for feed in audience.feeds])
        self._dirty.clear()
        self._pause = min(len(self._round) * WAKE_S, GATHER_MAX_S)
        self._turn += 1
        self._round.rotate(-(self._turn % (len(self._round) or 1)))
        self._write_slice()

    def _write_slice(self) -> None:
        count = min(SLICE, len(self._round))
        for _ in range(count):
            feed, batch = self._round.popleft()
            feed.write(batch)
            if not feed.is_open:
                self._interest.remove(feed)
        now = self._clock.monotonic()
        if count:  # one look at the clock for all of them: a run's own write is what takes the time
            self.to_stdin.observe(now - self._oldest, count)
        if self._round:
            asyncio.get_running_loop().call_soon(self._write_slice)
            return
        self._next_flush = now + self._pause
        self._flush_when_due(now)

    # -- runs

    async def attach(self, spec: StrategySpec, run_id: RunId, stdin: int) -> None:
        """Feed the run through *stdin*, the write end of its pipe, history first; the hub owns and closes it.

        Live lines queue behind the history. Where that cannot be had, the run is detached and the broker's error
        raised: a strategy that asked for a warm-up does not trade without.
        """
        os.set_blocking(stdin, False)
        set_pipe_size(stdin)
        buffer = Buffer(
            bytes_max=self._settings.feed_buffer_bytes,
            order_lines_max=self._settings.order_lines_max,
            lag_max_s=self._settings.feed_lag_max_s,
            tells_gaps=not PRICELESS.isdisjoint(spec.channels),
        )
        feed = Feed(spec, run_id, stdin, buffer=buffer, clock=self._clock, on_slow=self._on_slow)
        self._feeds[run_id] = feed
        self._interest.add(feed)
        self._unplaced.append(feed)
        self._say_wanted()
        if spec.history is None:
            feed.start(NOTHING)
            return
        try:
            history = await self._history(spec.symbols, spec.history)
        except BaseException:
            self.detach(run_id)
            raise
        if spec.history.timeframe in MINUTE_BARS:
            feed.history_until = {symbol: stamp for symbol, stamp, _ in history}
        feed.start(batch_of([line for _, _, line in history]))

    def detach(self, run_id: RunId) -> None:
        """Send the run what is gathered and fits its pipe, then close its standard input. Safe to call twice."""
        feed = self._feeds.pop(run_id, None)
        if feed is None:
            return
        self._flush()
        while self._round:
            self._write_slice()
        self._interest.remove(feed)
        if feed in self._unplaced:
            self._unplaced.remove(feed)
        feed.close()
        self._delivered_before += feed.delivered
        self._dropped_before += feed.dropped
        self._say_wanted()

    def figures(self) -> MarketFigures:
        """Return what became of the market's messages since the desk started."""
        feeds = self._feeds.values()
        return MarketFigures(
            messages=self._messages,
            malformed=self.malformed,
            flushes=self._flushes,
            gathered=self._gathered,
            delivered=self._delivered_before + sum([feed.delivered for feed in feeds]),
            dropped=self._dropped_before + sum([feed.dropped for feed in feeds]),
            waiting_bytes=sum([feed.waiting_bytes for feed in feeds]),
        )

    def counts(self, run_id: RunId) -> Delivery:
        """Return what became of the run's lines; zeros where it is not fed."""
        feed = self._feeds.get(run_id)
        return feed.delivery() if feed else Delivery()

    def readers(self) -> Sequence[StrategyId]:
        """Return the strategies whose runs read from the market, sorted."""
        return sorted({f.spec.strategy_id for f in self._feeds.values() if not f.spec.channels.isdisjoint(KIND_OF)})

    def readers_of(self, refused: Collection[tuple[str, Symbol]]) -> Sequence[StrategyId]:
        """Return the strategies whose runs lack any of these, given as Alpaca's channel and symbol; sorted."""
        lacking = set()
        for feed in self._feeds.values():
            wish = wanted([feed.spec])
            if any(symbol in wish.get(channel, ()) for channel, symbol in refused):
                lacking.add(feed.spec.strategy_id)
        return sorted(lacking)

    def wanted(self) -> Wanted:
        """Return what the attached runs need subscribed."""
        return self._wanted

    def _say_wanted(self) -> None:
        now_wanted = dict(wanted([feed.spec for feed in self._feeds.values()]))
        now_wanted["quotes"] |= self._watched
        now_wanted["statuses"] |= self._watched
        if now_wanted != self._wanted:
            self._wanted = now_wanted
            self.halts.keep(now_wanted["statuses"])
            self._on_wanted(now_wanted)

    async def _history(self, symbols: Sequence[Symbol], history: History) -> list[tuple[Symbol, int, Line]]:
        """Return the warm-up of all symbols, oldest bar first: symbol, stamp and line."""
        async with asyncio.TaskGroup() as group:
            fetches = [
                (symbol, group.create_task(self._fetch(symbol, history), name=f"history of {symbol}"))
                for symbol in symbols
            ]
        arrived = self._clock.monotonic()
        stamped: list[tuple[Symbol, int, Line]] = []
        for symbol, fetch in fetches:
            for bar in fetch.result():
                try:
                    data = lines.history_line(bar, symbol, history.timeframe)
                    sent_at = lines.stamp_ns(bar["t"])
                    stamped.append((symbol, sent_at, Line(data, None, sent_at, arrived)))
                except (KeyError, TypeError, WireError) as problem:
                    self._count_malformed(problem)
        return sorted(stamped, key=itemgetter(1))

    async def _fetch(self, symbol: Symbol, history: History) -> Sequence[RawMarketMessage]:
        return await self._bars(symbol, history.timeframe, history.bars)

    # -- from the desk

    def tell(self, strategy_id: StrategyId, update: OrderUpdate) -> None:
        """Send the line to the strategy's run at once, if there is one and it wants orders."""
        for feed in self._feeds.values():
            if feed.spec.strategy_id == strategy_id and Channel.ORDERS in feed.spec.channels:
                line = Line(lines.order_line(update), None, 0, self._clock.monotonic(), is_order=True)
                feed.write(batch_of([line]))

    def tell_session(self, timestamp: str, closes_at: str, phase_of: Callable[[StrategyId], str]) -> None:
        """Tell each run that wants `status` where the exchange's day is, where that is news to it."""
        for feed in self._feeds.values():
            if not feed.is_started or Channel.STATUS not in feed.spec.channels:
                continue
            phase = phase_of(feed.spec.strategy_id)
            if phase != feed.session:
                feed.session = phase
                data = lines.session_line(phase, timestamp, closes_at)
                feed.write(batch_of([Line(data, None, 0, self._clock.monotonic())]))

    def lacks_quotes(self) -> frozenset[Symbol]:
        """Return the wanted symbols that no quote has come for yet."""
        return frozenset(s for s in self._wanted["quotes"] if self._prices.quote(s) is None)

    def seed(self, quote: RawMarketMessage, received_at: datetime) -> None:
        """Keep a quote that was fetched, unless the stream was faster; no run gets a line of it."""
        if self._prices.quote(quote["S"]) is None:
            self._prices.see_quote(quote, received_at)
            self.halts.see("q", quote, received_at)

    def watch(self, symbols: Collection[Symbol]) -> None:
        """Have the quotes of *symbols* come, whoever else wants them: the desk itself rests on them."""
        if frozenset(symbols) != self._watched:
            self._watched = frozenset(symbols)
            self._say_wanted()

    def quote(self, symbol: Symbol) -> Quote | None:
        """Return the latest quote, however old; its received_at tells the age."""
        return self._prices.quote(symbol)

    def is_halted(self, symbol: Symbol) -> bool | None:
        """Tell whether the market halted trading in the symbol; None where it may have while nobody heard it."""
        return self.halts.is_halted(symbol)

    def mark(self, symbol: Symbol) -> Price | None:
        """Return what one share is worth now, as far as the market told."""
        return self._prices.mark(symbol)

    def marks(self) -> Mapping[Symbol, Price]:
        """Return the mark of every symbol that has one."""
        return self._prices.marks()
