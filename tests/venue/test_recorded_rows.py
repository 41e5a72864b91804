"""Guarantees of how rows are played."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deskd.venue.bars import MINUTE, minute_bars
from deskd.venue.recorded_rows import (
    BATCH_ROWS,
    SCHEMAS,
    bar_messages,
    complete_bars,
    empty,
    in_order,
    merged,
    prints,
    trade_messages,
)
from deskd.venue.tape_file import Kind
from tests.venue.markets import OPEN, TUESDAY, calendar, ns

START = ns(OPEN)


def trades(*times: int) -> pl.DataFrame:
    rows = [{"t": t, "S": "IBM", "i": n, "x": "N", "p": 1.0, "s": 1, "c": "@|I", "z": "A"} for n, t in enumerate(times)]
    return pl.DataFrame(rows, schema=SCHEMAS[Kind.TRADES])


def bars(*rows: tuple[float, float, float, float, int]) -> pl.DataFrame:
    frame = pl.DataFrame(
        [
            {"t": START + n * MINUTE, "S": "IBM", "o": o, "h": h, "l": low, "c": c, "v": v, "span": MINUTE}
            for n, (o, h, low, c, v) in enumerate(rows)
        ],
        schema={name: kind for name, kind in SCHEMAS[Kind.BARS].items() if name not in {"n", "vw"}},
    )
    return complete_bars(Kind.BARS, frame).select(SCHEMAS[Kind.BARS].keys())


PRICES = st.integers(100, 100_000).map(lambda cents: cents / 100)


@settings(deadline=None, max_examples=50)  # the first call reads the calendar
@given(st.lists(PRICES, min_size=4, max_size=4), st.integers(4, 10**6))
def test_the_prints_of_a_bar_make_the_bar(of: list[float], volume: int) -> None:
    """Whatever the bar, its four prints have its open, high, low, close, volume, count and vwap."""
    opened, closed = of[0], of[1]
    session = calendar().day(TUESDAY)
    assert session is not None
    bar = bars((opened, max(of), min(of), closed, volume))
    made = minute_bars(prints(bar, session).with_columns(pl.col("c").cast(pl.String)))
    assert made.rows() == bar.select(made.columns).rows()


def test_what_a_file_tells_of_a_bar_is_kept() -> None:
    """N and vw are only made up where they are missing."""
    told = bars((1.0, 2.0, 1.0, 2.0, 8)).with_columns(n=pl.lit(3, pl.Int64), vw=pl.lit(1.23))
    assert complete_bars(Kind.BARS, told).equals(told)
    assert complete_bars(Kind.TRADES, trades(START)).equals(trades(START))


def test_a_bar_comes_at_its_end_before_what_comes_at_that_instant() -> None:
    """A bar stamped 09:30 is known at 09:31, ahead of 09:31's first trade."""
    kinds = [(bars((1.0, 1.0, 1.0, 1.0, 4)), bar_messages), (trades(START, START + MINUTE), trade_messages)]
    (batch,) = merged(kinds, 0)
    assert [m["T"] for m in batch.messages] == ["t", "b", "t"]
    assert batch.times == [START, START + MINUTE, START + MINUTE]
    assert batch.messages[1]["t"] == START


@pytest.mark.parametrize("count", [0, 1, BATCH_ROWS, BATCH_ROWS + 1, 3 * BATCH_ROWS])
def test_merging_keeps_every_row_in_bounded_batches(count: int) -> None:
    """Whatever the number of rows; conditions are lists that rows share."""
    batches = list(merged([(trades(*range(count)), trade_messages)], 0))
    assert [m["i"] for batch in batches for m in batch.messages] == list(range(count))
    assert all(len(batch.times) <= BATCH_ROWS for batch in batches)
    assert all(m["c"] == ["@", "I"] for batch in batches for m in batch.messages)


def test_frames_join_by_time_and_keep_their_order() -> None:
    """At one instant the first frame's rows come first; nothing joined is nothing."""
    joined = in_order([trades(1, 3), trades(1, 2)])
    assert joined.select("t", "i").rows() == [(1, 0), (1, 0), (2, 1), (3, 1)]
    assert in_order([empty(Kind.QUOTES)]).is_empty()
