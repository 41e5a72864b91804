"""`deskctl notify`: what an officer reads, and what a script can rely on."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from deskd.cli.deskctl import cli
from tests.control.a_running_desk import RunningDesk, a_running_desk
from tests.control.test_notifications import keep_a_dead_one


async def ctl(desk: RunningDesk, *arguments: str) -> Result:
    with capture_logs():
        return await asyncio.to_thread(CliRunner().invoke, cli, ["--config", str(desk.config), "notify", *arguments])


async def test_dead_notifications_are_listed_and_sent_again(tmp_path: Path) -> None:
    """With id, route and problem; as a table or as JSON."""
    number = keep_a_dead_one(tmp_path)
    async with a_running_desk(tmp_path) as desk:
        listed = await ctl(desk, "list", "--status", "dead")
        assert "HTTP 500" in listed.output
        [row] = json.loads((await ctl(desk, "list", "--json")).output)
        assert (row["id"], row["status"]) == (number, "dead")
        assert (await ctl(desk, "retry", str(number))).output == "1 are sent again\n"
        assert json.loads((await ctl(desk, "retry", "--json")).output) == {"again": 0}
        assert (await ctl(desk, "test", "risk")).output.startswith("a test of risk is on its way")
        assert json.loads((await ctl(desk, "test", "risk", "--json")).output)["topic"] == "risk"


async def test_without_routes_it_says_what_to_set(tmp_path: Path) -> None:
    """Nothing is listed, and the remedy is named."""
    async with a_running_desk(tmp_path) as desk:
        assert "set notifications.routes_file" in (await ctl(desk, "list")).output
