"""Officers have a strategy's packages built; each is on record, and a member causes none."""

import asyncio
from pathlib import Path

import pytest

from deskd.cli.client import Answer, Desk, NotDone
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk


async def build(desk: RunningDesk, name: object) -> Answer:
    return await asyncio.to_thread(Desk(desk.socket).command, "/build", {"name": name})


async def test_an_officer_has_packages_built(tmp_path: Path) -> None:
    """A beginning of the name is enough; the command is a fact."""
    async with a_running_desk(tmp_path) as desk:
        answer = await build(desk, "ali")
    assert answer.body == {"strategy_id": "alice", "done": "built ta 0.11.0"}
    assert [(c.command, c.arguments, c.by) for c in desk.commands] == [("build", "alice", "ada (uid 0)")]


async def test_what_cannot_be_built_is_told_with_the_remedy(tmp_path: Path) -> None:
    """A broken strategy can be built for: that it is not built may be what breaks it."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone, match=r"wreck: requirements\.txt: line 1"):
            await build(desk, "wreck")
        with pytest.raises(NotDone, match="there is no strategy 'carol'"):
            await build(desk, "carol")
        with pytest.raises(NotDone, match="Give a strategy's name"):
            await build(desk, 7)


async def test_members_cause_no_download(tmp_path: Path) -> None:
    """Not even for what is theirs."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        with pytest.raises(NotDone, match="packages are fetched by officers: alice is none"):
            await build(desk, "alice")
    assert desk.commands == []
