"""The exit codes that scripts rely on (CONTRACTS 1): every verb, not only those that somebody thought of."""

from pathlib import Path

import pytest

from tests.cli.in_process import commands, ctl

# How each verb is called where it needs a running desk.
WITH_A_DESK: dict[str, tuple[str, ...]] = {
    "account": (),
    "activate": ("alice",),
    "build": ("alice",),
    "cancel": ("--all",),
    "config reload": (),
    "deploy": ("FOLDER",),
    "events": (),
    "fills": (),
    "jobs": (),
    "jobs run": ("checks",),
    "kill": ("--reason", "test"),
    "logs": ("alice",),
    "notify list": (),
    "notify retry": (),
    "notify send": ("risk", "hear"),
    "notify test": ("risk",),
    "orders": (),
    "outages": (),
    "pause": ("alice",),
    "positions": (),
    "reconcile": (),
    "release": ("--reason", "test"),
    "replace": ("alice-2", "--limit-price", "80"),
    "report": (),
    "restart": ("alice",),
    "resume": ("alice",),
    "rollback": ("alice",),
    "runs": (),
    "shadow": ("alice",),
    "start": ("alice",),
    "status": (),
    "stop": ("--all",),
    "token": ("alice",),
    "top": ("--once",),
    "versions": ("alice",),
    "why": ("alice-2",),
}
# What reads files, or makes them, and asks no desk, or asks one only if it is there.
WITHOUT_ONE = {
    "audit export",
    "audit rebuild",
    "audit roots",
    "audit sign",
    "audit verify",
    "backtest",
    "backup",
    "check",
    "completion",
    "config check",
    "config show",
    "doctor",
    "handover",
    "jail test",
    "new",
    "replay",
    "run",
}


def test_every_verb_stands_in_one_of_the_lists() -> None:
    """Whoever adds one says whether it needs a desk."""
    assert sorted([*WITH_A_DESK, *WITHOUT_ONE]) == sorted(commands())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration whose desk does not run, beside a strategy."""
    file = tmp_path / "desk.toml"
    file.write_text(f'[desk]\nstate_dir = "{tmp_path}/var"\nruntime_dir = "{tmp_path}/run"\n')
    (tmp_path / "alice").mkdir()
    (tmp_path / "alice" / "strategy.py").write_text("import sys\nfor line in sys.stdin:\n    pass\n")
    return file


@pytest.mark.parametrize("verb", WITH_A_DESK)
async def test_without_a_desk_it_is_3(config: Path, verb: str) -> None:
    """And one sentence that says which socket was tried; nothing on standard output, and no traceback."""
    arguments = [str(config.parent / "alice") if one == "FOLDER" else one for one in WITH_A_DESK[verb]]
    said = await ctl(config, *verb.split(), *arguments)
    assert said.code == 3, said
    assert said.err.startswith("deskctl: no desk is reachable at"), said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize("verb", commands())
async def test_an_unknown_option_is_2(config: Path, verb: str) -> None:
    """Usage, for every verb: a script that mistypes learns it at once, and nothing was done."""
    said = await ctl(config, *verb.split(), "--no-such-option")
    assert said.code == 2, said
    assert "--no-such-option" in said.err
    assert said.out == ""


@pytest.mark.parametrize("words", [(), ("no-such-verb",), ("config", "no-such-verb")])
async def test_a_verb_that_is_none_is_2(config: Path, words: tuple[str, ...]) -> None:
    """As an unknown option is; without any, the help says what there is."""
    assert (await ctl(config, *words)).code == 2


async def test_what_is_refused_is_1(config: Path) -> None:
    """Refused or failed: neither usage nor a desk that is not there."""
    assert (await ctl(config, "config", "show", "sandbx")).code == 1
