"""A tape of recorded files, merged over all of them by time.

1. Rows of one file keep their order; rows of the same instant come as: bar (of the minute before), quote, trade.
2. Where a symbol's day has trades, they are played and bars of that day are left aside.
3. Where it has only bars, each bar is played as four prints (open, the two extremes, close) and then itself, so that
   orders can fill. Bars of a day's length play only where the tape has nothing finer; beside finer files they are history.
4. Files are read once at opening, for what they hold; afterwards as many stay in memory as FRAMES_MAX_BYTES allows.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

import polars as pl

from deskd.domain.errors import ConfigError
from deskd.venue.bars import BAR_COLUMNS, MINUTE, day_bar, minute_bars, resample
from deskd.venue.calendar import Calendar, midnight
from deskd.venue.recorded_rows import (
    COLUMNS,
    DAY,
    bar_messages,
    complete_bars,
    empty,
    in_order,
    merged,
    prints,
    quote_messages,
    trade_messages,
)
from deskd.venue.tape import ENDLESS, Batch, Listing, Outline
from deskd.venue.tape_file import SUFFIXES, Kind, Notice, TapeFile, kind_of, read_tape_file
from deskd.wire.alpaca.market import NEW_YORK, SECOND, to_ns

FRAMES_MAX_BYTES: Final = 512 * 1024 * 1024
_LISTED_ON: Final = {"A": "NYSE", "B": "ARCA", "C": "NASDAQ"}  # by the tape that reports it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What one file holds, kept for good; its rows may leave the memory."""

    path: Path
    kind: Kind
    span: int  # of its bars, in nanoseconds; 0 for trades and quotes
    symbols_by_day: dict[date, frozenset[str]]
    tape_letter: dict[str, str]  # by symbol


@dataclass(slots=True)
class _Frames:
    """The rows of the files used last. The player and history's threads share it."""

    bytes_max: int
    by_path: OrderedDict[Path, pl.DataFrame] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)

    def put(self, path: Path, rows: pl.DataFrame) -> None:
        with self.lock:
            self.by_path[path] = rows
            self.by_path.move_to_end(path)
            held = sum(frame.estimated_size() for frame in self.by_path.values())
            while held > self.bytes_max and len(self.by_path) > 1:
                held -= self.by_path.popitem(last=False)[1].estimated_size()

    def get(self, path: Path) -> pl.DataFrame:
        with self.lock:
            rows = self.by_path.get(path)
            if rows is not None:
                self.by_path.move_to_end(path)
                return rows
        rows = read_tape_file(path).rows
        self.put(path, rows)
        return rows


