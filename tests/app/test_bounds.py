"""What the configuration makes of bounds."""

from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from deskd.app.bounds import (
    allocation_of,
    allocations_of,
    lane_rules_of,
    limits_in_words,
    limits_of,
    schedule_within,
    timing_of,
    weights_of,
)
from deskd.config import BrokerSection, Config, OrdersSection, RiskScheduleSection, RiskSection
from deskd.domain.ids import Symbol, UserId
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.limits import UNBOUNDED, Bounds, Limits
from deskd.domain.money import Cash, Qty
from deskd.domain.schedule import schedule_of
from deskd.domain.strategy import StrategySpec
from tests.factories import AAPL, ALICE, SPY


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
    slow = limits_of(a_spec(stop_cooldown_s="9", duplicate_window_s="0.1"), risk, 30.0)
    assert slow.stop_cooldown == timedelta(seconds=9)
    assert slow.duplicate_window == plain.duplicate_window
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
    assert lane_rules_of(OrdersSection(conflict="cross")).conflict is ConflictPolicy.CROSS


def risk_of(**sections: dict[str, Any]) -> RiskSection:
    return RiskSection.model_validate(sections)


def test_of_every_bound_the_tightest_scope_holds_and_is_named() -> None:
    """Whoever is denied sees whose bound it was; the narrowest, where two say the same."""
    risk = risk_of(
        desk={"order_notional_max": 900, "position_qty_max": 1000, "daily_loss_max": 700},
        member={"order_notional_max": 950, "open_orders_max": 50},
        members={"alice": {"order_qty_max": 7, "open_orders_max": 40}, "bob": {"order_qty_max": 1}},
        strategies={"alice": {"orders_per_day_max": 9, "position_share_max": "0.1"}, "bob": {"open_orders_max": 1}},
    )
    limits = limits_of(a_spec(), risk, 30.0)
    assert (limits.order_notional_max, limits.origin("order_notional_max")) == (Cash(Decimal(900)), " scope=desk")
    assert (limits.order_qty_max, limits.origin("order_qty_max")) == (Qty(Decimal(7)), " scope=member")
    assert (limits.position_qty_max, limits.origin("position_qty_max")) == (Qty(Decimal(1000)), "")
    assert (limits.position_share_max, limits.origin("position_share_max")) == (Decimal("0.1"), "")
    assert (limits.orders_per_day_max, limits.open_orders_max) == (9, 20)
    assert limits.member == Bounds(open_orders_max=40)
    assert limits.desk == Bounds(daily_loss_max=Cash(Decimal(700)), position_qty_max=Qty(Decimal(1000)))


def test_a_scope_that_nothing_bounds_costs_no_sums() -> None:
    """As the desk is shipped, only the strategy's own figures are looked at."""
    limits = limits_of(a_spec(), Config().risk, 30.0)
    assert limits.member is UNBOUNDED
    assert limits.desk is UNBOUNDED


def test_the_shipped_limits_fit_each_other() -> None:
    """No bound is over what another one makes of it, as far as the shipped allocation goes."""
    risk, limits = Config().risk, limits_of(a_spec(), Config().risk, 30.0)
    assert allocation_of(a_spec(), risk) == 10_000
    assert (limits.position_share_max, limits.gross_exposure_max) == (Decimal("0.20"), Decimal("0.95"))
    assert limits.daily_loss_max == 500
    assert limits.drawdown_max is not None
    assert limits.daily_loss_max < limits.drawdown_max * risk.strategy.allocation
    assert limits.order_notional_max <= limits.position_notional_max <= risk.strategy.allocation


def test_an_allocation_can_be_a_strategys_own() -> None:
    """An officer gives one strategy more, or less, than a new one gets."""
    risk = risk_of(strategies={"alice": {"allocation": 25_000}, "bob": {}})
    assert allocation_of(a_spec(), risk) == 25_000


def test_limits_are_told_by_name_and_scope() -> None:
    """What a fact keeps reads without this program."""
    told = dict(limits_in_words(limits_of(a_spec(), risk_of(desk={"daily_loss_max": 700}), 30.0)))
    assert told["desk.daily_loss_max"] == "700"
    assert told["order_notional_max"] == "5000"
    assert told["quote_age_max_s"] == "30"
    assert told["symbols"] == "AAPL"
    assert told["is_short_allowed"] == "False"
    assert "member.daily_loss_max" not in told


def test_a_schedule_that_was_read_under_looser_bounds_is_narrowed() -> None:
    """The desk's bounds hold at once, whatever the strategy's own config.json says."""
    own = schedule_of(opens="08:00", closes="20:00", days=("mon", "tue"), no_new_min=5, flatten_min=0)
    desk = RiskScheduleSection(opens="09:30", closes="16:00", days=("tue", "wed"), flatten_before_close_min=10)
    assert schedule_within(own, desk) == schedule_of(
        opens="09:30", closes="16:00", days=("tue",), no_new_min=5, flatten_min=10
    )
    assert schedule_within(own, RiskScheduleSection()) == own


