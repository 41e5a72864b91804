"""Rows for the store."""

from deskd.exchange.state import Changes
from tests.exchange.given import a_buy, trading


def test_nothing_changed_is_empty() -> None:
    """An empty change has no rows of any kind."""
    empty = Changes()
    rows = (empty.orders, empty.holdings, empty.activities, empty.equity_points, empty.account)
    assert not any(rows)


def test_one_order_changes_its_rows() -> None:
    """An order that fills changes its own row, the position's, the history's and the account's."""
    world = trading()
    world.exchange.take_changes()
    order = world.submit(a_buy(10))
    changes = world.exchange.take_changes()
    assert [o.id for o in changes.orders] == [order.id]
    assert set(changes.holdings) == {"AAPL"}
    assert [a.order_id for a in changes.activities] == [order.id]
    assert changes.account is not None
    assert changes.account.cash == 99_000
