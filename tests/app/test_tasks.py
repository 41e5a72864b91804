"""The desk's tasks: named, ended together, and never in the way of what ended the desk."""

import asyncio

import pytest

from deskd.app.tasks import Tasks


async def test_what_ends_the_desk_stays_the_first_error() -> None:
    """A run that is let go while everything ends wants other data: nothing is started for it, and nothing hides."""
    begun: list[str] = []

    async def seeds() -> None:
        begun.append("seeds")

    async def breaks(tasks: Tasks) -> None:
        tasks.spawn(lets_go(tasks), "lets go")
        await asyncio.sleep(0)
        raise ValueError("the cause")

    async def lets_go(tasks: Tasks) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.spawn(seeds(), "seed quotes")

    group = asyncio.TaskGroup()
    tasks = Tasks(group)
    with pytest.raises(ExceptionGroup) as caught:
        async with group:
            tasks.spawn(breaks(tasks), "breaks")
    assert [str(error) for error in caught.value.exceptions] == ["the cause"]
    assert begun == []


async def test_all_that_runs_is_asked_to_end() -> None:
    """What has ended by itself is forgotten; the group ends when the rest has."""
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waits")

    async def is_brief() -> None:
        ended.append("brief")

    async with asyncio.TaskGroup() as group:
        tasks = Tasks(group)
        tasks.spawn(is_brief(), "brief")
        tasks.spawn(waits(), "waits")
        await asyncio.sleep(0)
        tasks.cancel()
    assert ended == ["brief", "waits"]
