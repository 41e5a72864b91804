"""Register, portfolio and journal are kept in step."""

from dataclasses import replace

import pytest

from deskd.exchange.books import Books
from deskd.exchange.generator import Generator
from deskd.exchange.journal import Journal
from deskd.exchange.order import OrderWord, PositionIntent
from deskd.exchange.portfolio import Portfolio
from deskd.exchange.prices import Prices
from deskd.exchange.timetable import Timetable
from tests.exchange.given import NOON, cash, price, qty, told
from tests.exchange.test_matching import an_order


def some_books() -> Books:
    return Books(
        portfolio=Portfolio(cash(1000), (), Prices()),
        journal=Journal((), ()),
        timetable=Timetable(NOON),
        ids=Generator(1),
        sequence=0,
    )


def test_what_opens_reserves_what_it_may_cost() -> None:
    """A fill releases its part, the end all; what closes reserves nothing."""
    books = some_books()
    order = an_order(unit_cost=price(10))
    books.add(order)
    assert books.portfolio.reserved == 100
    books.fill(order, qty(4), price(9), is_done=False)
    assert told(order.reserved, books.portfolio.reserved) == (60, 60)
    assert told(order.filled_qty, order.filled_avg_price, order.filled_at) == (4, 9, None)
    books.end(order, OrderWord.CANCELED)
    assert books.portfolio.reserved == 0
    assert books.portfolio.cash == 964
    books.add(an_order(id="o-2", client_order_id="c-2", position_intent=PositionIntent.SELL_TO_CLOSE))
    assert books.portfolio.reserved == 0


def test_average_is_over_all_fills() -> None:
    """The average is of the money paid, to nine places; the money itself is exact."""
    books = some_books()
    order = an_order()
    books.add(order)
    for size, at in ((1, "1"), (1, "1"), (1, "1.01")):
        books.fill(order, qty(size), price(at), is_done=False)
    assert order.filled_avg_price == price("1.003333333")
    assert order.filled_notional == price("3.01")


def test_table_is_the_law() -> None:
    """What the table does not have is our own mistake: it ends the process."""
    books = some_books()
    order = an_order()
    books.add(order)
    books.end(order, OrderWord.EXPIRED)
    with pytest.raises(KeyError):
        books.happen(order, OrderWord.NEW)
    with pytest.raises(AssertionError):
        books.end(replace(order), OrderWord.FILL)


def test_event_is_a_snapshot() -> None:
    """An event tells the order as it was when it happened."""
    books = some_books()
    order = an_order()
    books.add(order)
    books.fill(order, qty(4), price(9), is_done=False)
    books.fill(order, qty(6), price(9), is_done=True)
    first, second = books.journal.take_events()
    assert told(first.order.filled_qty, first.qty, first.position_qty) == (4, 4, 4)
    assert told(second.order.filled_qty, second.qty, second.position_qty) == (10, 6, 10)
    assert first.event_id < second.event_id
    assert first.execution_id != second.execution_id


def test_order_from_the_store_reserves_again() -> None:
    """What was reserved before a restart is reserved after it."""
    books = some_books()
    books.put_back(an_order(reserved=cash(60)))
    assert books.portfolio.reserved == 60
    assert books.journal.dirty_orders == {}
