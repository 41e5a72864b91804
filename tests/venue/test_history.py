"""Guarantees of history: never past the market's time, and every timeframe from minutes and days."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from deskd.domain.errors import WireError
from deskd.venue.calendar import midnight
from deskd.venue.history import History, Span, Timeframe, Unit, day_start, parse_timeframe
from deskd.venue.market import Market
from deskd.venue.tape import Tape
from tests.venue.markets import OPEN, TUESDAY, a_tape, at, ns, write_bars, write_quotes, write_trades

YEAR = Span(start=ns("2013-01-01"), end=ns("2014-01-01"))
BACKWARDS = Span(start=ns("2013-01-01"), end=ns("2014-01-01"), is_descending=True)
DAYS = ("2013-10-04", "2013-10-07", "2013-10-08")


def three_days(folder: Path) -> Tape:
    """Trades at 09:30:10, 09:31:10 and 10:45:00 New York on three days; the price counts up."""
    stamps = [f"{day}T{clock}Z" for day in DAYS for clock in ("13:30:10", "13:31:10", "14:45:00")]
    write_trades(folder / "t.csv", [(t, "IBM", 100.0 + n, 10, " ") for n, t in enumerate(stamps)])
    write_quotes(folder / "q.csv", [(t, "IBM", 99.0 + n, 101.0 + n) for n, t in enumerate(stamps)])
    return a_tape(folder)


def a_history(tape: Tape, now: str) -> History:
    """Return the history of a market that played its last day until *now*."""
    market = Market()
    market.start_day(TUESDAY, tape.outline(TUESDAY))
    market.prime(tape, at(now))
    return History(tape, market)


def closes(history: History, timeframe: str, now: str, span: Span = YEAR) -> list[tuple[str, float]]:
    rows = history.bars("IBM", parse_timeframe(timeframe), span, ns(now))
    return [(str(at_of(row["t"])), row["c"]) for row in rows]


def at_of(stamp: int) -> str:
    from deskd.wire.alpaca.market import rfc3339

    return rfc3339(stamp)


def test_nothing_after_the_markets_time_is_told(tmp_path: Path) -> None:
    """A trade or quote of this very instant is not past; a minute is told once it is over."""
    now = "2013-10-08T13:31:10Z"
    history = a_history(three_days(tmp_path), now)
    assert [row["p"] for row in history.trades("IBM", YEAR, ns(now))][-1] == 106.0
    assert [row["bp"] for row in history.quotes("IBM", YEAR, ns(now))][-1] == 105.0
    assert closes(history, "1Min", now)[-1] == ("2013-10-08T13:30:00Z", 106.0)
    assert closes(history, "1Min", "2013-10-08T13:32:00Z")[-1] == ("2013-10-08T13:31:00Z", 107.0)


def test_rows_come_in_the_order_that_was_asked_for(tmp_path: Path) -> None:
    """Descending is the same rows, last first, over days too; conditions are lists again."""
    now = "2013-10-08T20:00:00Z"
    history = a_history(three_days(tmp_path), now)
    forwards = list(history.trades("IBM", YEAR, ns(now)))
    assert len(forwards) == 9
    assert list(history.trades("IBM", BACKWARDS, ns(now))) == forwards[::-1]
    assert forwards[0] == {"t": ns("2013-10-04T13:30:10Z"), "x": "N", "p": 100.0, "s": 10, "c": [" "], "i": 1, "z": "A"}
    for timeframe in ("1Min", "1Hour", "1Day"):
        assert closes(history, timeframe, now, BACKWARDS) == closes(history, timeframe, now)[::-1]


@pytest.mark.parametrize(
    ("timeframe", "wanted"),
    [
        ("5Min", [("2013-10-08T13:30:00Z", 107.0), ("2013-10-08T14:45:00Z", 108.0)]),
        ("1Hour", [("2013-10-08T13:00:00Z", 107.0), ("2013-10-08T14:00:00Z", 108.0)]),
        ("2Hour", [("2013-10-08T12:00:00Z", 107.0), ("2013-10-08T14:00:00Z", 108.0)]),
        ("1Day", [("2013-10-08T04:00:00Z", 108.0)]),
    ],
)
def test_wider_bars_are_stamped_with_their_beginning(tmp_path: Path, timeframe: str, wanted: Any) -> None:
    """Hours count from New York's midnight, days are stamped with it."""
    now = "2013-10-08T20:00:00Z"
    history = a_history(three_days(tmp_path), now)
    today = Span(start=ns("2013-10-08"), end=ns(now))
    assert closes(history, timeframe, now, today) == wanted


