"""Sub-ledgers: exact, and adding up."""

from decimal import Decimal

import hypothesis.strategies as st
from hypothesis import given

from deskd.core.portfolio import Book, Portfolio
from deskd.domain.ids import HOUSE
from tests.factories import AAPL, ALICE, BOB, NOON, cash, price, qty

prices = st.integers(1, 100_000).map(lambda cents: price(str(Decimal(cents) / 100)))
shares = st.integers(-500, 500).filter(bool).map(qty)


def a_book(money: str = "10000") -> Book:
    return Book(ALICE, cash=cash(money))


def test_the_average_moves_only_when_the_position_grows() -> None:
    """Average cost: 10 at 100 and 10 at 110 average 105; selling 5 leaves it there."""
    book = a_book()
    for n, paid in ((10, "100"), (10, "110"), (-5, "120")):
        book.trade(AAPL, qty(n), price(paid), NOON)
    position = book.positions[AAPL]
    assert (position.qty, position.avg_entry_price, position.realized_pnl) == (qty(15), price(105), cash(75))


def test_crossing_zero_closes_at_the_old_average_and_opens_at_the_price() -> None:
    """Long 10 at 100, sell 15 at 110: 100 realized, short 5 at 110."""
    book = a_book()
    book.trade(AAPL, qty(10), price(100), NOON)
    book.trade(AAPL, qty(-15), price(110), NOON)
    position = book.positions[AAPL]
    assert (position.qty, position.avg_entry_price, position.realized_pnl) == (qty(-5), price(110), cash(100))
    assert book.short_margin() == 825


@given(st.lists(st.tuples(shares, prices), max_size=20), prices)
def test_cash_plus_positions_is_start_plus_pnl(trades: list[tuple[object, object]], mark: object) -> None:
    """Whatever is traded, equity is what was there, plus what was realized and is unrealized."""
    book = a_book()
    for n, paid in trades:
        book.trade(AAPL, n, paid, NOON)  # type: ignore[arg-type]
    book.mark(AAPL, mark, NOON)  # type: ignore[arg-type]
    account = book.account(cash(0))
    assert abs(account.equity - (10_000 + account.realized_pnl + account.unrealized_pnl)) < Decimal("1e-9")


@given(st.lists(st.tuples(st.sampled_from([ALICE, BOB]), st.integers(0, 50_000)), max_size=10))
def test_allocations_move_cash_and_make_none(changes: list[tuple[object, int]]) -> None:
    """The sum over all books is the shared account, whatever is allocated to whom."""
    portfolio = Portfolio()
    portfolio.books[HOUSE].cash = cash(100_000)
    for who, amount in changes:
        portfolio.allocate(who, cash(amount))  # type: ignore[arg-type]
        assert portfolio.cash() == 100_000
        assert portfolio.book(who).cash == amount  # type: ignore[arg-type]


def test_holdings_are_the_sum_over_all_books() -> None:
    """Long in one book and short in another meet at the broker."""
    portfolio = Portfolio()
    portfolio.book(ALICE).trade(AAPL, qty(10), price(100), NOON)
    portfolio.book(BOB).trade(AAPL, qty(-10), price(100), NOON)
    assert portfolio.holdings() == {}
    portfolio.book(BOB).trade(AAPL, qty(3), price(100), NOON)
    assert portfolio.holdings() == {AAPL: 3}


def test_to_look_at_a_book_opens_none() -> None:
    """Who decides changes nothing."""
    portfolio = Portfolio()
    assert portfolio.qty(ALICE, AAPL) == 0
    assert portfolio == Portfolio()
