"""Guarantees of reading one file of a tape: good rows come, bad rows are counted, bad files are refused by name."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from deskd.domain.errors import ConfigError
from deskd.venue.tape_file import Kind, kind_of, read_tape_file
from tests.venue.markets import OPEN, ns, recorded, write, write_bars, write_quotes, write_trades


def test_the_header_tells_the_kind_and_further_columns_are_ignored(tmp_path: Path) -> None:
    """Trades are trades, whatever else a recorder writes beside."""
    file = read_tape_file(write(tmp_path / "a.csv", "note,t,S,p,s,cond_hex", [f"x,{OPEN},IBM,100.5,200,ff"]))
    assert file.kind is Kind.TRADES
    assert file.rows.row(0, named=True) == {
        "t": ns(OPEN),
        "S": "IBM",
        "p": 100.5,
        "s": 200,
        "i": 1,
        "x": " ",
        "c": " ",
        "z": " ",
    }
    assert kind_of(["t", "S", "bp", "bs", "ap", "as"]) is Kind.QUOTES
    assert kind_of(["t", "S", "o", "h", "l", "c", "v"]) is Kind.BARS
    assert kind_of(["ex_date", "symbol"]) is None


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (f"{OPEN},IBM,2,N,abc,100, ,A", "p is not a price"),
        (f"{OPEN},IBM,2,N,nan,100, ,A", "p is not a price"),
        (f"{OPEN},IBM,2,N,1e400,100, ,A", "p is not a price"),
        (f"{OPEN},IBM,2,N,0,100, ,A", "a price is not positive"),
        (f"{OPEN},IBM,2,N,-1,100, ,A", "a price is not positive"),
        (f"{OPEN},IBM,2,N,100,-5, ,A", "s is negative"),
        (f"{OPEN},IBM,2,N,100,0, ,A", "s is zero"),
        (f"{OPEN},IBM,2,N,100,, ,A", "s is not a whole number"),
        (f"{OPEN},ib m,2,N,100,5, ,A", "S is not a symbol"),
        ("yesterday,IBM,2,N,100,5, ,A", "t is not an RFC 3339 instant"),
        ("2013-10-08T13:29:59Z,IBM,2,N,100,5, ,A", "time runs back"),
    ],
)
def test_a_bad_row_is_dropped_counted_and_named(tmp_path: Path, row: str, rule: str) -> None:
    """The other rows stay; the notice has the file, the rule, how many, and the first row's number."""
    good = [f"{OPEN},IBM,1,N,100,100, ,A", row, "2013-10-08T13:30:01Z,IBM,3,N,101,100, ,A"]
    file = read_tape_file(write(tmp_path / "bad.csv", "t,S,i,x,p,s,c,z", good))
    assert file.rows["i"].to_list() == [1, 3]
    (notice,) = file.notices
    assert rule in notice.rule
    assert (notice.path, notice.rows, notice.first_row, notice.kept) == ("bad.csv", 1, 3, False)
    assert str(notice).startswith("bad.csv: 1 rows dropped: ")


def test_suspicious_rows_are_dropped(tmp_path: Path) -> None:
    """Susp = 1 is the vendor's own doubt; every row may have it without the file being bad."""
    lines = [f"{OPEN},IBM,100,1,1", f"{OPEN},IBM,101,1,0", f"{OPEN},IBM,102,1,1"]
    file = read_tape_file(write(tmp_path / "a.csv", "t,S,p,s,susp", lines))
    assert file.rows["p"].to_list() == [101]
    assert file.notices[0].rows == 2


def test_time_runs_back_by_symbol(tmp_path: Path) -> None:
    """A file sorted by symbol first is as good as one sorted by time."""
    rows = [(OPEN, "A", 1.0, 1, " "), ("2013-10-08T14:00:00Z", "A", 1.0, 1, " "), (OPEN, "B", 1.0, 1, " ")]
    assert read_tape_file(write_trades(tmp_path / "a.csv", rows)).notices == []


