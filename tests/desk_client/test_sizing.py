"""Sizes are exact, rounded down, never negative, and what is unknown has none; the desk values orders the same way."""

import ast
import decimal
import itertools
import math
import statistics
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from desk_client import sizing
from hypothesis import given
from hypothesis import strategies as st

from deskd.core import checks, gate
from deskd.core.checks import Denied, Valued
from deskd.domain.reasons import DenialReason
from tests.core.test_checks import evidence
from tests.factories import a_limit_request, a_quote, a_request, cash, price, qty, some_limits

amounts = st.decimals("0.01", "10000000", places=2)
prices = st.decimals("0.01", "10000", places=2)
steps = st.sampled_from([sizing.WHOLE, sizing.FRACTION, Decimal("0.5"), Decimal(100)])


# --- each formula, by hand --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (sizing.fixed_notional(1000, "33.33"), "30"),
        (sizing.fixed_notional(1000, 33.33, step=sizing.FRACTION), "30.003000300"),
        (sizing.fixed_notional("1000", 1001), "0"),
        (sizing.percent_of_equity(20, 10_000, 100), "20"),
        (sizing.percent_of_equity("2.5", 10_000, 100), "2"),
        (sizing.volatility_target("0.10", "0.20", 10_000, 100), "50"),
        (sizing.volatility_target("0.10", "0.20", 10_000, 100, by_variance=True), "25"),
        (sizing.volatility_target("0.10", "0.02", 10_000, 100), "100"),
        (sizing.volatility_target("0.10", "0.02", 10_000, 100, weight_max="0.2"), "20"),
        (sizing.buy_price("100"), "102"),
    ],
)
def test_the_formulas_give_what_pencil_and_paper_give(shares: Decimal, expected: str) -> None:
    """Worked by hand."""
    assert shares == Decimal(expected)


def test_kelly_bets_the_edge_over_the_odds() -> None:
    """Kelly's own case, even odds: p - q; with two to one: p - q / 2. One half of it, and no more than the cap."""
    assert sizing.kelly_fraction("0.55", 1, share=1, cap=1) == Decimal("0.10")
    assert sizing.kelly_fraction("0.50", 2, share=1, cap=1) == Decimal("0.25")
    assert sizing.kelly_fraction("0.55", 1) == Decimal("0.05")
    assert sizing.kelly_fraction("0.99", 10) == Decimal("0.2")
    assert sizing.kelly_fraction("0.40", 1) == 0


def test_kelly_of_returns_is_the_edge_over_the_variance() -> None:
    """Thorp's example: the S&P 500 with a mean of 0.11, a rate of 0.06 and a deviation of 0.15: 2.22 of the equity."""
    full = sizing.kelly_fraction_of_returns("0.11", "0.15", rate="0.06", share=1, cap=1)
    assert full == 1  # a strategy borrows nothing
    half = sizing.kelly_fraction_of_returns("0.03", "0.30", rate="0.0", share="0.5", cap=1)
    assert round(half, 4) == Decimal("0.1667")
    assert sizing.kelly_fraction_of_returns("0.02", "0.2", rate="0.05") == 0


def test_realized_volatility_is_the_deviation_of_log_returns_of_a_year() -> None:
    """The standard library's floats agree."""
    closes = [100.0, 101.0, 99.5, 102.25, 102.0]
    logs = [math.log(b / a) for a, b in itertools.pairwise(closes)]
    expected = statistics.stdev(logs) * math.sqrt(252)
    assert float(sizing.realized_volatility(closes)) == pytest.approx(expected, rel=1e-12)
    assert sizing.realized_volatility([100, 100, 100]) == 0


# --- what always holds ------------------------------------------------------------------------------------------------


@given(amounts, prices, steps)
def test_shares_are_the_most_that_the_money_buys(worth: Decimal, each: Decimal, step: Decimal) -> None:
    """Never more than was meant, and one step more would be; whole steps, and never negative."""
    shares = sizing.fixed_notional(worth, each, step=step)
    with decimal.localcontext(prec=60):
        assert 0 <= shares * each <= worth < (shares + step) * each
        assert shares % step == 0


@given(amounts, prices, st.decimals("0", "100", places=1), steps)
def test_a_part_of_the_equity_is_never_more_than_the_whole(
    equity: Decimal, each: Decimal, percent: Decimal, step: Decimal
) -> None:
    """And less percent never gives more shares."""
    shares = sizing.percent_of_equity(percent, equity, each, step=step)
    assert 0 <= shares <= sizing.fixed_notional(equity, each, step=step)
    assert sizing.percent_of_equity(percent / 2, equity, each, step=step) <= shares


@given(st.decimals("0", "1", places=3), st.decimals("0.01", "3", places=2), st.decimals("0.01", "3", places=2))
def test_more_volatility_never_gives_more_shares(target: Decimal, one: Decimal, other: Decimal) -> None:
    """The whole point of a target."""
    calm, wild = sorted((one, other))
    for by_variance in (False, True):
        few = sizing.volatility_target(target, wild, 10_000, 10, by_variance=by_variance)
        many = sizing.volatility_target(target, calm, 10_000, 10, by_variance=by_variance)
        assert 0 <= few <= many <= 1000


@given(
    st.decimals("0", "1", places=4),
    st.decimals("0.01", "100", places=2),
    st.decimals("0.01", "1", places=2),
    st.decimals("0.01", "1", places=2),
)
def test_kelly_stays_between_nothing_and_its_cap(p: Decimal, b: Decimal, share: Decimal, cap: Decimal) -> None:
    """Whatever is claimed of the edge."""
    assert 0 <= sizing.kelly_fraction(p, b, share=share, cap=cap) <= cap
    assert 0 <= sizing.kelly_fraction_of_returns(p - Decimal("0.5"), b, share=share, cap=cap) <= cap


