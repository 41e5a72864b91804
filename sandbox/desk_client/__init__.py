"""What a strategy says to the desk. `from desk_client import place_order` is all that most need.

How many shares: `from desk_client import sizing`, which nobody pays for who does not.
"""

from desk_client.answers import (
    Account,
    Bar,
    DeskError,
    DeskUnavailable,
    MarketClock,
    Order,
    OrderResponse,
    Position,
)
from desk_client.client import (
    cancel_order,
    get_account,
    get_bars,
    get_clock,
    get_order,
    get_position,
    get_positions,
    list_orders,
    place_order,
    replace_order,
    set_user_id,
)
from desk_client.strategy import Strategy

__all__ = [
    "Account",
    "Bar",
    "DeskError",
    "DeskUnavailable",
    "MarketClock",
    "Order",
    "OrderResponse",
    "Position",
    "Strategy",
    "cancel_order",
    "get_account",
    "get_bars",
    "get_clock",
    "get_order",
    "get_position",
    "get_positions",
    "list_orders",
    "place_order",
    "replace_order",
    "set_user_id",
]
