"""The market as the exchange sees it: the latest of everything, and the bars that are built while trades come in.

1. A minute's bar is published right after the minute, the running daily bar with it; a minute without a trade that
   makes a price has none. What counts in a bar stands in `bars.py`.
2. A trade of the minute before that comes late corrects its bar: 30 seconds after that minute, as an updated bar.
3. Where the tape has no quotes of a symbol, the best bid and offer are derived from its last price: one cent or one
   basis point wide, whichever is more, sized DERIVED_SIZE, with the condition R like any other quote.
4. Minute bars that were recorded are published as recorded; none are built beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from math import floor
from typing import Final

import polars as pl

from deskd.venue.bars import MINUTE, Counts, RunningBar, bar_rows, counts, day_bar, minute_bars
from deskd.venue.calendar import midnight, new_york_day
from deskd.venue.tape import ENDLESS, Outline, Tape
from deskd.wire.alpaca.market import SECOND, Message, to_ns

UPDATE_AFTER: Final = 30 * SECOND
DERIVED_SIZE: Final = 100
_HALTS: Final = {"2": True, "H": True, "P": True, "F": True, "3": False, "T": False}  # status code: is it halted after


@lru_cache(maxsize=4_096)
def _counts(conditions: tuple[str, ...]) -> Counts:
    return counts(conditions)


def makes_price(trade: Message) -> bool:
    """Tell whether a trade counts for the last price: late, average-price and repeated prints do not."""
    return _counts(tuple(trade["c"])).price


def halt_of(status: Message) -> bool | None:
    """Return whether the symbol is halted after a status message; None where it says nothing about that."""
    return _HALTS.get(status["sc"])


@dataclass(slots=True)
class _Symbol:
    """What is known of one symbol. All messages are as they were published."""

    trade: Message | None = None
    quote: Message | None = None
    minute_bar: Message | None = None
    day: RunningBar | None = None
    is_day_changed: bool = False


@dataclass(slots=True)
class _Late:
    """The minute before the present one, until its late trades are in."""

    bars: dict[str, RunningBar] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    due: int = ENDLESS


class Market:
    """Takes what the tape brings and returns what is published."""

    def __init__(self) -> None:
        self._symbols: dict[str, _Symbol] = {}
        self._outline = Outline(quoted=frozenset(), barred=frozenset())
        self._day_start = 0
        self._minute = 0
        self._bars: dict[str, RunningBar] = {}
        self._late = _Late()
        self._edge = 0
        self.halted: set[str] = set()

    # -- what it knows

    def symbols(self) -> list[str]:
        """Return every symbol of which something was heard."""
        return sorted(self._symbols)

    def trade(self, symbol: str) -> Message | None:
        """Return the latest trade that made a price."""
        known = self._symbols.get(symbol)
        return known.trade if known else None

    def quote(self, symbol: str) -> Message | None:
        """Return the latest quote."""
        known = self._symbols.get(symbol)
        return known.quote if known else None

    def minute_bar(self, symbol: str) -> Message | None:
        """Return the latest finished minute bar."""
        known = self._symbols.get(symbol)
        return known.minute_bar if known else None

    def daily_bar(self, symbol: str) -> Message | None:
        """Return the day's bar as it stands."""
        known = self._symbols.get(symbol)
        return known.day.message("d", symbol) if known and known.day else None

    # -- what comes in

    def start_day(self, day: date, outline: Outline) -> None:
        """Begin a day: bars start anew; prices of the day before stay until new ones come."""
        self._outline = outline
        self._day_start = midnight(day)
        self._minute = self._edge = 0
        self._bars, self._late = {}, _Late()
        for known in self._symbols.values():
            known.day, known.is_day_changed = None, False

    def prime(self, tape: Tape, now: datetime) -> None:
        """Catch up with a day that starts to play in its middle, as if it had played from its beginning."""
        until = to_ns(now)
        day = new_york_day(until)
        for listing in tape.listings():
            self._prime_symbol(listing.symbol, tape, day, until)

    def feed(self, now: datetime, messages: Sequence[Message]) -> list[Message]:
        """Take what came until *now*; return what is published: the same, with quotes derived and bars in their place."""
        out: list[Message] = []
        for message in messages:
            if message["t"] >= self._edge:
                self._pass(message["t"], out)
            kind = message["T"]
            out.append(message)
            if kind == "q":
                self._of(message["S"]).quote = message
            elif kind == "t":
                self._take_trade(message, out)
            elif kind == "b":
                self._of(message["S"]).minute_bar = message
            elif kind == "s":
                self._take_status(message)
        now_ns = to_ns(now)
        if now_ns >= self._edge:
            self._pass(now_ns, out)
        return out

    def _of(self, symbol: str) -> _Symbol:
        known = self._symbols.get(symbol)
        if known is None:
            known = self._symbols[symbol] = _Symbol()
        return known

    def _take_trade(self, trade: Message, out: list[Message]) -> None:
        symbol, price, size = trade["S"], trade["p"], trade["s"]
        known = self._of(symbol)
        count = _counts(tuple(trade["c"]))
        if known.day is None:
            known.day = RunningBar(self._day_start)
        if count.volume:
            known.day.add_volume(price, size)
            known.is_day_changed = True
        if count.day_price:
            known.day.add_price(price)
        if symbol not in self._outline.barred and (bar := self._bar_of(symbol, trade["t"])):
            if count.volume:
                bar.add_volume(price, size)
            if count.price:
                bar.add_price(price)
        if count.price:
            known.trade = trade
            if symbol not in self._outline.quoted:
                self._derive(known, trade, out)

    def _bar_of(self, symbol: str, at: int) -> RunningBar | None:
        """Return the bar that a trade of then belongs to: the present minute's, the last one's, or none any more."""
        if at >= self._minute:
            bar = self._bars.get(symbol)
            if bar is None:
                bar = self._bars[symbol] = RunningBar(self._minute)
            return bar
        if at < self._minute - MINUTE or self._late.due == ENDLESS:
            return None
        self._late.changed.add(symbol)
        return self._late.bars.setdefault(symbol, RunningBar(self._minute - MINUTE))

    def _take_status(self, status: Message) -> None:
        is_halted = halt_of(status)
        if is_halted is True:
            self.halted.add(status["S"])
        elif is_halted is False:
            self.halted.discard(status["S"])

    def _derive(self, known: _Symbol, trade: Message, out: list[Message]) -> None:
        quote = derived_quote(trade)
        last = known.quote
        is_news = last is None or (last["bp"], last["ap"]) != (quote["bp"], quote["ap"])
        if is_news or (last is not None and trade["t"] - last["t"] >= SECOND):
            known.quote = quote
            out.append(quote)

    # -- time passes

    def _pass(self, at: int, out: list[Message]) -> None:
        """Publish what is due by then."""
        if at >= self._minute + MINUTE:
            if self._late.changed:
                self._publish_updates(out)
            self._publish_minute(out)
            ended, self._minute = self._minute, at // MINUTE * MINUTE
            is_last = ended == self._minute - MINUTE  # else minutes without a message lie between
            self._late = _Late(self._bars if is_last else {}, set(), self._minute + UPDATE_AFTER)
            self._bars = {}
        if at >= self._late.due:
            self._publish_updates(out)
            self._late = _Late()
        self._edge = min(self._minute + MINUTE, self._late.due)

    def _publish_minute(self, out: list[Message]) -> None:
        for symbol, bar in sorted(self._bars.items()):
            if message := bar.message("b", symbol):
                self._of(symbol).minute_bar = message
                out.append(message)
        for symbol in sorted(symbol for symbol, known in self._symbols.items() if known.is_day_changed):
            known = self._of(symbol)
            known.is_day_changed = False
            if known.day and (message := known.day.message("d", symbol)):
                out.append(message)

    def _publish_updates(self, out: list[Message]) -> None:
        for symbol in sorted(self._late.changed):
            bar = self._late.bars[symbol]
            if message := bar.message("u", symbol):
                known = self._of(symbol)
                if known.minute_bar is None or known.minute_bar["t"] <= bar.start:
                    known.minute_bar = {**message, "T": "b"}
                out.append(message)
        self._late.changed = set()

    # -- catching up

    def _prime_symbol(self, symbol: str, tape: Tape, day: date, until: int) -> None:
        trades = tape.trades(symbol, day, until)
        quotes = tape.quotes(symbol, day, until).tail(1)
        recorded = tape.minute_bars(symbol, day) if trades.is_empty() else minute_bars(trades)
        bars = recorded.filter(pl.col("t") + MINUTE <= until).tail(1)
        if trades.is_empty() and quotes.is_empty() and bars.is_empty():
            return
        known = self._of(symbol)
        for row in bar_rows(bars, symbol):
            known.minute_bar = row
        for row in quotes.to_dicts():
            known.quote = {"T": "q", "S": symbol, **row, "c": row["c"].split("|")}
        if trades.height:
            known.day = _running(day_bar(trades, midnight(day)), midnight(day))
            self._minute = until // MINUTE * MINUTE
            self._edge = self._minute + MINUTE
            self._bars[symbol] = _running(minute_bars(trades.filter(pl.col("t") >= self._minute)), self._minute)
            known.trade = _last_price(trades, symbol)
        if known.trade is None and bars.height:  # only bars were recorded: their close stands for the last print
            close = bars.row(0, named=True)
            known.trade = {"T": "t", "S": symbol, "i": 1, "x": " ", "p": close["c"], "s": max(close["v"], 1)}
            known.trade |= {"c": [" "], "z": " ", "t": close["t"] + MINUTE - 1}
        if known.quote is None and known.trade is not None:
            known.quote = derived_quote(known.trade)


