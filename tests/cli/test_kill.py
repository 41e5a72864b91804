"""`deskctl kill` and `release`: what a person reads, and what a script can rely on."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from deskd.cli.deskctl import cli
from deskd.cli.kill import in_words, tell_kills
from deskd.domain.kill import THE_DESK, KillDepth
from tests.control.a_running_desk import RunningDesk, a_running_desk


async def ctl(desk: RunningDesk, *arguments: str) -> Result:
    with capture_logs():
        return await asyncio.to_thread(CliRunner().invoke, cli, ["--config", str(desk.config), *arguments])


async def test_a_kill_is_one_command_and_shows_loudly(tmp_path: Path) -> None:
    """Status begins with it, and says how to release it."""
    async with a_running_desk(tmp_path) as desk:
        killed = await ctl(desk, "kill", "--flatten", "--reason", "runaway orders")
        assert killed.exit_code == 0
        assert killed.output.startswith("KILL desk: flatten since ")
        assert "runaway orders" in killed.output
        assert "then positions closed" in killed.output
        again = await ctl(desk, "kill", "--reason", "again")
        assert again.output.startswith("it is in force already")
        status = await ctl(desk, "status")
        assert status.output.startswith("*** KILL desk: flatten")
        assert "deskctl release" in status.output
        released = await ctl(desk, "release", "--reason", "mended")
        assert (released.exit_code, released.output.startswith("released: KILL desk")) == (0, True)
        assert desk.desk.kills.in_force == {}


async def test_a_script_reads_json_and_exit_codes(tmp_path: Path) -> None:
    """0 done, 1 refused, 2 usage."""
    async with a_running_desk(tmp_path) as desk:
        told = await ctl(desk, "kill", "--strategy", "alice", "--reduce-only", "--reason", "x", "--json")
        assert json.loads(told.output)["kill"]["depth"] == "reduce_only"
        other = await ctl(desk, "kill", "--symbol", "AAPL", "--reason", "x")
        assert other.exit_code == 0
        released = await ctl(desk, "release", "--strategy", "alice", "--reason", "x")
        assert "still in force: KILL symbol AAPL" in released.output
        as_json = await ctl(desk, "release", "--symbol", "AAPL", "--reason", "x", "--json")
        assert json.loads(as_json.output)["in_force"] == []
        assert isinstance((await ctl(desk, "release", "--reason", "x")).exception, Exception)
        assert desk.desk.kills.in_force.get(THE_DESK) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("kill",),
        ("release",),
        ("kill", "--reduce-only", "--cancel", "--reason", "x"),
        ("kill", "--strategy", "a", "--symbol", "B", "--reason", "x"),
    ],
)
async def test_half_a_command_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Nothing is stopped by what nobody meant."""
    async with a_running_desk(tmp_path) as desk:
        assert (await ctl(desk, *arguments)).exit_code == 2
        assert desk.commands == []


def test_what_is_left_is_told_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Below its kill; a kill that is flat says since when."""
    kill = {
        "scope": "member",
        "name": "alice",
        "depth": KillDepth.FLATTEN.value,
        "since": "2026-01-05T17:00:00.000000Z",
        "cause": "command",
        "by": "ada (uid 0)",
        "reason": "runaway",
        "flat_at": None,
        "left": ["alice: 5 AAPL: halted"],
    }
    tell_kills([kill])
    assert "***   left: alice: 5 AAPL: halted" in capsys.readouterr().out
    assert "; flat since " in in_words(kill | {"flat_at": "2026-01-05T17:00:09.000000Z"})
