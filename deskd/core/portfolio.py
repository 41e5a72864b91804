"""Sub-ledgers: each strategy's cash and positions, and the house book that holds the rest of the shared account.

Rule 1: a book is the fold of its fills and allocations, in exact decimals.
Rule 2: the sum over all books is the shared account; only the house takes what no fill explains.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from deskd.domain.book import Account, Position
from deskd.domain.ids import HOUSE, StrategyId, Symbol
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty

# Regulation T, 12 CFR 220.12(c): a short position needs 150 % of its market value; 100 % of it are the sale's proceeds.
SHORT_MARGIN = Decimal("1.5")


class Worth(NamedTuple):
    """What a book is worth at mark."""

    equity: Cash
    longs: Cash  # value of long positions
    shorts: Cash  # of short ones, unsigned


@dataclass(slots=True)
class Book:
    """One strategy's sub-ledger."""

    strategy_id: StrategyId
    allocation: Cash = NO_CASH
    cash: Cash = NO_CASH
    positions: dict[Symbol, Position] = field(default_factory=dict)
    # Of what the book was last seen to be: the gate asks at every order, and books change seldom.
    _worth: tuple[Cash, int, Worth] | None = field(default=None, compare=False)
    _changes: int = field(default=0, compare=False)

    def worth(self) -> Worth:
        """Return what the book is worth at mark."""
        known = self._worth
        if known is not None and known[0] is self.cash and known[1] == self._changes:
            return known[2]
        values = [p.market_value for p in self.positions.values() if p.qty]
        longs, shorts = sum((v for v in values if v > 0), ZERO), -sum((v for v in values if v < 0), ZERO)
        worth = Worth(Cash(self.cash + longs - shorts), Cash(longs), Cash(shorts))
        self._worth = (self.cash, self._changes, worth)
        return worth

    def put(self, position: Position) -> None:
        """Hold the position from now on, whatever was held of its symbol before."""
        self.positions[position.symbol] = position
        self._changes += 1

    def qty(self, symbol: Symbol) -> Qty:
        """Return the signed position."""
        position = self.positions.get(symbol)
        return position.qty if position else NO_QTY

    def held(self) -> list[Symbol]:
        """Return the symbols of which the book has shares, or owes them."""
        return [symbol for symbol, position in self.positions.items() if position.qty]

    def short_margin(self) -> Cash:
        """Return the cash that short positions hold back."""
        shorts = (p.market_value for p in self.positions.values() if p.qty < 0)
        return Cash(-SHORT_MARGIN * sum(shorts, ZERO))

    def short_margin_per_share(self, symbol: Symbol) -> Price:
        """Return the cash that each share of a short position holds back, and covering it sets free."""
        position = self.positions.get(symbol)
        return Price(SHORT_MARGIN * position.mark_price if position is not None and position.qty < 0 else ZERO)

    def trade(self, symbol: Symbol, qty: Qty, price: Price, at: datetime) -> None:
        """Book an execution of signed *qty*: cash, position, average entry price, realized P&L."""
        self.cash = Cash(self.cash - qty * price)
        old = self.positions.get(symbol)
        if old is None:
            old = Position(
                strategy_id=self.strategy_id,
                symbol=symbol,
                qty=NO_QTY,
                avg_entry_price=price,
                realized_pnl=NO_CASH,
                mark_price=price,
                updated_at=at,
            )
        self.put(traded(old, qty, price, at))

    def mark(self, symbol: Symbol, price: Price, at: datetime) -> None:
        """Value the position at *price*."""
        if symbol in self.positions:
            self.put(replace(self.positions[symbol], mark_price=price, updated_at=at))

    def account(self, reserved: Cash) -> Account:
        """Return the book's figures."""
        held = self.positions.values()
        return Account(
            strategy_id=self.strategy_id,
            allocation=self.allocation,
            cash=self.cash,
            reserved=reserved,
            equity=self.worth().equity,
            realized_pnl=Cash(sum((p.realized_pnl for p in held), ZERO)),
            unrealized_pnl=Cash(sum((p.unrealized_pnl for p in held), ZERO)),
        )