def derived_quote(trade: Message) -> Message:
    """Return a best bid and offer around a trade's price."""
    price = trade["p"]
    tick = 0.01 if price >= 1 else 0.0001
    width = max(tick, round(price * 0.0001, 2))
    bid = max(round(floor((price - width / 2) / tick + 1e-6) * tick, 4), tick)
    exchange = trade["x"]
    return {
        "T": "q",
        "S": trade["S"],
        "bx": exchange,
        "bp": bid,
        "bs": DERIVED_SIZE,
        "ax": exchange,
        "ap": round(bid + width, 4),
        "as": DERIVED_SIZE,
        "c": ["R"],
        "z": trade["z"],
        "t": trade["t"],
    }


def _last_price(trades: pl.DataFrame, symbol: str) -> Message | None:
    for row in trades.tail(1_000).reverse().iter_rows(named=True):
        trade = {"T": "t", "S": symbol, **row, "c": row["c"].split("|")}
        if makes_price(trade):
            return trade
    return None


def _running(bars: pl.DataFrame, start: int) -> RunningBar:
    """Return a bar that goes on where a column of trades left it."""
    bar = RunningBar(start)
    for row in bars.iter_rows(named=True):
        bar.open, bar.high, bar.low, bar.close = row["o"], row["h"], row["l"], row["c"]
        bar.volume, bar.count, bar.notional = row["v"], row["n"], row["vw"] * row["v"]
    return bar
