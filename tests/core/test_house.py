"""The house book takes what no member's fills explain."""

from decimal import Decimal

import pytest

from deskd.app.desk_status import in_sum
from deskd.control.views import account
from deskd.core.house import OPENING, adjust, cause_of, distribute
from deskd.core.portfolio import Portfolio
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.ids import HOUSE
from deskd.domain.money import NO_CASH, NO_QTY, Qty
from tests.factories import AAPL, ALICE, BOB, NOON, SPY, a_desk, cash, price, qty


def test_cash_alone_moves_no_shares() -> None:
    """A fee or a deposit is cash; the house has no position from it."""
    books = Portfolio()
    adjust(books, ev.HouseAdjusted(cash=cash(-5), symbol=None, qty=NO_QTY, price=None, why="a fee", at=NOON))
    assert books.cash() == cash(-5)
    assert books.holdings() == {}


def test_fees_add_up_in_the_house_and_are_nobody_elses() -> None:
    """What the broker booked as fees is told by that name, all of it; deposits are none."""
    desk = a_desk()
    for cause, amount in ((HouseCause.FEE, "-0.02"), (HouseCause.TRANSFER, "500"), (HouseCause.FEE, "-0.03")):
        fact = ev.HouseAdjusted(
            cash=cash(amount), symbol=None, qty=NO_QTY, price=None, why=str(cause), at=NOON, cause=cause
        )
        desk.apply(fact)
    house, alice = desk.account(HOUSE), desk.account(ALICE)
    assert house is not None
    assert alice is not None
    assert (house.fees, alice.fees) == (cash("-0.05"), NO_CASH)
    assert "house 80499.95 (fees -0.05) = " in in_sum(desk)
    assert account(house)["fees"] == "-0.05"


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


def test_a_booking_without_shares_makes_no_position() -> None:
    """A dividend names its symbol, and is cash."""
    books = Portfolio()
    adjust(books, ev.HouseAdjusted(cash=cash(3), symbol=AAPL, qty=NO_QTY, price=None, why="DIV", at=NOON))
    assert books.books[HOUSE].positions == {}
    assert books.cash() == cash(3)


@pytest.mark.parametrize(
    ("cause", "why", "named"),
    [
        (HouseCause.FEE, "FEE", HouseCause.FEE),
        (None, OPENING, HouseCause.OPENING),
        (None, "no fill explains it", HouseCause.UNEXPLAINED),
    ],
)
def test_every_booking_has_a_cause(cause: HouseCause | None, why: str, named: HouseCause) -> None:
    """Those from before causes had names, too."""
    fact = ev.HouseAdjusted(cash=cash(1), symbol=None, qty=NO_QTY, price=None, why=why, at=NOON, cause=cause)
    assert cause_of(fact) is named


@pytest.mark.parametrize(
    ("ratio", "alice", "bob", "house"), [("2", "20", "-6", "0"), ("0.1", "1", "-0.3", "0"), ("1.5", "15", "-4.5", "0")]
)
def test_distributed_shares_come_from_the_house(ratio: str, alice: str, bob: str, house: str) -> None:
    """Every book's shares times the ratio at the same cost; what the house took is given, and the sum stays."""
    books = Portfolio()
    books.book(ALICE).trade(AAPL, qty(10), price(100), NOON)
    books.book(BOB).trade(AAPL, qty(-3), price(100), NOON)
    books.book(BOB).trade(SPY, qty(1), price(50), NOON)
    more = qty(7) * qty(ratio) - 7
    split = ev.HouseAdjusted(cash=NO_CASH, symbol=AAPL, qty=Qty(more), price=None, why="split", at=NOON)
    adjust(books, split)
    before = books.cash(), books.holdings(), books.books[ALICE].cash
    distribute(books, ev.SharesDistributed(symbol=AAPL, ratio=qty(ratio), by="ann", reason="split", at=NOON))
    held = {who: books.books[who].qty(AAPL) for who in (ALICE, BOB, HOUSE)}
    assert held == {ALICE: qty(alice), BOB: qty(bob), HOUSE: qty(house)}
    assert (books.cash(), books.holdings(), books.books[ALICE].cash) == before
    position = books.books[ALICE].positions[AAPL]
    assert position.qty * position.avg_entry_price == 1000
    assert position.realized_pnl == 0


def test_a_part_of_a_share_too_small_to_hold_is_the_houses() -> None:
    """A third of a share is nine threes; the rest stays with the house."""
    books = Portfolio()
    books.book(ALICE).trade(AAPL, qty(1), price(90), NOON)
    ratio = Decimal(1) / Decimal(3)
    distribute(books, ev.SharesDistributed(symbol=AAPL, ratio=ratio, by="ann", reason="split", at=NOON))
    assert books.books[ALICE].qty(AAPL) == qty("0.333333333")
    assert books.holdings() == {AAPL: qty(1)}
