"""What happened until now, by symbol and time: the tape read backwards from the market's clock, never past it.

1. A trade or quote is history once its stamp is past; a bar once its span is over. Only the day's running bar is shown
   unfinished, and with it the week's and the month's.
2. Minutes and days come from the tape; every other timeframe is made of them. Hours start on the hour, weeks on Monday,
   all in New York's time; a span without a trade has no bar.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

import polars as pl

from deskd.domain.errors import WireError
from deskd.venue.bars import BAR_COLUMNS, MINUTE, resample
from deskd.venue.calendar import midnight, new_york_day
from deskd.venue.market import Market
from deskd.venue.tape import Tape
from deskd.wire.alpaca.market import NEW_YORK, Message

KEPT_MINUTES_MAX: Final = 256  # symbol-days of minute bars: about 15 MB
KEPT_DAYS_MAX: Final = 8_192  # daily bars: about 10 MB
HOUR: Final = 60 * MINUTE
_TIMEFRAME: Final = re.compile(r"(\d{1,2})(Min|T|Hour|H|Day|D|Week|W|Month|M)")
_MONTHS: Final = (1, 2, 3, 4, 6, 12)


class Unit(StrEnum):
    """What a timeframe counts in."""

    MINUTE = "Min"
    HOUR = "Hour"
    DAY = "Day"
    WEEK = "Week"
    MONTH = "Month"


_UNITS: Final = {"T": Unit.MINUTE, "H": Unit.HOUR, "D": Unit.DAY, "W": Unit.WEEK, "M": Unit.MONTH}
_COUNT_MAX: Final = {Unit.MINUTE: 59, Unit.HOUR: 23, Unit.DAY: 1, Unit.WEEK: 1, Unit.MONTH: 12}


@dataclass(frozen=True, slots=True)
class Timeframe:
    """The span of a bar."""

    count: int
    unit: Unit

    @property
    def is_intraday(self) -> bool:
        """Tell whether several fit into a day."""
        return self.unit in {Unit.MINUTE, Unit.HOUR}


def parse_timeframe(text: str) -> Timeframe:
    """Return the timeframe of a text like 5Min, 1Hour, 1Day, or raise WireError naming the rule."""
    match = _TIMEFRAME.fullmatch(text)
    if match:
        count, unit = int(match[1]), _UNITS.get(match[2]) or Unit(match[2])
        if 1 <= count <= _COUNT_MAX[unit] and (unit is not Unit.MONTH or count in _MONTHS):
            return Timeframe(count, unit)
    raise WireError(f"invalid timeframe: {text!r}; use 1-59Min, 1-23Hour, 1Day, 1Week or 1,2,3,4,6,12Month")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From when to when rows are wanted, both included, in nanoseconds."""

    start: int
    end: int
    is_descending: bool = False

    def days(self) -> tuple[date, date]:
        """Return New York's first and last day."""
        return new_york_day(self.start), new_york_day(self.end)


@dataclass(slots=True)
class _Kept:
    """Bars of whole symbol-days, the newest of them. Several threads may ask at once; at worst one frame is made twice."""

    make: Callable[[str, date], pl.DataFrame]
    max: int
    frames: OrderedDict[tuple[str, date], pl.DataFrame] = field(default_factory=OrderedDict)

    def get(self, symbol: str, day: date) -> pl.DataFrame:
        key = symbol, day
        frame = self.frames.get(key)
        if frame is None:
            frame = self.frames[key] = self.make(symbol, day)
            if len(self.frames) > self.max:
                self.frames.popitem(last=False)
        return frame


