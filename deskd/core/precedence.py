"""Who goes before whom, of the orders that wait at the desk.

Rule 1: the rest of an order that is half done comes first, then what came back from the broker: they had their turn.
Rule 2: then what only closes its strategy's position, then all else; each in the order they came. What only closes
        waits for nobody who waits to open: whatever stops openings must not keep a position open.
Rule 3: orders of one strategy on one side of a symbol leave in the order they came, whatever they do.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from deskd.core import blocks, splitting
from deskd.core.desk import Desk
from deskd.domain.ids import ClientOrderId, StrategyId, Symbol
from deskd.domain.money import NO_QTY, Qty
from deskd.domain.order import Order, OrderStatus, Side


class Rank(IntEnum):
    """Why an order has its place in the line; the lowest goes first."""

    LATER = 1  # the rest of an order whose part is still open: it is not its turn yet, but it comes before the others
    REST = 2
    BACK = 3  # from the broker, where it was before all who wait
    CLOSES = 4
    OPENS = 5


class Turn(NamedTuple):
    """An order in the line."""

    order: Order
    rank: Rank
    closes: bool  # it only reduces what its strategy holds


def _rest_closes(desk: Desk, order: Order) -> bool:
    """Tell whether the rest of a split order only reduces what its strategy holds, and no own order may close first."""
    own = order.request.strategy_id, order.request.side
    beside = desk.open_in(order.request.symbol)
    leaves = (o.leaves_qty or NO_QTY for o in beside if (o.request.strategy_id, o.request.side) == own)
    return _is_left_to_close(desk, order, Qty(sum(leaves, NO_QTY)))


def _is_left_to_close(desk: Desk, order: Order, promised: Qty) -> bool:
    who, symbol, side = order.request.strategy_id, order.request.symbol, order.request.side
    left = order.leaves_qty if order.split is None else order.rest_qty
    held = -side.sign * desk.portfolio.qty(who, symbol)
    return left is not None and left <= held - promised - blocks.promised(desk, who, symbol, side)


def _closers(desk: Desk, symbol: Symbol) -> Iterator[ClientOrderId]:
    """Yield the orders that wait in the symbol, only close, and have none of their own before them that does not.

    One look at what is open in the symbol, however long the line is.
    """
    promised: dict[tuple[StrategyId, Side], Qty] = {}
    stays: set[tuple[StrategyId, Side]] = set()
    for order in desk.open_in(symbol):
        key = order.request.strategy_id, order.request.side
        before = promised.get(key, NO_QTY)
        if order.is_held:
            if key not in stays and _is_left_to_close(desk, order, before):
                yield order.request.client_order_id
            else:
                stays.add(key)
        promised[key] = Qty(before + (order.leaves_qty or NO_QTY))


def in_line(desk: Desk, symbol: Symbol | None = None) -> list[Turn]:
    """Return all that wait, or wait in *symbol*, in the order in which they may leave."""
    split = (desk.orders[oid] for oid in desk.split_ids)
    rests = [order for order in split if order.rest_qty and symbol in {None, order.request.symbol}]
    held = [order for oid in desk.held_ids if symbol in {None, (order := desk.orders[oid]).request.symbol}]
    closing = {oid for one in dict.fromkeys(order.request.symbol for order in held) for oid in _closers(desk, one)}
    turns = [Turn(order, rank, _rest_closes(desk, order)) for order in rests if (rank := _rank_of_rest(order))]
    for order in held:
        closes = order.request.client_order_id in closing
        rank = Rank.BACK if order.recalled_for is not None else Rank.CLOSES if closes else Rank.OPENS
        turns.append(Turn(order, rank, closes))
    return sorted(turns, key=lambda turn: turn.rank)  # which keeps the order they came in


def _rank_of_rest(order: Order) -> Rank | None:
    if splitting.is_waiting(order):
        return Rank.REST
    return None if order.status is OrderStatus.PENDING_CANCEL else Rank.LATER


def in_its_way(who: StrategyId, rank: Rank, before: Iterable[Turn]) -> list[Order]:
    """Return those of *before*, who come first in the line, that an order of that rank must not leave without.

    What only closes passes all that open, but for its strategy's own, and what only came back.
    """
    if rank is Rank.OPENS:
        return [turn.order for turn in before]
    if rank is Rank.CLOSES:
        return [t.order for t in before if t.closes or t.rank is Rank.BACK or t.order.request.strategy_id == who]
    return [turn.order for turn in before if turn.rank is not Rank.LATER]


def own_comes_first(turn: Turn, before: Iterable[Turn]) -> bool:
    """Tell whether an order of the same strategy and side, before it in the line, has not left yet."""
    own = (turn.order.request.strategy_id, turn.order.request.side)
    return turn.rank > Rank.BACK and any((t.order.request.strategy_id, t.order.request.side) == own for t in before)
