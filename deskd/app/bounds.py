"""What the configuration makes of bounds: a strategy's limits, and how long the streams wait."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from deskd.alpaca.connection import TIMING, Timing
from deskd.config import BrokerSection, OrdersSection, RiskScheduleSection, RiskSection
from deskd.domain.ids import StrategyId, Symbol, UserId
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.limits import UNBOUNDED, Bounds, DayTradeRule, Limits, Scope
from deskd.domain.money import Cash, Qty, plain
from deskd.domain.schedule import WEEK, Schedule, narrowed, schedule_of
from deskd.domain.strategy import StrategySpec

type Tables = Mapping[Scope, Sequence[BaseModel | None]]  # the narrowest scope first

_COUNTS = frozenset({"open_orders_max", "orders_per_day_max", "orders_per_minute_max"})
_SUMMED = tuple(field.name for field in fields(Bounds) if field.init)  # of a member, and of the desk
# Of each order, whoever says so. A position's share is bounded twice: each strategy's of its own equity, and the sums.
_EACH = ("order_notional_max", "order_qty_max", "position_share_max", "price_collar")
_OWN = tuple(name for name in _SUMMED if name not in _EACH)


def limits_of(spec: StrategySpec, risk: RiskSection, stale_after_s: float) -> Limits:
    """Return the strategy's limits: of every bound the tightest of desk, member, strategy, and its own config.json."""
    tables: Tables = {
        Scope.STRATEGY: [risk.strategy, risk.strategies.get(spec.strategy_id)],
        Scope.MEMBER: [risk.member, risk.members.get(spec.user_id)],
        Scope.DESK: [risk.desk],
    }
    own = _tightest(_OWN, tables[Scope.STRATEGY], spec)
    origins: dict[str, str] = {}
    each: dict[str, Decimal] = {}
    for name in _EACH:
        said = ((scope, _least(name, of, spec if scope is Scope.STRATEGY else None)) for scope, of in tables.items())
        bounds = [(bound, scope) for scope, bound in said if bound is not None]
        each[name], scope = min(bounds, key=lambda bound: bound[0])  # the narrowest, where two are the same
        origins |= _origin(name, [scope])
    allowed, denied = _symbols(tables, origins)
    no_shorts = [scope for scope, of in tables.items() if any(getattr(one, "allow_short", None) is False for one in of)]
    if Scope.DESK not in no_shorts:
        origins |= {"allow_short": f" scope={no_shorts[0]}"} if no_shorts else {}

    def seconds(name: str, bound: float) -> timedelta:
        return timedelta(seconds=max(bound, float(spec.limits.get(name, 0))))

    return Limits(
        symbols=frozenset(spec.symbols),
        quote_age_max=timedelta(seconds=stale_after_s),
        order_notional_max=Cash(each["order_notional_max"]),
        order_qty_max=Qty(each["order_qty_max"]),
        position_share_max=each["position_share_max"],
        duplicate_window=seconds("duplicate_window_s", risk.strategy.duplicate_window_s),
        stop_cooldown=seconds("stop_cooldown_s", risk.strategy.stop_cooldown_s),
        is_short_allowed=not no_shorts,
        member=_bounds(tables[Scope.MEMBER]),
        desk=_bounds(tables[Scope.DESK]),
        desk_symbols=allowed,
        denied_symbols=denied,
        price_collar=each["price_collar"],
        concentration_max=risk.desk.concentration_max,
        day_trade_rule=DayTradeRule(risk.desk.pattern_day_trader),
        may_wait_for_open=risk.desk.orders_wait_for_open,
        origins=origins,
        **own,
    )


def _origin(name: str, scopes: Sequence[Scope]) -> dict[str, str]:
    """Return by the bound's name which wider scopes it is of, as findings write it; nothing where it is the strategy's."""
    wider = [scope for scope in scopes if scope is not Scope.STRATEGY]
    return {name: f" scope={','.join(wider)}"} if wider else {}


