"""Guarantees of recorded tapes: every good row plays once, in time order, and bars can be traded on."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from deskd.domain.errors import ConfigError
from deskd.venue.bars import bar_rows
from deskd.venue.calendar import midnight
from deskd.venue.recorded import open_recorded
from deskd.venue.tape import Tape
from deskd.wire.alpaca.market import Message
from tests.venue.markets import OPEN, TUESDAY, a_tape, calendar, ns, recorded, write_bars, write_quotes, write_trades


def played(tape: Tape, day: date = TUESDAY, since: int = 0) -> list[Message]:
    batches = list(tape.play(day, since))
    times = [at for batch in batches for at in batch.times]
    assert times == sorted(times)
    return [message for batch in batches for message in batch.messages]


def test_all_files_are_merged_by_time_and_each_keeps_its_order(tmp_path: Path) -> None:
    """At one instant the quote comes before the trade, and trades come in file order."""
    later = "2013-10-08T13:30:00.5Z"
    write_trades(
        tmp_path / "t.csv", [(OPEN, "IBM", 1.0, 1, " "), (later, "IBM", 2.0, 1, "F"), (later, "IBM", 3.0, 1, " ")]
    )
    write_quotes(tmp_path / "q.csv", [(OPEN, "IBM", 1.0, 1.1), ("2013-10-08T13:30:00.2Z", "SPY", 1.0, 1.1)])
    messages = played(a_tape(tmp_path))
    assert [(m["T"], m["S"], m.get("p")) for m in messages] == [
        ("q", "IBM", None),
        ("t", "IBM", 1.0),
        ("q", "SPY", None),
        ("t", "IBM", 2.0),
        ("t", "IBM", 3.0),
    ]
    assert messages[1] == {
        "T": "t",
        "S": "IBM",
        "i": 1,
        "x": "N",
        "p": 1.0,
        "s": 1,
        "c": [" "],
        "z": "A",
        "t": ns(OPEN),
    }
    assert messages[0]["bp"] == 1.0


def test_play_can_begin_anywhere(tmp_path: Path) -> None:
    """What came before is left out; what comes at that instant is not."""
    rows = [(f"2013-10-08T13:30:0{n}Z", "IBM", 1.0 + n, 1, " ") for n in range(5)]
    tape = a_tape(write_trades(tmp_path / "t.csv", rows))
    assert [m["p"] for m in played(tape, since=ns("2013-10-08T13:30:03Z"))] == [4.0, 5.0]
    assert played(tape, since=ns("2013-10-08T20:00:00Z")) == []


def test_a_bar_plays_as_four_prints_that_make_it_again(tmp_path: Path) -> None:
    """Open, low, high, close of a rising bar, with its volume; then the bar itself, at its end."""
    tape = a_tape(write_bars(tmp_path / "b.csv", [(OPEN, "IBM", 100.0, 103.0, 99.0, 102.0, 1_001)]))
    *prints, bar = played(tape)
    assert [(m["p"], m["s"]) for m in prints] == [(100.0, 250), (99.0, 250), (103.0, 250), (102.0, 251)]
    assert [m["t"] for m in prints] == [
        ns(OPEN),
        ns(OPEN) + 20 * 10**9,
        ns(OPEN) + 40 * 10**9,
        ns(OPEN) + 59_999_000_000,
    ]
    assert bar == {
        "T": "b", "S": "IBM", "o": 100.0, "h": 103.0, "l": 99.0, "c": 102.0, "v": 1_001, "n": 4, "vw": 101.000999,
        "t": ns(OPEN),
    }  # fmt: skip
    assert tape.outline(TUESDAY).barred == {"IBM"}


def test_a_falling_bar_sees_its_high_first_and_a_thin_one_fewer_prints(tmp_path: Path) -> None:
    """A bar of volume 0 has no print at all, and still comes."""
    rows = [
        (OPEN, "IBM", 102.0, 103.0, 99.0, 100.0, 400),
        ("2013-10-08T13:31:00Z", "IBM", 100.0, 100.0, 100.0, 100.0, 1),
        ("2013-10-08T13:32:00Z", "IBM", 100.0, 100.0, 100.0, 100.0, 0),
    ]
    messages = played(a_tape(write_bars(tmp_path / "b.csv", rows)))
    assert [m["p"] for m in messages if m["T"] == "t"] == [102.0, 103.0, 99.0, 100.0, 100.0]
    assert [m["n"] for m in messages if m["T"] == "b"] == [4, 1, 0]


def test_where_there_are_trades_the_bars_of_that_day_are_left_aside(tmp_path: Path) -> None:
    """Nothing is played twice; another symbol's bars still play."""
    write_trades(tmp_path / "t.csv", [(OPEN, "IBM", 1.0, 1, " ")])
    bars = [(OPEN, "IBM", 1.0, 1.0, 1.0, 1.0, 1), (OPEN, "SPY", 2.0, 2.0, 2.0, 2.0, 1)]
    write_bars(tmp_path / "b.csv", [*bars, ("2013-10-08T13:31:00Z", "IBM", 1.0, 1.0, 1.0, 1.0, 1)])
    tape = a_tape(tmp_path)
    assert [(m["T"], m["S"]) for m in played(tape)] == [("t", "IBM"), ("t", "SPY"), ("b", "SPY")]
    assert tape.outline(TUESDAY).barred == {"SPY"}


