"""One file of a tape: read it whole, keep the good rows, count the bad ones and say why.

1. The header tells the kind (CONTRACTS 6). Further columns are ignored; a missing one is an error that names it.
2. A row that breaks a rule is dropped and counted under that rule, with the first such row's number.
3. A quote that is crossed or locked is real: it is kept, and counted.
4. A file of which most rows are bad is an error: it is not what it claims to be.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import polars as pl

from deskd.domain.errors import ConfigError
from deskd.domain.ids import SYMBOL

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")
GZIP_MAGIC: Final = b"\x1f\x8b"
BAD_ROWS_MAX: Final = 0.5  # the share of bad rows over which the file itself is bad


class Kind(StrEnum):
    """What a file's rows are."""

    TRADES = "trades"
    QUOTES = "quotes"
    BARS = "bars"


_REQUIRED: Final = {
    Kind.QUOTES: ("t", "S", "bp", "bs", "ap", "as"),
    Kind.BARS: ("t", "S", "o", "h", "l", "c", "v"),
    Kind.TRADES: ("t", "S", "p", "s"),
}
_TELLING: Final = {Kind.QUOTES: {"bp", "ap"}, Kind.BARS: {"o", "h", "l"}, Kind.TRADES: {"p", "s"}}
_OPTIONAL: Final = {
    Kind.QUOTES: ("bx", "ax", "c", "z"),
    Kind.BARS: ("n", "vw"),
    Kind.TRADES: ("i", "x", "c", "z"),
}
_TEXTS: Final = {"S", "x", "c", "z", "bx", "ax"}
_PRICES: Final = {"p", "bp", "ap", "o", "h", "l", "c", "vw"}
_SIZES: Final = {"s", "bs", "as", "v", "n", "i"}
_DEFAULT_TEXT: Final = {"x": " ", "bx": " ", "ax": " ", "z": " ", "c": " "}  # a blank: the recording does not say
_CATEGORIES: Final = pl.Categorical()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What reading a file found: rows of one kind of trouble, dropped or kept."""

    path: str
    rule: str
    rows: int
    first_row: int  # as an editor counts: the header is row 1
    kept: bool = False

    def __str__(self) -> str:
        verb = "kept" if self.kept else "dropped"
        return f"{self.path}: {self.rows} rows {verb}: {self.rule} (first: row {self.first_row})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeFile:
    """A file's good rows, in time order for each symbol, and what was wrong with the others."""

    path: Path
    kind: Kind
    rows: pl.DataFrame
    notices: Sequence[Notice]


def kind_of(columns: Iterable[str]) -> Kind | None:
    """Return what rows with these columns are, or None where they are none of a tape's."""
    names = set(columns)
    return next((kind for kind, telling in _TELLING.items() if telling <= names), None)


def read_tape_file(path: Path) -> TapeFile:
    """Read a file, or raise ConfigError that names the file, the place, the rule and the remedy."""
    raw = _read(path)
    kind = kind_of(raw.columns)
    if kind is None:
        raise ConfigError(
            f"{path}: the header {','.join(raw.columns)[:120]!r} is none of a tape's. Rows must be trades "
            "(t,S,i,x,p,s,c,z), quotes (t,S,bx,bp,bs,ax,ap,as,c,z) or bars (t,S,o,h,l,c,v[,n,vw])."
        )
    if missing := [name for name in _REQUIRED[kind] if name not in raw.columns]:
        raise ConfigError(f"{path}: {kind} without the column {', '.join(missing)}. Add it to the header and the rows.")
    if raw.is_empty():
        raise ConfigError(f"{path}: no rows under the header. Record it again, or take it out of the tape.")
    rows = _typed(raw, kind)
    rows, notices = _screened(rows, kind, path.name)
    dropped = sum(notice.rows for notice in notices if not notice.kept and "susp" not in notice.rule)
    if rows.is_empty() or dropped > raw.height * BAD_ROWS_MAX:
        raise ConfigError(
            f"{path}: {dropped} of {raw.height} rows are bad. " + "; ".join(str(notice) for notice in notices)
        )
    return TapeFile(path=path, kind=kind, rows=rows, notices=notices)


def _read(path: Path) -> pl.DataFrame:
    try:
        with path.open("rb") as file:
            head = file.read(2)
        if not head:
            raise ConfigError(f"{path}: is empty. Record it again, or take it out of the tape.")
        if path.name.endswith(".gz") and head != GZIP_MAGIC:
            raise ConfigError(f"{path}: is named .gz but is not gzip. Rename it to .csv, or compress it.")
        if path.name.endswith(".parquet"):
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema=False, truncate_ragged_lines=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{path}: cannot be read as a tape: {reason}. Check the file, or record it again.") from error


