"""Every check, by a property: a stricter limit or state never admits what a looser one denies."""

from collections.abc import Iterator
from itertools import takewhile

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from deskd.core import gate
from deskd.core.checks import Denied, Evidence, Figures, Valued
from deskd.domain.limits import Bounds, Limits
from tests.core.checks.some_evidence import (
    BOUNDS,
    FIELDS,
    FIGURES,
    NOT_STRICTER,
    PARTS,
    SUMMED,
    an_order,
    made_stricter,
    put,
    some_evidence,
)

# By check, what makes it stricter. What has nothing here looks at the order alone, and at the price.
LOOKS_AT: dict[str, set[str]] = {
    "is_not_killed": {"kill"},
    "strategy_is_active": {"status"},
    "strategy_is_not_paused": {"stage"},
    "symbol_is_allowed": {"symbols", "own_open_orders"},
    "symbol_is_not_denied": {"desk_symbols", "denied_symbols", "own_open_orders"},
    "symbol_is_known": {"instrument"},
    "symbol_is_tradable": {"instrument"},
    "symbol_is_not_frozen": {"frozen"},
    "symbol_is_not_halted": {"is_halted"},
    "form_is_valid": set(),
    "prices_are_in_pennies": set(),
    "quantity_is_sold_so": {"instrument"},
    "open_orders_are_few": {"open_orders", "open_orders_max", "own_open_orders"},
    "orders_today_are_few": {"orders_today", "orders_per_day_max", "own_open_orders"},
    "orders_this_minute_are_few": {"orders_this_minute", "orders_per_minute_max"},
    "is_no_duplicate": {"last_same_at", "duplicate_window"},
    "quote_is_there": set(),
    "quote_is_fresh": {"quote_age", "quote_age_max"},
    "market_is_open": {"is_calendar_known", "trading_day", "may_wait_for_open"},
    "price_is_near": {"price_collar"},
    "stop_is_ahead": set(),
    "only_reduces": {"kill"},
    "within_hours": {"schedule", "clock"},
    "close_is_far": {"schedule", "clock"},
    "order_qty_is_small": {"order_qty_max"},
    "order_notional_is_small": {"order_notional_max"},
    "sells_what_it_has": {"is_short_allowed", "instrument"},
    "no_exit_is_under_way": {"exit_under_way"},
    "position_qty_is_small": {"position_qty_max", "others_qty"},
    "position_notional_is_small": {"position_notional_max", "others_qty"},
    "position_share_is_small": {"position_share_max", "equity", "others_qty"},
    "day_loss_is_small": {"daily_loss_max", "day_pnl"},
    "drawdown_is_small": {"drawdown_max", "equity", "peak_equity"},
    "day_trades_are_few": {"day_trade_rule", "day_trades", "account_equity"},
    "stop_is_past": {"last_stop_at", "stop_cooldown"},
    "gross_exposure_is_small": {"gross_exposure_max", "allocation", "exposure", "buying", "selling"},
    "net_exposure_is_small": {"net_exposure_max", "allocation", "exposure", "buying", "selling"},
    "concentration_is_small": {"concentration_max", "account_equity", "symbol_value", "symbol_opening_qty"},
    "buying_power_suffices": {"buying_power", "account_free", "margin_per_share"},
    "closes_what_is_free": set(),
}

CHECKS = {check.__name__: check for check in gate.CHECKS}
VALUE_CHECKS = {check.__name__: check for check in (*gate.VALUE_CHECKS, *gate.CLOSING_VALUE_CHECKS)}
NEEDS_NO_PRICE = set(takewhile(lambda name: name != "quote_is_fresh", CHECKS))


def says(name: str, e: Evidence) -> bool:
    """Tell whether the check lets pass, whatever those before it say; without a price, those after it do not."""
    if name in NEEDS_NO_PRICE:
        return CHECKS[name](e).is_good
    if e.quote is None or not e.quote.is_two_sided:
        return False
    if name in CHECKS:
        return CHECKS[name](e).is_good
    return VALUE_CHECKS[name](e, gate.valued_at(e, e.quote)).is_good


def found(e: Evidence) -> Iterator[tuple[str, bool]]:
    """Yield what each check says for itself."""
    for name in LOOKS_AT:
        yield name, says(name, e)


def looks_at(check: str, name: str) -> bool:
    """Tell whether the check may say another thing where *name* is another: an open order closes what no other can."""
    return name in LOOKS_AT[check] or name == "quote" or (name == "own_open_orders" and check in VALUE_CHECKS)


@pytest.mark.parametrize("check", [check for check, names in LOOKS_AT.items() if names])
@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(0, 2))
def test_what_is_stricter_never_admits_more(check: str, data: st.DataObject, scope: int) -> None:
    """Whatever the order: a kill, a halt, a lower bound, a narrower schedule only bring more denials."""
    names = sorted(LOOKS_AT[check])
    loose = data.draw(an_order())
    for name in names:
        loose = put(loose, name, data.draw(st.sampled_from(PARTS[name].values)), scope)
    if says(check, loose):
        return
    for name in names:
        for value in PARTS[name].values:
            assert not says(check, made_stricter(loose, name, value, scope)), f"it admits more by {name}={value}"


@settings(max_examples=50, deadline=None)
@given(some_evidence(), st.sampled_from(sorted(PARTS)), st.integers(0, 2))
def test_the_gate_never_admits_more_of_what_is_stricter(loose: Evidence, name: str, scope: int) -> None:
    """All checks together say no where they said no, and only those that look at what is stricter say it anew."""
    before, is_admitted = dict(found(loose)), isinstance(gate.judge(loose).answer, Valued)
    for value in PARTS[name].values:
        strict = made_stricter(loose, name, value, scope)
        assert is_admitted or isinstance(gate.judge(strict).answer, Denied)
        for check, is_good in found(strict):
            assert before[check] or not is_good, f"{check} admits more"
            assert is_good == before[check] or looks_at(check, name), f"{check} looks at it, too"


@given(some_evidence())
def test_every_no_has_figure_and_remedy_and_nothing_raises(drawn: Evidence) -> None:
    """Whatever the figures, the gate answers, and each check says what it looked at."""
    verdict = gate.judge(drawn)
    assert all("=" in kept.figure for kept in verdict.checks)
    if isinstance(verdict.answer, Denied):
        assert ": " in verdict.answer.message


def test_every_check_is_tried() -> None:
    """A check that is added to the gate is one that this file is about."""
    checks = (*gate.CHECKS, *gate.VALUE_CHECKS, *gate.EXIT_CHECKS, *gate.CLOSING_CHECKS, *gate.CLOSING_VALUE_CHECKS)
    assert {check.__name__ for check in checks} == LOOKS_AT.keys()


def test_every_bound_and_every_state_is_tried() -> None:
    """A limit that is added, or a thing to look at, is one that this file is about, and some check is held against."""
    assert set(Limits.__dataclass_fields__) - {"member", "desk", "origins", "words"} == {*BOUNDS, *SUMMED}
    assert set(Bounds.__dataclass_fields__) - {"words"} == set(SUMMED)
    others = {"promised_qty", "opening_qty"}, {"symbol_value"}  # of own_open_orders; by the order's side
    assert set(Evidence.__dataclass_fields__) == set().union(FIELDS, NOT_STRICTER, *others)
    assert {*Figures._fields} == {*FIGURES, "longs", "shorts"}  # exposure
    assert set().union(*LOOKS_AT.values(), {"quote", "own_open_orders"}) == set(PARTS)