def test_daily_bars_beside_ticks_are_history_and_alone_they_play(tmp_path: Path) -> None:
    """A year of daily bars does not make a tape of ticks start a year earlier."""
    days = [
        ("2013-10-04T04:00:00Z", "IBM", 1.0, 2.0, 1.0, 2.0, 400),
        ("2013-10-07T04:00:00Z", "IBM", 2.0, 3.0, 2.0, 3.0, 400),
    ]
    daily = write_bars(tmp_path / "daily.csv", days)
    ticks = write_trades(tmp_path / "t.csv", [(OPEN, "IBM", 4.0, 1, " ")])
    both = a_tape(daily, ticks)
    assert both.days() == [TUESDAY]
    assert both.history_days(date(2013, 1, 1), date(2013, 12, 31)) == [date(2013, 10, 4), date(2013, 10, 7), TUESDAY]
    assert both.day_bar("IBM", date(2013, 10, 7))["c"].to_list() == [3.0]
    alone = a_tape(daily)
    assert alone.days() == [date(2013, 10, 4), date(2013, 10, 7)]
    messages = played(alone, date(2013, 10, 4))
    assert [m["t"] for m in messages][:1] == [ns("2013-10-04T13:30:00Z")]
    assert messages[-1]["t"] == ns("2013-10-04T20:00:00Z") - 1_000_000
    assert {m["T"] for m in messages} == {"t"}


def test_an_hours_bar_that_began_before_the_open_trades_from_the_open(tmp_path: Path) -> None:
    """The first hour's bar is stamped 09:00 New York; nothing of it is an extended-hours trade."""
    rows = [
        ("2013-10-08T13:00:00Z", "IBM", 1.0, 2.0, 1.0, 2.0, 400),
        ("2013-10-08T14:00:00Z", "IBM", 2.0, 2.0, 2.0, 2.0, 400),
    ]
    messages = played(a_tape(write_bars(tmp_path / "h.csv", rows)))
    assert messages[0]["t"] == ns(OPEN)
    assert all(m["c"] == [" "] for m in messages)


def test_days_that_are_no_trading_days_are_dropped_with_a_notice(tmp_path: Path) -> None:
    """A Saturday's row says so; a tape of Saturdays is refused."""
    saturday = ("2013-10-05T14:00:00Z", "IBM", 1.0, 1, " ")
    tape = a_tape(write_trades(tmp_path / "t.csv", [saturday, (OPEN, "IBM", 1.0, 1, " ")]))
    assert tape.days() == [TUESDAY]
    assert "2013-10-05 is not a trading day" in tape.notices[0]
    with pytest.raises(ConfigError, match="no day of the tape is a trading day"):
        a_tape(write_trades(tmp_path / "s.csv", [saturday]))


def test_a_tape_ends_or_loops(tmp_path: Path) -> None:
    """After the last day comes the first again, or nothing."""
    rows = [("2013-10-07T14:00:00Z", "IBM", 1.0, 1, " "), (OPEN, "IBM", 1.0, 1, " ")]
    tape = a_tape(write_trades(tmp_path / "t.csv", rows))
    monday = date(2013, 10, 7)
    assert [tape.day_after(monday, loop=False), tape.day_after(TUESDAY, loop=False)] == [TUESDAY, None]
    assert tape.day_after(TUESDAY, loop=True) == monday
    assert tape.plays(monday)
    assert not tape.plays(date(2013, 10, 9))


