"""Orders with all that a check looks at, drawn; and beside each bound and each state another value of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import hypothesis.strategies as st

from deskd.core.checks import Evidence, Scoped
from deskd.core.kills import Kills
from deskd.core.reservation import NOTHING, Reservation
from deskd.domain.events import SymbolFrozen
from deskd.domain.exits import ExitKind
from deskd.domain.kill import THE_DESK, KillDepth
from deskd.domain.limits import Bounds, DayTradeRule, Limits
from deskd.domain.market import Instrument, MarketClock, Quote, TradingDay
from deskd.domain.order import OrderType, Side, TimeInForce
from deskd.domain.run import StrategyStatus
from deskd.domain.schedule import Schedule, narrowed
from deskd.domain.stage import Stage
from tests.core.test_checks import evidence
from tests.factories import (
    AAPL,
    DAY,
    NOON,
    SPY,
    a_kill,
    a_quote,
    a_request,
    an_instrument,
    cash,
    price,
    qty,
)

# What each thing may be: few values, so that they meet.
WHOLE = (0, 1, 4, 5, 6, 10, 25, 30)
SHARES = tuple(map(qty, WHOLE))
SHARE = tuple(Decimal(n) / 20 for n in (1, 2, 5, 10, 19, 20, 21, 40))
FRACTION = SHARE[:-2]  # of what is there: not more than all of it
MONEY = tuple(cash(n) for n in (0, 100, 500, 1_000, 1_500, 2_000, 5_000, 10_000, 24_999, 25_000))
PNL = tuple(cash(n) for n in (-1_000, -500, -20, 0, 20, 500, 1_000))
BOOLEANS = (False, True)
SECONDS = tuple(timedelta(seconds=s) for s in (0, 1, 30, 31, 60, 90))
PAST = (None, *(NOON - ago for ago in SECONDS))


def least(one: Any, other: Any) -> Any:
    """Return the smaller; None is no bound."""
    return one if other is None else other if one is None else min(one, other)


def most(one: Any, other: Any) -> Any:
    """Return the greater; None is none at all."""
    return one if other is None else other if one is None else max(one, other)


def any_of(one: Any, other: Any) -> Any:
    """Return what is there."""
    return one or other


def last_of(*values: Any) -> Callable[[Any, Any], Any]:
    """Return what takes the stricter of two of *values*, the strictest last."""
    return lambda one, other: max(one, other, key=values.index)


def _kill(depth: KillDepth) -> Any:
    kills = Kills()
    kills.engage(a_kill(depth=depth))
    return kills.in_force[THE_DESK]


@dataclass(frozen=True)
class Part:
    """Something that can be stricter: what it may be, the stricter of two, and where it is."""

    values: tuple[Any, ...]
    stricter: Callable[[Any, Any], Any]
    put: Callable[[Evidence, Any, int], Evidence]  # the number is the scope's, where it has several
    get: Callable[[Evidence, int], Any]


# --- limits ----------------------------------------------------------------------------------------------------------

# Every bound of a strategy by its name. None is the loosest.
BOUNDS: dict[str, tuple[tuple[Any, ...], Callable[[Any, Any], Any]]] = {
    "order_notional_max": (MONEY, least),
    "order_qty_max": ((None, *SHARES), least),
    "price_collar": ((None, *SHARE), least),
    "concentration_max": ((None, *SHARE), least),
    "stop_cooldown": (SECONDS, most),
    "duplicate_window": (SECONDS, most),
    "quote_age_max": (SECONDS, least),
    "is_short_allowed": (BOOLEANS, least),
    "may_wait_for_open": (BOOLEANS, least),
    "day_trade_rule": (tuple(DayTradeRule), last_of(*DayTradeRule)),
    "symbols": ((frozenset({SPY}), frozenset({AAPL}), frozenset({AAPL, SPY})), frozenset.intersection),
    "desk_symbols": ((frozenset({SPY}), frozenset({AAPL, SPY})), frozenset.intersection),
    "denied_symbols": ((frozenset(), frozenset({SPY}), frozenset({AAPL})), frozenset.union),
}
# And those of every scope.
SUMMED: dict[str, tuple[Any, ...]] = {
    "open_orders_max": (None, *WHOLE),
    "orders_per_day_max": (None, *WHOLE),
    "orders_per_minute_max": (None, *WHOLE),
    "gross_exposure_max": (None, *SHARE),
    "net_exposure_max": (None, *SHARE),
    "daily_loss_max": (None, *MONEY),
    "drawdown_max": (None, *FRACTION),
    "position_qty_max": (None, *SHARES),
    "position_notional_max": (None, *MONEY),
    "position_share_max": (None, *SHARE),
}
NOT_NONE = {"open_orders_max", "orders_per_day_max", "position_qty_max", "position_notional_max"}  # of a strategy


def _bound(name: str, values: tuple[Any, ...], stricter: Callable[[Any, Any], Any], *, is_summed: bool) -> Part:
    def put(e: Evidence, value: Any, scope: int) -> Evidence:
        at = scope if is_summed else 0
        bounds: Limits | Bounds = replace(e.scopes[at].bounds, **{name: value})
        scopes = [*e.scopes]
        scopes[at] = scopes[at]._replace(bounds=bounds)
        return replace(e, limits=bounds if isinstance(bounds, Limits) else e.limits, scopes=tuple(scopes))

    return Part(values, stricter, put, lambda e, scope: getattr(e.scopes[scope if is_summed else 0].bounds, name))


LIMITS: dict[str, Part] = {
    **{name: _bound(name, values, stricter, is_summed=False) for name, (values, stricter) in BOUNDS.items()},
    **{name: _bound(name, values, least, is_summed=True) for name, values in SUMMED.items()},
}

# --- states ----------------------------------------------------------------------------------------------------------


def _fewer_abilities(one: Instrument | None, other: Instrument | None) -> Instrument | None:
    if one is None or other is None:
        return None
    names = ("is_tradable", "is_shortable", "is_fractionable")
    return an_instrument(**{name: getattr(one, name) and getattr(other, name) for name in names})


def _shorter_day(one: TradingDay | None, other: TradingDay | None) -> TradingDay | None:
    if one is None or other is None:
        return None
    return replace(one, open_at=max(one.open_at, other.open_at), close_at=min(one.close_at, other.close_at))


def _without_a_price(one: Quote | None, other: Quote | None) -> Quote | None:
    is_priced = one is not None and one.is_two_sided and (other is None or not other.is_two_sided)
    return other if is_priced else one


def _known_by_both(one: Any, other: Any) -> Any:
    """Two that are known are two different states, and none of them is the stricter: what is unknown is."""
    return None if other is None else one


SCHEDULES = (
    Schedule(),
    Schedule(opens_min=12 * 60),  # New York's noon, which it is
    Schedule(opens_min=12 * 60 + 1),
    Schedule(closes_min=12 * 60),
    Schedule(opens_min=9 * 60, closes_min=16 * 60, no_new_before_close=timedelta(minutes=5)),
    Schedule(days=("mon", "tue"), flatten_before_close=timedelta(minutes=10)),
    Schedule(days=("tue",)),
    Schedule(no_new_before_close=timedelta(minutes=10)),
)
CLOCKS = tuple(
    MarketClock(timestamp=NOON, is_open=is_open, next_open=NOON + timedelta(hours=20), next_close=NOON + left)
    for left in (timedelta(minutes=5), timedelta(minutes=10), timedelta(hours=4))
    for is_open in BOOLEANS
)
DAYS = tuple(
    replace(DAY, open_at=NOON + opens, close_at=NOON + closes)
    for opens in (timedelta(hours=-2), timedelta(seconds=1))
    for closes in (timedelta(0), timedelta(hours=4))
)
INSTRUMENTS = tuple(
    an_instrument(is_tradable=a, is_shortable=b, is_fractionable=c) for a, b, c in product(BOOLEANS, repeat=3)
)
QUOTES = (a_quote(), a_quote(bid_price=price(101)), None)
# Every state by its name, as a field of Evidence is named: the kind, the stricter of two.
FIELDS: dict[str, tuple[tuple[Any, ...], Callable[[Any, Any], Any]]] = {
    "status": (tuple(StrategyStatus), lambda one, other: other if one is StrategyStatus.ACTIVE else one),
    "stage": (tuple(Stage), lambda one, other: one if other.is_looser_than(one) else other),
    "kill": (
        (None, *map(_kill, KillDepth)),
        lambda one, other: one if other is None or (one and one.depth.reaches(other.depth)) else other,
    ),
    "frozen": ((None, SymbolFrozen(symbol=AAPL, why="5 more", at=NOON)), any_of),
    "exit_under_way": ((None, *ExitKind), any_of),
    "instrument": ((None, *INSTRUMENTS), _fewer_abilities),
    "quote": (QUOTES, _without_a_price),
    "is_halted": (BOOLEANS, most),
    "is_calendar_known": (BOOLEANS, least),
    "trading_day": ((None, *DAYS), _shorter_day),
    "clock": ((None, *CLOCKS), _known_by_both),
    "schedule": (SCHEDULES, narrowed),
    "last_same_at": (PAST, most),
    "last_stop_at": (PAST, most),
    "buying_power": (MONEY, least),
    "account_free": (MONEY, least),
    "margin_per_share": ((price(0), price(100), price(150)), least),
    "symbol_opening_qty": (SHARES, most),
    "account_equity": (MONEY, least),
    "day_trades": ((0, 2, 3, 4), most),
}
# And what a scope has come to.
FIGURES: dict[str, tuple[tuple[Any, ...], Callable[[Any, Any], Any]]] = {
    "open_orders": (WHOLE, most),
    "orders_today": (WHOLE, most),
    "orders_this_minute": (WHOLE, most),
    "allocation": (MONEY, least),
    "equity": (MONEY, least),
    "day_pnl": (PNL, least),
    "peak_equity": (MONEY, lambda one, other: max(one, other) if one and other else cash(0)),  # zero: nobody knows one
    "buying": (MONEY, most),
    "selling": (MONEY, most),
    "others_qty": (SHARES, most),
}
# Of these no value is the stricter one: what is asked for, when, what is held, and what the rest is measured against.
NOT_STRICTER = {"request", "now", "market_day", "position_qty", "freed", "is_closing", "is_exit", "limits", "scopes"}


def _field(name: str, values: tuple[Any, ...], stricter: Callable[[Any, Any], Any]) -> Part:
    return Part(values, stricter, lambda e, value, _: replace(e, **{name: value}), lambda e, _: getattr(e, name))


def _figure(name: str, values: tuple[Any, ...], stricter: Callable[[Any, Any], Any]) -> Part:
    def put(e: Evidence, value: Any, scope: int) -> Evidence:
        name_now = _exposure(e) if name == "exposure" else name
        scopes = [*e.scopes]
        scopes[scope] = scopes[scope]._replace(figures=scopes[scope].figures._replace(**{name_now: value}))
        return replace(e, scopes=tuple(scopes))

    def get(e: Evidence, scope: int) -> Any:
        return getattr(e.scopes[scope].figures, _exposure(e) if name == "exposure" else name)

    return Part(values, stricter, put, get)


def _exposure(e: Evidence) -> str:
    """Name the positions that the order would add to: more of the others is not stricter."""
    return "longs" if e.request.side is Side.BUY else "shorts"


def _more_open_orders(e: Evidence, shares: Any, _: int) -> Evidence:
    """Return the evidence with another open order of the strategy's own, of the same side."""
    more = {"opening_qty": e.opening_qty + shares, "symbol_opening_qty": e.symbol_opening_qty + shares}
    if e.request.side is Side.SELL:
        more["promised_qty"] = e.promised_qty + shares
    return replace(e, **more)


