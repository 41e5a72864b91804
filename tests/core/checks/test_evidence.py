"""Every limit, by a property: a tighter one never admits what a looser one denies."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from deskd.core import gate
from deskd.core.checks import Denied, Evidence, Figures, Scoped, Valued
from deskd.domain.limits import Bounds, DayTradeRule, Limits
from deskd.domain.order import Side
from tests.core.test_checks import evidence
from tests.factories import AAPL, NOON, SPY, a_limit_request, a_quote, a_request, cash, price, qty, some_limits

WHOLE = st.integers(0, 30)
SHARE = st.sampled_from([Decimal(n) / 20 for n in range(1, 41)])
MONEY = st.integers(0, 120).map(lambda n: cash(n * 100))
MAYBE = st.none()
# Every bound by its name: what it may be, and whether less is tighter. None is the loosest.
BOUNDS: dict[str, tuple[st.SearchStrategy[Any], bool]] = {
    "order_notional_max": (MONEY, True),
    "order_qty_max": (MAYBE | WHOLE.map(qty), True),
    "position_qty_max": (WHOLE.map(qty), True),
    "position_notional_max": (MONEY, True),
    "position_share_max": (MAYBE | SHARE, True),
    "price_collar": (MAYBE | SHARE, True),
    "concentration_max": (MAYBE | SHARE, True),
    "stop_cooldown": (st.integers(0, 90).map(lambda s: timedelta(seconds=s)), False),
    "duplicate_window": (st.integers(0, 90).map(lambda s: timedelta(seconds=s)), False),
    "quote_age_max": (st.integers(0, 60).map(lambda s: timedelta(seconds=s)), True),
    "is_short_allowed": (st.booleans(), True),
    "may_wait_for_open": (st.booleans(), True),
    "day_trade_rule": (st.sampled_from(DayTradeRule), False),
    "symbols": (st.sampled_from([frozenset({SPY}), frozenset({AAPL}), frozenset({AAPL, SPY})]), True),
    "desk_symbols": (st.sampled_from([frozenset({SPY}), frozenset({AAPL, SPY})]), True),
    "denied_symbols": (st.sampled_from([frozenset(), frozenset({SPY}), frozenset({AAPL})]), False),
}
SUMMED: dict[str, st.SearchStrategy[Any]] = {
    "open_orders_max": MAYBE | WHOLE,
    "orders_per_day_max": MAYBE | WHOLE,
    "orders_per_minute_max": MAYBE | WHOLE,
    "gross_exposure_max": MAYBE | SHARE,
    "net_exposure_max": MAYBE | SHARE,
    "daily_loss_max": MAYBE | MONEY,
    "drawdown_max": MAYBE | SHARE,
}
NOT_NONE = {"open_orders_max", "orders_per_day_max"}  # of a strategy
REQUESTS = st.builds(
    lambda side, shares, limit: (a_request if limit is None else a_limit_request)(
        **({} if limit is None else {"limit_price": str(limit)}), side=side, qty=qty(shares)
    ),
    st.sampled_from(Side),
    st.integers(1, 40),
    MAYBE | st.integers(50, 200),
)
FIGURES = st.builds(
    Figures,
    open_orders=WHOLE,
    orders_today=WHOLE,
    orders_this_minute=WHOLE,
    allocation=MONEY,
    equity=MONEY,
    day_pnl=st.integers(-50, 50).map(lambda n: cash(n * 20)),
    peak_equity=MONEY,
    longs=MONEY,
    shorts=MONEY,
    buying=MONEY,
    selling=MONEY,
)


def is_tighter(one: Any, other: Any, *, less: bool) -> bool:
    if one is None or other is None:
        return other is None
    if isinstance(one, DayTradeRule):
        order = list(DayTradeRule)
        return order.index(one) >= order.index(other)
    return bool(one <= other if less else one >= other)


@st.composite
def some_evidence(draw: st.DrawFn) -> tuple[Evidence, dict[str, Any]]:
    """Draw an order with every bound, and beside it another bound of each."""
    drawn = {name: draw(kind) for name, (kind, _) in BOUNDS.items()}
    own = {name: draw(kind) for name, kind in SUMMED.items()}
    own |= {name: own[name] or 25 for name in NOT_NONE}
    limits = some_limits(**drawn, **own)
    made = evidence(
        request=draw(REQUESTS),
        limits=limits,
        quote=a_quote(received_at=NOON - timedelta(seconds=draw(st.integers(0, 40)))),
        position_qty=qty(draw(st.integers(-30, 30))),
        promised_qty=qty(draw(st.integers(0, 5))),
        opening_qty=qty(draw(st.integers(0, 5))),
        margin_per_share=price(150),
        buying_power=draw(MONEY),
        last_same_at=draw(MAYBE | st.just(NOON - timedelta(seconds=30))),
        last_stop_at=draw(MAYBE | st.just(NOON - timedelta(seconds=60))),
        symbol_value=cash(draw(st.integers(-4000, 4000))),
        account_equity=draw(MONEY),
        day_trades=draw(st.integers(0, 4)),
    )
    member, desk = (Bounds(**{name: draw(kind) for name, kind in SUMMED.items()}) for _ in range(2))
    scopes = tuple(Scoped("", bounds, draw(FIGURES)) for bounds in (limits, member, desk))
    other = {name: draw(kind) for name, (kind, _) in BOUNDS.items()}
    other |= {name: draw(kind) for name, kind in SUMMED.items()}
    return replace(made, scopes=scopes), other


@given(some_evidence(), st.sampled_from([*BOUNDS, *SUMMED]), st.integers(0, 2))
def test_a_tighter_limit_never_admits_more(drawn: tuple[Evidence, dict[str, Any]], name: str, scope: int) -> None:
    """Whatever the order and all other bounds, at every scope: who tightens one of them only gets more denials."""
    before, others = drawn
    limits, scopes = before.limits, list(before.scopes)
    other = others[name]
    scope = 0 if name in BOUNDS else scope
    if scope == 0 and name in NOT_NONE and other is None:
        other = 25
    bounds: Limits | Bounds = scopes[scope].bounds
    changed = replace(bounds, **{name: other})
    scopes[scope] = scopes[scope]._replace(bounds=changed)
    after = replace(before, limits=changed if isinstance(changed, Limits) else limits, scopes=tuple(scopes))
    less = BOUNDS[name][1] if name in BOUNDS else True
    tight, loose = (after, before) if is_tighter(other, getattr(bounds, name), less=less) else (before, after)
    if isinstance(gate.judge(tight).answer, Valued):
        assert isinstance(gate.judge(loose).answer, Valued)


@given(some_evidence())
def test_every_no_has_figure_and_remedy_and_nothing_raises(drawn: tuple[Evidence, dict[str, Any]]) -> None:
    """Whatever the figures, the gate answers, and each check says what it looked at."""
    verdict = gate.judge(drawn[0])
    assert all("=" in found.figure for found in verdict.checks)
    if isinstance(verdict.answer, Denied):
        assert ": " in verdict.answer.message


def test_every_bound_is_tried() -> None:
    """A limit that is added is one that this file is about."""
    is_bound = set(Limits.__dataclass_fields__) - {"member", "desk", "origins", "words"}
    assert is_bound == {*BOUNDS, *SUMMED}
    assert set(Bounds.__dataclass_fields__) - {"words"} == set(SUMMED)
