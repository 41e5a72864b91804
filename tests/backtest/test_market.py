"""What a stepped desk knows of the market is what the live desk would."""

from pathlib import Path

import pytest

from deskd.backtest.market import SessionLines, StepMarket, bars_before, warm_up
from deskd.domain.errors import WireError
from deskd.domain.ids import Symbol
from deskd.domain.strategy import Channel, History
from deskd.venue.history import History as TapeHistory
from deskd.venue.market import Market
from tests.api.fakes import a_spec
from tests.factories import ALICE
from tests.venue.markets import OPEN, a_quote, a_tape, a_trade, at, write_bars

IBM = Symbol("IBM")
NOW = at(OPEN)


def a_market(*channels: Channel) -> StepMarket:
    return StepMarket(a_spec(symbols=(IBM,), channels=frozenset(channels)))


def test_prices_and_halts_are_known_whatever_the_strategy_reads() -> None:
    """The gate needs them."""
    market = a_market()
    halt = {"T": "s", "S": "IBM", "sc": "H", "sm": "", "rc": "T1", "rm": "", "t": a_trade()["t"], "z": "A"}
    market.see([a_quote(), a_trade(p=100.0), {**a_trade(), "T": "x"}], NOW)
    quote = market.quote(IBM)
    assert quote is not None
    assert quote.received_at == NOW
    assert market.marks()[IBM] == 100
    assert not market.is_halted(IBM)
    market.see([halt], NOW)
    assert market.is_halted(IBM)
    assert list(market.lines([halt])) == []
    market.watch({IBM})


def test_a_strategy_reads_its_symbols_and_channels_only() -> None:
    """In the order in which they came; what is no price is no line."""
    market = a_market(Channel.TRADES, Channel.STATUS)
    lines = list(market.lines([a_trade(), a_quote(), a_trade(S="AAPL"), a_trade(p=float("nan"))]))
    assert len(lines) == 1
    assert lines[0].startswith(b'{"type":"trade","symbol":"IBM","price":100.0')


def test_a_quote_from_before_counts_by_its_own_age() -> None:
    """As the live desk seeds it."""
    market = a_market()
    market.seed(a_quote())
    quote = market.quote(IBM)
    assert quote is not None
    assert quote.received_at == quote.quoted_at


def test_the_days_phases_are_told_once_each() -> None:
    """To who asks for status."""
    lines = SessionLines(a_market(Channel.STATUS), ALICE)
    phases = iter(("open", "open", "closing"))
    for _ in range(3):
        lines.tell_session("2026-01-05T15:00:00Z", "", lambda _: next(phases))
    told = lines.take()
    assert told is not None
    assert b'"event":"closing"' in told
    assert lines.take() is None
    nobody = SessionLines(a_market(Channel.TRADES), ALICE)
    nobody.tell_session("2026-01-05T15:00:00Z", "", lambda _: "open")
    assert nobody.take() is None


def test_history_ends_where_the_market_stands(tmp_path: Path) -> None:
    """The latest bars that are over, oldest first; the warm-up is made of them."""
    day = OPEN[:10]
    rows = [(f"{day}T{OPEN[11:14]}{minute:02}:00Z", "IBM", 10.0, 11.0, 9.0, 10.5, 40) for minute in range(30, 40)]
    tape = a_tape(write_bars(tmp_path / "bars.csv", rows))
    history = TapeHistory(tape, Market())
    now = at(f"{day}T{OPEN[11:14]}36:30Z")
    bars = bars_before(history, IBM, "1Min", 3, now)
    assert [bar["S"] for bar in bars] == ["IBM"] * 3
    assert [bar["t"] for bar in bars] == sorted(bar["t"] for bar in bars)
    assert len(bars_before(history, IBM, "1Min", 100, now)) == 6
    spec = a_spec(symbols=(IBM,), history=History(bars=2, timeframe="1Min"))
    assert [b'"history":true' in line for line in warm_up(history, spec, now)] == [True, True]
    assert warm_up(history, a_spec(), now) == []
    with pytest.raises(WireError):
        bars_before(history, IBM, "nonsense", 3, now)
