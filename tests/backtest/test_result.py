"""Figures of a backtest, each from the fills and marks that it names."""

from datetime import timedelta
from decimal import Decimal

from deskd.backtest.result import (
    FillLine,
    Point,
    Recorder,
    daily_returns,
    max_drawdown,
    sharpe,
    trips_of,
    turnover,
)
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId
from deskd.domain.money import notional
from tests.backtest.given import in_step
from tests.exchange.given import told
from tests.factories import AAPL, ALICE, NOON, a_limit_request, a_request, cash, price, qty


def a_fill(side: str, shares: str | int, at_price: str | int, seconds: int = 0, symbol: str = "AAPL") -> FillLine:
    return FillLine(
        order=1,
        at=NOON + timedelta(seconds=seconds),
        symbol=symbol,
        side=side,
        qty=qty(shares),
        price=price(at_price),
        notional=notional(qty(shares), price(at_price)),
        position_qty=qty(0),
    )


def a_point(equity: str | int, exposure: str | int = 0, days: int = 0) -> Point:
    return Point(at=NOON + timedelta(days=days), equity=cash(equity), cash=cash(equity), exposure=cash(exposure))


def test_a_round_trip_is_from_flat_to_flat() -> None:
    """What was opened and closed in parts is averaged."""
    fills = [a_fill("buy", 1, 100), a_fill("buy", 3, 104, 1), a_fill("sell", 2, 110, 2), a_fill("sell", 2, 100, 3)]
    (trip,) = trips_of(fills)
    assert told(trip.side, trip.qty, trip.entry_price, trip.exit_price) == ("long", 4, 103, 105)
    assert told(trip.pnl, trip.closed_at) == (8, fills[-1].at)


def test_crossing_zero_ends_one_trip_and_begins_another() -> None:
    """A short wins when it falls; what is open at the end has no end."""
    fills = [a_fill("buy", 2, 100), a_fill("sell", 5, 90, 1), a_fill("buy", 1, 80, 2), a_fill("buy", 1, 9, 3, "SPY")]
    long, short, spy = trips_of(fills)
    assert told(long.side, long.pnl, long.qty) == ("long", -20, 2)
    assert told(short.side, short.pnl, short.qty, short.closed_at) == ("short", 10, 3, None)
    assert told(spy.symbol, spy.exit_price, spy.pnl) == ("SPY", None, 0)


def test_the_drawdown_is_the_deepest_fall_from_a_peak() -> None:
    """Not from the beginning, and not from the highest of all."""
    assert max_drawdown([cash(100), cash(120), cash(90), cash(150), cash(140)]) == Decimal("0.25")
    assert max_drawdown([cash(0), cash(0)]) == 0


def test_sharpe_needs_days_that_differ() -> None:
    """Mean over deviation, brought to a year."""
    assert sharpe([Decimal("0.01")] * 2) is None
    assert sharpe([Decimal("0.01")] * 5) is None
    assert sharpe([Decimal("0.01"), Decimal("0.02"), Decimal("0.03")]) == Decimal("31.749016")


def test_a_day_is_measured_from_its_last_point_to_the_next_days() -> None:
    """The first from what was given."""
    curve = [a_point(101), a_point(102), a_point(51, days=1)]
    assert daily_returns(curve, cash(100)) == [Decimal("0.02"), Decimal("-0.5")]


def test_turnover_is_all_that_was_traded_over_the_mean_equity() -> None:
    """Bought and sold count alike."""
    assert turnover([a_fill("buy", 1, 100), a_fill("sell", 1, 100)], [a_point(100), a_point(300)]) == 1
    assert turnover([], []) == 0


async def test_a_recorder_names_orders_by_their_number() -> None:
    """No id that a client drew is in the result."""
    step = in_step()
    recorder = Recorder(step.desk.desk, ALICE)
    step.desk.on_fact.append(recorder)
    await step.desk.place(a_request(client_order_id=ClientOrderId("drawn-1")), timeout_s=0)
    await step.desk.place(a_limit_request("90", client_order_id=ClientOrderId("drawn-2"), reason="cheap"), timeout_s=0)
    await step.desk.place(a_request(client_order_id=ClientOrderId("drawn-3"), qty=qty(10**6)), timeout_s=0)
    recorder(ev.OrderRejected(client_order_id=ClientOrderId("drawn-2"), reason="BROKER_REJECTED", message="", at=NOON))
    recorder.sample(NOON)
    lines = recorder.order_lines()
    assert [(line.order, line.status, line.reason) for line in lines] == [(1, "filled", ""), (2, "accepted", "cheap")]
    assert "drawn" not in str([lines, recorder.fills, recorder.denials, recorder.curve])
    (fill,) = recorder.fills
    assert told(fill.order, fill.symbol, fill.qty, fill.position_qty) == (1, AAPL, 10, 10)
    metrics = recorder.metrics(cash(10_000))
    assert (metrics.orders, metrics.fills, metrics.denied, metrics.trips) == (2, 1, 1, 0)
    assert told(metrics.exposure, metrics.hit_rate, metrics.sharpe) == (1, None, None)
    assert recorder.rejected == {"BROKER_REJECTED": 1}
    assert recorder.curve[0].equity == metrics.pnl + 10_000
