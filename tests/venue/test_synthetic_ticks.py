"""Guarantees of the synthetic market's ticks around special moments."""

from dataclasses import replace
from functools import cache

import numpy as np

from deskd.venue.synthetic_prices import INVENTED, SLICE, DayPlan, Prices
from deskd.venue.synthetic_ticks import Ticks, conditions_of, controls, ticks
from tests.venue.markets import calendar
from tests.venue.test_synthetic_prices import MONDAY

TSLA = [one.symbol for one in INVENTED].index("TSLA")
HALTED = 100


@cache
def a_plan() -> DayPlan:
    return replace(Prices(calendar(), 1).plan(MONDAY), halted=("TSLA", HALTED))


def a_slice(number: int, seed: int = 0) -> Ticks:
    return ticks(a_plan(), TSLA, INVENTED[TSLA], number, np.random.default_rng([seed, number]))


def test_a_halted_slice_is_silent_and_announced() -> None:
    """A pause at its start, a resumption at its end, nothing between; another symbol trades on."""
    assert len(a_slice(HALTED).came) == 0
    said = [controls(a_plan(), TSLA, INVENTED[TSLA], number) for number in (HALTED - 1, HALTED, HALTED + 1)]
    assert [[m["T"] for m in messages] for messages in said] == [["l"], ["l", "s"], ["l", "s"]]
    assert [messages[1]["sc"] for messages in said[1:]] == ["P", "T"]
    assert [m["T"] for m in controls(a_plan(), 0, INVENTED[0], HALTED)] == ["l"]
    assert len(ticks(a_plan(), 0, INVENTED[0], HALTED, np.random.default_rng(1)).came) > 0


def test_a_tape_a_symbol_says_halts_in_its_own_codes() -> None:
    """IBM is reported on tape A: halt is 2, resume is 3."""
    ibm = [one.symbol for one in INVENTED].index("IBM")
    plan = replace(a_plan(), halted=("IBM", HALTED))
    codes = [controls(plan, ibm, INVENTED[ibm], number)[1]["sc"] for number in (HALTED, HALTED + 1)]
    assert codes == ["2", "3"]
    assert conditions_of("A")[0] == [" "]
    assert conditions_of("C")[0] == ["@"]


def test_bands_hold_the_price_and_exist_in_regular_hours_alone() -> None:
    """Limit up and limit down lie five per cent around."""
    (band,) = controls(a_plan(), 0, INVENTED[0], a_plan().opening)
    assert band["d"] < a_plan().prices[a_plan().opening, 0] < band["u"]
    assert controls(a_plan(), 0, INVENTED[0], a_plan().opening - 1) == []
    assert controls(a_plan(), 0, INVENTED[0], a_plan().closing) == []


def test_trading_reopens_with_an_auction_print() -> None:
    """The first message after a halt is the reopening trade."""
    after = a_slice(HALTED + 1)
    assert after.is_trade[0]
    assert conditions_of("C")[after.conditions[0]] == ["5"]
    assert after.came[0] == after.came.min()


def test_late_trades_are_stamped_in_the_slice_before() -> None:
    """They come within 20 seconds of their time, after everything that was stamped before them."""
    late = [one for seed in range(60) if ((one := a_slice(90, seed)).stamp < one.came).any()]
    assert 1 <= len(late) <= 20
    start = a_plan().first + 90 * SLICE
    for one in late:
        (stamp,) = one.stamp[one.stamp < one.came]
        assert start - 1_000_000 < stamp < start
        assert (one.came[one.stamp < one.came] < start + 20_000_000_000).all()
