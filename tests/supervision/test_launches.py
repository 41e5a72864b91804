"""Starts wait in line."""

import asyncio

import pytest

from deskd.supervision.launches import Launches
from tests.hang import HANG_S


async def test_no_more_start_at_a_time_than_allowed_and_in_the_order_they_asked() -> None:
    """Fifty that die together come back two at a time, and nobody is overtaken."""
    launches, order, most = Launches(2), list[int](), 0

    async def start(number: int) -> None:
        nonlocal most
        async with launches.turn():
            order.append(number)
            most = max(most, launches.under_way)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for number in range(50):
            tasks.create_task(start(number))
    assert most == 2
    assert order == list(range(50))
    assert launches.under_way == 0


async def test_a_turn_ends_once_before_its_block_or_with_it() -> None:
    """Whose script runs makes room; its own end makes none a second time."""
    launches = Launches(1)
    async with launches.turn() as first:
        first.end()
        async with launches.turn():
            first.end()
            assert launches.under_way == 1
    assert launches.under_way == 0


async def test_a_start_that_is_canceled_in_line_or_fails_holds_nobody_up() -> None:
    """A stop of the desk, or a fault of ours, does not leak a turn."""
    launches = Launches(1)
    async with launches.turn():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), launches.turn():
                pass
    with pytest.raises(ZeroDivisionError):
        async with launches.turn():
            _ = 1 / 0
    async with asyncio.timeout(HANG_S), launches.turn():
        assert launches.under_way == 1
