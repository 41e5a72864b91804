"""What the composition root works out by itself; the desk it builds is proved whole, in tests/whole."""

import asyncio
from pathlib import Path

import pytest

from deskd.app.daemon import begun_in
from deskd.app.opening import db_path
from deskd.config import Config, DeskSection


def test_the_ledger_is_where_the_configuration_says() -> None:
    """Beside the rest of the state, unless it has a place of its own."""
    assert db_path(Config(desk=DeskSection(state_dir=Path("/s")))) == Path("/s/desk.db")
    assert db_path(Config(desk=DeskSection(state_dir=Path("/s"), db_path=Path("/d/x.db")))) == Path("/d/x.db")


async def test_what_ends_the_desk_stays_the_first_error() -> None:
    """A run that is let go while everything ends wants other data: nothing is started for it, and nothing hides."""
    begun: list[str] = []

    async def seeds() -> None:
        begun.append("seeds")

    async def breaks(tasks: asyncio.TaskGroup) -> None:
        tasks.create_task(lets_go(tasks))
        await asyncio.sleep(0)
        raise ValueError("the cause")

    async def lets_go(tasks: asyncio.TaskGroup) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            assert begun_in(tasks, seeds(), "seed quotes") is None

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(breaks(tasks))
    assert [str(error) for error in caught.value.exceptions] == ["the cause"]
    assert begun == []