def test_crossed_and_locked_quotes_are_kept_and_counted(tmp_path: Path) -> None:
    """They are real; so is a side without a price."""
    rows = [(OPEN, "IBM", 100.02, 100.01), (OPEN, "IBM", 100.0, 100.0), (OPEN, "IBM", 0, 100.0)]
    file = read_tape_file(write_quotes(tmp_path / "q.csv", rows))
    assert file.rows.height == 3
    assert [(notice.rule, notice.rows, notice.kept) for notice in file.notices] == [
        ("crossed quote: bid over ask", 1, True),
        ("locked quote: bid equals ask", 1, True),
    ]


def test_a_bar_must_hold_its_open_and_close(tmp_path: Path) -> None:
    """A close above the high is an error of the recording."""
    rows = [(OPEN, "IBM", 1.0, 2.0, 1.0, 2.0, 5), ("2013-10-08T13:31:00Z", "IBM", 1.0, 2.0, 1.0, 2.5, 5)]
    (notice,) = read_tape_file(write_bars(tmp_path / "b.csv", rows)).notices
    assert "low to high" in notice.rule


@pytest.mark.parametrize(
    "stamp", ["2013-10-08T13:30:00Z", "2013-10-08T09:30:00-04:00", "2013-10-08T13:30:00.000000000Z"]
)
def test_stamps_may_have_an_offset_and_up_to_nine_digits(tmp_path: Path, stamp: str) -> None:
    """All of these are the same instant."""
    file = read_tape_file(write_trades(tmp_path / "a.csv", [(stamp, "IBM", 1.0, 1, " ")]))
    assert file.rows["t"].to_list() == [ns(OPEN)]


@pytest.mark.parametrize("stamps", ["text", "nanoseconds", "datetime"])
def test_parquet_reads_like_csv(tmp_path: Path, stamps: str) -> None:
    """Stamps may be text, nanoseconds or Parquet's own instants."""
    frame = pl.DataFrame({"t": [OPEN], "S": ["IBM"], "p": [100.5], "s": [200]})
    instant = pl.col("t").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us")
    by_kind = {"text": frame, "nanoseconds": frame.with_columns(t=instant.dt.epoch("ns"))}
    by_kind.get(stamps, frame.with_columns(t=instant)).write_parquet(tmp_path / "a.parquet")
    file = read_tape_file(tmp_path / "a.parquet")
    assert file.rows.select("t", "p", "s").row(0) == (ns(OPEN), 100.5, 200)


def test_gzip_reads_like_csv(tmp_path: Path) -> None:
    """A .csv.gz is the same rows, packed."""
    plain = write_trades(tmp_path / "a.csv", [(OPEN, "IBM", 1.0, 1, " ")])
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert read_tape_file(tmp_path / "b.csv.gz").rows.equals(read_tape_file(plain).rows)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"t,S,p,s\n", "no rows"),
        ("a.csv", b"t,S,p\n1,2,3\n", "none of a tape's"),
        ("a.csv", b"S,p,s\nIBM,1,1\n", "without the column t"),
        ("a.csv.gz", b"t,S,p,s\n", "is named .gz but is not gzip"),
        ("a.csv.gz", b"\x1f\x8b broken", "cannot be read"),
        ("a.parquet", b"not parquet", "cannot be read"),
        ("a.csv", b"t,S,p,s\nx,IBM,1,1\ny,IBM,1,1\n", "2 of 2 rows are bad"),
    ],
)
def test_a_bad_file_is_refused_by_name_with_the_remedy(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """The error names the file and what is wrong."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_tape_file(tmp_path / name)
    assert said in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.needs_tape
def test_a_recorded_day_loses_only_its_suspicious_rows() -> None:
    """62,875 quotes of IBM: one suspicious, 40 crossed, all others as they are."""
    file = read_tape_file(recorded("ticks/quotes_IBM_20131008.csv.gz"))
    assert file.rows.height == 62_874
    assert [(notice.rows, notice.kept) for notice in file.notices] == [(1, False), (40, True), (504, True)]
