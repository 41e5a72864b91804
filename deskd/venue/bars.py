"""What counts in a bar, said once: for trades as they come (`RunningBar`) and for a whole column (`minute_bars`).

1. Volume, count and vwap take every trade but repeats of the auction print (M, Q): counting those doubles the volume.
2. Open, high, low and close leave out what did not trade at the market: average-price, derivatively priced, late,
   cash and next-day prints.
3. The day's open, high, low and close also leave out extended hours (T, U); the day's volume does not.
4. A span without a trade that makes a price has no bar.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from deskd.wire.alpaca.market import SECOND, Message

MINUTE: Final = 60 * SECOND

NO_VOLUME = frozenset({"M", "Q"})
NO_PRICE = NO_VOLUME | {"C", "N", "R", "4", "Z", "V", "B", "H", "P"}
EXTENDED_HOURS = frozenset({"T", "U"})


@dataclass(frozen=True, slots=True)
class Counts:
    """What a trade of some conditions counts for."""

    volume: bool
    price: bool
    day_price: bool


def counts(conditions: Iterable[str]) -> Counts:
    """Return what a trade with these sale conditions counts for."""
    present = frozenset(conditions)
    price = not present & NO_PRICE
    return Counts(not present & NO_VOLUME, price, price and not present & EXTENDED_HOURS)


@dataclass(slots=True)
class RunningBar:
    """One bar while its trades come in."""

    start: int
    open: float | None = None
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: int = 0
    count: int = 0
    notional: float = 0.0

    def add_volume(self, price: float, size: int) -> None:
        """Count a trade."""
        self.volume += size
        self.count += 1
        self.notional += price * size

    def add_price(self, price: float) -> None:
        """Let a trade make the price."""
        if self.open is None:
            self.open = self.high = self.low = price
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price

    def message(self, kind: str, symbol: str) -> Message | None:
        """Return the bar as a message of type *kind*, or None while nothing made a price."""
        if self.open is None:
            return None
        return {
            "T": kind,
            "S": symbol,
            "o": self.open,
            "h": self.high,
            "l": self.low,
            "c": self.close,
            "v": self.volume,
            "n": self.count,
            "vw": vwap(self.notional, self.volume, self.close),
            "t": self.start,
        }


def vwap(notional: float, volume: int, close: float) -> float:
    """Return the volume-weighted price as Alpaca rounds it; the close where nothing traded."""
    return round(notional / volume, 6) if volume else close


BAR_COLUMNS = ("t", "o", "h", "l", "c", "v", "n", "vw")


def minute_bars(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the minute bars of one symbol's trades (columns t, p, s, c), in time order."""
    return _bars(trades.with_columns(pl.col("t") // MINUTE * MINUTE), NO_PRICE)


def day_bar(trades: pl.DataFrame, start: int) -> pl.DataFrame:
    """Return the bar of one symbol's day of trades, stamped *start*: one row, or none."""
    return _bars(trades.with_columns(t=pl.lit(start, pl.Int64)), NO_PRICE | EXTENDED_HOURS)


def resample(bars: pl.DataFrame, starts: "pl.Expr | pl.Series") -> pl.DataFrame:
    """Return wider bars from finer ones; *starts* names for each row the wider bar it belongs to."""
    return (
        bars.with_columns(starts.alias("t"), notional=pl.col("vw") * pl.col("v"))
        .group_by("t", maintain_order=True)
        .agg(
            pl.col("o").first(),
            pl.col("h").max(),
            pl.col("l").min(),
            pl.col("c").last(),
            pl.col("v").sum(),
            pl.col("n").sum(),
            notional=pl.col("notional").sum(),
        )
        .with_columns(vw=_vwap())
        .select(BAR_COLUMNS)
    )


def _bars(trades: pl.DataFrame, no_price: frozenset[str]) -> pl.DataFrame:
    volume = ~_any_of(trades["c"], NO_VOLUME)
    price = ~_any_of(trades["c"], no_price)
    price_of = pl.col("p").filter(pl.col("makes_price"))
    return (
        trades.select("t", "p", "s", counts=volume, makes_price=price)
        .filter(pl.col("counts") | pl.col("makes_price"))
        .group_by("t", maintain_order=True)
        .agg(
            o=price_of.first(),
            h=price_of.max(),
            l=price_of.min(),
            c=price_of.last(),
            v=pl.col("s").filter(pl.col("counts")).sum(),
            n=pl.col("counts").sum().cast(pl.Int64),
            notional=(pl.col("p") * pl.col("s")).filter(pl.col("counts")).sum(),
        )
        .filter(pl.col("o").is_not_null())
        .with_columns(vw=_vwap())
        .select(BAR_COLUMNS)
        .sort("t")
    )


def _vwap() -> pl.Expr:
    return pl.when(pl.col("v") > 0).then((pl.col("notional") / pl.col("v")).round(6)).otherwise(pl.col("c"))


def _any_of(conditions: pl.Series, unwanted: frozenset[str]) -> pl.Series:
    """Tell for each row whether one of its `|`-joined conditions is unwanted; few distinct texts, so each is asked once."""
    texts = conditions.unique().to_list()
    hits = [text for text in texts if unwanted & frozenset((text or "").split("|"))]
    return conditions.is_in(hits)


def bar_rows(bars: pl.DataFrame, symbol: str, kind: str = "b") -> list[dict[str, Any]]:
    """Return bars as messages."""
    return [{"T": kind, "S": symbol, **row} for row in bars.select("o", "h", "l", "c", "v", "n", "vw", "t").to_dicts()]
