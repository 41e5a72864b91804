"""Guarantees of the synthetic market: the same seed is the same market, and it behaves like one."""

import asyncio
from datetime import date, datetime
from functools import cache
from itertools import islice

import polars as pl
import pytest
from alpaca.data.enums import Exchange

from deskd.domain.errors import ConfigError
from deskd.venue.bars import bar_rows
from deskd.venue.market import Market
from deskd.venue.player import make_player
from deskd.venue.synthetic import HISTORY_DAYS, START_DAY, SyntheticTape
from deskd.venue.tapes import open_tape
from deskd.wire.alpaca.market import Message, to_datetime
from tests.venue.markets import HandClock, at, calendar, ns

NOON, LATER = "2026-01-05T17:00:00Z", "2026-01-05T17:10:00Z"
NEW_YEARS_EVE = date(2025, 12, 31)


@cache
def a_market(seed: int = 1) -> SyntheticTape:
    return SyntheticTape(calendar=calendar(), seed=seed)


def first(tape: SyntheticTape, count: int, since: str = NOON, day: date = START_DAY) -> list[Message]:
    return list(islice((m for batch in tape.play(day, ns(since)) for m in batch.messages), count))


@cache
def ten_minutes() -> list[Message]:
    """Return what comes from noon to ten past."""
    found: list[Message] = []
    for batch in a_market().play(START_DAY, ns(NOON)):
        for came, message in zip(batch.times, batch.messages, strict=True):
            if came >= ns(LATER):
                return found
            found.append(message)
    return found


def test_the_same_seed_is_the_same_market() -> None:
    """Message for message; another seed is another market, and any integer is a seed."""
    again = SyntheticTape(calendar=calendar(), seed=1)
    assert first(again, 2_000) == first(a_market(), 2_000)
    assert first(SyntheticTape(calendar=calendar(), seed=2), 50) != first(a_market(), 50)
    assert first(SyntheticTape(calendar=calendar(), seed=-7), 50)


def test_play_can_begin_anywhere_and_is_what_would_have_come() -> None:
    """Beginning at 12:03 gives the messages that beginning at 12:00 gives from 12:03 on."""
    since = "2026-01-05T17:03:00Z"
    by_time = [m for m in ten_minutes() if m["t"] >= ns(since)][:500]
    late = [m for m in first(a_market(), 510, since) if m["t"] >= ns(since)][:500]
    assert late == by_time


def test_it_is_alive_within_seconds_of_its_start() -> None:
    """It begins ten seconds before the open of a weekday; trades of every symbol come within a quarter of a minute."""
    tape = a_market()
    begin = tape.first_at(START_DAY)
    session = calendar().day(START_DAY)
    assert session is not None
    assert (session.open_at - to_datetime(begin)).total_seconds() == 10
    soon = [m for batch in islice(tape.play(START_DAY, begin), 10) for m in batch.messages]
    assert {m["S"] for m in soon if m["T"] == "t"} == {listing.symbol for listing in tape.listings()}


def test_it_says_that_it_is_synthetic() -> None:
    """Every listing's name, and the tape itself."""
    tape = open_tape(["synthetic"], calendar=calendar(), seed=1)
    assert tape.is_synthetic
    assert all("SYNTHETIC" in listing.name for listing in tape.listings())
    assert {listing.exchange for listing in tape.listings()} == {"NYSE", "ARCA", "NASDAQ"}
    assert {"SPY", "AAPL", "MSFT", "QQQ", "IWM", "IBM", "BAC", "KO", "TSLA", "NVDA"} == set(
        tape.outline(START_DAY).quoted
    )


def test_each_symbol_has_some_messages_a_second() -> None:
    """Three to fifteen a second at midday, quotes more than trades."""
    counts = dict.fromkeys(a_market().outline(START_DAY).quoted, 0)
    for message in ten_minutes():
        counts[message["S"]] += 1
    assert all(2 <= count / 600 <= 20 for count in counts.values()), counts
    trades = sum(m["T"] == "t" for m in ten_minutes())
    assert 0.2 < trades / len(ten_minutes()) < 0.4


def test_quotes_never_cross_and_trades_lie_inside_them() -> None:
    """A regular trade is at the bid, at the ask or between."""
    quotes: dict[str, Message] = {}
    outside = 0
    for message in ten_minutes():
        if message["T"] == "q":
            assert 0 < message["bp"] < message["ap"]
            assert message["bs"] > 0 < message["as"]
            quotes[message["S"]] = message
        elif message["T"] == "t" and message["S"] in quotes:
            outside += not quotes[message["S"]]["bp"] <= message["p"] <= quotes[message["S"]]["ap"]
    assert outside <= 10  # only what is reported late


def test_exchange_letters_are_ones_that_clients_know() -> None:
    """Every letter is in the client library's enum."""
    known = {exchange.value for exchange in Exchange}
    assert {m[key] for m in ten_minutes() for key in ("x", "bx", "ax") if key in m} <= known


