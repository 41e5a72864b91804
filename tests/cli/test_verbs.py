"""Commands are found by their beginnings, wrong ones answered with right ones, names completed in the shell."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from deskd.cli.deskctl import cli
from deskd.cli.verbs import names_of
from tests.control.a_running_desk import a_running_desk
from tests.hang import HANG_S

SHELLS = ["bash", "zsh", "fish"]


def ctl(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def completed(words: str, at: int, config: Path) -> list[str]:
    """Return what bash would offer for the word at that place."""
    asked = {"_DESKCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    command = [sys.executable, "-c", "from deskd.cli.deskctl import main; main()"]
    shown = subprocess.run(
        command, env={**os.environ, **asked}, capture_output=True, text=True, check=True, timeout=HANG_S
    )
    assert config.exists()
    return [line.split(",", 1)[1] for line in shown.stdout.splitlines()]


@pytest.mark.parametrize(("typed", "meant"), [("stat", "status"), ("posi", "positions"), ("vers", "versions")])
def test_an_unambiguous_beginning_is_enough(typed: str, meant: str) -> None:
    """The usage line has the whole name."""
    assert f" {meant} " in ctl(typed, "--help").output.splitlines()[0]


def test_an_ambiguous_beginning_is_refused_with_what_it_could_be() -> None:
    """Nothing is done by guessing: a `re` may be restart, and release."""
    refused = ctl("re")
    assert refused.exit_code == 2
    assert "command 're' is ambiguous: " in refused.output
    assert "restart" in refused.output


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["statsu"], "there is no command 'statsu': did you mean status"),
        (["xyzzy"], "there is no command 'xyzzy': `deskctl --help` lists them"),
        (["config", "chekc"], "there is no command 'chekc': did you mean check"),
        (["status", "--jsn"], "--json"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest_right_one(typed: list[str], told: str) -> None:
    """Commands, commands in groups, and options; exit 2."""
    refused = ctl(*typed)
    assert refused.exit_code == 2
    assert told in refused.output


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_gets_a_script_that_asks_deskctl(shell: str) -> None:
    """It needs no desk."""
    script = ctl("completion", shell)
    assert script.exit_code == 0
    assert f"_DESKCTL_COMPLETE={shell}_complete" in script.output


async def test_names_come_from_the_desk(tmp_path: Path) -> None:
    """What runs now is offered, and what stands there already is not."""
    async with a_running_desk(tmp_path) as desk:
        names = await asyncio.to_thread(names_of, desk.config)
        words = f"deskctl --config {desk.config} start alice "
        offered = await asyncio.to_thread(completed, words, 5, desk.config)
    assert names == ["alice", "bob", "wreck"]
    assert offered == ["bob", "wreck"]


def test_names_come_from_the_folder_where_no_desk_answers(tmp_path: Path) -> None:
    """Without a desk, and without a configuration, completion is silent."""
    config = tmp_path / "desk.toml"
    config.write_text('[desk]\nstrategies_dir = "mine"\n')
    assert names_of(config) == []
    for name in ("carol", ".git", "_old"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    assert names_of(config) == ["carol"]
    assert names_of(tmp_path / "nothing.toml") == []
    assert completed(f"deskctl --config {config} logs ca", 4, config) == ["carol"]


def test_what_is_heavy_is_not_imported_before_a_command_needs_it() -> None:
    """Deskctl starts in a blink: tables, HTTP, configuration and the desk itself come later."""
    heavy = ("rich", "pydantic", "pydantic_settings", "aiohttp", "structlog", "msgspec", "asyncio", "deskd.core")
    script = "import sys, deskd.cli.deskctl; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=HANG_S)
    assert set(heavy) & set(loaded.stdout.split()) == set()


def test_a_command_in_a_file_of_its_own_is_imported_when_it_is_meant() -> None:
    """None makes the others slower; each is called there as it is here."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
    script = "import sys, deskd.cli.deskctl; print(*sorted(m for m in sys.modules if m.startswith('deskd.cli.')))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=HANG_S)
    names = {module.removeprefix("deskd.cli.") for module in loaded.stdout.split()}
    assert names == {"call", "client", "deskctl", "layout", "place", "show", "verbs"}