def test_history_is_by_column_and_bars_come_from_the_finest(tmp_path: Path) -> None:
    """Minute bars are built from trades where there are trades, and read where there are none."""
    write_trades(tmp_path / "t.csv", [(OPEN, "IBM", 1.0, 7, " ")])
    write_bars(
        tmp_path / "b.csv",
        [(OPEN, "SPY", 2.0, 2.5, 2.0, 2.2, 40), ("2013-10-08T13:31:00Z", "SPY", 2.2, 2.2, 2.2, 2.2, 4)],
    )
    write_quotes(tmp_path / "q.csv", [(OPEN, "IBM", 1.0, 1.1)])
    tape = a_tape(tmp_path)
    assert tape.minute_bars("IBM", TUESDAY)["v"].to_list() == [7]
    assert tape.minute_bars("SPY", TUESDAY)["v"].to_list() == [40, 4]
    (day,) = bar_rows(tape.day_bar("SPY", TUESDAY), "SPY", "d")
    assert (day["o"], day["h"], day["c"], day["v"], day["t"]) == (2.0, 2.5, 2.2, 44, midnight(TUESDAY))
    assert tape.quotes("IBM", TUESDAY)["ap"].to_list() == [1.1]
    assert tape.quotes("SPY", TUESDAY).is_empty()
    assert tape.trades("IBM", TUESDAY, ns(OPEN)).is_empty()
    assert tape.minute_bars("NONE", TUESDAY).is_empty()
    assert tape.day_bar("NONE", TUESDAY).is_empty()


def test_the_day_begins_with_its_first_message_or_the_open(tmp_path: Path) -> None:
    """A tape of regular hours begins a second before the open, so that the open is seen."""
    early = a_tape(write_trades(tmp_path / "e.csv", [("2013-10-08T08:00:30Z", "IBM", 1.0, 1, " ")]))
    late = a_tape(write_trades(tmp_path / "l.csv", [("2013-10-08T15:00:00Z", "IBM", 1.0, 1, " ")]))
    assert early.first_at(TUESDAY) == ns("2013-10-08T08:00:30Z")
    assert late.first_at(TUESDAY) == ns("2013-10-08T13:29:59Z")


def test_files_that_do_not_fit_in_memory_are_read_again(tmp_path: Path) -> None:
    """A tape larger than its bound plays as any other."""
    for number, symbol in enumerate(("AA", "BB", "CC"), start=1):
        write_trades(tmp_path / f"{symbol}.csv", [(OPEN, symbol, float(number), 1, " ")])
    tape = open_recorded([tmp_path], calendar(), frames_max_bytes=1)
    assert [m["p"] for m in played(tape)] == [1.0, 2.0, 3.0]
    assert [m["p"] for m in played(tape)] == [1.0, 2.0, 3.0]


def test_a_folder_may_hold_parquet_and_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Only a file with another header is left aside; a broken one is an error."""
    pl.DataFrame({"t": [OPEN], "S": ["IBM"], "p": [1.0], "s": [1]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"other": [1]}).write_parquet(tmp_path / "b.parquet")
    assert [m["p"] for m in played(open_recorded([tmp_path], calendar()))] == [1.0]
    (tmp_path / "c.parquet").write_bytes(b"broken")
    with pytest.raises(ConfigError, match=r"c\.parquet"):
        open_recorded([tmp_path], calendar())


@pytest.mark.parametrize(("stamp", "barred"), [("2013-10-08T04:00:00Z", False), (OPEN, True)])
def test_a_single_bar_is_a_day_at_midnight_and_else_a_minute(tmp_path: Path, stamp: str, barred: bool) -> None:
    """One row cannot tell its span by the next one."""
    tape = a_tape(write_bars(tmp_path / "b.csv", [(stamp, "IBM", 1.0, 2.0, 1.0, 2.0, 9)]))
    assert (tape.outline(TUESDAY).barred == {"IBM"}) is barred
    assert tape.day_bar("IBM", TUESDAY)["v"].to_list() == [9]


@pytest.mark.needs_tape
def test_a_recorded_day_plays_every_good_row_once() -> None:
    """IBM on 2013-10-08: 33,381 trades and 62,874 quotes, listed on the NYSE."""
    tape = a_tape(recorded("ticks/trades_IBM_20131008.csv.gz"), recorded("ticks/quotes_IBM_20131008.csv.gz"))
    messages = played(tape)
    assert sum(m["T"] == "t" for m in messages) == 33_381
    assert sum(m["T"] == "q" for m in messages) == 62_874
    assert [m["i"] for m in messages if m["T"] == "t"] == list(range(1, 33_382))
    assert [listing.exchange for listing in tape.listings()] == ["NYSE"]


@pytest.mark.needs_tape
def test_recorded_minutes_keep_their_dates_through_splits_and_half_days() -> None:
    """The half day of Christmas Eve 2015, the change of the clock in 2011, the missing day of GME in 2022."""
    tape = a_tape(recorded("minute"))
    assert date(2015, 12, 24) in tape.days()
    assert date(2011, 3, 13) not in tape.days()
    assert date(2022, 3, 21) not in [day for day in tape.days() if tape.minute_bars("GME", day).height]
    assert [m["S"] for m in played(tape, date(2013, 6, 28))][:1] == ["NWSA"]
    assert {m["S"] for m in played(tape, date(2013, 7, 1))} == {"FOXA"}
