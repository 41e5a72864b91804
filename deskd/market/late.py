"""Minute bars that the market stream missed: fetched, and sent to the runs that read bars before the live ones go on.

1. A run gets a late bar only if it read bars when that minute ended, and no bar twice: not one that came live, not one
   of its warm-up.
2. While late bars are fetched, live bars of the same symbols wait, some seconds at most; trades and quotes do not.
3. What could not be fetched is counted, never guessed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from operator import attrgetter

import structlog

from deskd.domain.errors import WireError
from deskd.domain.ids import RunId, Symbol
from deskd.domain.strategy import Channel
from deskd.market.buffer import Batch, Line, batch_of
from deskd.market.feed import Feed
from deskd.ports import Clock, RawMarketMessage
from deskd.wire import lines
from deskd.wire.alpaca.market import to_datetime, to_ns

MINUTE = 60 * 10**9  # in nanoseconds, as stamps are
SETTLE_S = 1.0  # a minute that has just ended shows in history a little later
WAIT_MAX_S = 10.0  # live bars wait no longer than this
LIVE_YET = 3 * MINUTE  # a bar of so long ago may still be on its way
RECENT = 2  # bars that may come again: doubled, or in the wrong order
TAPE_BACK = 60 * MINUTE  # no real market's time goes back so far: a tape began anew
PAGE = 10_000  # bars in one answer of the broker

type Fetch = Callable[[Sequence[Symbol], datetime, datetime], Awaitable[Mapping[Symbol, Sequence[RawMarketMessage]]]]
type MarketNow = Callable[[], Awaitable[datetime]]
type Missed = tuple[tuple[Symbol, int], ...]  # what a run may miss: symbols, and the stamp after which

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a gap."""

    fetched: int = 0  # bars sent to anybody
    missing: int = 0  # minutes of a symbol that could not be looked at


