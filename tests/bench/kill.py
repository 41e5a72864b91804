"""The kill switch: from the command to flat, with many strategies and open orders, while the broker answers 429."""

import asyncio
import tempfile
import time
from pathlib import Path

from tests.bench.report import Report
from tests.whole.killed_desk import REFUSING, RESTING, a_busy_desk, at_the_broker

STRATEGIES = 50


def run(*, is_quick: bool) -> Report:
    """Measure it."""
    report = Report("kill")
    strategies = 10 if is_quick else STRATEGIES
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        flat_s = asyncio.run(_flat(Path(folder), strategies))
    orders = strategies * RESTING
    report.table(
        "Seconds from `deskctl kill --flatten` to flat; the first 40 cancels and 10 closing orders get HTTP 429; "
        "no limit a minute: the exchange does not count requests here",
        ("strategies", "open orders", "flat after s"),
        [(strategies, orders, flat_s)],
    )
    what = f"{strategies} strategies, {orders} open orders, broker answers 429: flat <= 10 s"
    report.target("kill", what, f"{flat_s:.2f} s", is_met=flat_s <= 10)
    return report


async def _flat(folder: Path, strategies: int) -> float:
    async with a_busy_desk(folder, strategies) as (exchange, desk):
        await exchange.misbehave(REFUSING)
        began = time.monotonic()
        await desk.ctl("kill", "--flatten", "--reason", "the bench")
        await desk.hears("flatten_completed")
        took = time.monotonic() - began
        assert await at_the_broker(exchange) == (0, 0)
        return took
