"""The gate: each reason has an order that gets it, and a text that helps."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from deskd.core import gate
from deskd.core.checks import Denied, Evidence, Figures, Scoped, Valued
from deskd.core.kills import Kills
from deskd.domain.events import SymbolFrozen
from deskd.domain.exits import ExitKind
from deskd.domain.ids import Symbol
from deskd.domain.kill import THE_DESK, KillDepth
from deskd.domain.limits import Bounds, DayTradeRule
from deskd.domain.order import OrderClass, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.domain.reasons import DenialReason as R
from deskd.domain.run import StrategyStatus
from deskd.domain.schedule import Schedule
from deskd.domain.stage import Stage
from tests.factories import (
    AAPL,
    ALICE,
    DAY,
    MONDAY,
    NOON,
    SPY,
    a_kill,
    a_limit_request,
    a_quote,
    a_request,
    an_instrument,
    cash,
    of_strategy,
    price,
    qty,
    some_limits,
)

FIGURES: dict[str, Any] = {"allocation": cash(10_000), "equity": cash(10_000), "peak_equity": cash(10_000)}


def evidence(**overrides: Any) -> Evidence:
    fields: dict[str, Any] = {
        "request": a_request(),
        "status": StrategyStatus.ACTIVE,
        "limits": some_limits(),
        "instrument": an_instrument(),
        "quote": a_quote(),
        "position_qty": qty(0),
        "promised_qty": qty(0),
        "opening_qty": qty(0),
        "margin_per_share": price(0),
        "buying_power": cash(10_000),
        "account_free": cash(100_000),
        "frozen": None,
        "last_same_at": None,
        "now": NOON,
        "market_day": MONDAY,
        "trading_day": DAY,
        "is_calendar_known": True,
        "is_halted": False,
        "last_stop_at": None,
        "symbol_value": cash(0),
        "symbol_opening_qty": overrides.get("opening_qty", qty(0)),
        "account_equity": cash(100_000),
        "day_trades": 0,
    }
    limits = overrides.get("limits", fields["limits"])
    figures = FIGURES | {name: overrides.pop(name) for name in Figures._fields if name in overrides}
    member = overrides.pop("member", None)
    desk = overrides.pop("desk", None)
    wider = [
        Scoped(f" scope={scope}", bounds, Figures(**FIGURES | more))
        for scope, (bounds, more) in (("member", member or (None, {})), ("desk", desk or (None, {})))
        if bounds is not None
    ]
    fields["scopes"] = (Scoped("", limits, Figures(**figures)), *wider)
    return Evidence(**fields | overrides)


def a_sale(**overrides: Any) -> Any:
    return a_request(side=Side.SELL, **overrides)


BRACKET: dict[str, Any] = {
    "order_class": OrderClass.BRACKET,
    "take_profit": TakeProfit(limit_price=price(110)),
    "stop_loss": StopLoss(stop_price=price(90)),
}
HOURS = {"limits": some_limits(may_wait_for_open=False)}
COLLARED = some_limits(price_collar=Decimal("0.05"))
ENFORCED = some_limits(day_trade_rule=DayTradeRule.ENFORCE)
COOLED = some_limits(stop_cooldown=timedelta(minutes=1))


def at(now: datetime) -> dict[str, Any]:
    """Return the evidence of another hour, with a quote of that moment."""
    return {"now": now, "quote": a_quote(quoted_at=now, received_at=now)}


KILLS = Kills()
KILLS.engage(a_kill(depth=KillDepth.REDUCE_ONLY))
REDUCING = KILLS.in_force[THE_DESK]
KILLS.engage(a_kill(of_strategy(ALICE)))
KILLED = KILLS.in_force[of_strategy(ALICE)]
DENIED: list[tuple[R, dict[str, Any]]] = [
    (R.KILLED, {"kill": KILLED}),
    (R.KILLED, {"kill": KILLED, "request": a_sale(), "position_qty": qty(10)}),
    (R.REDUCE_ONLY, {"kill": REDUCING}),
    (R.REDUCE_ONLY, {"kill": REDUCING, "request": a_sale(), "position_qty": qty(9)}),
    (R.REDUCE_ONLY, {"kill": REDUCING, "request": a_sale(), "position_qty": qty(15), "promised_qty": qty(6)}),
    (R.REDUCE_ONLY, {"kill": REDUCING, "position_qty": qty(-10), "opening_qty": qty(1)}),
    (R.STRATEGY_NOT_ACTIVE, {"status": StrategyStatus.PAUSED}),
    (R.PAUSED, {"stage": Stage.PAUSED}),
    (R.SYMBOL_NOT_ALLOWED, {"limits": some_limits(symbols=frozenset({SPY}))}),
    (R.SYMBOL_UNKNOWN, {"instrument": None}),
    (R.SYMBOL_NOT_TRADABLE, {"instrument": an_instrument(is_tradable=False)}),
    (R.SYMBOL_FROZEN, {"frozen": SymbolFrozen(symbol=AAPL, why="the broker has 5 more", at=NOON)}),
    (R.FORM_INVALID, {"request": a_request(extended_hours=True)}),
    (R.FORM_INVALID, {"request": a_limit_request(extended_hours=True, **BRACKET)}),
    (R.FORM_INVALID, {"request": a_request(order_type=OrderType.TRAILING_STOP, time_in_force=TimeInForce.IOC)}),
    (R.FORM_INVALID, {"request": a_request(time_in_force=TimeInForce.IOC, **BRACKET)}),
    (R.FORM_INVALID, {"request": a_request(order_type=OrderType.STOP, stop_price=price(101), **BRACKET)}),
    (R.FORM_INVALID, {"request": a_request(**BRACKET | {"order_class": OrderClass.OCO})}),
    (R.FORM_INVALID, {"request": a_request(**BRACKET | {"stop_loss": None})}),
    (R.FORM_INVALID, {"request": a_request(**BRACKET | {"order_class": OrderClass.OTO})}),
    (R.FORM_INVALID, {"request": a_request(order_type=OrderType.STOP, time_in_force=TimeInForce.FOK)}),
    (R.FORM_INVALID, {"request": a_request(qty=qty("1.5"), time_in_force=TimeInForce.GTC)}),
    (R.FORM_INVALID, {"request": a_request(qty=qty("1.5"), **BRACKET)}),
    (R.FORM_INVALID, {"request": a_request(qty=qty("1.5"), order_type=OrderType.TRAILING_STOP)}),
    (R.FORM_INVALID, {"request": a_limit_request(qty=None, notional=cash(50))}),
    (R.FORM_INVALID, {"request": a_request(qty=None, notional=cash("0.99"))}),
    (R.SUB_PENNY, {"request": a_limit_request("99.999")}),
    (R.SUB_PENNY, {"request": a_request(**BRACKET | {"take_profit": TakeProfit(limit_price=price("110.001"))})}),
    (R.NOT_FRACTIONABLE, {"request": a_request(qty=qty("1.5")), "instrument": an_instrument(is_fractionable=False)}),
    (R.OPEN_ORDERS_MAX, {"open_orders": 20}),
    (R.ORDERS_PER_DAY_MAX, {"orders_today": 500}),
    (R.DUPLICATE, {"limits": some_limits(duplicate_window=timedelta(seconds=1)), "last_same_at": NOON}),
    (R.QUOTE_MISSING, {"quote": None}),
    (R.QUOTE_MISSING, {"quote": a_quote(ask_price=price("99.98"))}),
    (R.QUOTE_STALE, {"now": NOON + timedelta(seconds=31)}),
    (R.QUOTE_STALE, {"now": NOON - timedelta(seconds=2)}),  # of no age that is known: the clock was set back
    (R.ORDER_NOTIONAL_MAX, {"request": a_request(qty=qty(50))}),
    (R.SHORT_NOT_ALLOWED, {"request": a_sale()}),
    (R.SHORT_NOT_ALLOWED, {"request": a_sale(), "position_qty": qty(15), "promised_qty": qty(6)}),
    (
        R.SHORT_NOT_ALLOWED,
        {
            "request": a_sale(),
            "limits": some_limits(is_short_allowed=True),
            "instrument": an_instrument(is_shortable=False),
        },
    ),
    (R.POSITION_QTY_MAX, {"limits": some_limits(position_qty_max=qty(15)), "position_qty": qty(6)}),
    (R.POSITION_QTY_MAX, {"limits": some_limits(position_qty_max=qty(15)), "opening_qty": qty(6)}),
    (R.POSITION_NOTIONAL_MAX, {"position_qty": qty(40)}),
    (R.SYMBOL_DENIED, {"limits": some_limits(denied_symbols=frozenset({AAPL}))}),
    (R.SYMBOL_DENIED, {"limits": some_limits(desk_symbols=frozenset({SPY}))}),
    (R.SYMBOL_HALTED, {"is_halted": True}),
    (R.SYMBOL_HALTED, {"is_halted": None}),  # nobody knows
    (R.MARKET_CLOSED, HOURS | {"is_calendar_known": False}),
    (R.MARKET_CLOSED, HOURS | {"trading_day": None}),
    (R.MARKET_CLOSED, HOURS | at(DAY.open_at - timedelta(seconds=1))),
    (R.MARKET_CLOSED, HOURS | at(DAY.close_at)),
    (R.MARKET_CLOSED, HOURS | at(DAY.extended_close_at) | {"request": a_limit_request(extended_hours=True)}),
    (R.PRICE_COLLAR, {"limits": COLLARED, "request": a_limit_request("105.01")}),
    (
        R.PRICE_COLLAR,
        {"limits": COLLARED, "request": a_limit_request("94.99", side=Side.SELL), "position_qty": qty(10)},
    ),
    (R.STOP_SIDE, {"request": a_request(order_type=OrderType.STOP, stop_price=price("99.99"))}),
    (R.STOP_SIDE, {"request": a_sale(order_type=OrderType.STOP, stop_price=price(100)), "position_qty": qty(10)}),
    (R.ORDER_QTY_MAX, {"limits": some_limits(order_qty_max=qty(9))}),
    (R.ORDERS_PER_MINUTE_MAX, {"limits": some_limits(orders_per_minute_max=5), "orders_this_minute": 5}),
    (R.OPEN_ORDERS_MAX, {"member": (Bounds(open_orders_max=7), {"open_orders": 7})}),
    (R.ORDERS_PER_DAY_MAX, {"desk": (Bounds(orders_per_day_max=7), {"orders_today": 7})}),
    (R.ORDERS_PER_MINUTE_MAX, {"desk": (Bounds(orders_per_minute_max=7), {"orders_this_minute": 7})}),
    (R.POSITION_SHARE_MAX, {"limits": some_limits(position_share_max=Decimal("0.1")), "equity": cash(10_199)}),
    (R.CONCENTRATION_MAX, {"limits": some_limits(concentration_max=Decimal("0.01")), "symbol_value": cash(1)}),
    (R.GROSS_EXPOSURE_MAX, {"limits": some_limits(gross_exposure_max=Decimal("0.95")), "longs": cash(8_481)}),
    (R.GROSS_EXPOSURE_MAX, {"desk": (Bounds(gross_exposure_max=Decimal("0.95")), {"shorts": cash(8_481)})}),
    (R.NET_EXPOSURE_MAX, {"limits": some_limits(net_exposure_max=Decimal("0.95")), "buying": cash(8_481)}),
    (
        R.NET_EXPOSURE_MAX,
        {
            "limits": some_limits(net_exposure_max=Decimal("0.95"), is_short_allowed=True),
            "request": a_sale(),
            "selling": cash(8_501),
        },
    ),
    (R.DAILY_LOSS_MAX, {"limits": some_limits(daily_loss_max=cash(500)), "day_pnl": cash(-500)}),
    (R.DAILY_LOSS_MAX, {"member": (Bounds(daily_loss_max=cash(500)), {"day_pnl": cash(-500)})}),
    (R.DRAWDOWN_MAX, {"limits": some_limits(drawdown_max=Decimal("0.1")), "equity": cash(9_000)}),
    (R.DAY_TRADES_MAX, {"limits": ENFORCED, "day_trades": 3, "account_equity": cash(24_999)}),
    (R.STOP_COOLDOWN, {"limits": COOLED, "last_stop_at": NOON - timedelta(seconds=59)}),
    (R.BUYING_POWER, {"buying_power": cash(1_000)}),  # a market buy is valued 2 % over the ask
    (R.BUYING_POWER, {"request": a_request(qty=None, notional=cash(100)), "buying_power": cash(99)}),
    (R.OUTSIDE_HOURS, {"schedule": Schedule(closes_min=60)}),
    (R.CLOSING_SOON, {"schedule": Schedule(no_new_before_close=timedelta(minutes=1))}),
    (R.EXIT_UNDER_WAY, {"exit_under_way": ExitKind.STOP_LOSS, "position_qty": qty(10)}),
    (
        R.EXIT_UNDER_WAY,
        {
            "exit_under_way": ExitKind.STOP_LOSS,
            "request": a_limit_request("101", side=Side.SELL),
            "position_qty": qty(10),
        },
    ),
    (R.CLOSES_ONLY, {"request": a_sale(qty=qty(11)), "position_qty": qty(10), "is_closing": True}),
    (R.CLOSES_ONLY, {"request": a_sale(), "position_qty": qty(15), "promised_qty": qty(6), "is_closing": True}),
    (R.CLOSES_ONLY, {"position_qty": qty(-9), "is_closing": True}),
]


@pytest.mark.parametrize(("reason", "case"), DENIED, ids=[f"{i}-{r}" for i, (r, _) in enumerate(DENIED)])
def test_each_reason_has_an_order_that_gets_it(reason: R, case: dict[str, Any]) -> None:
    """The reason is stable, and the text has a figure and a remedy."""
    verdict = gate.judge(evidence(**case)).answer
    assert isinstance(verdict, Denied)
    assert verdict.reason is reason
    assert ":" in verdict.message


def test_every_reason_of_the_gate_is_tried() -> None:
    """Only an unknown strategy is found out before the gate; the lane and the shadow say no after it."""
    lane = {
        R.AUCTION_WINDOW,
        R.CONFLICT_WASH,
        R.CONFLICT_HELD,
        R.CONFLICT_ZERO,
        R.CONFLICT_OPENING,
        R.CONFLICT_POSITION,
    }
    assert {reason for reason, _ in DENIED} | {R.STRATEGY_UNKNOWN, R.SHADOW} | lane == set(R)


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"request": a_limit_request("100.01")},
        {"request": a_limit_request("0.0001", qty=qty(1))},
        {"request": a_request(qty=qty("0.000000001"))},
        {"request": a_request(qty=None, notional=cash(100))},
        {"request": a_request(**BRACKET)},
        {"request": a_limit_request(extended_hours=True, time_in_force=TimeInForce.GTC)},
        {"request": a_sale(), "position_qty": qty(10)},
        {"request": a_sale(), "position_qty": qty(10), "buying_power": cash(0)},
        {"request": a_sale(), "limits": some_limits(is_short_allowed=True)},
        {"request": a_sale(qty=qty(60)), "position_qty": qty(60), "limits": some_limits(order_notional_max=cash(9000))},
        {"position_qty": qty(-10), "buying_power": cash(2_000)},
        {"position_qty": qty(-10), "buying_power": cash(0), "is_closing": True},
        {"request": a_sale(), "position_qty": qty(10), "exit_under_way": ExitKind.STOP_LOSS},
        {"now": NOON + timedelta(seconds=30)},
        {"kill": REDUCING, "request": a_sale(), "position_qty": qty(10)},
        {"kill": REDUCING, "position_qty": qty(-10)},
    ],
)
def test_what_is_within_every_limit_passes(case: dict[str, Any]) -> None:
    """The bounds themselves are allowed."""
    assert isinstance(gate.judge(evidence(**case)).answer, Valued)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (a_request(), "102.00"),
        (a_limit_request("99"), "99"),
        (a_request(order_type=OrderType.STOP, stop_price=price(105)), "109.20"),
        (a_request(order_type=OrderType.TRAILING_STOP, trail_price=price(3)), "105.00"),
        (a_request(order_type=OrderType.TRAILING_STOP, trail_percent=price(5)), "107.00"),
        (a_sale(), "99.99"),
        (replace(a_limit_request("120"), side=Side.SELL), "120"),
    ],
)
def test_an_order_is_valued_at_its_worst(request_: Any, expected: str) -> None:
    """What is reserved covers what may be paid."""
    assert gate.worst_price(request_, a_quote()) == price(expected)


def test_the_text_names_limit_and_figure() -> None:
    """A student sees which bound and by how much."""
    verdict = gate.judge(evidence(request=a_request(qty=qty(50)))).answer
    assert verdict == Denied(
        R.ORDER_NOTIONAL_MAX, "notional=5100.00 order_notional_max=5000.00: ask for at most 49 shares"
    )
    other = gate.judge(evidence(request=a_request(symbol=Symbol("KO")), instrument=None)).answer
    assert isinstance(other, Denied)
    assert "symbol=KO symbols=AAPL,SPY" in other.message
