"""Sub-ledgers: each strategy's cash and positions, and the house book that holds the rest of the shared account.

Rule 1: a book is the fold of its fills and allocations, in exact decimals.
Rule 2: the sum over all books is the shared account; only the house takes what no fill explains.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from deskd.domain.book import Account, Position
from deskd.domain.ids import HOUSE, StrategyId, Symbol
from deskd.domain.money import NO_CASH, NO_QTY, ZERO, Cash, Price, Qty

# Regulation T, 12 CFR 220.12(c): a short position needs 150 % of its market value; 100 % of it are the sale's proceeds.
SHORT_MARGIN = Decimal("1.5")


@dataclass(slots=True)
class Book:
    """One strategy's sub-ledger."""

    strategy_id: StrategyId
    allocation: Cash = NO_CASH
    cash: Cash = NO_CASH
    positions: dict[Symbol, Position] = field(default_factory=dict)

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
        self.positions[symbol] = traded(old, qty, price, at)

    def mark(self, symbol: Symbol, price: Price, at: datetime) -> None:
        """Value the position at *price*."""
        if symbol in self.positions:
            self.positions[symbol] = replace(self.positions[symbol], mark_price=price, updated_at=at)

    def account(self, reserved: Cash) -> Account:
        """Return the book's figures."""
        held = self.positions.values()
        return Account(
            strategy_id=self.strategy_id,
            allocation=self.allocation,
            cash=self.cash,
            reserved=reserved,
            equity=Cash(self.cash + sum((p.market_value for p in held), ZERO)),
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

    def holdings(self) -> dict[Symbol, Qty]:
        """Return the shared account's positions: the sum over all books, flat ones left out."""
        total: dict[Symbol, Qty] = {}
        for book in self.books.values():
            for symbol, position in book.positions.items():
                total[symbol] = Qty(total.get(symbol, ZERO) + position.qty)
        return {symbol: qty for symbol, qty in total.items() if qty}
