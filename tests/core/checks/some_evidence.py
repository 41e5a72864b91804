"""Orders with all that a check looks at, drawn; and beside each bound and each state another value of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
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
from deskd.domain.schedule import DAY_MIN, WEEK, Schedule, narrowed
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

WHOLE = st.integers(0, 30)
SHARES = WHOLE.map(qty)
SHARE = st.sampled_from([Decimal(n) / 20 for n in range(1, 41)])
FRACTION = st.sampled_from([Decimal(n) / 20 for n in range(1, 21)])  # of what is there: not more than all of it
MONEY = st.integers(0, 120).map(lambda n: cash(n * 100))
PNL = st.integers(-50, 50).map(lambda n: cash(n * 20))
MAYBE = st.none()
SECONDS = st.integers(0, 90).map(lambda s: timedelta(seconds=s))
PAST = MAYBE | SECONDS.map(lambda ago: NOON - ago)


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

    kind: st.SearchStrategy[Any]
    stricter: Callable[[Any, Any], Any]
    put: Callable[[Evidence, Any, int], Evidence]  # the number is the scope's, where it has several
    get: Callable[[Evidence, int], Any]


# --- limits ----------------------------------------------------------------------------------------------------------

# Every bound of a strategy by its name. None is the loosest.
BOUNDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any, Any], Any]]] = {
    "order_notional_max": (MONEY, least),
    "order_qty_max": (MAYBE | SHARES, least),
    "position_qty_max": (SHARES, least),
    "position_notional_max": (MONEY, least),
    "position_share_max": (MAYBE | SHARE, least),
    "price_collar": (MAYBE | SHARE, least),
    "concentration_max": (MAYBE | SHARE, least),
    "stop_cooldown": (SECONDS, most),
    "duplicate_window": (SECONDS, most),
    "quote_age_max": (st.integers(0, 60).map(lambda s: timedelta(seconds=s)), least),
    "is_short_allowed": (st.booleans(), least),
    "may_wait_for_open": (st.booleans(), least),
    "day_trade_rule": (st.sampled_from(DayTradeRule), last_of(*DayTradeRule)),
    "symbols": (st.sampled_from([frozenset({SPY}), frozenset({AAPL}), frozenset({AAPL, SPY})]), frozenset.intersection),
    "desk_symbols": (st.sampled_from([frozenset({SPY}), frozenset({AAPL, SPY})]), frozenset.intersection),
    "denied_symbols": (st.sampled_from([frozenset(), frozenset({SPY}), frozenset({AAPL})]), frozenset.union),
}
# And those of every scope.
SUMMED: dict[str, st.SearchStrategy[Any]] = {
    "open_orders_max": MAYBE | WHOLE,
    "orders_per_day_max": MAYBE | WHOLE,
    "orders_per_minute_max": MAYBE | WHOLE,
    "gross_exposure_max": MAYBE | SHARE,
    "net_exposure_max": MAYBE | SHARE,
    "daily_loss_max": MAYBE | MONEY,
    "drawdown_max": MAYBE | FRACTION,
}
NOT_NONE = {"open_orders_max", "orders_per_day_max"}  # of a strategy


def _bound(name: str, kind: st.SearchStrategy[Any], stricter: Callable[[Any, Any], Any], *, is_summed: bool) -> Part:
    def put(e: Evidence, value: Any, scope: int) -> Evidence:
        at = scope if is_summed else 0
        bounds: Limits | Bounds = replace(e.scopes[at].bounds, **{name: value})
        scopes = [*e.scopes]
        scopes[at] = scopes[at]._replace(bounds=bounds)
        return replace(e, limits=bounds if isinstance(bounds, Limits) else e.limits, scopes=tuple(scopes))

    return Part(kind, stricter, put, lambda e, scope: getattr(e.scopes[scope if is_summed else 0].bounds, name))


LIMITS: dict[str, Part] = {
    **{name: _bound(name, kind, stricter, is_summed=False) for name, (kind, stricter) in BOUNDS.items()},
    **{name: _bound(name, kind, least, is_summed=True) for name, kind in SUMMED.items()},
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


MINUTES = st.integers(0, 30).map(lambda m: timedelta(minutes=m))
SCHEDULES = st.just(Schedule()) | st.builds(
    Schedule,
    opens_min=st.integers(0, DAY_MIN),
    closes_min=st.integers(0, DAY_MIN),
    days=st.sampled_from([WEEK, ("mon",), ("tue", "wed"), ()]),
    no_new_before_close=MINUTES,
    flatten_before_close=MINUTES,
)
CLOCKS = st.builds(
    lambda left, is_open: MarketClock(
        timestamp=NOON, is_open=is_open, next_open=NOON + timedelta(hours=20), next_close=NOON + left
    ),
    st.integers(1, 40).map(lambda m: timedelta(minutes=m)),
    st.booleans(),
)
DAYS = st.builds(
    lambda opens, closes: replace(DAY, open_at=NOON + opens, close_at=NOON + closes),
    st.sampled_from([timedelta(hours=-2), timedelta(seconds=1)]),
    st.sampled_from([timedelta(0), timedelta(hours=4)]),
)
QUOTES = (a_quote(), a_quote(bid_price=price(101)), None)
# Every state by its name, as a field of Evidence is named: the kind, the stricter of two.
FIELDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any, Any], Any]]] = {
    "status": (st.sampled_from(StrategyStatus), lambda one, other: other if one is StrategyStatus.ACTIVE else one),
    "stage": (st.sampled_from(Stage), lambda one, other: one if other.is_looser_than(one) else other),
    "kill": (
        MAYBE | st.sampled_from(KillDepth).map(_kill),
        lambda one, other: other if one is None or (other and other.depth.reaches(one.depth)) else one,
    ),
    "frozen": (MAYBE | st.just(SymbolFrozen(symbol=AAPL, why="5 more", at=NOON)), any_of),
    "exit_under_way": (MAYBE | st.sampled_from(ExitKind), any_of),
    "instrument": (
        MAYBE
        | st.builds(
            an_instrument, is_tradable=st.booleans(), is_shortable=st.booleans(), is_fractionable=st.booleans()
        ),
        _fewer_abilities,
    ),
    "quote": (st.sampled_from(QUOTES), _without_a_price),
    "is_halted": (st.booleans(), most),
    "is_calendar_known": (st.booleans(), least),
    "trading_day": (MAYBE | DAYS, _shorter_day),
    "clock": (MAYBE | CLOCKS, _known_by_both),
    "schedule": (SCHEDULES, narrowed),
    "last_same_at": (PAST, most),
    "last_stop_at": (PAST, most),
    "buying_power": (MONEY, least),
    "margin_per_share": (st.sampled_from([price(0), price(100), price(150)]), least),
    "symbol_opening_qty": (SHARES, most),
    "account_equity": (MONEY, least),
    "day_trades": (st.integers(0, 5), most),
}
# And what a scope has come to.
FIGURES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any, Any], Any]]] = {
    "open_orders": (WHOLE, most),
    "orders_today": (WHOLE, most),
    "orders_this_minute": (WHOLE, most),
    "allocation": (MONEY, least),
    "equity": (MONEY, least),
    "day_pnl": (PNL, least),
    "peak_equity": (MONEY, lambda one, other: max(one, other) if one and other else cash(0)),  # zero: nobody knows one
    "buying": (MONEY, most),
    "selling": (MONEY, most),
}
# Of these no value is the stricter one: what is asked for, when, what is held, and what the rest is measured against.
NOT_STRICTER = {"request", "now", "market_day", "position_qty", "freed", "is_closing", "is_exit", "limits", "scopes"}


def _field(name: str, kind: st.SearchStrategy[Any], stricter: Callable[[Any, Any], Any]) -> Part:
    return Part(kind, stricter, lambda e, value, _: replace(e, **{name: value}), lambda e, _: getattr(e, name))


def _figure(name: str, kind: st.SearchStrategy[Any], stricter: Callable[[Any, Any], Any]) -> Part:
    def put(e: Evidence, value: Any, scope: int) -> Evidence:
        name_now = _exposure(e) if name == "exposure" else name
        scopes = [*e.scopes]
        scopes[scope] = scopes[scope]._replace(figures=scopes[scope].figures._replace(**{name_now: value}))
        return replace(e, scopes=tuple(scopes))

    def get(e: Evidence, scope: int) -> Any:
        return getattr(e.scopes[scope].figures, _exposure(e) if name == "exposure" else name)

    return Part(kind, stricter, put, get)


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
def some_evidence(draw: st.DrawFn) -> Evidence:
    """Draw an order that is mostly allowed, with some limits and states that are any."""
    made = replace(
        evidence(request=draw(REQUESTS), position_qty=qty(draw(st.integers(-30, 30)))),
        freed=draw(st.sampled_from([NOTHING, A_BUY])),
        is_closing=draw(st.integers(0, 9)) == 0,
        is_exit=draw(st.integers(0, 9)) == 0,
    )
    figures = made.own._replace(day_pnl=draw(PNL))
    bounds: tuple[Limits | Bounds, ...] = (made.limits, Bounds(), Bounds())
    made = replace(made, scopes=tuple(Scoped(said, bound, figures) for said, bound in zip(SAID, bounds, strict=True)))
    for name in draw(st.lists(st.sampled_from(sorted(PARTS)), max_size=12, unique=True)):
        for scope in range(3) if name in SCOPED else (0,):
            made = put(made, name, draw(PARTS[name].kind), scope)
    return made


def put(e: Evidence, name: str, value: Any, scope: int = 0) -> Evidence:
    """Return the evidence with another value there."""
    is_needed = name in NOT_NONE and scope == 0
    return PARTS[name].put(e, 25 if is_needed and value is None else value, scope)


def made_stricter(e: Evidence, name: str, value: Any, scope: int = 0) -> Evidence:
    """Return the evidence with the stricter of what is there and *value*."""
    part = PARTS[name]
    return part.put(e, part.stricter(part.get(e, scope), value), scope)