def _older_quote(e: Evidence, age: timedelta, _: int) -> Evidence:
    if e.quote is None:
        return e
    return replace(e, quote=replace(e.quote, quoted_at=NOON - age, received_at=NOON - age))


def _in_the_symbol(e: Evidence, value: Any, _: int) -> Evidence:
    return replace(e, symbol_value=e.request.side.sign * value)


STATES: dict[str, Part] = {
    **{name: _field(name, *what) for name, what in FIELDS.items()},
    **{name: _figure(name, *what) for name, what in FIGURES.items()},
    "exposure": _figure("exposure", MONEY, most),
    "own_open_orders": Part(SHARES, most, _more_open_orders, lambda _e, _scope: qty(0)),
    "quote_age": Part(
        SECONDS, most, _older_quote, lambda e, _: timedelta(0) if e.quote is None else NOON - e.quote.received_at
    ),
    "symbol_value": Part(PNL, most, _in_the_symbol, lambda e, _: e.request.side.sign * e.symbol_value),
}
PARTS: Mapping[str, Part] = {**LIMITS, **STATES}

# --- evidence --------------------------------------------------------------------------------------------------------

A_BUY = Reservation(cash=cash(500), qty=qty(0), opening=qty(5), price=price(100))  # held by what this one is to replace
SAID = ("", " scope=member", " scope=desk")
SCOPED = {*SUMMED, *FIGURES, "exposure"}
REQUESTS = st.builds(
    lambda side, shares, how: a_request(**{"side": side, "qty": qty(shares)} | how),
    st.sampled_from(Side),
    st.integers(1, 40),
    st.one_of(
        st.just({}),
        st.integers(50, 200).map(lambda limit: {"order_type": OrderType.LIMIT, "limit_price": price(limit)}),
        st.integers(90, 110).map(lambda stop: {"order_type": OrderType.STOP, "stop_price": price(stop)}),
        st.just({"order_type": OrderType.LIMIT, "limit_price": price(100), "extended_hours": True}),
        st.just({"time_in_force": TimeInForce.OPG}),
        st.just({"qty": qty("1.5")}),
        st.integers(1, 40).map(lambda n: {"qty": None, "notional": cash(100 * n)}),
    ),
)


