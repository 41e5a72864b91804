"""The house book takes what no member's fills explain, and gives it only where an officer says so.

Fees are among it: the broker books them for the whole account, a line a day and kind, often a day later, and names no
order. Whose they are could only be guessed from words that are nobody's contract, so no member's figures hold a share.
"""

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from deskd.core.portfolio import Portfolio
from deskd.domain import events as ev
from deskd.domain.activity import HouseCause
from deskd.domain.ids import HOUSE, Symbol
from deskd.domain.money import ZERO, Cash, Price, Qty

OPENING = "opening balance"
_SHARE = Decimal("0.000000001")  # the smallest part of a share


def adjust(portfolio: Portfolio, fact: ev.HouseAdjusted) -> None:
    """Let the house take the cash and the shares of *fact*."""
    house = portfolio.books[HOUSE]
    house.cash = Cash(house.cash + fact.cash)
    if fact.cause is HouseCause.FEE:
        portfolio.fees = Cash(portfolio.fees + fact.cash)
    if fact.symbol is not None and fact.qty:
        price = fact.price if fact.price is not None else _last_mark(portfolio, fact.symbol)
        house.trade(fact.symbol, fact.qty, price, fact.at)
        house.cash = Cash(house.cash + fact.qty * price)  # shares only: the cash is named apart


def cause_of(fact: ev.HouseAdjusted) -> HouseCause:
    """Return why the house took it, of old entries too."""
    if fact.cause is not None:
        return fact.cause
    return HouseCause.OPENING if fact.why == OPENING else HouseCause.UNEXPLAINED


def distribute(portfolio: Portfolio, fact: ev.SharesDistributed) -> None:
    """Multiply every member's shares, at the same cost; the house gives what that makes, and the sum stays."""
    house = portfolio.books[HOUSE]
    given = ZERO
    for book in portfolio.books.values():
        old = book.positions.get(fact.symbol)
        if book is house or old is None or not old.qty:
            continue
        qty = Qty((old.qty * fact.ratio).quantize(_SHARE, ROUND_DOWN))  # a rest too small to be held is the house's
        given += qty - old.qty
        book.put(
            replace(
                old,
                qty=qty,
                avg_entry_price=Price(old.avg_entry_price / fact.ratio),
                mark_price=Price(old.mark_price / fact.ratio),
                updated_at=fact.at,
            )
        )
    held = house.positions.get(fact.symbol)
    price = held.avg_entry_price if held is not None and held.qty else _last_mark(portfolio, fact.symbol)
    house.trade(fact.symbol, Qty(-given), price, fact.at)
    house.cash = Cash(house.cash - given * price)


def _last_mark(portfolio: Portfolio, symbol: Symbol) -> Price:
    """Return the price at which the books value *symbol*, of which the broker has none any more."""
    marks = [b.positions[symbol].mark_price for b in portfolio.books.values() if symbol in b.positions]
    return marks[0] if marks else Price(ZERO)
