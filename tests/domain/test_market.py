"""A quote's own words."""

import pytest

from tests.factories import a_quote, price


def test_the_midpoint_is_exact() -> None:
    """Half a cent is half a cent."""
    assert a_quote(bid_price=price("99.99"), ask_price=price("100")).midpoint == price("99.995")


@pytest.mark.parametrize(
    ("bid", "ask", "is_two_sided"), [("1", "1", True), ("1", "2", True), ("2", "1", False), ("0", "1", False)]
)
def test_a_price_needs_two_sides_that_do_not_cross(bid: str, ask: str, is_two_sided: bool) -> None:
    """A side without a price is zero; a crossed market is a broken feed."""
    assert a_quote(bid_price=price(bid), ask_price=price(ask)).is_two_sided is is_two_sided