def test_a_named_strategy_has_the_turns_that_its_weight_says() -> None:
    """Who is not named, or has no weight, is not in the list: it has one turn."""
    risk = RiskSection.model_validate({"strategies": {"alice": {"order_weight": 2.0}, "bob": {"allocation": "5"}}})
    assert weights_of(risk) == {"alice": 2.0}


def test_symbols_shorts_and_collar_are_bounded_at_every_scope() -> None:
    """A list narrows a list, a denial holds whoever says it, and shorts need everybody's yes; findings say whose it is."""
    risk = risk_of(
        desk={"allow_short": True, "symbols_allowed": ["AAPL", "SPY"], "price_collar": "0.05"},
        member={"symbols_denied": ["TSLA"]},
        members={"alice": {"symbols_allowed": ["AAPL", "QQQ"], "allow_short": False}},
        strategies={"alice": {"symbols_denied": ["SPY"], "price_collar": "0.01"}},
    )
    limits = limits_of(a_spec(), risk, 30.0)
    assert (limits.desk_symbols, limits.origin("symbols_allowed")) == (frozenset({AAPL}), " scope=member,desk")
    assert (limits.denied_symbols, limits.origin("symbols_denied")) == (
        frozenset({SPY, Symbol("TSLA")}),
        " scope=member",
    )
    assert (limits.is_short_allowed, limits.no_shorts) == (False, "shorts are off (allow_short=false scope=member)")
    assert (limits.price_collar, limits.origin("price_collar")) == (Decimal("0.01"), "")
    loose = limits_of(a_spec(), risk_of(desk={"allow_short": True}), 30.0)
    assert (loose.is_short_allowed, loose.origin("price_collar")) == (True, " scope=desk")


def test_lists_with_nothing_in_common_allow_nothing() -> None:
    """An empty list would mean that all is allowed."""
    risk = risk_of(desk={"symbols_allowed": ["SPY"]}, member={"symbols_allowed": ["AAPL"]})
    limits = limits_of(a_spec(), risk, 30.0)
    assert all(symbol in limits.denied_symbols or symbol not in limits.desk_symbols for symbol in ("SPY", "AAPL"))


def test_a_member_may_have_capital_for_all_strategies_together() -> None:
    """The tighter of all members' and their own; without one, each strategy has its own."""
    alice = UserId("alice")
    assert allocations_of(alice, RiskSection()) is None
    risk = risk_of(member={"allocation": 15_000}, members={"alice": {"allocation": 12_000}})
    assert allocations_of(alice, risk) == 12_000
    assert allocations_of(UserId("bob"), risk) == 15_000


NUMBERS = sorted({*(f.name for f in fields(Bounds) if f.init), "order_notional_max", "order_qty_max", "price_collar"})
SYMBOLS = st.lists(st.sampled_from(["AAPL", "SPY", "QQQ"]), unique=True)
TABLES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.integers(1, 50) for name in NUMBERS},
        "allow_short": st.booleans(),
        "symbols_allowed": SYMBOLS,
        "symbols_denied": SYMBOLS,
    },
)
SCOPES = ("desk", "member", "members", "strategy", "strategies", "config.json")
MADE = st.fixed_dictionaries(dict.fromkeys(SCOPES, TABLES))


def made(tables: dict[str, dict[str, Any]]) -> Limits:
    named = {scope: {"alice": tables[scope]} for scope in ("members", "strategies")}
    own = {name: str(bound) for name, bound in tables["config.json"].items() if name in NUMBERS}
    risk = risk_of(**{one: tables[one] for one in ("desk", "member", "strategy")}, **named)
    return limits_of(a_spec(**own), risk, 30.0)


def is_within(tight: Limits | Bounds, loose: Limits | Bounds) -> bool:
    """Tell whether every bound of the one is at least as tight as that of the other."""
    for one in fields(loose):
        now, before = getattr(tight, one.name), getattr(loose, one.name)
        match before:
            case Bounds():
                is_good = is_within(now, before)
            case bool():
                is_good = now <= before
            case Decimal() | int():
                is_good = now is not None and now <= before
            case _:
                is_good = True  # none; times and lists, which are looked at below
        if not is_good:
            return False
    return True


def traded(limits: Limits) -> set[str]:
    symbols = {"AAPL", "SPY", "QQQ"}
    return {one for one in symbols if (not limits.desk_symbols or one in limits.desk_symbols)} - {
        *limits.denied_symbols
    }


@settings(deadline=None)
@given(MADE, st.sampled_from(SCOPES), TABLES)
def test_a_narrower_scope_can_only_tighten(tables: dict[str, dict[str, Any]], scope: str, more: dict[str, Any]) -> None:
    """Whatever is added at any scope, and whatever the others say: no bound is looser for it, no symbol more is traded."""
    before = made(tables)
    added = {name: bound for name, bound in more.items() if name not in tables[scope]}
    if scope == "desk":
        added.pop("allow_short", None)  # there no says the default
        added.pop("price_collar", None)  # so it does here, and for all that risk.strategy has by itself
    if scope == "strategy":
        shipped = RiskSection().strategy
        added = {
            name: min(bound, getattr(shipped, name, None) or bound) for name, bound in added.items() if name in NUMBERS
        }
    after = made(tables | {scope: tables[scope] | added})
    assert is_within(after, before)
    assert traded(after) <= traded(before)
