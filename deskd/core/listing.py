"""What somebody may see of orders and positions: their own, or for officers everybody's."""

from collections.abc import Sequence
from itertools import islice

from deskd.core.desk import Desk
from deskd.domain.book import Position
from deskd.domain.ids import BrokerOrderId, ClientOrderId, StrategyId
from deskd.domain.order import Order

LISTED_MAX = 1_000  # orders in one list, the newest


def find(desk: Desk, strategy_id: StrategyId | None, order_id: str) -> Order | None:
    """Return the order of that client_order_id or broker_order_id, if it is the strategy's; None: anybody's."""
    oid = desk.by_broker_id.get(BrokerOrderId(order_id), ClientOrderId(order_id))
    order = desk.orders.get(oid)
    if order is None or strategy_id not in {None, order.request.strategy_id}:
        return None
    return desk.whole_of(order)


def orders(desk: Desk, strategy_id: StrategyId | None, *, is_open: bool | None) -> Sequence[Order]:
    """Return orders, oldest first: all that are open, else the newest LISTED_MAX; *is_open* None: of all."""
    if is_open:
        return [o for o in desk.asked_orders() if strategy_id in {None, o.request.strategy_id}]
    listed = (o for o in desk.newest_first(strategy_id) if is_open is None or not o.status.is_open)
    return list(islice(listed, LISTED_MAX))[::-1]


def positions(desk: Desk, strategy_id: StrategyId | None) -> Sequence[Position]:
    """Return positions at the latest mark, flat ones left out."""
    books = desk.portfolio.books
    wanted = books.values() if strategy_id is None else [books[strategy_id]] if strategy_id in books else []
    return [p for book in wanted for p in book.positions.values() if p.qty]
