"""What limits rest on that outlives a restart: each strategy's day, peaks, stops, pace, and the account's day trades.

Rule 1: it is a fold of facts. The day is the market's, as the broker's clock tells it: MarketDayBegan begins one.
Rule 2: a strategy's day is what its equity did since the day began, less what its allocation moved.
Rule 3: a member's and the desk's figures are sums over strategies, those that are not there any more among them: who
        gives a folder another name starts with a new book, and with his old losses.
Rule 4: a new folder goes on where its forebears were: the member's folders with the same code, and those that are
        gone or at rest, whatever their code. Of several the worst of each: loss and orders of the day, stops, what is under the peak.
Rule 5: the desk's own clock only counts orders a minute. Set to another time, it takes the recent ones with it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from deskd.core.portfolio import Portfolio
from deskd.domain.ids import StrategyId, Symbol, UserId
from deskd.domain.money import NO_CASH, NO_QTY, Cash, Qty

MINUTE = timedelta(minutes=1)
RECENT_MAX = 1_000  # orders of a minute that are remembered: the broker takes 200; a bound over it bounds nothing
DAYS_KEPT = 10  # of day trades: five trading days, whatever the holidays


@dataclass(slots=True)
class Record:
    """One strategy's."""

    day_start: Cash = NO_CASH  # its equity when the market day began, moved along with its allocation
    carried: Cash = NO_CASH  # day's P&L that it made under another name
    inherited: Cash = NO_CASH  # part of the peak: what its forebears were under theirs, until its equity rises over it
    peak: Cash = NO_CASH  # of its equity, moved along with its allocation
    stops: dict[Symbol, datetime] = field(default_factory=dict)  # when a stop last closed a position; the market's time
    recent: list[datetime] = field(default_factory=list)  # approvals within a minute of the last, on the desk's clock


@dataclass(slots=True)
class Trip:
    """What the whole account did today in one symbol, as far as day trades are counted."""

    opened: Qty = NO_QTY  # today, signed
    is_closing: bool = False  # the last trade closed: further ones of the same close are no day trades of their own