def traded(old: Position, qty: Qty, price: Price, at: datetime) -> Position:
    """Return the position after an execution of signed *qty* (average cost; the average moves only when it grows)."""
    new_qty = Qty(old.qty + qty)
    grows = old.qty * qty >= 0
    if grows:
        cost = old.qty * old.avg_entry_price + qty * price
        avg = Price(cost / new_qty) if new_qty else old.avg_entry_price
        realized = old.realized_pnl
    else:
        closed = min(abs(qty), abs(old.qty)) * (1 if old.qty > 0 else -1)
        realized = Cash(old.realized_pnl + closed * (price - old.avg_entry_price))
        crosses_zero = new_qty * old.qty < 0
        avg = price if crosses_zero else old.avg_entry_price
    return replace(old, qty=new_qty, avg_entry_price=avg, realized_pnl=realized, mark_price=price, updated_at=at)


@dataclass(slots=True)
class Portfolio:
    """All books."""

    books: dict[StrategyId, Book] = field(default_factory=lambda: {HOUSE: Book(HOUSE)})
    fees: Cash = NO_CASH  # that the house bore, in all; negative: paid

    def book(self, strategy_id: StrategyId) -> Book:
        """Return the strategy's book, opening it when it is new."""
        return self.books.setdefault(strategy_id, Book(strategy_id))

    def qty(self, strategy_id: StrategyId, symbol: Symbol) -> Qty:
        """Return what the strategy holds, signed; opens no book."""
        book = self.books.get(strategy_id)
        return NO_QTY if book is None else book.qty(symbol)

    def total_qty(self, symbol: Symbol) -> Qty:
        """Return what the shared account holds of *symbol*, signed: the sum over all books."""
        return Qty(sum((book.qty(symbol) for book in self.books.values()), ZERO))

    def allocate(self, strategy_id: StrategyId, allocation: Cash) -> None:
        """Move cash between the house and the strategy, so that its allocation is *allocation*."""
        book, house = self.book(strategy_id), self.books[HOUSE]
        moved = Cash(allocation - book.allocation)
        book.allocation = allocation
        book.cash = Cash(book.cash + moved)
        house.cash = Cash(house.cash - moved)

    def cash(self) -> Cash:
        """Return the shared account's cash: the sum over all books."""
        return Cash(sum((b.cash for b in self.books.values()), ZERO))

    def equity(self) -> Cash:
        """Return what the shared account is worth at mark: the sum over all books."""
        return Cash(sum((b.worth().equity for b in self.books.values()), ZERO))

    def free(self) -> Cash:
        """Return the shared account's cash, less what short positions hold back: the sum over all books."""
        books = self.books.values()
        shorts = [shorts for book in books if (shorts := book.worth().shorts)]
        cash = sum([book.cash for book in books], ZERO)
        return Cash(cash - SHORT_MARGIN * sum(shorts, ZERO) if shorts else cash)

    def value_of(self, symbol: Symbol) -> Cash:
        """Return the signed value of the symbol at mark, over all books."""
        held = (book.positions[symbol] for book in self.books.values() if symbol in book.positions)
        return Cash(sum((p.market_value for p in held if p.qty), ZERO))

    def qty_of(self, symbol: Symbol) -> Qty:
        """Return what the shared account holds of the symbol: the sum over all books."""
        return Qty(sum((b.positions[symbol].qty for b in self.books.values() if symbol in b.positions), ZERO))

    def holdings(self) -> dict[Symbol, Qty]:
        """Return the shared account's positions: the sum over all books, flat ones left out."""
        total: dict[Symbol, Qty] = {}
        for book in self.books.values():
            for symbol, position in book.positions.items():
                total[symbol] = Qty(total.get(symbol, ZERO) + position.qty)
        return {symbol: qty for symbol, qty in total.items() if qty}
