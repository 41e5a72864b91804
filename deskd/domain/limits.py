"""The numbers that the gate enforces.

A scope is who a bound is for: one strategy, all strategies of one member, or the whole desk. Of every bound the
tightest holds. What a wider scope bounds is the sum over its strategies, so that nobody gains by having several.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from deskd.domain.ids import Symbol
from deskd.domain.money import Cash, Qty, plain

type Share = Decimal  # 0.2 is a fifth

# How findings write a bound that is a number, a text as it is; all else of one is worked out with figures.
_AS_MONEY = frozenset({"order_notional_max", "position_notional_max", "daily_loss_max"})


class Scope(StrEnum):
    """Who a bound is for."""

    STRATEGY = "strategy"
    MEMBER = "member"
    DESK = "desk"


class DayTradeRule(StrEnum):
    """What the classic pattern-day-trader rule does here (gone from the exchanges' rules since 2026)."""

    OFF = "off"
    WARN = "warn"
    ENFORCE = "enforce"


def _written(bounds: "Bounds | Limits", origins: Mapping[str, str]) -> Mapping[str, str]:
    """Return by name each bound that there is, as `name=bound`, with the scope that it is of behind it."""
    found = {}
    for name in (one.name for one in fields(bounds) if one.init):
        origin = origins.get(name, "")
        match getattr(bounds, name):
            case Decimal() as bound:
                found[name] = f"{name}={f'{bound:.2f}' if name in _AS_MONEY else plain(bound)}{origin}"
            case timedelta() as bound:
                found[name] = f"{name}_s={bound.total_seconds():g}{origin}"
            case bool():
                pass
            case int() as count:
                found[name] = f"{name}={count}{origin}"
            case _:
                pass
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a member, or the desk, may come to: sums over strategies. None: no bound."""

    open_orders_max: int | None = None
    orders_per_day_max: int | None = None
    orders_per_minute_max: int | None = None
    gross_exposure_max: Share | None = None  # of the scope's allocations
    net_exposure_max: Share | None = None  # of the scope's allocations
    daily_loss_max: Cash | None = None
    drawdown_max: Share | None = None  # of the peak of the scope's equity
    position_qty_max: Qty | None = None  # of one symbol: its longs together, its shorts together
    position_notional_max: Cash | None = None
    position_share_max: Share | None = None  # of the scope's equity
    # Each bound as findings write it, made once: limits change seldom, and every order asks for all of them.
    words: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Write the bounds down."""
        object.__setattr__(self, "words", _written(self, {}))


UNBOUNDED = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One strategy's limits. None: no such bound; whoever builds the limits of a real desk names every one."""

    symbols: frozenset[Symbol]  # what the strategy may trade
    quote_age_max: timedelta
    order_notional_max: Cash
    position_qty_max: Qty
    position_notional_max: Cash
    open_orders_max: int
    orders_per_day_max: int
    duplicate_window: timedelta
    is_short_allowed: bool
    order_qty_max: Qty | None = None
    position_share_max: Share | None = None  # of the strategy's equity
    price_collar: Share | None = None  # how far a limit price may lie through the far side
    stop_cooldown: timedelta = timedelta(0)  # after a stop closed a position: nothing opens in the symbol
    orders_per_minute_max: int | None = None
    gross_exposure_max: Share | None = None
    net_exposure_max: Share | None = None
    daily_loss_max: Cash | None = None
    drawdown_max: Share | None = None
    member: Bounds = UNBOUNDED
    desk: Bounds = UNBOUNDED
    desk_symbols: frozenset[Symbol] = frozenset()  # that officers let it trade; empty: all
    denied_symbols: frozenset[Symbol] = frozenset()  # that they do not
    concentration_max: Share | None = None  # one symbol in all books together, of the account's equity
    day_trade_rule: DayTradeRule = DayTradeRule.OFF
    may_wait_for_open: bool = False  # orders while the market is closed, which wait at the broker
    # By the bound's name, ` scope=...` of those that a wider scope made tighter; for findings.
    origins: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(init=False, repr=False, compare=False)  # each bound as findings write it

    def __post_init__(self) -> None:
        """Write the bounds down."""
        object.__setattr__(self, "words", _written(self, self.origins))

    @property
    def no_shorts(self) -> str:
        """Return in words who has shorts off."""
        origin = self.origin("allow_short")
        return f"shorts are off (allow_short=false{origin})" if origin else "shorts are off on this desk"

    def origin(self, name: str) -> str:
        """Return from which scope the bound is, as it stands behind it; nothing where it is the strategy's own."""
        return self.origins.get(name, "")
