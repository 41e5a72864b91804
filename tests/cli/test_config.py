"""`deskctl config`: what an officer reads, and what a script can rely on."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from deskd.cli.deskctl import cli
from tests.control.a_running_desk import RunningDesk, a_running_desk


def ctl(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(config), "config", *arguments])


async def reload(desk: RunningDesk, *arguments: str) -> Result:
    with capture_logs():  # the desk's, which runs in this process, are no part of what deskctl prints
        return await asyncio.to_thread(ctl, desk.config, "reload", *arguments)


async def test_a_reload_shows_what_changed_and_when_it_counts(tmp_path: Path) -> None:
    """A line a key; JSON has the same."""
    async with a_running_desk(tmp_path) as desk:
        told = await reload(desk)
        dry = await reload(desk, "--dry-run")
        as_json = await reload(desk, "--json")
    assert told.exit_code == dry.exit_code == 0
    assert [line.split() for line in told.output.splitlines()] == [
        ["key", "old", "new"],
        ["risk.strategy.allocation", "10000", "500", "applied"],
        ["api.local_port", "0", "8080", "needs", "restart"],
    ]
    assert dry.output.splitlines()[-1] == "this would change; nothing was changed yet"
    assert [change["key"] for change in json.loads(as_json.output)["changes"]] == [
        "risk.strategy.allocation",
        "api.local_port",
    ]


async def test_a_wrong_file_is_told_whole_and_ends_with_1(tmp_path: Path) -> None:
    """Every problem, and that nothing was changed."""
    async with a_running_desk(tmp_path) as desk:
        desk.reload_problems += ["desk.toml:2:1: one", "desk.toml:4:1: two"]
        told = await reload(desk)
    assert (told.exit_code, told.output) == (1, "desk.toml:2:1: one\ndesk.toml:4:1: two\nnothing was changed\n")


def test_no_line_is_wider_than_a_page(tmp_path: Path) -> None:
    """Of every key, with a list that is long."""
    config = tmp_path / "desk.toml"
    config.write_text(
        f"[market]\nsymbols = [{', '.join(f'"A{chr(65 + n % 26)}{chr(65 + n // 26)}"' for n in range(100))}]\n"
    )
    shown = ctl(config, "show")
    assert shown.exit_code == 0
    assert max(map(len, shown.output.splitlines()[1:])) <= 100


def test_one_key_or_one_section_can_be_shown(tmp_path: Path) -> None:
    """And what is not there has a nearest."""
    config = tmp_path / "desk.toml"
    config.write_text('[risk.strategies.bob]\nallocation = "300"\n[sandbox]\npids = 64\n')
    section = ctl(config, "show", "risk.strategies")
    assert section.output.splitlines()[2:] == ["risk.strategies.bob.allocation 300   desk.toml:2"]
    wrong = ctl(config, "show", "sandbox.pid")
    assert wrong.exit_code == 1
    assert str(wrong.exception) == "there is no key sandbox.pid; did you mean sandbox.pids?"


def test_what_is_not_the_default_can_be_shown_alone(tmp_path: Path) -> None:
    """A key that the file sets to its default is none of it."""
    config = tmp_path / "desk.toml"
    config.write_text("[sandbox]\npids = 64\n")
    assert "everything is at its default" in ctl(config, "show", "--changed").output
    config.write_text("[sandbox]\npids = 65\n")
    assert ctl(config, "show", "--changed").output.splitlines()[2:] == ["sandbox.pids 65    desk.toml:2"]