def _symbols(tables: Tables, origins: dict[str, str]) -> tuple[frozenset[Symbol], frozenset[Symbol]]:
    """Return what every scope allows (empty: all), and what any of them denies; say in *origins* which do."""

    def said(name: str) -> dict[Scope, list[frozenset[Symbol]]]:
        lists = {
            scope: [frozenset(map(Symbol, getattr(one, name) or ())) for one in of if one]
            for scope, of in tables.items()
        }
        found = {scope: [symbols for symbols in of if symbols] for scope, of in lists.items()}
        origins.update(_origin(name, [scope for scope, symbols in found.items() if symbols]))
        return found

    lists = [symbols for of in said("symbols_allowed").values() for symbols in of]
    denied = frozenset().union(*(symbols for of in said("symbols_denied").values() for symbols in of))
    if not lists:
        return frozenset(), denied
    allowed = lists[0].intersection(*lists[1:])
    if allowed:
        return allowed, denied
    return lists[0], denied | lists[0]  # the lists have nothing in common: nothing is traded


def allocations_of(member: UserId, risk: RiskSection) -> Cash | None:
    """Return the capital that all of the member's strategies may have together; None: as much as each is to have."""
    capital = _least("allocation", [risk.member, risk.members.get(member)])
    return None if capital is None else Cash(capital)


def allocation_of(spec: StrategySpec, risk: RiskSection) -> Cash:
    """Return the capital that the strategy is to have."""
    named = risk.strategies.get(spec.strategy_id)
    own = None if named is None else named.allocation
    return Cash(risk.strategy.allocation if own is None else own)


def schedule_within(schedule: Schedule, desk: RiskScheduleSection) -> Schedule:
    """Return the strategy's schedule inside the desk's, which may have become tighter since it was read."""
    bounds = schedule_of(
        opens=desk.opens,
        closes=desk.closes,
        days=tuple(day for day in WEEK if day in desk.days),
        no_new_min=desk.no_new_before_close_min,
        flatten_min=desk.flatten_before_close_min,
    )
    return narrowed(schedule, bounds)


def limits_in_words(limits: Limits) -> tuple[tuple[str, str], ...]:
    """Return name and bound of every limit that holds, as a fact keeps them: those of wider scopes with their name."""
    return tuple(_words(limits, ""))


def _words(bounds: Limits | Bounds, prefix: str) -> Iterable[tuple[str, str]]:
    for one in fields(bounds):
        match getattr(bounds, one.name):
            case None:
                pass
            case Bounds() as wider:
                yield from _words(wider, f"{one.name}.")
            case dict():
                pass  # the origins, which the names tell, and the bounds in words
            case Decimal() as bound:
                yield f"{prefix}{one.name}", plain(bound)
            case timedelta() as bound:
                yield f"{prefix}{one.name}_s", f"{bound.total_seconds():g}"
            case frozenset() as symbols:
                yield f"{prefix}{one.name}", ",".join(sorted(symbols))
            case other:
                yield f"{prefix}{one.name}", str(other)


def _least(name: str, sections: Sequence[BaseModel | None], spec: StrategySpec | None = None) -> Decimal | None:
    said = [getattr(section, name) for section in sections if section is not None]
    bounds = [Decimal(bound) for bound in said if bound is not None]
    if spec is not None and name in spec.limits:
        bounds.append(spec.limits[name])
    return min(bounds, default=None)


def _tightest(
    names: Iterable[str], sections: Sequence[BaseModel | None], spec: StrategySpec | None = None
) -> dict[str, Any]:
    """Return the tightest bound of each name, of those that something bounds."""
    found = {name: _least(name, sections, spec) for name in names}
    return {n: int(bound) if n in _COUNTS else bound for n, bound in found.items() if bound is not None}


def _bounds(sections: Sequence[BaseModel | None]) -> Bounds:
    found = _tightest(_SUMMED, sections)
    return Bounds(**found) if found else UNBOUNDED


def timing_of(broker: BrokerSection) -> Timing:
    """Return how long the streams wait for what."""
    return Timing(
        ping_every_s=broker.stream_ping_s,
        ping_answer_s=broker.stream_ping_answer_s,
        reconnect_min_s=min(TIMING.reconnect_min_s, broker.stream_reconnect_max_s),
        reconnect_max_s=broker.stream_reconnect_max_s,
        refused_s=broker.stream_refused_s,
    )


def weights_of(risk: RiskSection) -> dict[StrategyId, float]:
    """Return how many turns at the broker strategies have for each one of another's: of those that are named."""
    named = ((StrategyId(name), section.order_weight) for name, section in risk.strategies.items())
    return {name: weight for name, weight in named if weight is not None}


def lane_rules_of(orders: OrdersSection) -> LaneRules:
    """Return what becomes of orders in conflict."""
    return LaneRules(conflict=ConflictPolicy(orders.conflict), hold_max=timedelta(seconds=orders.hold_max_s))