@pytest.mark.parametrize("worth", [0, -1, "-1000", Decimal(0)])
def test_without_money_there_are_no_shares(worth: Any) -> None:
    """A budget that is used up, an equity that is gone: 0, and not a sale."""
    assert sizing.fixed_notional(worth, 10) == 0
    assert sizing.percent_of_equity(10, worth, 10) == 0
    assert sizing.volatility_target("0.1", "0.2", worth, 10) == 0


def test_the_global_context_changes_nothing() -> None:
    """A strategy that rounds its own sums to three digits does not round its orders."""
    closes = ["100.0001", "100.0002", "100.0004"]
    exact = sizing.realized_volatility(closes), sizing.buy_price("123.4567"), sizing.kelly_fraction("0.54321", "1.2345")
    with decimal.localcontext(prec=3):
        assert sizing.fixed_notional("123456.78", "1.01") == 122234
        rough = (
            sizing.realized_volatility(closes),
            sizing.buy_price("123.4567"),
            sizing.kelly_fraction("0.54321", "1.2345"),
        )
    assert exact == rough


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [None, "", "much", math.nan, math.inf, "NaN", "-Infinity", Decimal("sNaN"), 10**16])
def test_what_is_unknown_has_no_size(bad: Any) -> None:
    """No number of shares comes of what is no number: the text names the figure."""
    with pytest.raises(ValueError, match="price="):
        sizing.fixed_notional(100, bad)
    with pytest.raises(ValueError, match="equity="):
        sizing.percent_of_equity(10, bad, 100)
    with pytest.raises(ValueError, match="volatility="):
        sizing.volatility_target("0.1", bad, 100, 10)
    with pytest.raises(ValueError, match="win_probability="):
        sizing.kelly_fraction(bad, 1)
    with pytest.raises(ValueError, match=r"closes\[2\]="):
        sizing.realized_volatility([1, 2, bad])
    with pytest.raises(ValueError, match="ask="):
        sizing.buy_price(bad)


@pytest.mark.parametrize(
    ("size", "named"),
    [
        (lambda: sizing.fixed_notional(1, 0), "price=0 must be over 0"),
        (lambda: sizing.fixed_notional(1, -5), "price=-5 must be over 0"),
        (lambda: sizing.fixed_notional(1, 1, step=0), "step=0 must be over 0"),
        (lambda: sizing.percent_of_equity(101, 1, 1), "percent=101 must be from 0 to 100"),
        (lambda: sizing.percent_of_equity(-1, 1, 1), "percent=-1 must be from 0 to 100"),
        (lambda: sizing.volatility_target("-0.1", "0.1", 1, 1), "target=-0.1 must not be negative"),
        (lambda: sizing.volatility_target("0.1", 0, 1, 1), "volatility=0 must be over 0"),
        (lambda: sizing.kelly_fraction("1.1", 1), "win_probability=1.1 must be from 0 to 1"),
        (lambda: sizing.kelly_fraction("0.5", 0), "win_loss_ratio=0 must be over 0"),
        (lambda: sizing.kelly_fraction("0.5", 1, share=2), "share=2 must be over 0 and at most 1"),
        (lambda: sizing.kelly_fraction("0.5", 1, cap=0), "cap=0 must be over 0 and at most 1"),
        (lambda: sizing.realized_volatility([1, 2]), "closes=2 are too few"),
        (lambda: sizing.realized_volatility([1, 2, 3], periods_per_year=0), "periods_per_year=0 must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(size: Any, named: str) -> None:
    """The text says which figure, its bound, and what to do."""
    with pytest.raises(ValueError, match=named):
        size()


# --- the desk's own ---------------------------------------------------------------------------------------------------


def test_the_margin_is_the_desks() -> None:
    """One figure in two rooms that do not know each other."""
    assert sizing.MARKET_MARGIN == checks.MARKET_MARGIN


@given(prices, st.decimals("1", "5000", places=2))
def test_what_is_sized_by_the_bound_passes_the_gate_and_one_share_more_does_not(ask: Decimal, bound: Decimal) -> None:
    """The library and the gate value an order alike, of market and of limit orders."""
    quote = a_quote(bid_price=price(str(ask)), ask_price=price(str(ask)))
    limits = some_limits(
        order_notional_max=cash(str(bound)), position_qty_max=qty(10**9), position_notional_max=cash(10**9)
    )
    for each, request in ((sizing.buy_price(ask), a_request), (ask, lambda **o: a_limit_request(str(ask), **o))):
        shares = sizing.fixed_notional(bound, each)
        for more, is_good in ((0, True), (1, False)):
            if not shares + more:
                continue
            asked = evidence(request=request(qty=qty(str(shares + more))), quote=quote, limits=limits)
            answer = gate.judge(asked).answer
            if is_good:
                assert isinstance(answer, Valued)
            else:
                assert isinstance(answer, Denied)
                assert answer.reason == DenialReason.ORDER_NOTIONAL_MAX


def test_it_needs_the_standard_library_alone() -> None:
    """Nothing but decimal and typing: it works on any laptop, and costs nothing until it is imported."""
    source = Path(sizing.__file__).read_text()
    imported = {n.module for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ImportFrom)}
    assert imported == {"__future__", "collections.abc", "decimal", "typing"}