@dataclass(slots=True, kw_only=True)
class LateBars:
    """What is known of each symbol's last bar, and the way to those that were missed."""

    feeds: Mapping[RunId, Feed]
    fetch: Fetch
    market_now: MarketNow
    resend: Callable[[Sequence[RawMarketMessage]], None]  # live bars that had to wait
    clock: Clock
    minutes_max: int  # of one symbol, after one gap
    settle_s: float = SETTLE_S
    wait_max_s: float = WAIT_MAX_S
    _recent: dict[Symbol, deque[int]] = field(default_factory=dict)  # the stamps that came live last
    _last: dict[Symbol, int] = field(default_factory=dict)  # of the newest bar that went out
    _waiting: dict[Symbol, list[RawMarketMessage]] = field(default_factory=dict)
    _had: dict[tuple[Symbol, int], frozenset[Feed]] = field(default_factory=dict)  # late bars that may yet come live
    _mending: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- what the hub asks of each live bar ------------------------------------------------------------------------

    def holds(self, bar: RawMarketMessage) -> bool:
        """Tell whether the live bar has to wait for late ones; it is sent again when they are out."""
        waiting = self._waiting.get(bar["S"])
        if waiting is None:
            return False
        waiting.append(bar)
        return True

    def is_repeated(self, symbol: Symbol, stamp: int) -> bool:
        """Note that the bar came live; tell whether it did before: a broker may say it twice."""
        recent = self._recent.setdefault(symbol, deque(maxlen=RECENT))
        if stamp in recent:
            return True
        recent.append(stamp)
        self._went_out(symbol, stamp)
        return False

    def who_had(self, symbol: Symbol, stamp: int) -> Collection[Feed]:
        """Return who was sent the bar late already."""
        return self._had.get((symbol, stamp), ()) if self._had else ()

    def _went_out(self, symbol: Symbol, stamp: int) -> None:
        last = self._last.get(symbol, 0)
        if stamp > last or last - stamp > TAPE_BACK:
            self._last[symbol] = stamp

    # --- after a gap -------------------------------------------------------------------------------------------------

    async def mend(self, *, down_s: float) -> Mended:
        """Fetch what was missed up to now, and send it; return when live bars go on. The gap took *down_s* seconds."""
        async with self._mending:
            self._had.clear()
            missed = self._missed()
            if not missed:
                return Mended()
            self._waiting = {symbol: [] for symbol in missed}
            at_stake = ceil(down_s / 60) * len(missed)
            try:
                async with asyncio.timeout(self.wait_max_s):
                    await asyncio.sleep(self.settle_s)
                    now = to_ns(await self.market_now())
                    end = now - now % MINUTE  # of the last whole minute
                    due, cut_off = self._due(missed, end)
                    at_stake = cut_off + sum((end - after) // MINUTE - 1 for after in due.values())
                    if not due:
                        return Mended()
                    start = to_datetime(min(due.values()) + 1)
                    found = await self.fetch(sorted(due), start, to_datetime(end))
                    late, unreadable = await self._late(found, due, end)
                    return Mended(await self._sent(late, end), cut_off + unreadable)
            except (OSError, TimeoutError, WireError) as error:
                log.warning("late_bars_not_fetched", symbols=sorted(missed), error=str(error) or "no answer in time")
                return Mended(missing=at_stake)
            finally:
                waited, self._waiting = self._waiting, {}
                if bars := [bar for of_symbol in waited.values() for bar in of_symbol]:
                    self.resend(sorted(bars, key=lambda bar: lines.stamp_ns(bar["t"])))

    def _missed(self) -> Mapping[Symbol, int]:
        """Return after which stamp bars may be missed, for each symbol that somebody reads."""
        missed: dict[Symbol, int] = {}
        for feed in self.feeds.values():
            for symbol in feed.spec.symbols if _reads_bars(feed) else ():
                after = self._after(feed, symbol)
                missed[symbol] = min(missed.get(symbol, after), after)
        return missed

    def _after(self, feed: Feed, symbol: Symbol) -> int:
        assert feed.bars_after is not None, "asked only of feeds that read bars"
        return max(feed.bars_after, feed.history_until.get(symbol, 0), self._last.get(symbol, 0))

    def _due(self, missed: Mapping[Symbol, int], end: int) -> tuple[Mapping[Symbol, int], int]:
        """Return what is to be fetched, and how many minutes lie too far back for that."""
        minutes = min(self.minutes_max, max(PAGE // len(missed), 1))
        floor = end - (minutes + 1) * MINUTE
        due = {symbol: max(after, floor) for symbol, after in missed.items() if after + 2 * MINUTE <= end}
        return due, sum((after - missed[symbol]) // MINUTE for symbol, after in due.items())

    async def _late(
        self, found: Mapping[Symbol, Sequence[RawMarketMessage]], due: Mapping[Symbol, int], end: int
    ) -> tuple[Mapping[Symbol, Sequence[Line]], int]:
        """Return the lines of the whole minutes that are due, without those that came live meanwhile.

        Also, how many bars were none.
        """
        late: dict[Symbol, list[Line]] = {}
        unreadable = 0
        for symbol in due.keys() & found.keys():
            await asyncio.sleep(0)
            live = {lines.stamp_ns(bar["t"]) for bar in self._waiting.get(symbol, ())}
            for bar in found[symbol]:
                try:
                    stamp = lines.stamp_ns(bar["t"])
                    line = Line(lines.late_line(bar, symbol), None, stamp, self.clock.monotonic())
                except (KeyError, TypeError, WireError) as problem:
                    log.warning("late_bar_malformed", symbol=symbol, problem=repr(problem))
                    unreadable += 1
                    continue
                if due[symbol] < stamp <= end - MINUTE and stamp not in live:
                    late.setdefault(symbol, []).append(line)
        return late, unreadable

    async def _sent(self, late: Mapping[Symbol, Sequence[Line]], end: int) -> int:
        """Send each run what it missed, oldest first; return how many bars anybody got."""
        batches: dict[Missed, Batch] = {}  # runs that missed the same share it
        got: dict[tuple[Symbol, int], set[Feed]] = {}
        for feed in [feed for feed in self.feeds.values() if _reads_bars(feed)]:
            after = tuple((symbol, self._after(feed, symbol)) for symbol in feed.spec.symbols if symbol in late)
            if after not in batches:
                await asyncio.sleep(0)
                mine = [line for symbol, last in after for line in late[symbol] if line.sent_at > last]
                batches[after] = batch_of(sorted(mine, key=attrgetter("sent_at")))
            if batches[after].lines:
                feed.write_late(batches[after])
            for symbol, last in after:
                for line in late[symbol]:
                    if line.sent_at > last:
                        got.setdefault((symbol, line.sent_at), set()).add(feed)
        for (symbol, stamp), feeds in got.items():
            self._went_out(symbol, stamp)
            if stamp >= end - LIVE_YET:
                self._had[symbol, stamp] = frozenset(feeds)
        return len(got)


def _reads_bars(feed: Feed) -> bool:
    """Tell whether late bars are for the feed: it read bars before, and has its warm-up."""
    return feed.is_open and feed.is_started and feed.bars_after is not None and Channel.BARS in feed.spec.channels