@dataclass(slots=True)
class Records:
    """Everybody's."""

    day: date | None = None
    day_begun_at: datetime | None = None  # on the desk's clock
    by_strategy: dict[StrategyId, Record] = field(default_factory=dict)
    peaks: dict[UserId, Cash] = field(default_factory=dict)  # of members' equity
    peak: Cash = NO_CASH  # of all members' together
    trips: dict[Symbol, Trip] = field(default_factory=dict)
    day_trades: dict[date, int] = field(default_factory=dict)  # of the last days that had some

    # --- touch ---------------------------------------------------------------------------------------------------

    def of(self, who: StrategyId) -> Record:
        """Return the strategy's record, opening it when it is new."""
        return self.by_strategy.setdefault(who, Record())

    def step(self, by: timedelta) -> None:
        """Take the recent orders along where the desk's clock was set: they are as old as they were."""
        for record in self.by_strategy.values():
            record.recent = [one + by for one in record.recent]

    def begin(self, day: date, at: datetime, portfolio: Portfolio) -> None:
        """Begin a market day: today's losses count from here."""
        self.day, self.day_begun_at = day, at
        self.trips.clear()
        for who, record in self.by_strategy.items():
            book = portfolio.books.get(who)
            record.day_start = NO_CASH if book is None else book.worth().equity
            record.carried = NO_CASH

    def move(self, who: StrategyId, member: UserId, moved: Cash) -> None:
        """Move day and peaks along with the allocation: it is neither gain nor loss."""
        record = self.of(who)
        record.day_start = Cash(record.day_start + moved)
        record.peak = Cash(record.peak + moved)
        self.peaks[member] = Cash(self.peaks.get(member, NO_CASH) + moved)
        self.peak = Cash(self.peak + moved)

    def rise(self, portfolio: Portfolio, members: Iterable[tuple[UserId, tuple[StrategyId, ...]]]) -> None:
        """Raise the peaks to where the books stand now."""
        total = NO_CASH
        for member, owned in members:
            theirs = NO_CASH
            for who in owned:
                book = portfolio.books.get(who)
                if book is None:
                    continue
                equity, record = book.worth().equity, self.of(who)
                if equity > record.peak:
                    record.peak, record.inherited = equity, NO_CASH
                theirs = Cash(theirs + equity)
            self.peaks[member] = max(self.peaks.get(member, NO_CASH), theirs)
            total = Cash(total + theirs)
        self.peak = max(self.peak, total)

    def count(self, who: StrategyId, at: datetime) -> None:
        """Count an approved order."""
        recent = self.of(who).recent
        recent.append(at)
        while len(recent) > RECENT_MAX or recent[0] <= at - MINUTE:
            del recent[0]

    def take_over(self, new: StrategyId, forebears: Sequence[StrategyId], portfolio: Portfolio) -> None:
        """Let the day of the *forebears* go on under a new name: of several the worst of each figure."""
        ours = self.of(new)
        ours.carried = min(self.day_pnl(old, portfolio) for old in forebears)
        for old in forebears:
            theirs, book = self.of(old), portfolio.books.get(old)
            if book is not None:
                ours.inherited = max(ours.inherited, Cash(theirs.peak - book.worth().equity))
            for symbol, at in theirs.stops.items():
                ours.stops[symbol] = max(at, ours.stops.get(symbol, at))
            if len(theirs.recent) > len(ours.recent):
                ours.recent = list(theirs.recent)
        ours.peak = Cash(ours.peak + ours.inherited)  # a peak of its own comes with its allocation

    def forgive(self, who: StrategyId) -> None:
        """Forget what the strategy bears of its forebears: an officer released it."""
        if (record := self.by_strategy.get(who)) is not None:
            record.peak = Cash(record.peak - record.inherited)
            record.carried, record.inherited = max(record.carried, NO_CASH), NO_CASH

    def change_member(self, who: StrategyId, old: UserId, new: UserId, portfolio: Portfolio) -> None:
        """Move the strategy's equity from one member's peak to another's."""
        book = portfolio.books.get(who)
        equity = NO_CASH if book is None else book.worth().equity
        self.peaks[old] = Cash(self.peaks.get(old, NO_CASH) - equity)
        self.peaks[new] = Cash(self.peaks.get(new, NO_CASH) + equity)

    def stopped(self, who: StrategyId, symbol: Symbol, at: datetime) -> None:
        """Note that a stop closed a position, at the market's *at*."""
        self.of(who).stops[symbol] = at

    def trade(self, symbol: Symbol, held: Qty, qty: Qty) -> None:
        """Count day trades: *qty*, signed, was traded in an account that held *held* before."""
        trip = self.trips.setdefault(symbol, Trip())
        closing = Qty(min(abs(qty), abs(held)) if held * qty < 0 else NO_QTY)
        is_round = trip.opened * qty < 0 and closing > 0
        if is_round and not trip.is_closing and self.day is not None:
            self.day_trades[self.day] = self.day_trades.get(self.day, 0) + 1
            for old in sorted(self.day_trades)[:-DAYS_KEPT]:
                del self.day_trades[old]
        sign = 1 if qty > 0 else -1
        if is_round:  # what was opened today is closed first, as the rule counts
            trip.opened = Qty(trip.opened + sign * min(closing, abs(trip.opened)))
        opening = Qty(abs(qty) - closing)
        if opening > 0:
            trip.opened = Qty(trip.opened + sign * opening)
        trip.is_closing = closing > 0 and not opening

    # --- look ----------------------------------------------------------------------------------------------------

    def day_pnl(self, who: StrategyId, portfolio: Portfolio) -> Cash:
        """Return what the strategy made since the market day began, realized and unrealized."""
        record, book = self.by_strategy.get(who), portfolio.books.get(who)
        if record is None or book is None:
            return NO_CASH
        return Cash(book.worth().equity - record.day_start + record.carried)

    def carried(self, who: StrategyId) -> Cash:
        """Return what of the strategy's day it made under another name."""
        record = self.by_strategy.get(who)
        return NO_CASH if record is None else record.carried

    def orders_this_minute(self, who: StrategyId, now: datetime) -> int:
        """Return how many orders the strategy had approved within the last minute."""
        record = self.by_strategy.get(who)
        if record is None:
            return 0
        return len(record.recent) - bisect_right(record.recent, now - MINUTE)

    def last_stop(self, who: StrategyId, symbol: Symbol) -> datetime | None:
        """Return when a stop last closed the strategy's position in the symbol, on the market's clock."""
        record = self.by_strategy.get(who)
        return None if record is None else record.stops.get(symbol)

    def day_trades_since(self, first: date) -> int:
        """Return how many day trades the account made from that day on."""
        return sum(count for day, count in self.day_trades.items() if day >= first)
