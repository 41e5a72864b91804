"""What every tape promises, recorded or invented."""

from pathlib import Path

import pytest

from deskd.venue.bars import BAR_COLUMNS
from deskd.venue.calendar import midnight
from deskd.venue.synthetic import SyntheticTape
from deskd.venue.tape import Tape
from tests.venue.markets import OPEN, a_tape, calendar, write_bars, write_quotes, write_trades


@pytest.fixture(params=["recorded", "synthetic"])
def tape(request: pytest.FixtureRequest, tmp_path: Path) -> Tape:
    if request.param == "synthetic":
        return SyntheticTape(calendar=calendar(), seed=1)
    write_trades(tmp_path / "t.csv", [(OPEN, "IBM", 100.0 + n, 10, " ") for n in range(3_000)])
    write_quotes(tmp_path / "q.csv", [(OPEN, "IBM", 99.0, 101.0), ("2013-10-08T13:30:30Z", "IBM", 99.0, 101.0)])
    write_bars(tmp_path / "b.csv", [("2013-10-08T13:30:00Z", "SPY", 1.0, 2.0, 1.0, 2.0, 9)])
    return a_tape(tmp_path)


def test_a_day_plays_in_the_order_in_which_it_came(tape: Tape) -> None:
    """Times never run back, batches are small enough for the loop, and nothing is stamped after it came (bars: long before)."""
    day = tape.days()[0]
    last = 0
    for number, batch in enumerate(tape.play(day, tape.first_at(day))):
        assert 0 < len(batch.messages) == len(batch.times) <= 1_024
        assert batch.times == sorted(batch.times)
        assert batch.times[0] >= last
        assert all(message["t"] <= came for came, message in zip(batch.times, batch.messages, strict=True))
        last = batch.times[-1]
        if number > 20:
            break


def test_messages_are_of_listed_symbols_and_known_kinds(tape: Tape) -> None:
    """Whatever plays can be traded and encoded."""
    day = tape.days()[0]
    symbols = [listing.symbol for listing in tape.listings()]
    assert symbols == sorted(symbols)
    batch = next(tape.play(day, tape.first_at(day)))
    assert {message["S"] for message in batch.messages} <= set(symbols)
    assert {message["T"] for message in batch.messages} <= set("tqbsl")


def test_history_has_the_same_columns_everywhere(tape: Tape) -> None:
    """Who reads history need not know what kind of tape it is."""
    day, symbol = tape.days()[0], tape.listings()[0].symbol
    end = tape.first_at(day) + 3_600_000_000_000
    assert set(tape.trades(symbol, day, end).columns) == {"t", "i", "x", "p", "s", "c", "z"}
    assert set(tape.quotes(symbol, day, end).columns) == {"t", "bx", "bp", "bs", "ax", "ap", "as", "c", "z"}
    assert tuple(tape.minute_bars(symbol, day).columns) == BAR_COLUMNS
    assert tape.day_bar(symbol, day)["t"].to_list() == [midnight(day)]
    assert tape.trades(symbol, day, end)["t"].is_sorted()
    assert day in tape.history_days(day, day)


def test_what_plays_can_be_played_and_a_tape_ends_where_it_does_not_loop(tape: Tape) -> None:
    """Its own days play; after the last comes none, or, looped, another that plays."""
    assert all(map(tape.plays, tape.days()))
    assert tape.day_after(tape.days()[-1], loop=False) is None
    following = tape.day_after(tape.days()[-1], loop=True)
    assert following is not None
    assert tape.plays(following)
