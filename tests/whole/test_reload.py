"""desk.toml read again by a running desk: its limits count at once, for what runs."""

from pathlib import Path

import pytest

from tests.whole.desk_process import a_desk_process

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

BUYER = """
    import sys
    from desk_client import place_order

    for line in sys.stdin:
        place_order("SPY", 1, "buy")
"""
DESK = """
    [exchange]
    speed = 5.0
    fills = "immediate"
    [risk.desk]
    orders_wait_for_open = true
    [risk.strategy]
    duplicate_window_s = 0
"""
TIGHTER = """
    order_notional_max = "1"
    [risk.breaker]
    denials_max = 5
"""


async def test_a_tighter_limit_and_breaker_count_at_once(folder: Path) -> None:
    """What was bought before is denied after the reload, and the denials open the breaker; a wrong file changes nothing."""
    async with a_desk_process(folder) as desk:
        desk.configure(DESK)
        desk.strategy("ann", BUYER, {"symbols": ["SPY"]})
        await desk.start()
        await desk.hears("order_filled")
        desk.configure(DESK + TIGHTER + "    denials_mx = 1\n")
        assert await desk.ctl("config", "reload") == 1
        assert not any(line.get("event") == "breaker_moved" for line in desk.log)
        desk.configure(DESK + TIGHTER)
        assert await desk.ctl("config", "reload") == 0
        await desk.hears("order_denied", 5, holds=lambda line: line["strategy_id"] == "ann")
        await desk.hears("breaker_moved", holds=lambda line: line["state"] == "open")
        assert await desk.end() == 0