def _typed(raw: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Return the kind's columns with their types; what does not parse is null. Column `row` counts as an editor does."""
    wanted = [name for name in (*_REQUIRED[kind], *_OPTIONAL[kind], "susp") if name in raw.columns]
    rows = raw.select(wanted).with_row_index("row", offset=2)
    is_bar = kind is Kind.BARS
    for name in wanted:
        if name == "t":
            rows = rows.with_columns(t=_instants(rows["t"]))
        elif name in _PRICES and not (name == "c" and not is_bar):
            rows = rows.with_columns(pl.col(name).cast(pl.Float64, strict=False))
        elif name in _SIZES:  # a size may be written 100.0
            rows = rows.with_columns(pl.col(name).cast(pl.Float64, strict=False).cast(pl.Int64, strict=False))
        elif name in _TEXTS:
            blank = _DEFAULT_TEXT.get(name)
            text = pl.col(name).cast(pl.String)
            rows = rows.with_columns((text.fill_null(blank) if blank else text).alias(name))
    if kind is Kind.TRADES:
        number = pl.col("row").cast(pl.Int64) - 1
        rows = rows.with_columns(i=pl.col("i").fill_null(number) if "i" in raw.columns else number)
    missing = [name for name in _OPTIONAL[kind] if name not in raw.columns and name in _DEFAULT_TEXT]
    return rows.with_columns(pl.lit(_DEFAULT_TEXT[name]).alias(name) for name in missing)


def _instants(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        zoned = column if column.dtype.time_zone else column.dt.replace_time_zone("UTC")
        return zoned.dt.epoch("ns")
    if column.dtype.is_integer():
        return column.cast(pl.Int64)  # nanoseconds since 1970
    text = column.cast(pl.String)
    quick = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ns", time_zone="UTC", strict=False)
    if quick.null_count():
        offset = text.str.to_datetime("%+", time_unit="ns", time_zone="UTC", strict=False)
        quick = quick.zip_with(quick.is_not_null(), offset)
    return quick.dt.epoch("ns")


def _screened(rows: pl.DataFrame, kind: Kind, name: str) -> tuple[pl.DataFrame, list[Notice]]:
    notices: list[Notice] = []
    for rule, breaks in _drop_rules(rows, kind):
        bad = rows.filter(breaks)
        if bad.height:
            notices.append(Notice(path=name, rule=rule, rows=bad.height, first_row=int(bad["row"][0])))
            rows = rows.filter(~breaks)
    if kind is Kind.QUOTES:
        both = (pl.col("bp") > 0) & (pl.col("ap") > 0)
        for rule, holds in (
            ("crossed quote: bid over ask", both & (pl.col("bp") > pl.col("ap"))),
            ("locked quote: bid equals ask", both & (pl.col("bp") == pl.col("ap"))),
        ):
            found = rows.filter(holds)
            if found.height:
                first_row = int(found["row"][0])
                notices.append(Notice(path=name, rule=rule, rows=found.height, first_row=first_row, kept=True))
    texts = [column for column in rows.columns if column in _TEXTS and rows[column].dtype == pl.String]
    return rows.drop("row", "susp", strict=False).with_columns(pl.col(texts).cast(_CATEGORIES)), notices


def _drop_rules(rows: pl.DataFrame, kind: Kind) -> list[tuple[str, pl.Expr]]:
    rules: list[tuple[str, pl.Expr]] = []
    if "susp" in rows.columns:
        suspicious = pl.col("susp").cast(pl.String).str.strip_chars().is_in(["1", "true", "True"])
        rules.append(("marked suspicious (susp is 1)", suspicious.fill_null(value=False)))
    rules.append(("t is not an RFC 3339 instant", pl.col("t").is_null()))
    is_symbol = pl.col("S").str.contains(rf"^(?:{SYMBOL.pattern})$")
    rules.append(("S is not a symbol", pl.col("S").is_null() | ~is_symbol))
    if kind is Kind.TRADES:
        prices, sizes, wrong = ["p"], ["s"], pl.col("p") <= 0
    elif kind is Kind.QUOTES:  # a side without a price is zero
        prices, sizes, wrong = ["bp", "ap"], ["bs", "as"], (pl.col("bp") < 0) | (pl.col("ap") < 0)
    else:
        prices, sizes, wrong = ["o", "h", "l", "c"], ["v"], pl.min_horizontal("o", "h", "l", "c") <= 0
    for price in prices:
        column = pl.col(price)
        rules.append((f"{price} is not a price", column.is_null() | ~column.is_finite()))
    rules.append(("a price is not positive", wrong))
    for size in sizes:
        rules.append((f"{size} is not a whole number of shares", pl.col(size).is_null()))
        rules.append((f"{size} is negative", pl.col(size) < 0))
    if kind is Kind.TRADES:
        rules.append(("s is zero", pl.col("s") == 0))
    if kind is Kind.BARS:
        outside = (pl.max_horizontal("o", "c", "l") > pl.col("h")) | (pl.min_horizontal("o", "c") < pl.col("l"))
        rules.append(("open or close lies outside low to high", outside))
    rules.append(("time runs back", pl.col("t") < pl.col("t").cum_max().over("S")))
    return rules
