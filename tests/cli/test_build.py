"""`deskctl build`: what an officer reads, and what a script can rely on."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from deskd.cli.deskctl import cli
from tests.control.a_running_desk import RunningDesk, a_running_desk


async def ctl(desk: RunningDesk, *arguments: str) -> Result:
    with capture_logs():  # the desk's, which runs in this process, are no part of what deskctl prints
        return await asyncio.to_thread(CliRunner().invoke, cli, ["--config", str(desk.config), "build", *arguments])


async def test_one_line_says_what_was_built(tmp_path: Path) -> None:
    """And JSON has the same."""
    async with a_running_desk(tmp_path) as desk:
        told = await ctl(desk, "alice")
        as_json = await ctl(desk, "alice", "--json")
    assert (told.exit_code, told.output) == (0, "alice: built ta 0.11.0\n")
    assert json.loads(as_json.output) == {"strategy_id": "alice", "done": "built ta 0.11.0"}
