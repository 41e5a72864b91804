"""Cash, positions and what derives from them."""

from decimal import Decimal

import pytest

from deskd.domain.money import NO_CASH
from deskd.exchange.account import Configurations
from deskd.exchange.portfolio import Portfolio
from deskd.exchange.prices import Prices
from tests.exchange.given import ASSETS, cash, price, qty, told


def a_portfolio(money: int = 100_000) -> tuple[Portfolio, Prices]:
    prices = Prices()
    return Portfolio(cash(money), (), prices), prices


def test_average_price_changes_only_when_a_position_grows() -> None:
    """Buying more moves the average; selling leaves it."""
    portfolio, _ = a_portfolio()
    portfolio.book("AAPL", qty(10), price(100))
    portfolio.book("AAPL", qty(10), price(110))
    assert portfolio.holdings["AAPL"].avg_entry_price == 105
    portfolio.book("AAPL", qty(-5), price(120))
    assert portfolio.holdings["AAPL"].avg_entry_price == 105
    assert portfolio.cash == 100_000 - 1000 - 1100 + 600
    portfolio.book("AAPL", qty(-15), price(120))
    assert portfolio.holdings == {}


def test_short_position_is_negative() -> None:
    """A short has negative quantity, value and cost; its money is in cash."""
    portfolio, prices = a_portfolio()
    portfolio.book("AAPL", qty(-10), price(100))
    portfolio.book("AAPL", qty(-10), price(90))
    prices.trades["AAPL"] = 96.0
    view = portfolio.view(portfolio.holdings["AAPL"], ASSETS[0], qty(5))
    assert told(view.side, view.qty, view.qty_available, view.avg_entry_price) == ("short", -20, -15, 95)
    assert told(view.market_value, view.cost_basis, view.unrealized_pl) == (-1920, -1900, -20)
    assert portfolio.worth(Configurations()).equity == 101_900 - 1920


def test_position_never_crosses_zero() -> None:
    """A fill that would flip a position is our own mistake, and ends the process."""
    portfolio, _ = a_portfolio()
    portfolio.book("AAPL", qty(10), price(100))
    with pytest.raises(AssertionError, match="AAPL"):
        portfolio.book("AAPL", qty(-11), price(100))


def test_figures_of_a_position() -> None:
    """Rates are of the cost, and of yesterday's close; an overnight position earns today from that close."""
    portfolio, prices = a_portfolio()
    portfolio.book("AAPL", qty(10), price(100))
    prices.trades["AAPL"] = 110.0
    prices.closes["AAPL"] = 108.0
    portfolio.start_day()
    portfolio.book("AAPL", qty(10), price(111))
    prices.trades["AAPL"] = 112.0
    view = portfolio.view(portfolio.holdings["AAPL"], ASSETS[0], qty(0))
    assert view.unrealized_pl == 2240 - 2110
    assert view.unrealized_plpc == Decimal("0.061611")
    assert view.unrealized_intraday_pl == 10 * (112 - 108) + 10 * (112 - 111)
    assert view.change_today == Decimal("0.037037")


def test_mark_survives_a_restart() -> None:
    """Until a new price comes, a restored position is worth what it was; the day starts from it where no close is known."""
    portfolio, prices = a_portfolio()
    portfolio.book("AAPL", qty(10), price(100))
    assert portfolio.stored("SPY") is None
    assert portfolio.stored("AAPL") is portfolio.holdings["AAPL"]
    prices.trades["AAPL"] = 120.0
    stored = portfolio.stored("AAPL")
    assert stored is not None
    again = Portfolio(portfolio.cash, [stored], Prices())
    assert again.worth(Configurations()).equity == portfolio.worth(Configurations()).equity
    again.start_day()
    assert again.holdings["AAPL"].lastday_price == 120


def test_buying_power_is_never_negative() -> None:
    """Who owes more than he has may spend nothing."""
    portfolio, prices = a_portfolio(1000)
    portfolio.book("AAPL", qty(10), price(300))
    prices.trades["AAPL"] = 1.0
    worth = portfolio.worth(Configurations())
    assert worth.multiplier == 1
    assert worth.buying_power(4) == NO_CASH