class RecordedTape:
    """Days recorded from a real market."""

    is_synthetic = False

    def __init__(self, files: Sequence[_Held], notices: Sequence[str], frames: _Frames, calendar: Calendar) -> None:
        self.notices = notices
        self._files = files
        self._frames = frames
        self._calendar = calendar
        everything = {day for file in files for day in file.symbols_by_day}
        finer = {day for file in files if file.span < DAY for day in file.symbols_by_day}
        self._history_days = sorted(everything)
        self._days = sorted(finer or everything)

    def listings(self) -> Sequence[Listing]:
        """Return every symbol, sorted."""
        letters: dict[str, str] = {}
        for file in self._files:
            letters.update({symbol: letter for symbol, letter in file.tape_letter.items() if letter != " "})
        symbols = {symbol for file in self._files for symbol in file.tape_letter}
        return [
            Listing(
                symbol=symbol, name=f"{symbol} (recorded)", exchange=_LISTED_ON.get(letters.get(symbol, ""), "NYSE")
            )
            for symbol in sorted(symbols)
        ]

    def days(self) -> Sequence[date]:
        """Return the days to play, in order."""
        return self._days

    def history_days(self, start: date, end: date) -> Sequence[date]:
        """Return the days of which anything can be read."""
        return [day for day in self._history_days if start <= day <= end]

    def day_after(self, day: date, *, loop: bool) -> date | None:
        """Return the next recorded day; at the end the first again where the tape loops."""
        later = next((other for other in self._days if other > day), None)
        return self._days[0] if later is None and loop else later

    def plays(self, day: date) -> bool:
        """Tell whether the day can be played."""
        return day in self._days

    def first_at(self, day: date) -> int:
        """Return when the day starts to play: with its first message, or a second before the open."""
        session = self._calendar.day(day)
        assert session is not None, "a tape's days are trading days"
        first = next(self.play(day, 0), None)
        opening = to_ns(session.open_at) - SECOND
        return opening if first is None else min(first.times[0], opening)

    def outline(self, day: date) -> Outline:
        """Return what the day holds."""
        bars = {symbol for file in self._holding(Kind.BARS, day, None, MINUTE) for symbol in file.symbols_by_day[day]}
        return Outline(
            quoted=frozenset(self._symbols(Kind.QUOTES, day)),
            barred=frozenset(bars - set(self._symbols(Kind.TRADES, day))),
        )

    def play(self, day: date, since: int) -> Iterator[Batch]:
        """Yield the day's messages in order, at most BATCH_ROWS at a time."""
        with_trades = self._symbols(Kind.TRADES, day)
        bars = self._rows(Kind.BARS, day).filter(~pl.col("S").cast(pl.String).is_in(with_trades))
        session = self._calendar.day(day)
        assert session is not None, "a tape's days are trading days"
        trades = in_order([self._rows(Kind.TRADES, day), prints(bars, session)])
        finished = bars.filter(pl.col("span") == MINUTE)  # wider ones are only what their prints make of them
        quotes = self._rows(Kind.QUOTES, day)
        yield from merged([(finished, bar_messages), (quotes, quote_messages), (trades, trade_messages)], since)

    def trades(self, symbol: str, day: date, until: int = ENDLESS) -> pl.DataFrame:
        """Return the day's recorded trades of a symbol stamped before *until*."""
        return self._rows(Kind.TRADES, day, symbol).filter(pl.col("t") < until).drop("S")

    def quotes(self, symbol: str, day: date, until: int = ENDLESS) -> pl.DataFrame:
        """Return the day's recorded quotes of a symbol stamped before *until*."""
        return self._rows(Kind.QUOTES, day, symbol).filter(pl.col("t") < until).drop("S")

    def minute_bars(self, symbol: str, day: date) -> pl.DataFrame:
        """Return minute bars from the trades, or the recorded ones where there are none."""
        trades = self.trades(symbol, day)
        if trades.height:
            return minute_bars(trades)
        return self._rows(Kind.BARS, day, symbol, span_max=MINUTE).select(BAR_COLUMNS)

    def day_bar(self, symbol: str, day: date) -> pl.DataFrame:
        """Return the day's bar from the finest that was recorded of it."""
        start = midnight(day)
        trades = self.trades(symbol, day)
        if trades.height:
            return day_bar(trades, start)
        bars = self._rows(Kind.BARS, day, symbol, span_max=DAY - 1)
        session = self._calendar.day(day)
        if bars.height and session is not None:
            span = max(file.span for file in self._holding(Kind.BARS, day, symbol, DAY - 1))
            opened, closed = (
                to_ns(session.open_at) - span + 1,
                to_ns(session.close_at),
            )  # an hour may start before the open
            regular = bars.filter(pl.col("t").is_between(opened, closed, closed="left"))
            return resample(regular if regular.height else bars, pl.lit(start, pl.Int64))
        return self._rows(Kind.BARS, day, symbol).select(BAR_COLUMNS)

    def _symbols(self, kind: Kind, day: date) -> list[str]:
        held = [file.symbols_by_day.get(day, frozenset()) for file in self._files if file.kind is kind]
        return sorted(frozenset().union(*held))

    def _holding(self, kind: Kind, day: date, symbol: str | None, span_max: int) -> list[_Held]:
        """Return the files with that day (and symbol): of bars only the finest, whose rows would else come twice."""
        found = [
            file
            for file in self._files
            if file.kind is kind
            and file.span <= span_max
            and (symbol in file.symbols_by_day.get(day, ()) if symbol else day in file.symbols_by_day)
        ]
        if kind is not Kind.BARS or not symbol:
            return found
        finest = min((file.span for file in found), default=0)
        return [file for file in found if file.span == finest]

    def _rows(self, kind: Kind, day: date, symbol: str | None = None, span_max: int = DAY) -> pl.DataFrame:
        wanted = pl.col("t").is_between(midnight(day), midnight(day + timedelta(days=1)), closed="left")
        if symbol:
            wanted &= pl.col("S") == symbol
        held = self._holding(kind, day, symbol, span_max)
        if kind is Kind.BARS and not symbol:  # each symbol from its finest file
            spans = {
                name: min(f.span for f in held if name in f.symbols_by_day[day]) for name in self._symbols(kind, day)
            }
            parts = [
                self._frames.get(file.path)
                .filter(wanted & pl.col("S").cast(pl.String).is_in([n for n, s in spans.items() if s == file.span]))
                .with_columns(span=pl.lit(file.span, pl.Int64))
                for file in held
            ]
        else:
            parts = [self._frames.get(file.path).filter(wanted) for file in held]
        return in_order(
            [empty(kind), *(part.select(COLUMNS[kind]) for part in map(partial(complete_bars, kind), parts))]
        )