def test_the_day_has_the_shape_of_a_u_and_auctions() -> None:
    """Volume is high at the open and the close; each has one big print and its repeat."""
    trades = a_market().trades("SPY", START_DAY)
    session = calendar().day(START_DAY)
    assert session is not None
    opened = ns("2026-01-05T14:30:00Z")
    minute = (pl.col("t") - opened) // 60_000_000_000
    by_minute = (
        trades.filter(~pl.col("c").is_in(["O", "Q", "6", "M"])).group_by(minute.alias("minute")).agg(pl.col("s").sum())
    )
    volume = dict(by_minute.iter_rows())
    middle = sum(volume.get(n, 0) for n in range(180, 210))
    assert sum(volume.get(n, 0) for n in range(30)) > 1.3 * middle
    assert sum(volume.get(n, 0) for n in range(360, 390)) > 1.2 * middle
    assert sum(volume.get(n, 0) for n in range(-60, -30)) < 0.2 * middle
    for condition, repeat, instant in (("O", "Q", opened), ("6", "M", ns("2026-01-05T21:00:00Z"))):
        (auction,) = trades.filter(pl.col("c") == condition).iter_rows(named=True)
        (again,) = trades.filter(pl.col("c") == repeat).iter_rows(named=True)
        assert instant < auction["t"] < again["t"] < instant + 1_000_000_000
        assert auction["p"] == again["p"]
        assert auction["s"] > 20 * trades["s"].mean()  # type: ignore[operator]


def test_bars_published_live_are_the_bars_of_history() -> None:
    """Over hours with late trades and updated bars, each finished minute agrees to the last digit."""
    tape, market = a_market(), Market()
    bars: dict[tuple[str, int], Message] = {}
    begin, end = at("2026-01-05T17:00:00Z"), at("2026-01-05T18:00:30Z")

    async def sink(now: datetime, messages: list[Message]) -> None:
        for message in market.feed(now, messages):
            if message["T"] in {"b", "u"}:
                bars[message["S"], message["t"]] = {**message, "T": "b"}
        if now >= end:
            raise StopAsyncIteration

    market.start_day(START_DAY, tape.outline(START_DAY))
    market.prime(tape, begin)
    player = make_player(tape, calendar(), HandClock(), speed=0, loop=False, start="2026-01-05T17:00:00Z")
    with pytest.raises(StopAsyncIteration):
        asyncio.run(player.run(sink))
    for symbol in ("SPY", "TSLA"):
        hour = pl.col("t").is_between(ns("2026-01-05T17:00:00Z"), ns("2026-01-05T17:59:00Z"))
        wanted = tape.minute_bars(symbol, START_DAY).filter(hour)
        assert [bars[symbol, at_] for at_ in wanted["t"]] == bar_rows(wanted, symbol)


def test_it_goes_on_with_the_next_trading_day() -> None:
    """Looped it never ends and skips closed days; once, it is a single day."""
    tape = a_market()
    assert tape.day_after(date(2026, 1, 16), loop=True) == date(2026, 1, 20)  # a long weekend
    assert tape.day_after(START_DAY, loop=False) is None
    assert tape.plays(NEW_YEARS_EVE)
    assert not tape.plays(date(2026, 1, 1))
    assert tape.first_at(date(2026, 1, 6)) == ns("2026-01-06T09:00:00Z")


def test_a_day_begins_about_where_the_last_one_ended() -> None:
    """Closing levels join days, and history is bounded."""
    tape = a_market()
    closed = tape.day_bar("SPY", NEW_YEARS_EVE)["c"][0]
    opened = tape.day_bar("SPY", date(2026, 1, 2))["o"][0]
    assert opened == pytest.approx(closed, rel=0.01)
    assert len(tape.history_days(date(2020, 1, 1), START_DAY)) == HISTORY_DAYS
    assert tape.minute_bars("NONE", START_DAY).is_empty()
    assert tape.quotes("NONE", START_DAY).is_empty()
    assert tape.trades("SPY", date(2026, 1, 1)).is_empty()


def test_quotes_of_history_are_those_that_played() -> None:
    """By column as by message."""
    played = [m for m in ten_minutes() if m["T"] == "q" and m["S"] == "KO"]
    rows = a_market().quotes("KO", START_DAY, ns(LATER)).filter(pl.col("t") >= ns(NOON))
    assert rows["bp"].to_list() == [m["bp"] for m in played]
    assert rows["ax"].to_list() == [m["ax"] for m in played]


def test_it_can_begin_on_another_day() -> None:
    """A weekend moves to Monday; beyond the calendar is an error."""
    assert SyntheticTape(calendar=calendar(), seed=1, start=at("2026-03-07T15:00:00Z")).days() == [date(2026, 3, 9)]
    with pytest.raises(ConfigError, match="synthetic market ends"):
        SyntheticTape(calendar=calendar(), seed=1, start=at("2035-12-20T15:00:00Z"))
