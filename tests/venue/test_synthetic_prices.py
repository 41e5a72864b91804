"""Guarantees of the synthetic market's prices."""

from datetime import date
from functools import cache

import numpy as np

from deskd.venue.synthetic_prices import INVENTED, DayPlan, Prices
from tests.venue.markets import calendar

MONDAY = date(2026, 1, 5)


@cache
def prices() -> Prices:
    return Prices(calendar(), 1)


def a_plan(day: date = MONDAY) -> DayPlan:
    return prices().plan(day)


def closes(count: int) -> np.ndarray:
    """Return closing prices of many days, a row a day."""
    days = calendar().days(date(2024, 1, 2), date(2026, 12, 31))[:count]
    return np.array([a_plan(day.day).prices[a_plan(day.day).closing] for day in days])


def test_a_day_does_not_depend_on_the_days_asked_before() -> None:
    """Looking at another day first changes nothing."""
    other = Prices(calendar(), 1)
    other.plan(date(2030, 6, 3))
    assert np.array_equal(other.plan(MONDAY).prices, a_plan().prices)


def test_a_half_day_is_shorter() -> None:
    """The close comes at 13:00, the end at 17:00."""
    assert (a_plan().opening, a_plan().closing, a_plan().slices) == (66, 144, 192)
    half = a_plan(date(2026, 11, 27))
    assert (half.opening, half.closing, half.slices) == (66, 108, 156)


def test_symbols_move_with_the_market_and_stay_near_their_base() -> None:
    """Daily returns correlate with SPY's, and no price leaves its world in a year."""
    path = closes(250)
    returns = np.diff(np.log(path), axis=0)
    spy = [one.symbol for one in INVENTED].index("SPY")
    for index, one in enumerate(INVENTED):
        assert np.corrcoef(returns[:, index], returns[:, spy])[0, 1] > 0.3, one.symbol
        assert path[:, index].min() / one.price > 0.3
        assert path[:, index].max() / one.price < 3
    assert 0.005 < returns[:, spy].std() < 0.02


def test_wild_slices_come_together() -> None:
    """The size of one slice's return says something about the next one's, as in real markets."""
    sizes: list[float] = []
    following: list[float] = []
    for day in calendar().days(date(2026, 1, 5), date(2026, 6, 30)):
        plan = a_plan(day.day)
        wild = np.abs(np.diff(np.log(plan.prices[plan.opening + 12 : plan.closing - 12, 0])))
        sizes += wild[:-1].tolist()
        following += wild[1:].tolist()
    assert np.corrcoef(sizes, following)[0, 1] > 0.05


def test_a_halt_is_occasional_and_never_near_the_open_or_the_close() -> None:
    """About one day in four, one symbol, for one slice."""
    halts = [a_plan(day.day).halted for day in calendar().days(date(2026, 1, 5), date(2026, 12, 31))]
    found = [halt for halt in halts if halt]
    assert 0.1 < len(found) / len(halts) < 0.4
    assert all(number >= 69 for _, number in found)
