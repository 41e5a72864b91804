"""Whoever may read the ledger gets a copy where they ask for it, whatever the desk may write."""

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest

from deskd.cli.call import Call
from deskd.cli.client import NotDone
from deskd.cli.copying import copy_of
from tests.control.a_running_desk import MEMBER, a_running_desk
from tests.ledger.life import dump


def not_yours() -> NoReturn:
    raise NotDone("kept by officers")


async def test_the_desk_makes_the_copy_where_it_may(tmp_path: Path) -> None:
    """By its own name, and on record; the caller need not be able to read the ledger."""
    target = tmp_path / "copy.db"
    async with a_running_desk(tmp_path) as desk:
        said = await asyncio.to_thread(copy_of, Call(desk.config), target, not_yours)
    assert said["facts"] == len(dump(target)["facts"])
    assert [c.command for c in desk.commands] == ["backup"]


async def test_where_the_desk_refuses_the_caller_copies_who_may_read_the_ledger(tmp_path: Path) -> None:
    """As it lies, while the desk writes it."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        ledger = tmp_path / "desk.db"
        said = await asyncio.to_thread(copy_of, Call(desk.config), tmp_path / "copy.db", lambda: ledger)
    assert said["facts"] == len(dump(tmp_path / "copy.db")["facts"])
    assert desk.commands == []


async def test_who_may_not_read_the_ledger_hears_why_the_desk_refused(tmp_path: Path) -> None:
    """That is what can be acted on."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        with pytest.raises(NotDone, match="alice is none"):
            await asyncio.to_thread(copy_of, Call(desk.config), tmp_path / "copy.db", not_yours)
    with pytest.raises(NotDone, match="kept by officers"):  # no desk runs: there is only the one reason
        await asyncio.to_thread(copy_of, Call(desk.config), tmp_path / "copy.db", not_yours)
    assert not (tmp_path / "copy.db").exists()


async def test_a_copy_that_fails_both_ways_says_why(tmp_path: Path) -> None:
    """The caller's own reason: it is about the place that they named."""
    async with a_running_desk(tmp_path) as desk:
        ledger = tmp_path / "desk.db"
        with pytest.raises(NotDone, match="there is no folder"):
            await asyncio.to_thread(copy_of, Call(desk.config), tmp_path / "nowhere" / "copy.db", lambda: ledger)
