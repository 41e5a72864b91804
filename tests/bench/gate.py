"""The gate alone (PERFORMANCE.md 2 d): what all of its checks take for an order that passes them."""

import statistics
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

from deskd.core.asking import evidence_for
from deskd.core.checks import Denied
from deskd.core.gate import judge
from deskd.domain.limits import Bounds, DayTradeRule, Limits
from tests.bench.report import Report
from tests.factories import a_desk, cash, qty, requested, some_limits

GATE_US = 40.0
_BOUNDS: dict[str, Any] = {
    "open_orders_max": 50,
    "orders_per_day_max": 1_000,
    "orders_per_minute_max": 100,
    "gross_exposure_max": Decimal("0.95"),
    "net_exposure_max": Decimal("0.95"),
    "daily_loss_max": cash(1_000),
    "drawdown_max": Decimal("0.2"),
    "position_qty_max": qty(1_000),
    "position_notional_max": cash(5_000),
    "position_share_max": Decimal("0.2"),
}
FULL = some_limits(
    order_qty_max=qty(1_000),
    price_collar=Decimal("0.05"),
    stop_cooldown=timedelta(seconds=60),
    concentration_max=Decimal("0.5"),
    day_trade_rule=DayTradeRule.ENFORCE,
    duplicate_window=timedelta(seconds=1),
    member=Bounds(**_BOUNDS),
    desk=Bounds(**_BOUNDS),
    **_BOUNDS,
)


def gate_us(limits: Limits | None) -> tuple[float, int]:
    """Return what the whole gate takes for an order that passes every check, and how many there are."""
    desk = a_desk(limits=limits)
    evidence = evidence_for(desk, requested())
    assert evidence is not None
    verdict = judge(evidence)
    assert not isinstance(verdict.answer, Denied), verdict.answer
    best = []
    for _ in range(5):
        began = time.process_time()  # it waits for nothing: what other processes do meanwhile is not its cost
        for _ in range(2_000):
            judge(evidence)
        best.append((time.process_time() - began) / 2_000 * 1e6)
    return statistics.median(best), len(verdict.checks)


def judge_gate(report: Report) -> None:
    """Measure it with a strategy's usual bounds, and with every bound there is, at every scope."""
    for words, limits in (("some bounds of the strategy", None), ("every bound, of strategy, member and desk", FULL)):
        gate, count = gate_us(limits)
        said = f"{gate:.1f} µs, all {count} checks passed"
        report.target("2d", f"gate <= {GATE_US:g} µs an order, {words}", said, is_met=gate <= GATE_US)


def run(*, is_quick: bool) -> Report:
    """Measure it."""
    report = Report("gate")
    judge_gate(report)
    return report
