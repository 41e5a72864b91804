"""Raw prices become exact ones, and only good quotes count."""

from datetime import timedelta
from decimal import Decimal

import pytest

from deskd.domain.order import Side
from deskd.exchange.prices import Nbbo, Prices, is_price, to_price
from tests.exchange.given import NOON, price, told

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("bid", "ask"),
    [(0, 10.0), (10.0, 0), (10.01, 10.0), (NAN, 10.0), (10.0, NAN), (10.0, INFINITE), (-1.0, 1.0), (0, 0)],
)
def test_bad_quote_is_none(bid: float, ask: float) -> None:
    """One-sided, crossed and senseless quotes fill nothing."""
    prices = Prices()
    prices.quotes["AAPL"] = (bid, ask, NOON)
    assert prices.nbbo("AAPL", NOON) is None
    assert prices.last("AAPL") is None


def test_locked_quote_counts() -> None:
    """Bid and ask may be equal."""
    prices = Prices()
    prices.quotes["AAPL"] = (10.0, 10.0, NOON)
    assert prices.nbbo("AAPL", NOON) == Nbbo(bid=price(10), ask=price(10))


def test_old_quote_is_none() -> None:
    """Yesterday's quote fills nothing today."""
    prices = Prices()
    prices.quotes["AAPL"] = (10.0, 10.1, NOON)
    assert prices.nbbo("AAPL", NOON + timedelta(seconds=1)) is None
    assert prices.nbbo("SPY", NOON) is None


def test_last_price_is_trade_then_midpoint() -> None:
    """The last trade is the price; before the first one, the middle of the quote is."""
    prices = Prices()
    assert prices.last("AAPL") is None
    prices.quotes["AAPL"] = (10.0, 10.1, NOON)
    assert prices.last("AAPL") == Decimal("10.05")
    prices.trades["AAPL"] = 10.02
    assert prices.last("AAPL") == Decimal("10.02")
    assert prices.close("AAPL") is None


def test_sides_of_a_quote() -> None:
    """A buy takes the ask, a sell the bid."""
    nbbo = Nbbo(bid=price(1), ask=price(2))
    assert told(nbbo.far(Side.BUY), nbbo.far(Side.SELL)) == (2, 1)
    assert told(nbbo.near(Side.BUY), nbbo.near(Side.SELL)) == (1, 2)


def test_floats_mean_their_text() -> None:
    """0.1 is a tenth, exactly; what is no price is told apart."""
    assert to_price(0.1) == Decimal("0.1")
    assert is_price(0.0001)
    assert not any(is_price(raw) for raw in (0, -1, NAN, INFINITE))
