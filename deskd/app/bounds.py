"""What the configuration makes of bounds: a strategy's limits, and how long the streams wait."""

from datetime import timedelta
from decimal import Decimal

from deskd.alpaca.connection import TIMING, Timing
from deskd.config import BrokerSection, OrdersSection, RiskSection
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.limits import Limits
from deskd.domain.money import Cash, Qty
from deskd.domain.strategy import StrategySpec


def limits_of(spec: StrategySpec, risk: RiskSection, stale_after_s: float) -> Limits:
    """Return the strategy's limits: the desk's, tightened by its own."""
    ours = risk.strategy

    def tighter(name: str, bound: Decimal | int) -> Decimal:
        return min(Decimal(bound), spec.limits.get(name, Decimal(bound)))

    return Limits(
        symbols=frozenset(spec.symbols),
        quote_age_max=timedelta(seconds=stale_after_s),
        order_notional_max=Cash(tighter("order_notional_max", ours.order_notional_max)),
        position_qty_max=Qty(tighter("position_qty_max", ours.position_qty_max)),
        position_notional_max=Cash(tighter("position_notional_max", ours.position_notional_max)),
        open_orders_max=int(tighter("open_orders_max", ours.open_orders_max)),
        orders_per_day_max=int(tighter("orders_per_day_max", ours.orders_per_day_max)),
        duplicate_window=timedelta(seconds=ours.duplicate_window_s),
        is_short_allowed=risk.desk.allow_short,
    )


def timing_of(broker: BrokerSection) -> Timing:
    """Return how long the streams wait for what."""
    return Timing(
        ping_every_s=broker.stream_ping_s,
        ping_answer_s=broker.stream_ping_answer_s,
        reconnect_min_s=min(TIMING.reconnect_min_s, broker.stream_reconnect_max_s),
        reconnect_max_s=broker.stream_reconnect_max_s,
        refused_s=broker.stream_refused_s,
    )


def lane_rules_of(orders: OrdersSection) -> LaneRules:
    """Return what becomes of orders in conflict."""
    return LaneRules(conflict=ConflictPolicy(orders.conflict), hold_max=timedelta(seconds=orders.hold_max_s))
