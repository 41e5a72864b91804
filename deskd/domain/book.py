"""A strategy's sub-ledger, as it is shown: positions and account."""

from dataclasses import dataclass
from datetime import datetime

from deskd.domain.ids import StrategyId, Symbol
from deskd.domain.money import NO_CASH, Cash, Price, Qty


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One strategy's holding of one instrument; flat positions are kept for their realized P&L."""

    strategy_id: StrategyId
    symbol: Symbol
    qty: Qty  # signed
    avg_entry_price: Price  # changes only when the position grows
    realized_pnl: Cash
    mark_price: Price
    updated_at: datetime

    @property
    def market_value(self) -> Cash:
        """Return the signed value at the mark."""
        return Cash(self.qty * self.mark_price)

    @property
    def unrealized_pnl(self) -> Cash:
        """Return what closing at the mark would realize."""
        return Cash(self.qty * (self.mark_price - self.avg_entry_price)) if self.qty else NO_CASH


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One strategy's money; for the house book, the rest of the shared account."""

    strategy_id: StrategyId
    allocation: Cash
    cash: Cash
    reserved: Cash  # held for open orders
    equity: Cash  # cash plus positions at mark
    realized_pnl: Cash
    unrealized_pnl: Cash
    day_pnl: Cash = NO_CASH  # since the market day began, realized and unrealized
    peak_equity: Cash = NO_CASH  # moved along with the allocation
    fees: Cash = NO_CASH  # of the house: all that the broker booked; negative: paid

    @property
    def drawdown(self) -> Cash:
        """Return how far the equity is under its peak."""
        return Cash(max(self.peak_equity - self.equity, NO_CASH))

    @property
    def buying_power(self) -> Cash:
        """Return what may still be spent."""
        return Cash(self.cash - self.reserved)
