"""A backtest in files: every figure in each of them, and nothing of a member's that steers anything."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from deskd.backtest.pages import as_html, as_json, files
from deskd.backtest.result import Backtest, DenialLine, Metrics, Point
from deskd.domain.ids import StrategyId
from tests.factories import NOON, cash

METRICS = Metrics(
    total_return=Decimal("0.01"),
    pnl=cash(100),
    max_drawdown=Decimal("0.002"),
    sharpe=None,
    trips=1,
    hit_rate=Decimal(1),
    turnover=Decimal("0.5"),
    exposure=Decimal("0.25"),
    orders=2,
    fills=2,
    denied=1,
)
EVIL = "</td><script>alert(1)</script>"


def a_backtest() -> Backtest:
    return Backtest(
        strategy_id=StrategyId("ann"),
        name="Ann's",
        version="1",
        code_hash="0" * 64,
        tape=("some/tape",),
        is_synthetic=False,
        seed=1,
        fills_model="paper",
        days=("2026-01-05", "2026-01-06"),
        began_at=NOON,
        ended_at=NOON + timedelta(days=1),
        allocation=cash(10_000),
        is_whole=True,
        exit_reason="stopped",
        exit_detail=EVIL,
        lines=7,
        refused={"CONFLICT": 1},
        rejected={},
        metrics=METRICS,
        orders=(),
        fills=(),
        trips=(),
        denials=(DenialLine(reason="QUOTE_STALE", count=1, last_at=NOON, last_message="=HYPERLINK()"),),
        curve=tuple(
            Point(at=NOON + timedelta(minutes=n), equity=cash(10_000 + n), cash=cash(10_000), exposure=cash(n))
            for n in range(2_000)
        ),
    )


def test_every_file_is_there_and_the_json_has_all() -> None:
    """Decimals as text."""
    made = dict(files(a_backtest()))
    assert list(made) == [
        "report.html",
        "report.json",
        *(f"{n}.csv" for n in ("trips", "orders", "fills", "denials", "equity")),
    ]
    told = json.loads(made["report.json"])
    assert told["metrics"]["pnl"] == "100"
    assert len(told["curve"]) == len(made["equity.csv"].splitlines()) - 1 == 2_000
    assert "'=HYPERLINK()" in made["denials.csv"]
    assert made["report.json"] == as_json(a_backtest())


def test_the_page_runs_nothing_and_draws_the_curve() -> None:
    """Of a bounded size, however long the curve is."""
    page = as_html(a_backtest())
    assert "<script>" not in page
    assert page.count("<polyline") == 1
    assert page.count(",") < 3_000
    assert "refused: CONFLICT" in page
    assert "invented" not in page
    assert "2026-01-05 to 2026-01-06" in page


def test_an_invented_market_is_called_so() -> None:
    """And a curve of one point is no line."""
    short = replace(a_backtest(), is_synthetic=True, curve=a_backtest().curve[:1], days=("2026-01-05",))
    page = as_html(short)
    assert "the market was invented" in page
    assert "<polyline" not in page
