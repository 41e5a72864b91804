"""The numbers that the gate enforces."""

from dataclasses import dataclass
from datetime import timedelta

from deskd.domain.ids import Symbol
from deskd.domain.money import Cash, Qty


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One strategy's limits. Every field is a bound; none is optional, so none can be forgotten."""

    symbols: frozenset[Symbol]  # what the strategy may trade
    quote_age_max: timedelta
    order_notional_max: Cash
    position_qty_max: Qty
    position_notional_max: Cash
    open_orders_max: int
    orders_per_day_max: int
    duplicate_window: timedelta
    is_short_allowed: bool
