"""Officers have the configuration read again; members do not."""

import asyncio
from pathlib import Path

import pytest

from deskd.cli.client import Answer, Desk, NotDone
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk


async def reload(desk: RunningDesk, body: dict[str, object]) -> Answer:
    return await asyncio.to_thread(Desk(desk.socket).command, "/config/reload", body)


async def test_an_officer_has_it_read_again(tmp_path: Path) -> None:
    """Who asks is told on; a dry run is asked for by name."""
    async with a_running_desk(tmp_path) as desk:
        done = await reload(desk, {})
        looked = await reload(desk, {"dry_run": True})
    assert (done.is_done, looked.is_done) == (True, True)
    assert desk.reloads == [("ada (uid 0)", False), ("ada (uid 0)", True)]


async def test_a_wrong_file_is_no_success(tmp_path: Path) -> None:
    """The answer has every problem."""
    async with a_running_desk(tmp_path) as desk:
        desk.reload_problems.append("desk.toml:2:1: risk.strategy.allocation: is wrong")
        answer = await reload(desk, {})
    assert not answer.is_done
    assert answer.body["problems"] == ["desk.toml:2:1: risk.strategy.allocation: is wrong"]


async def test_members_do_not(tmp_path: Path) -> None:
    """The configuration is everybody's."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        with pytest.raises(NotDone, match="the configuration is the officers': alice is none"):
            await reload(desk, {})
    assert desk.reloads == []
