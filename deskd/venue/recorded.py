"""A tape of recorded files, merged over all of them by time.

1. Rows of one file keep their order; rows of the same instant come as: bar (of the minute before), quote, trade.
2. Where a symbol's day has trades, they are played and bars of that day are left aside.
3. Where it has only bars, each bar is played as four prints (open, the two extremes, close) and then itself, so that
   orders can fill. Bars of a day's length play only where the tape has nothing finer; beside finer files they are history.
4. Files are read once at opening, for what they hold; afterwards as many stay in memory as FRAMES_MAX_BYTES allows.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Final

import polars as pl

from deskd.domain.errors import ConfigError
from deskd.venue.bars import BAR_COLUMNS, MINUTE, day_bar, minute_bars, resample
from deskd.venue.calendar import Calendar, MarketDay, midnight
from deskd.venue.tape import ENDLESS, Batch, Listing, Outline
from deskd.venue.tape_file import SUFFIXES, Kind, Notice, TapeFile, kind_of, read_tape_file
from deskd.wire.alpaca.market import NEW_YORK, SECOND, Message, to_ns

FRAMES_MAX_BYTES: Final = 512 * 1024 * 1024
BATCH_ROWS: Final = 1_024  # a millisecond of work on the loop
DAY: Final = 86_400 * SECOND
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
        prints, finished = self._as_played(bars, day)
        trades = _in_order([self._rows(Kind.TRADES, day), prints])
        quotes = self._rows(Kind.QUOTES, day)
        yield from _merged([(finished, _bar_messages), (quotes, _quote_messages), (trades, _trade_messages)], since)

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
        return _in_order(
            [_empty(kind), *(part.select(_COLUMNS[kind]) for part in map(partial(_complete, kind), parts))]
        )

    def _as_played(self, bars: pl.DataFrame, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the prints that stand for bars, and the minute bars themselves as they come at their end."""
        session = self._calendar.day(day)
        assert session is not None, "a tape's days are trading days"
        return _prints(bars, session), bars.filter(pl.col("span") == MINUTE)


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


# -- columns

_SCHEMAS: Final = {
    Kind.TRADES: {"t": pl.Int64, "S": pl.Categorical, "i": pl.Int64, "x": pl.Categorical, "p": pl.Float64}
    | {"s": pl.Int64, "c": pl.Categorical, "z": pl.Categorical},
    Kind.QUOTES: {"t": pl.Int64, "S": pl.Categorical, "bx": pl.Categorical, "bp": pl.Float64, "bs": pl.Int64}
    | {"ax": pl.Categorical, "ap": pl.Float64, "as": pl.Int64, "c": pl.Categorical, "z": pl.Categorical},
    Kind.BARS: {"t": pl.Int64, "S": pl.Categorical, "o": pl.Float64, "h": pl.Float64, "l": pl.Float64}
    | {"c": pl.Float64, "v": pl.Int64, "n": pl.Int64, "vw": pl.Float64, "span": pl.Int64},
}
_COLUMNS: Final = {kind: list(schema) for kind, schema in _SCHEMAS.items()}


def _empty(kind: Kind) -> pl.DataFrame:
    return pl.DataFrame(schema=_SCHEMAS[kind])


