"""A sub-ledger as it is shown: figures that follow from others."""

from deskd.domain.book import Account, Position
from deskd.domain.ids import StrategyId
from tests.factories import AAPL, ALICE, NOON, cash, price, qty


def a_position(shares: str, mark: str = "110") -> Position:
    return Position(
        strategy_id=StrategyId(ALICE),
        symbol=AAPL,
        qty=qty(shares),
        avg_entry_price=price(100),
        realized_pnl=cash(0),
        mark_price=price(mark),
        updated_at=NOON,
    )


def test_a_position_is_worth_what_closing_it_would_bring() -> None:
    """A short is worth less than nothing, and gains when the price falls; what is flat gains nothing."""
    assert (a_position("5").market_value, a_position("5").unrealized_pnl) == (cash(550), cash(50))
    assert (a_position("-5").market_value, a_position("-5").unrealized_pnl) == (cash(-550), cash(-50))
    assert a_position("0").unrealized_pnl == 0


def test_what_is_held_for_open_orders_cannot_be_spent() -> None:
    """Buying power is cash less what is reserved."""
    account = Account(
        strategy_id=ALICE,
        allocation=cash(1000),
        cash=cash(800),
        reserved=cash(300),
        equity=cash(1000),
        realized_pnl=cash(0),
        unrealized_pnl=cash(0),
    )
    assert account.buying_power == 500
