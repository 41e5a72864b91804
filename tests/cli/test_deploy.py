"""`deskctl deploy`, `versions`, `rollback`: what a person reads, and what a script can rely on."""

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


async def test_a_folder_is_deployed_listed_and_rolled_back(tmp_path: Path) -> None:
    """The folder's name is the strategy's; --name says another."""
    (tmp_path / "alice").mkdir()
    source = tmp_path / "alice" / "strategy.py"
    async with a_running_desk(tmp_path) as desk:
        source.write_text("print(1)")
        first = await ctl(desk, "deploy", str(source.parent), "--json")
        source.write_text("print(2)")
        second = await ctl(desk, "deploy", str(source.parent), "--as", "shadow")
        listed = json.loads((await ctl(desk, "versions", "alice", "--json")).output)
        table = await ctl(desk, "versions", "alice")
        back = await ctl(desk, "rollback", "alice")
        other = await ctl(desk, "deploy", str(source.parent), "--name", "bob")
    old = json.loads(first.output)["code_hash"]
    new = listed[0]["code_hash"]
    assert set(json.loads(first.output)) == {"strategy_id", "code_hash", "previous", "stage", "started", "status"}
    assert second.output == f"alice: version {new[:12]} is in place of {old[:12]}; stage shadow, running\n"
    assert [(row["code_hash"], row["present"]) for row in listed] == [(new, True), (old, False)]
    assert new[:12] in table.output
    assert back.output == f"alice: version {old[:12]} is in place of {new[:12]}; stage shadow, running\n"
    assert other.output.splitlines() == [
        f"bob: version {new[:12]} is in place of nothing; stage active, stopped",
        "it was not running: deskctl start bob",
    ]


async def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The remedy stands with it; nothing reaches the desk."""
    (tmp_path / "alice").mkdir()
    (tmp_path / "alice" / "strategy.py").symlink_to("/etc/hostname")
    async with a_running_desk(tmp_path) as desk:
        refused = await ctl(desk, "deploy", str(tmp_path / "alice"))
    assert "is a link that does not lead to a file of this folder" in str(refused.exception)
    assert desk.commands == []


async def test_a_folder_that_is_no_strategy_is_told_so_at_once(tmp_path: Path) -> None:
    """A home folder has other troubles, and would be read to the last of them."""
    async with a_running_desk(tmp_path) as desk:
        refused = await ctl(desk, "deploy", str(tmp_path))
    assert "has no strategy.py: name the folder of one strategy" in str(refused.exception)