def _in_order(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join frames by time; rows of one instant keep the order of their files."""
    return pl.concat([part for part in parts if part.height] or parts[:1]).sort("t", maintain_order=True)


def _complete(kind: Kind, rows: pl.DataFrame) -> pl.DataFrame:
    """Give bars what their file leaves out: n and vw as the four prints that stand for the bar have them."""
    if kind is not Kind.BARS:
        return rows
    size = pl.col("v") // 4
    rest = pl.col("v") - 3 * size
    prints = size * (pl.col("o") + pl.col("h") + pl.col("l")) + rest * pl.col("c")
    own = {
        "n": pl.when(pl.col("v") >= 4).then(4).otherwise(pl.col("v").clip(0, 1)).cast(pl.Int64),
        "vw": pl.when(pl.col("v") > 0).then((prints / pl.col("v")).round(6)).otherwise(pl.col("c")),
        "span": pl.lit(MINUTE, pl.Int64),
    }
    for name, made in own.items():
        rows = rows.with_columns(pl.col(name).fill_null(made) if name in rows.columns else made.alias(name))
    return rows


def _prints(bars: pl.DataFrame, session: MarketDay) -> pl.DataFrame:
    """Return four prints for each bar: open, the extreme away from the close first, close; shares in equal parts."""
    opened, closed = to_ns(session.open_at), to_ns(session.close_at)
    is_day = pl.col("span") == DAY
    end = pl.when(is_day).then(closed).otherwise(pl.col("t") + pl.col("span"))
    over_the_open = (pl.col("t") < opened) & (end > opened)  # an hour's bar of 09:00 starts trading at 09:30
    start = pl.when(over_the_open).then(opened).otherwise(pl.col("t"))
    span = end - start
    rising = pl.col("c") >= pl.col("o")
    size = pl.col("v") // 4
    extended = (start < opened) | (start >= closed)
    steps = (
        (start, pl.col("o"), size),
        (start + span // 3, pl.when(rising).then("l").otherwise("h"), size),
        (start + span * 2 // 3, pl.when(rising).then("h").otherwise("l"), size),
        (start + span - SECOND // 1_000, pl.col("c"), pl.col("v") - 3 * size),
    )
    parts = [
        bars.select(
            t=at.cast(pl.Int64),
            S="S",
            i=pl.int_range(pl.len(), dtype=pl.Int64) * 4 + number + 1,
            x=pl.lit(" ").cast(pl.Categorical),
            p=price,
            s=shares,
            c=pl.when(extended).then(pl.lit("T")).otherwise(pl.lit(" ")).cast(pl.Categorical),
            z=pl.lit(" ").cast(pl.Categorical),
        )
        for number, (at, price, shares) in enumerate(steps)
    ]
    return pl.concat(parts).filter(pl.col("s") > 0).sort("t", maintain_order=True)


# -- messages


def _merged(kinds: Sequence[tuple[pl.DataFrame, "_Maker"]], since: int) -> Iterator[Batch]:
    """Yield the messages of several frames, each in time order, as one stream in time order."""
    coming = [
        frame.select(t=pl.col("t") + (pl.col("span") if "span" in frame.columns else 0), kind=pl.lit(number, pl.UInt8))
        for number, (frame, _) in enumerate(kinds)
    ]
    order = pl.concat(coming).sort("t", maintain_order=True)
    first = order["t"].search_sorted(since)
    taken = [int((order["kind"][:first] == number).sum()) for number in range(len(kinds))]
    for at in range(first, order.height, BATCH_ROWS):
        part = order[at : at + BATCH_ROWS]
        sources: list[Iterator[Message]] = []
        for number, (frame, make) in enumerate(kinds):
            count = int((part["kind"] == number).sum())
            sources.append(iter(make(frame[taken[number] : taken[number] + count]) if count else ()))
            taken[number] += count
        yield Batch(part["t"].to_list(), [next(sources[number]) for number in part["kind"].to_list()])


type _Maker = Callable[[pl.DataFrame], Iterator[Message]]


@cache  # a few hundred combinations at most; messages share their lists, and nobody changes one
def _conditions(text: str) -> list[str]:
    return text.split("|")


def _trade_messages(rows: pl.DataFrame) -> Iterator[Message]:
    columns = [rows[name].to_list() for name in ("S", "i", "x", "p", "s", "c", "z", "t")]
    for symbol, number, exchange, price, size, conditions, tape, at in zip(*columns, strict=True):
        yield {
            "T": "t",
            "S": symbol,
            "i": number,
            "x": exchange,
            "p": price,
            "s": size,
            "c": _conditions(conditions),
            "z": tape,
            "t": at,
        }


def _quote_messages(rows: pl.DataFrame) -> Iterator[Message]:
    columns = [rows[name].to_list() for name in ("S", "bx", "bp", "bs", "ax", "ap", "as", "c", "z", "t")]
    for symbol, bid_on, bid, bid_size, ask_on, ask, ask_size, conditions, tape, at in zip(*columns, strict=True):
        yield {
            "T": "q",
            "S": symbol,
            "bx": bid_on,
            "bp": bid,
            "bs": bid_size,
            "ax": ask_on,
            "ap": ask,
            "as": ask_size,
            "c": _conditions(conditions),
            "z": tape,
            "t": at,
        }


def _bar_messages(rows: pl.DataFrame) -> Iterator[Message]:
    for row in rows.select("S", "o", "h", "l", "c", "v", "n", "vw", "t").iter_rows(named=True):
        yield {"T": "b", **row}
