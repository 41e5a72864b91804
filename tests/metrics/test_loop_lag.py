"""Whether the loop keeps up is measured, and told without flooding anybody."""

import asyncio

import pytest
from structlog.testing import capture_logs

from deskd.metrics import loop_lag
from deskd.metrics.loop_lag import LoopLag
from deskd.ports import SystemClock
from tests.market.given import HandClock


def test_a_long_lag_is_told_once_a_minute() -> None:
    """A machine that is busy for an hour writes sixty lines, and each says how many others there were."""
    clock = HandClock()
    lag = LoopLag(clock=clock)
    with capture_logs() as logs:
        for _ in range(3):
            lag.see(0.4)
        clock.seconds += 60
        lag.see(0.5)
        lag.see(0.001)
    assert [(line["event"], line["lag_s"], line["others_since"]) for line in logs] == [
        ("loop_lagged", 0.4, 0),
        ("loop_lagged", 0.5, 2),
    ]
    assert lag.lags.count == 5
    assert lag.latest_s == 0.001


async def test_what_holds_the_loop_shows() -> None:
    """A call that blocks is seen by how late the loop wakes up."""
    lag = LoopLag(clock=SystemClock())
    async with asyncio.TaskGroup() as tasks:
        measuring = tasks.create_task(lag.run())
        await asyncio.sleep(loop_lag.EVERY_S / 2)
        began = SystemClock().monotonic()
        while SystemClock().monotonic() - began < 3 * loop_lag.EVERY_S:
            pass
        await asyncio.sleep(loop_lag.EVERY_S)  # its timer is due by now, and goes first
        measuring.cancel()
    assert lag.lags.sum_s > loop_lag.EVERY_S


@pytest.mark.parametrize("lag_s", [-0.01, 0.0])
def test_a_loop_that_is_early_has_no_lag(lag_s: float) -> None:
    """Timers count in milliseconds, and may come a little before."""
    lag = LoopLag(clock=HandClock())
    lag.see(lag_s)
    assert lag.latest_s == 0.0
