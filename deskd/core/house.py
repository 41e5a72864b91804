"""The house book takes what no member's fills explain. Nothing else in the core touches it for that reason."""

from deskd.core.portfolio import Portfolio
from deskd.domain import events as ev
from deskd.domain.ids import HOUSE, Symbol
from deskd.domain.money import ZERO, Cash, Price


def adjust(portfolio: Portfolio, fact: ev.HouseAdjusted) -> None:
    """Let the house take the cash and the shares of *fact*."""
    house = portfolio.books[HOUSE]
    house.cash = Cash(house.cash + fact.cash)
    if fact.symbol is not None:
        price = fact.price if fact.price is not None else _last_mark(portfolio, fact.symbol)
        house.trade(fact.symbol, fact.qty, price, fact.at)
        house.cash = Cash(house.cash + fact.qty * price)  # shares only: the cash has a fact of its own


def _last_mark(portfolio: Portfolio, symbol: Symbol) -> Price:
    """Return the price at which the books value *symbol*, of which the broker has none any more."""
    marks = [b.positions[symbol].mark_price for b in portfolio.books.values() if symbol in b.positions]
    return marks[0] if marks else Price(ZERO)
