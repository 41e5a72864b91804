"""The kill switch: from the command to flat, with many strategies and open orders, while the broker answers 429."""

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.report import Report
from tests.whole.killed_desk import REFUSING, RESTING, a_busy_desk, at_the_broker

STRATEGIES = 50
SYMBOLS = ("AAPL", "BAC", "IBM", "IWM", "KO")
FLAT_S = 10.0
FORGOTTEN_S = 61.0  # the desk's own requests, by which it made the orders
AWAY = {"method": "DELETE", "path": "/v2/orders", "status": 429, "times": 3}
# What is wrong at the broker when the kill is pulled, and in words.
WEATHERS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("no limit; the first 40 cancels and 10 closing orders get 429", REFUSING),
    (
        "200 a minute, 175 used by others; the first 3 cancels and 3 closing orders get 429",
        {"crowd": {"per_minute": 200, "used": 175}, "rest": [AWAY, AWAY | {"method": "POST"}]},
    ),
    (
        "200 a minute, all used by others until 5 s after the kill: 429 to everything",
        {"crowd": {"per_minute": 200, "used": 200, "ends_in_s": 5.0}},
    ),
)


def run(*, is_quick: bool) -> Report:
    """Measure it."""
    report = Report("kill")
    strategies = 10 if is_quick else STRATEGIES
    rows = []
    for words, fault in WEATHERS:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            rows.append((words, asyncio.run(_flat(Path(folder), strategies, fault))))
    orders = strategies * RESTING
    report.table(
        f"Seconds from `deskctl kill --flatten` to flat: {strategies} strategies, {orders} open orders, {len(SYMBOLS)} symbols",
        ("at the broker", "flat after s"),
        rows,
    )
    for words, flat_s in rows:
        report.target("kill", f"{words}: flat <= {FLAT_S:g} s", f"{flat_s:.2f} s", is_met=flat_s <= FLAT_S)
    return report


async def _flat(folder: Path, strategies: int, fault: Mapping[str, Any]) -> float:
    async with a_busy_desk(folder, strategies, SYMBOLS) as (exchange, desk):
        if "crowd" in fault:
            await asyncio.sleep(FORGOTTEN_S)
        await exchange.misbehave(fault)
        began = time.monotonic()
        await desk.ctl("kill", "--flatten", "--reason", "the bench")
        await desk.hears("flatten_completed")
        took = time.monotonic() - began
        if "crowd" not in fault or fault["crowd"]["used"] < 200:
            await exchange.misbehave({"crowd": {"per_minute": 0}})
        assert await at_the_broker(exchange) == (0, 0)
        return took