class History:
    """Reads the tape up to the market's time. Its methods may take a while: call them in a thread."""

    def __init__(self, tape: Tape, market: Market) -> None:
        self._tape = tape
        self._market = market
        self._minutes = _Kept(tape.minute_bars, KEPT_MINUTES_MAX)
        self._days = _Kept(tape.day_bar, KEPT_DAYS_MAX)

    def trades(self, symbol: str, span: Span, now: int) -> Iterator[Message]:
        """Yield the symbol's trades of the span, in its order."""
        for rows in self._by_day(span, now, lambda day: self._tape.trades(symbol, day, now)):
            for row in rows.select("t", "x", "p", "s", "c", "i", "z").iter_rows(named=True):
                yield {**row, "c": row["c"].split("|")}

    def quotes(self, symbol: str, span: Span, now: int) -> Iterator[Message]:
        """Yield the symbol's quotes of the span, in its order."""
        for rows in self._by_day(span, now, lambda day: self._tape.quotes(symbol, day, now)):
            for row in rows.select("t", "ax", "ap", "as", "bx", "bp", "bs", "c", "z").iter_rows(named=True):
                yield {**row, "c": row["c"].split("|")}

    def bars(self, symbol: str, timeframe: Timeframe, span: Span, now: int) -> Iterator[Message]:
        """Yield the symbol's bars of the span, in its order."""
        if timeframe.is_intraday:
            for rows in self._by_day(span, now, lambda day: self._intraday(symbol, timeframe, day, now)):
                yield from rows.iter_rows(named=True)
            return
        first, last = span.days()
        wide = self._wide(symbol, timeframe, first, min(last, new_york_day(now)), now)
        wide = wide.filter(pl.col("t").is_between(span.start, span.end))
        yield from (wide.reverse() if span.is_descending else wide).iter_rows(named=True)

    def day_bar_before(self, symbol: str, day: date) -> Message | None:
        """Return the symbol's last daily bar of an earlier day."""
        for earlier in reversed(self._tape.history_days(day - timedelta(days=30), day - timedelta(days=1))):
            for row in self._day_bar(symbol, earlier).iter_rows(named=True):
                return row
        return None

    def _by_day(self, span: Span, now: int, read: Callable[[date], pl.DataFrame]) -> Iterator[pl.DataFrame]:
        first, last = span.days()
        days = self._tape.history_days(first, min(last, new_york_day(now)))
        for day in reversed(days) if span.is_descending else days:
            rows = read(day).filter(pl.col("t").is_between(span.start, span.end))
            if rows.height:
                yield rows.reverse() if span.is_descending else rows

    def _intraday(self, symbol: str, timeframe: Timeframe, day: date, now: int) -> pl.DataFrame:
        minutes = self._minutes.get(symbol, day)
        finished = minutes.filter(pl.col("t") + MINUTE <= now)
        if timeframe == Timeframe(1, Unit.MINUTE):
            return finished
        width = timeframe.count * (MINUTE if timeframe.unit is Unit.MINUTE else HOUR)
        return resample(finished, (pl.col("t") - midnight(day)) // width * width + midnight(day))

    def _day_bar(self, symbol: str, day: date) -> pl.DataFrame:
        return self._days.get(symbol, day)

    def _wide(self, symbol: str, timeframe: Timeframe, first: date, last: date, now: int) -> pl.DataFrame:
        """Return bars of days and wider; those whose first day lies before *first* count from their own beginning."""
        today = new_york_day(now)
        begin = _period_start(first, timeframe)
        parts = [self._day_bar(symbol, day) for day in self._tape.history_days(begin, last) if day < today]
        running = self._market.daily_bar(symbol) if last >= today else None
        if running is not None and running["t"] == midnight(today):
            parts.append(pl.DataFrame([{name: running[name] for name in BAR_COLUMNS}], schema=_BAR_SCHEMA))
        if not parts:
            return pl.DataFrame(schema=_BAR_SCHEMA)
        days = pl.concat([part.cast(pl.Schema(_BAR_SCHEMA)) for part in parts])
        if timeframe == Timeframe(1, Unit.DAY):
            return days
        starts = [midnight(_period_start(new_york_day(at), timeframe)) for at in days["t"].to_list()]
        return resample(days, pl.Series("t", starts, dtype=pl.Int64))


_BAR_SCHEMA: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    "t": pl.Int64,
    "o": pl.Float64,
    "h": pl.Float64,
    "l": pl.Float64,
    "c": pl.Float64,
} | {
    "v": pl.Int64,
    "n": pl.Int64,
    "vw": pl.Float64,
}


def _period_start(day: date, timeframe: Timeframe) -> date:
    """Return the first day of the week or months that *day* lies in."""
    match timeframe.unit:
        case Unit.WEEK:
            return day - timedelta(days=day.weekday())
        case Unit.MONTH:
            return date(day.year, (day.month - 1) // timeframe.count * timeframe.count + 1, 1)
        case _:
            return day


def day_start(now: int) -> int:
    """Return the beginning of New York's day at *now*: where a request without a start begins."""
    return midnight(datetime.fromtimestamp(now // 1_000_000_000, NEW_YORK).date())
