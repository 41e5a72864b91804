"""A quote's own words, and the clock's."""

from datetime import timedelta

import pytest

from deskd.domain.market import MarketClock
from tests.factories import NOON, a_quote, price


def test_the_midpoint_is_exact() -> None:
    """Half a cent is half a cent."""
    assert a_quote(bid_price=price("99.99"), ask_price=price("100")).midpoint == price("99.995")


@pytest.mark.parametrize(
    ("bid", "ask", "is_two_sided"), [("1", "1", True), ("1", "2", True), ("2", "1", False), ("0", "1", False)]
)
def test_a_price_needs_two_sides_that_do_not_cross(bid: str, ask: str, is_two_sided: bool) -> None:
    """A side without a price is zero; a crossed market is a broken feed."""
    assert a_quote(bid_price=price(bid), ask_price=price(ask)).is_two_sided is is_two_sided


@pytest.mark.parametrize(("is_open", "minutes", "shows_open"), [(False, 4, False), (False, 5, True), (True, 5, True)])
def test_a_clock_that_moved_past_an_edge_shows_what_came_of_it(is_open: bool, minutes: int, shows_open: bool) -> None:
    """It was told before the open, and the market opened since: nobody reads `closed` ten seconds into the session."""
    opens, closes = NOON + timedelta(minutes=5), NOON + timedelta(hours=6)
    clock = MarketClock(
        timestamp=NOON + timedelta(minutes=minutes), is_open=is_open, next_open=opens, next_close=closes
    )
    assert clock.shows_open is shows_open


def test_a_clock_that_moved_past_the_close_shows_the_market_closed() -> None:
    """The end of the day is an edge like any other."""
    clock = MarketClock(timestamp=NOON, is_open=True, next_open=NOON + timedelta(hours=18), next_close=NOON)
    assert not clock.shows_open
