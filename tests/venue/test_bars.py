"""Guarantees of what counts in a bar."""

from typing import Any

import polars as pl
import pytest

from deskd.venue.bars import BAR_COLUMNS, RunningBar, bar_rows, counts, day_bar, minute_bars, resample
from deskd.wire.alpaca.market import SECOND
from tests.venue.markets import OPEN, ns, recorded

START = ns(OPEN)


def trades(*rows: tuple[float, float, int, str]) -> pl.DataFrame:
    """Seconds after the open, price, size, conditions."""
    return pl.DataFrame(
        [{"t": START + int(after * SECOND), "p": p, "s": s, "c": c} for after, p, s, c in rows],
        schema={"t": pl.Int64, "p": pl.Float64, "s": pl.Int64, "c": pl.String},
    )


def one(frame: pl.DataFrame) -> dict[str, Any]:
    assert frame.height == 1
    return frame.row(0, named=True)


@pytest.mark.needs_tape
@pytest.mark.parametrize("name", ["BAC_20131008", "IBM_20131007", "IBM_20131008", "SPY_20131008"])
def test_minute_bars_of_recorded_trades_are_the_recorded_ones_exactly(name: str) -> None:
    """Every minute of the day: open, high, low, close, volume, count and vwap, to the last digit."""
    stamp = pl.col("t").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ns").dt.epoch("ns")
    ticks = pl.read_csv(recorded(f"ticks/trades_{name}.csv.gz")).filter(pl.col("susp") == 0).with_columns(stamp)
    wanted = pl.read_csv(recorded(f"minute_from_ticks/bars_1min_{name}.csv.gz")).with_columns(stamp)
    assert minute_bars(ticks).equals(wanted.select(BAR_COLUMNS))


def test_the_repeat_of_the_auction_print_counts_for_nothing() -> None:
    """M and Q double a volume that was already counted."""
    bar = one(minute_bars(trades((0, 100, 50_000, "O"), (1, 101, 50_000, "Q"), (2, 102, 9, " |M"))))
    assert (bar["v"], bar["n"], bar["h"]) == (50_000, 1, 100)


def test_a_derivatively_priced_trade_is_volume_but_no_price() -> None:
    """A print a dollar off the market moves volume and vwap, not the high."""
    bar = one(minute_bars(trades((0, 100, 100, " "), (1, 120, 100, "4"), (2, 101, 100, " "))))
    assert (bar["o"], bar["h"], bar["c"], bar["v"], bar["n"], bar["vw"]) == (100, 101, 101, 300, 3, 107.0)


def test_a_minute_without_a_price_has_no_bar() -> None:
    """Only average-price prints: no bar, though there was volume."""
    assert minute_bars(trades((0, 100, 100, "B"), (61, 100, 100, " ")))["t"].to_list() == [START + 60 * SECOND]


def test_the_days_price_leaves_out_extended_hours_and_its_volume_does_not() -> None:
    """A Form T print is high for its minute, not for its day."""
    rows = trades((0, 100, 100, " "), (1, 150, 100, "T"))
    assert one(minute_bars(rows))["h"] == 150
    day = one(day_bar(rows, START))
    assert (day["h"], day["v"]) == (100, 200)


def test_a_bar_built_trade_by_trade_is_the_bar_built_by_column() -> None:
    """The live bar and its history agree."""
    rows = trades((0, 100.01, 130, " "), (1, 99.5, 70, "F"), (2, 140, 10, "4|B"), (3, 100.2, 1, "I"), (4, 7, 9, "M"))
    bar = RunningBar(START)
    for row in rows.iter_rows(named=True):
        count = counts(row["c"].split("|"))
        if count.volume:
            bar.add_volume(row["p"], row["s"])
        if count.price:
            bar.add_price(row["p"])
    assert [bar.message("b", "IBM")] == bar_rows(minute_bars(rows), "IBM")
    assert RunningBar(START).message("b", "IBM") is None


def test_wider_bars_keep_volume_and_extremes() -> None:
    """Two minutes make one bar: first open, last close, sums, and a vwap weighted by volume."""
    finer = minute_bars(trades((0, 100, 100, " "), (61, 110, 300, " ")))
    bar = one(resample(finer, pl.lit(START, pl.Int64)))
    assert bar == {"t": START, "o": 100, "h": 110, "l": 100, "c": 110, "v": 400, "n": 2, "vw": 107.5}
