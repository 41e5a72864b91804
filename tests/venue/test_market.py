"""Guarantees of the market: bars right after their minute, late trades corrected, quotes where the tape has none."""

import asyncio
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from deskd.venue.bars import bar_rows
from deskd.venue.market import Market, derived_quote, halt_of, makes_price
from deskd.venue.player import make_player
from deskd.venue.tape import Outline, Tape
from deskd.wire.alpaca.market import Message
from tests.venue.markets import (
    OPEN,
    TUESDAY,
    HandClock,
    a_quote,
    a_tape,
    a_trade,
    at,
    calendar,
    ns,
    recorded,
    write_bars,
    write_quotes,
    write_trades,
)

QUOTED = Outline(quoted=frozenset({"IBM", "SPY"}), barred=frozenset())


def a_market(outline: Outline = QUOTED) -> Market:
    market = Market()
    market.start_day(TUESDAY, outline)
    return market


def kinds(messages: list[Message]) -> str:
    return "".join(m["T"] for m in messages)


def test_the_minutes_bar_comes_right_after_it_and_before_the_next_trade() -> None:
    """Bar and running daily bar stand between the last trade of a minute and the first of the next."""
    market = a_market()
    market.feed(at(OPEN), [a_trade(p=100.0)])
    out = market.feed(at("2013-10-08T13:31:05Z"), [a_trade("2013-10-08T13:31:05Z", 101.0)])
    assert kinds(out) == "bdt"
    assert out[0] == {
        "T": "b", "S": "IBM", "o": 100.0, "h": 100.0, "l": 100.0, "c": 100.0, "v": 100, "n": 1, "vw": 100.0,
        "t": ns(OPEN),
    }  # fmt: skip
    assert (out[1]["T"], out[1]["v"], out[1]["t"]) == ("d", 100, ns("2013-10-08"))
    assert market.minute_bar("IBM") == out[0]


def test_a_minute_that_ends_in_silence_has_its_bar_too() -> None:
    """Time alone ends a minute; a minute without a trade has none."""
    market = a_market()
    market.feed(at(OPEN), [a_trade()])
    assert kinds(market.feed(at("2013-10-08T13:31:00Z"), [])) == "bd"
    assert market.feed(at("2013-10-08T13:33:00Z"), []) == []


def test_a_late_trade_corrects_its_bar_thirty_seconds_after_the_minute() -> None:
    """The bar comes again as an updated bar, once, and the latest bar is the corrected one."""
    market = a_market()
    market.feed(at(OPEN), [a_trade(p=100.0)])
    market.feed(at("2013-10-08T13:31:05Z"), [a_trade("2013-10-08T13:31:05Z", 101.0)])
    assert kinds(market.feed(at("2013-10-08T13:31:10Z"), [a_trade("2013-10-08T13:30:59Z", 99.0)])) == "t"
    (updated,) = market.feed(at("2013-10-08T13:31:30Z"), [])
    assert (updated["T"], updated["t"], updated["l"], updated["n"]) == ("u", ns(OPEN), 99.0, 2)
    bar = market.minute_bar("IBM")
    assert bar is not None
    assert bar["l"] == 99.0
    assert market.feed(at("2013-10-08T13:31:40Z"), []) == []
    out = market.feed(at("2013-10-08T13:32:00Z"), [])
    assert (out[0]["o"], out[0]["n"]) == (101.0, 1)


def test_a_trade_later_than_that_counts_for_the_day_alone() -> None:
    """After its updated bar was due, a minute is closed for good."""
    market = a_market()
    market.feed(at(OPEN), [a_trade()])
    assert kinds(market.feed(at("2013-10-08T13:31:30Z"), [])) == "bd"
    market.feed(at("2013-10-08T13:31:40Z"), [a_trade("2013-10-08T13:30:59Z", 99.0)])
    assert kinds(market.feed(at("2013-10-08T13:32:00Z"), [])) == "d"
    day = market.daily_bar("IBM")
    assert day is not None
    assert (day["v"], day["l"]) == (200, 99.0)


