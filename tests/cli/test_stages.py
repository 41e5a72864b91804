"""`deskctl pause`, `resume`, `shadow`, `activate`: what a person reads, and what a script can rely on."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from deskd.cli.deskctl import cli
from tests.control.a_running_desk import RunningDesk, a_running_desk


async def ctl(desk: RunningDesk, *arguments: str) -> Result:
    with capture_logs():
        return await asyncio.to_thread(CliRunner().invoke, cli, ["--config", str(desk.config), *arguments])


async def test_the_stage_is_told_with_what_it_does(tmp_path: Path) -> None:
    """And JSON has the same; `status` shows it beside the process."""
    async with a_running_desk(tmp_path) as desk:
        shadow = await ctl(desk, "shadow", "alice")
        paused = await ctl(desk, "pause", "alice", "--json")
        status = await ctl(desk, "status")
        resumed = await ctl(desk, "resume", "alice")
        active = await ctl(desk, "activate", "alice", "bob")
    assert shadow.output == "alice: shadow (was active): orders are judged and recorded, not sent\n"
    assert json.loads(paused.output) == {
        "strategies": [{"strategy_id": "alice", "stage": "paused", "before": "shadow"}]
    }
    assert "running, paused" in status.output
    assert resumed.output.startswith("alice: shadow (was paused)")
    assert active.output == "alice: active (was shadow): orders are sent\nbob: active: orders are sent\n"


async def test_names_or_all(tmp_path: Path) -> None:
    """Neither or both is a usage error."""
    async with a_running_desk(tmp_path) as desk:
        for arguments in (["pause"], ["pause", "alice", "--all"]):
            assert (await ctl(desk, *arguments)).exit_code == 2
