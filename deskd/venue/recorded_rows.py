"""Rows of recorded files as they are played: bars as prints, kinds merged by time, columns turned into messages."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final

import polars as pl

from deskd.venue.bars import MINUTE
from deskd.venue.calendar import MarketDay
from deskd.venue.tape import Batch
from deskd.venue.tape_file import Kind
from deskd.wire.alpaca.market import SECOND, Message, to_ns

BATCH_ROWS: Final = 1_024  # a millisecond of work on the loop
DAY: Final = 86_400 * SECOND

type Maker = Callable[[pl.DataFrame], Iterator[Message]]

SCHEMAS: Final = {
    Kind.TRADES: {"t": pl.Int64, "S": pl.Categorical, "i": pl.Int64, "x": pl.Categorical, "p": pl.Float64}
    | {"s": pl.Int64, "c": pl.Categorical, "z": pl.Categorical},
    Kind.QUOTES: {"t": pl.Int64, "S": pl.Categorical, "bx": pl.Categorical, "bp": pl.Float64, "bs": pl.Int64}
    | {"ax": pl.Categorical, "ap": pl.Float64, "as": pl.Int64, "c": pl.Categorical, "z": pl.Categorical},
    Kind.BARS: {"t": pl.Int64, "S": pl.Categorical, "o": pl.Float64, "h": pl.Float64, "l": pl.Float64}
    | {"c": pl.Float64, "v": pl.Int64, "n": pl.Int64, "vw": pl.Float64, "span": pl.Int64},
}
COLUMNS: Final = {kind: list(schema) for kind, schema in SCHEMAS.items()}


def empty(kind: Kind) -> pl.DataFrame:
    """Return no rows, with the kind's columns."""
    return pl.DataFrame(schema=SCHEMAS[kind])


def in_order(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join frames by time; rows of one instant keep the order of their files."""
    return pl.concat([part for part in parts if part.height] or parts[:1]).sort("t", maintain_order=True)


def complete_bars(kind: Kind, rows: pl.DataFrame) -> pl.DataFrame:
    """Give bars what their file leaves out: n and vw as the four prints that stand for the bar have them."""
    if kind is not Kind.BARS:
        return rows
    size = pl.col("v") // 4
    rest = pl.col("v") - 3 * size
    paid = size * (pl.col("o") + pl.col("h") + pl.col("l")) + rest * pl.col("c")
    own = {
        "n": pl.when(pl.col("v") >= 4).then(4).otherwise(pl.col("v").clip(0, 1)).cast(pl.Int64),
        "vw": pl.when(pl.col("v") > 0).then((paid / pl.col("v")).round(6)).otherwise(pl.col("c")),
        "span": pl.lit(MINUTE, pl.Int64),
    }
    for name, made in own.items():
        rows = rows.with_columns(pl.col(name).fill_null(made) if name in rows.columns else made.alias(name))
    return rows


def prints(bars: pl.DataFrame, session: MarketDay) -> pl.DataFrame:
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


def merged(kinds: Sequence[tuple[pl.DataFrame, Maker]], since: int) -> Iterator[Batch]:
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


@cache  # a few hundred combinations at most; messages share their lists, and nobody changes one
def _conditions(text: str) -> list[str]:
    return text.split("|")


def trade_messages(rows: pl.DataFrame) -> Iterator[Message]:
    """Yield trades as they go over the wire."""
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


def quote_messages(rows: pl.DataFrame) -> Iterator[Message]:
    """Yield quotes as they go over the wire."""
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


def bar_messages(rows: pl.DataFrame) -> Iterator[Message]:
    """Yield minute bars as they go over the wire."""
    for row in rows.select("S", "o", "h", "l", "c", "v", "n", "vw", "t").iter_rows(named=True):
        yield {"T": "b", **row}