def test_prints_off_the_market_are_not_the_last_trade() -> None:
    """An average-price print is published, counted, and makes no price."""
    market = a_market()
    spike = a_trade("2013-10-08T13:30:01Z", 120.0, c=["B"])
    market.feed(at("2013-10-08T13:30:02Z"), [a_trade(), spike])
    last = market.trade("IBM")
    assert last is not None
    assert last["p"] == 100.0
    assert not makes_price(spike)


def test_without_quotes_the_best_bid_and_offer_stand_around_the_last_price() -> None:
    """One cent wide, or one basis point; a quote of the tape's own is never joined by an invented one."""
    market = a_market(Outline(quoted=frozenset({"SPY"}), barred=frozenset()))
    out = market.feed(at(OPEN), [a_trade(p=100.0), a_trade(S="SPY")])
    assert kinds(out) == "tqt"
    assert (out[1]["bp"], out[1]["ap"], out[1]["t"]) == (99.99, 100.0, ns(OPEN))
    assert kinds(market.feed(at(OPEN), [a_trade(p=100.0)])) == "t"  # nothing new
    assert kinds(market.feed(at("2013-10-08T13:30:02Z"), [a_trade("2013-10-08T13:30:02Z", 100.0)])) == "tq"


@pytest.mark.parametrize("price", [0.0001, 0.5, 0.9999, 1.0, 9.99, 100.005, 999.99, 4321.37])
def test_a_derived_quote_is_two_sided_and_holds_the_price(price: float) -> None:
    """Bid under ask, a tick or a basis point apart, around the trade."""
    quote = derived_quote(a_trade(p=price))
    assert 0 < quote["bp"] < quote["ap"]
    assert quote["bp"] - 0.011 <= price <= quote["ap"] + 0.011
    assert quote["ap"] - quote["bp"] == pytest.approx(max(0.01 if price >= 1 else 0.0001, round(price / 10_000, 2)))


def test_recorded_bars_are_published_as_recorded() -> None:
    """No second bar is built from the prints that stand for one."""
    market = a_market(Outline(quoted=frozenset(), barred=frozenset({"IBM"})))
    market.feed(at(OPEN), [a_trade()])
    bar: Message = {"T": "b", "S": "IBM", "o": 1, "h": 1, "l": 1, "c": 1, "v": 7, "n": 1, "vw": 1, "t": ns(OPEN)}
    out = market.feed(at("2013-10-08T13:31:00Z"), [bar])
    assert kinds(out) == "b" or [m for m in out if m["T"] == "b"] == [bar]
    assert market.minute_bar("IBM") == bar


def test_halts_are_known_until_trading_resumes() -> None:
    """Each tape has codes of its own; a status that says nothing of a halt changes nothing."""
    market = a_market()
    status: Message = {"T": "s", "S": "IBM", "sc": "H", "sm": "", "rc": "T12", "rm": "", "z": "C", "t": ns(OPEN)}
    market.feed(at(OPEN), [status])
    assert market.halted == {"IBM"}
    market.feed(at(OPEN), [{**status, "sc": "Q"}])
    assert market.halted == {"IBM"}
    market.feed(at(OPEN), [{**status, "sc": "T"}])
    assert market.halted == set()
    assert [halt_of({"sc": code}) for code in ("2", "3", "5", "E")] == [True, False, None, None]


def test_a_new_day_starts_new_bars_and_keeps_last_prices() -> None:
    """The daily bar starts anew; quote and trade stay until new ones come."""
    market = a_market()
    market.feed(at(OPEN), [a_trade(), a_quote()])
    market.start_day(date(2013, 10, 9), QUOTED)
    assert market.daily_bar("IBM") is None
    assert (market.quote("IBM"), market.trade("IBM")) == (a_quote(), a_trade())
    assert market.feed(at("2013-10-09T13:30:00Z"), []) == []
    assert market.symbols() == ["IBM"]
    assert [market.quote("X"), market.trade("X"), market.minute_bar("X"), market.daily_bar("X")] == [None] * 4


