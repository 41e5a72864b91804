"""What the desk knows of prices: exact, latest, and None where nothing sure is known."""

from decimal import Decimal
from typing import Any

import pytest

from deskd.market.prices import Prices
from tests.factories import AAPL, NOON, SPY
from tests.market.given import a_bar, a_quote, a_trade


def test_a_quote_is_exact_and_carries_its_arrival() -> None:
    """Floats of the wire become the digits the market sent."""
    prices = Prices()
    prices.see_quote(a_quote(bid=0.1, ask=0.3), NOON)
    quote = prices.quote(AAPL)
    assert quote is not None
    assert [quote.bid_price, quote.ask_price, quote.bid_size] == [Decimal("0.1"), Decimal("0.3"), Decimal(200)]
    assert quote.received_at == NOON


@pytest.mark.parametrize("bid", [float("nan"), float("inf"), -1, None, "150", True])
def test_nonsense_is_no_quote(bid: Any) -> None:
    """Unknown means no: the older, sound quote is not shown in its place."""
    prices = Prices()
    prices.see_quote(a_quote(), NOON)
    prices.see_quote(a_quote(bid=bid), NOON)
    assert prices.quote(AAPL) is None


def test_a_quote_that_lacks_a_side_is_none() -> None:
    """A message without one of its keys is not guessed at."""
    prices = Prices()
    message = a_quote()
    del message["ap"]
    prices.see_quote(message, NOON)
    assert prices.quote(AAPL) is None


@pytest.mark.parametrize(
    ("traded", "mark"), [(None, "150.5"), (150.25, "150.25"), (149.0, "150"), (160.0, "151"), (float("nan"), "150.5")]
)
def test_a_mark_is_the_last_trade_held_within_the_quote(traded: float | None, mark: str) -> None:
    """An old trade does not value a position at a price that nobody pays now."""
    prices = Prices()
    prices.see_quote(a_quote(bid=150, ask=151), NOON)
    if traded is not None:
        prices.see_trade(a_trade(traded))
    assert prices.mark(AAPL) == Decimal(mark)


def test_without_a_two_sided_quote_trade_and_bar_serve() -> None:
    """A one-sided or missing quote leaves the last trade, then the last close, then nothing."""
    prices = Prices()
    assert prices.mark(AAPL) is None
    prices.see_bar(a_bar(150.31))
    assert prices.mark(AAPL) == Decimal("150.31")
    prices.see_trade(a_trade(150.25))
    prices.see_quote(a_quote(bid=0, ask=999), NOON)
    assert prices.mark(AAPL) == Decimal("150.25")


def test_marks_are_of_all_symbols_that_have_one() -> None:
    """A symbol without a price is left out."""
    prices = Prices()
    prices.see_trade(a_trade(150.25))
    prices.see_quote(a_quote(bid=0, ask=0, symbol="SPY"), NOON)
    assert prices.marks() == {AAPL: Decimal("150.25")}
    assert SPY not in prices.marks()
