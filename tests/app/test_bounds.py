"""What the configuration makes of bounds."""

from datetime import timedelta
from decimal import Decimal
from pathlib import PurePath

from deskd.app.bounds import lane_rules_of, limits_of, timing_of
from deskd.config import BrokerSection, Config, OrdersSection
from deskd.domain.ids import UserId
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.strategy import StrategySpec
from tests.factories import AAPL, ALICE


def a_spec(**limits: str) -> StrategySpec:
    return StrategySpec(
        strategy_id=ALICE,
        user_id=UserId("alice"),
        name="",
        description="",
        version="",
        path=PurePath("strategies/alice"),
        code_hash="",
        symbols=(AAPL,),
        channels=frozenset(),
        env={},
        limits={name: Decimal(bound) for name, bound in limits.items()},
        history=None,
        is_enabled=True,
    )


def test_a_strategys_limits_only_tighten_the_desks() -> None:
    """Whatever a member writes into config.json, the officers' bound holds."""
    risk = Config().risk
    plain = limits_of(a_spec(), risk, 30.0)
    assert plain.order_notional_max == risk.strategy.order_notional_max
    assert plain.quote_age_max == timedelta(seconds=30)
    assert plain.symbols == {AAPL}
    tight = limits_of(a_spec(open_orders_max="2", order_notional_max="10"), risk, 30.0)
    assert tight.open_orders_max == 2
    assert tight.order_notional_max == 10
    greedy = dict.fromkeys(
        ("order_notional_max", "position_qty_max", "position_notional_max", "open_orders_max", "orders_per_day_max"),
        "1000000000",
    )
    assert limits_of(a_spec(**greedy), risk, 30.0) == plain


def test_a_stream_comes_back_no_later_than_the_configuration_says() -> None:
    """The bound of the wait bounds the first one, too."""
    slow = timing_of(BrokerSection(stream_reconnect_max_s=60.0))
    assert slow.reconnect_min_s <= slow.reconnect_max_s == 60.0
    quick = timing_of(BrokerSection(stream_reconnect_max_s=0.05))
    assert quick.reconnect_min_s == quick.reconnect_max_s == 0.05


def test_the_policy_for_conflicts_is_the_configurations() -> None:
    """Orders are denied unless the officers want them to wait, and then for so long."""
    assert lane_rules_of(OrdersSection()) == LaneRules(conflict=ConflictPolicy.DENY)
    rules = lane_rules_of(OrdersSection(conflict="hold", hold_max_s=5.0))
    assert rules == LaneRules(conflict=ConflictPolicy.HOLD, hold_max=timedelta(seconds=5))