def test_a_day_that_starts_in_its_middle_is_caught_up_with(tmp_path: Path) -> None:
    """After priming, everything is as if the day had played from its beginning."""
    stamps = [OPEN, "2013-10-08T13:30:30Z", "2013-10-08T13:31:10Z", "2013-10-08T13:31:20Z", "2013-10-08T13:31:50Z"]
    write_trades(tmp_path / "t.csv", [(t, "IBM", 100.0 + n, 10, " " if n != 3 else "B") for n, t in enumerate(stamps)])
    write_quotes(tmp_path / "q.csv", [(OPEN, "IBM", 99.0, 101.0), ("2013-10-08T13:31:15Z", "IBM", 100.0, 102.0)])
    tape, now = a_tape(tmp_path), at("2013-10-08T13:31:30Z")
    played, primed = a_market(), a_market()
    for batch in tape.play(TUESDAY, 0):
        played.feed(now, [m for m in batch.messages if m["t"] < ns("2013-10-08T13:31:30Z")])
    primed.prime(tape, now)
    for market in (played, primed):
        assert market.feed(at("2013-10-08T13:31:50Z"), [a_trade(stamps[4], 104.0, 10, i=5)])[-1]["p"] == 104.0
    assert primed.quote("IBM") == played.quote("IBM")
    assert primed.trade("IBM") == played.trade("IBM")
    assert primed.minute_bar("IBM") == played.minute_bar("IBM")
    end = at("2013-10-08T13:32:00Z")
    assert primed.feed(end, []) == played.feed(end, [])


def test_a_tape_of_bars_is_caught_up_with_too(tmp_path: Path) -> None:
    """The last finished bar's close stands for the last trade, with a quote around it."""
    tape = a_tape(write_bars(tmp_path / "b.csv", [(OPEN, "IBM", 1.0, 2.0, 1.0, 1.5, 8)]))
    market = a_market()
    market.prime(tape, at("2013-10-08T13:35:00Z"))
    trade, quote = market.trade("IBM"), market.quote("IBM")
    assert trade is not None
    assert quote is not None
    assert (trade["p"], quote["bp"], quote["ap"]) == (1.5, 1.49, 1.5)


def built_bars(tape: Tape, start: str) -> dict[str, list[Message]]:
    """Play a day as fast as it goes, and return the minute bars that were published."""
    market = Market()
    bars: dict[str, list[Message]] = {}

    async def sink(now: object, messages: list[Message]) -> None:
        for message in market.feed(now, messages):  # type: ignore[arg-type]
            if message["T"] == "b":
                bars.setdefault(message["S"], []).append(message)

    async def on_day(day: object, now: object) -> None:
        market.start_day(day.day, tape.outline(day.day))  # type: ignore[attr-defined]

    player = make_player(tape, calendar(), HandClock(), speed=0, loop=False, start=start)
    asyncio.run(player.run(sink, on_day))
    return bars


@pytest.mark.needs_tape
@pytest.mark.parametrize("name", ["BAC_20131008", "IBM_20131007", "IBM_20131008", "SPY_20131008"])
def test_bars_published_over_a_recorded_day_are_the_recorded_ones_exactly(name: str) -> None:
    """Live bars of a whole day, number of trades and vwap included."""
    symbol, day = name.split("_")
    bars = built_bars(a_tape(recorded(f"ticks/trades_{name}.csv.gz")), f"{day[:4]}-{day[4:6]}-{day[6:]}")
    stamp = pl.col("t").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ns").dt.epoch("ns")
    wanted = pl.read_csv(recorded(f"minute_from_ticks/bars_1min_{name}.csv.gz")).with_columns(stamp)
    assert bars[symbol] == bar_rows(wanted, symbol)