@st.composite
def an_order(draw: st.DrawFn) -> Evidence:
    """Draw an order that is within wide limits, if it is not a sale of too much."""
    made = replace(
        evidence(request=draw(REQUESTS), position_qty=qty(draw(st.sampled_from([-30, -5, 0, 5, 30])))),
        freed=draw(st.sampled_from([NOTHING, A_BUY])),
    )
    bounds: tuple[Limits | Bounds, ...] = (made.limits, Bounds(), Bounds())
    scopes = (Scoped(said, of_scope, made.own) for said, of_scope in zip(SAID, bounds, strict=True))
    return replace(made, scopes=tuple(scopes))


@st.composite
def some_evidence(draw: st.DrawFn) -> Evidence:
    """Draw an order with some limits and states that are any; some are the desk's own to close, some exits."""
    made = draw(an_order())
    made = replace(made, is_closing=draw(st.integers(0, 9)) == 0, is_exit=draw(st.integers(0, 9)) == 0)
    for name in draw(st.lists(st.sampled_from(sorted(PARTS)), max_size=12, unique=True)):
        for scope in range(3) if name in SCOPED else (0,):
            made = put(made, name, draw(st.sampled_from(PARTS[name].values)), scope)
    return made


def put(e: Evidence, name: str, value: Any, scope: int = 0) -> Evidence:
    """Return the evidence with another value there."""
    is_needed = name in NOT_NONE and scope == 0
    return PARTS[name].put(e, 25 if is_needed and value is None else value, scope)


def made_stricter(e: Evidence, name: str, value: Any, scope: int = 0) -> Evidence:
    """Return the evidence with the stricter of what is there and *value*."""
    part = PARTS[name]
    return part.put(e, part.stricter(part.get(e, scope), value), scope)
