"""The house book takes what no member's fills explain."""

from deskd.core.house import adjust
from deskd.core.portfolio import Portfolio
from deskd.domain import events as ev
from deskd.domain.ids import HOUSE
from deskd.domain.money import NO_CASH, NO_QTY
from tests.factories import AAPL, ALICE, NOON, SPY, cash, price, qty


def test_cash_alone_moves_no_shares() -> None:
    """A fee or a deposit is cash; the house has no position from it."""
    books = Portfolio()
    adjust(books, ev.HouseAdjusted(cash=cash(-5), symbol=None, qty=NO_QTY, price=None, why="a fee", at=NOON))
    assert books.cash() == cash(-5)
    assert books.holdings() == {}


def test_shares_alone_cost_no_cash() -> None:
    """Shares and cash are facts apart: what the shares cost comes by its own fact, or not at all."""
    books = Portfolio()
    adjust(books, ev.HouseAdjusted(cash=NO_CASH, symbol=AAPL, qty=qty(5), price=price(90), why="found", at=NOON))
    assert books.cash() == NO_CASH
    assert books.books[HOUSE].positions[AAPL].avg_entry_price == price(90)


def test_shares_without_a_price_are_valued_as_the_books_value_them() -> None:
    """The broker has no price of what it has not: the last mark of any book stands in, and nothing else is known."""
    books = Portfolio()
    books.book(ALICE).trade(AAPL, qty(5), price(80), NOON)
    for symbol in (AAPL, SPY):
        adjust(books, ev.HouseAdjusted(cash=NO_CASH, symbol=symbol, qty=qty(-5), price=None, why="gone", at=NOON))
    held = books.books[HOUSE].positions
    assert (held[AAPL].avg_entry_price, held[SPY].avg_entry_price) == (price(80), price(0))
    assert books.holdings() == {SPY: qty(-5)}
