"""Starts wait in line."""

import asyncio
from itertools import pairwise

import pytest

from deskd.supervision.launches import AT_ONCE, EVERY_MAX_S, EVERY_S, Launches, Pace
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


def test_fifty_that_died_come_back_at_a_pace() -> None:
    """A few at once, the rest one after the other, with a rest in between that is longer than the start."""
    pace = Pace()
    pace.note(0.04)
    waits = [pace.wait_s(100.0) for _ in range(50)]
    assert waits[:AT_ONCE] == pytest.approx([0.0] * AT_ONCE)
    assert [b - a for a, b in pairwise(waits[AT_ONCE - 1 :])] == pytest.approx([EVERY_S] * (50 - AT_ONCE))


def test_one_that_crashes_alone_waits_for_nobody() -> None:
    """Its own back-off is all that it waits for, however often."""
    pace = Pace()
    assert [pace.wait_s(100.0 + second) for second in range(50)] == pytest.approx([0.0] * 50)


def test_a_machine_that_is_short_of_cores_gets_longer_rests() -> None:
    """Who died comes back when the one before is up; but one that hangs does not hold the others up for ever."""
    for took, every in ((0.3, 0.3), (600.0, EVERY_MAX_S)):
        pace = Pace()
        pace.note(took)
        assert [pace.wait_s(100.0) for _ in range(AT_ONCE + 1)][-1] == pytest.approx(every)


async def test_a_turn_tells_how_long_its_start_took() -> None:
    """So the rests are those of this machine at this hour."""
    launches = Launches(1)
    async with launches.turn():
        await asyncio.sleep(EVERY_S * 1.5)
    waits = [launches.again.wait_s(0.0) for _ in range(AT_ONCE + 1)]
    assert waits[-1] >= EVERY_S * 1.5