def test_weeks_begin_on_monday_and_months_with_their_first_day(tmp_path: Path) -> None:
    """Friday is one week, Monday and Tuesday the next; all of October is one month."""
    now = "2013-10-08T20:00:00Z"
    history = a_history(three_days(tmp_path), now)
    assert closes(history, "1Week", now) == [("2013-09-30T04:00:00Z", 102.0), ("2013-10-07T04:00:00Z", 108.0)]
    (month,) = history.bars("IBM", parse_timeframe("1Month"), YEAR, ns(now))
    assert (month["o"], month["c"], month["v"], month["n"]) == (100.0, 108.0, 90, 9)
    assert month["t"] == midnight(date(2013, 10, 1))
    (quarter,) = history.bars("IBM", parse_timeframe("3Month"), YEAR, ns(now))
    assert quarter["t"] == month["t"]


def test_the_days_bar_is_the_running_one(tmp_path: Path) -> None:
    """Today's daily bar is what the market has until now, not what the day will be."""
    now = "2013-10-08T13:31:00Z"
    history = a_history(three_days(tmp_path), now)
    assert closes(history, "1Day", now)[-1] == ("2013-10-08T04:00:00Z", 106.0)
    before = history.day_bar_before("IBM", TUESDAY)
    assert before is not None
    assert before["c"] == 105.0
    assert history.day_bar_before("NONE", TUESDAY) is None


def test_unknown_symbols_have_no_history(tmp_path: Path) -> None:
    """No rows, and no error."""
    history = a_history(three_days(tmp_path), OPEN)
    for rows in (history.trades, history.quotes):
        assert list(rows("NONE", YEAR, ns(OPEN))) == []
    assert list(history.bars("NONE", parse_timeframe("1Day"), YEAR, ns(OPEN))) == []


def test_a_week_that_holds_nothing_has_no_bar(tmp_path: Path) -> None:
    """Before the tape there is nothing to tell."""
    history = a_history(three_days(tmp_path), "2013-10-08T20:00:00Z")
    early = Span(start=ns("2012-01-01"), end=ns("2012-02-01"))
    assert closes(history, "1Week", "2013-10-08T20:00:00Z", early) == []


def test_daily_files_reach_back_beyond_the_ticks(tmp_path: Path) -> None:
    """Recorded days and built ones make one row of daily bars."""
    write_bars(
        tmp_path / "d.csv",
        [("2013-10-02T04:00:00Z", "IBM", 1, 2, 1, 2, 9), ("2013-10-03T04:00:00Z", "IBM", 2, 3, 2, 3, 9)],
    )
    history = a_history(three_days(tmp_path), "2013-10-08T20:00:00Z")
    assert [close for _, close in closes(history, "1Day", "2013-10-08T20:00:00Z")] == [2.0, 3.0, 102.0, 105.0, 108.0]


@pytest.mark.parametrize(
    ("text", "timeframe"),
    [
        ("1Min", Timeframe(1, Unit.MINUTE)),
        ("59T", Timeframe(59, Unit.MINUTE)),
        ("23H", Timeframe(23, Unit.HOUR)),
        ("1D", Timeframe(1, Unit.DAY)),
        ("1Week", Timeframe(1, Unit.WEEK)),
        ("12M", Timeframe(12, Unit.MONTH)),
    ],
)
def test_timeframes_read_long_and_short(text: str, timeframe: Timeframe) -> None:
    """As Alpaca lists them."""
    assert parse_timeframe(text) == timeframe


@pytest.mark.parametrize("text", ["", "Min", "0Min", "60Min", "24Hour", "2Day", "2Week", "5Month", "1min", "1.5Hour"])
def test_other_timeframes_are_told(text: str) -> None:
    """With what may be used instead."""
    with pytest.raises(WireError, match="1-59Min"):
        parse_timeframe(text)


def test_a_request_without_a_start_begins_with_the_day() -> None:
    """New York's day, not UTC's."""
    assert day_start(ns("2013-10-09T01:00:00Z")) == midnight(TUESDAY)