# -- opening


def open_recorded(
    paths: Sequence[Path], calendar: Calendar, *, frames_max_bytes: int = FRAMES_MAX_BYTES
) -> RecordedTape:
    """Read every file once and return the tape, or raise ConfigError."""
    frames = _Frames(frames_max_bytes)
    files: list[_Held] = []
    notices: list[str] = []
    for path in _files_of(paths, notices):
        file = read_tape_file(path)
        held, closed = _held(file, calendar)
        notices.extend(str(notice) for notice in (*file.notices, *closed))
        if held.symbols_by_day:
            frames.put(path, file.rows)
            files.append(held)
    if not files:
        raise ConfigError(f"no day of the tape is a trading day of the exchange: {'; '.join(notices) or 'no files'}")
    return RecordedTape(files, notices, frames, calendar)


def _files_of(paths: Iterable[Path], notices: list[str]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        inside = sorted(child for child in path.iterdir() if child.is_file()) if path.is_dir() else [path]
        found = [child for child in inside if child.name.endswith(SUFFIXES)]
        if not path.is_dir() and not found:
            raise ConfigError(f"{path}: a tape's files end in {', '.join(SUFFIXES)}")
        usable = [child for child in found if not path.is_dir() or _looks_like_a_tape(child, notices)]
        if not usable:
            folders = sorted(child.name for child in path.iterdir() if child.is_dir())
            hint = f"; perhaps one of its folders: {', '.join(folders)}" if folders else ""
            raise ConfigError(f"{path}: no tape file ({', '.join(SUFFIXES)}) in this folder{hint}")
        for child in usable:
            if child.resolve() not in seen:
                seen.add(child.resolve())
                yield child


def _looks_like_a_tape(path: Path, notices: list[str]) -> bool:
    """Tell whether a file found in a folder is meant as a tape; what cannot be read is left to the reader to refuse."""
    try:
        if path.name.endswith(".parquet"):
            columns = list(pl.read_parquet_schema(path))
        else:
            columns = pl.read_csv(path, infer_schema=False, n_rows=0).columns
    except (OSError, pl.exceptions.PolarsError):
        return True
    if kind_of(columns) is None:
        notices.append(f"{path.name}: left aside: its header is none of a tape's")
        return False
    return True


def _held(file: TapeFile, calendar: Calendar) -> tuple[_Held, list[Notice]]:
    rows = file.rows.select("S", "t", day=_days_of(file.rows["t"]))
    by_day = rows.group_by("day").agg(pl.col("S").unique(), pl.len(), pl.col("t").first()).sort("day")
    held: dict[date, frozenset[str]] = {}
    closed: list[Notice] = []
    for day, symbols, count, _ in by_day.iter_rows():
        if calendar.day(day) is None:
            rule = f"{day} is not a trading day"
            first = int((rows["day"] == day).arg_true()[0]) + 2
            closed.append(Notice(path=file.path.name, rule=rule, rows=count, first_row=first))
        else:
            held[day] = frozenset(symbols)
    letters = file.rows["z"] if "z" in file.rows.columns else pl.Series([" "])
    symbols_all = file.rows["S"].cast(pl.String).unique().to_list()
    letter = str(letters[0])
    return _Held(
        path=file.path,
        kind=file.kind,
        span=_span(file.rows) if file.kind is Kind.BARS else 0,
        symbols_by_day=held,
        tape_letter={symbol: letter if len(symbols_all) == 1 else " " for symbol in symbols_all},
    ), closed


def _days_of(times: pl.Series) -> pl.Series:
    return times.cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(NEW_YORK.key).dt.date()


def _span(bars: pl.DataFrame) -> int:
    """Return how long the bars of a file are: the smallest step from one to the next."""
    steps = bars.select((pl.col("t") - pl.col("t").shift(1)).over("S").alias("step"))["step"]
    step = steps.filter(steps > 0).min()
    if not isinstance(step, int):
        return DAY if bars.height == 1 and _is_midnight(int(bars["t"][0])) else MINUTE
    if step >= DAY - 3_600 * SECOND:  # a day with a change of the clock has 23 hours
        return DAY
    return max(step // MINUTE * MINUTE, MINUTE)


def _is_midnight(ns: int) -> bool:
    return datetime.fromtimestamp(ns // SECOND, UTC).astimezone(NEW_YORK).time() == time()
