"""/jail/test over a real socket; the attacks themselves in tests/supervision/test_self_test.py."""

import asyncio
from pathlib import Path

import pytest

from deskd.cli.client import Desk, NotDone
from tests.control.a_running_desk import MEMBER, a_running_desk


async def test_officers_are_told_of_every_wall(tmp_path: Path) -> None:
    """One row a probe, as the desk found it."""
    async with a_running_desk(tmp_path) as desk:
        answer = await asyncio.to_thread(Desk(desk.socket).command, "/jail/test", {})
    assert [(c.command, c.by) for c in desk.commands] == [("jail test", "ada (uid 0)")]
    assert answer.body == {
        "probes": [{"wall": "no /proc", "probe": "list /proc", "result": "holds", "found": "'ENOENT'"}]
    }


async def test_members_do_not_test_jails(tmp_path: Path) -> None:
    """Who would flood the desk with tests would take its time."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        with pytest.raises(NotDone, match="the test of jails is not yours"):
            await asyncio.to_thread(Desk(desk.socket).command, "/jail/test", {})
    assert desk.commands == []


async def test_a_machine_without_jails_says_so(tmp_path: Path) -> None:
    """With the remedy that the start would give."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.has_jails = False
        with pytest.raises(NotDone, match="no namespaces here: run the desk as root"):
            await asyncio.to_thread(Desk(desk.socket).command, "/jail/test", {})
