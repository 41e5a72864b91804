"""`deskctl jail test`, against a running desk and without one."""

import json
from pathlib import Path

import pytest

from deskd.supervision.walls import PROBES, Row, Verdict, Wall
from tests.cli.test_deskctl import deskctl
from tests.control.a_running_desk import a_running_desk


async def test_every_probe_has_a_line(tmp_path: Path) -> None:
    """Wall, what was tried, whether it holds; exit 0 where all do."""
    async with a_running_desk(tmp_path) as desk:
        said = await deskctl(desk, "jail", "test")
        told = await deskctl(desk, "jail", "test", "--json")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "wall     tried            got",
        "no /proc list /proc holds 'ENOENT'",
        "",
        "1 probes in the running desk; walls missing: 0",
    ]
    assert json.loads(told.out) == [{"wall": "no /proc", "probe": "list /proc", "result": "holds", "found": "'ENOENT'"}]


async def test_a_missing_wall_is_exit_1_with_what_to_do(tmp_path: Path) -> None:
    """What it protects, and the remedy."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.walls.append(Row(wall=Wall.CPU, probe="run on", result=Verdict.MISSING, found="False"))
        desk.runs.walls.append(Row(wall=Wall.GROUPS, probe="list its groups", result=Verdict.WEAKER, found="[4]"))
        said = await deskctl(desk, "jail", "test")
    assert said.code == 1
    assert "3 probes in the running desk; walls missing: 1" in said.out
    assert "weaker, for strategies share one uid: no groups" in said.out
    assert "cpu limit    everybody's time from one strategy" in said.out
    assert "Delegate=cpu memory pids" in said.out


@pytest.mark.needs_nsjail
@pytest.mark.usefixtures("needs_jail")
async def test_without_a_desk_it_is_tried_here(tmp_path: Path, jail_root: Path) -> None:
    """An officer can look before the first start."""
    config = tmp_path / "desk.toml"
    config.write_text(f'[desk]\nstate_dir = "{tmp_path}"\n[sandbox]\njail_dir = "{jail_root}"\n')
    said = await deskctl(config, "jail", "test")
    assert (said.code, said.err) == (0, "")
    assert f"{len(PROBES)} probes by this user: no desk runs; walls missing: 0" in said.out


async def test_without_a_desk_and_without_jails_it_says_why(tmp_path: Path) -> None:
    """One sentence, exit 1."""
    config = tmp_path / "desk.toml"
    python = tmp_path / "no-python"
    config.write_text(f'[desk]\nstate_dir = "{tmp_path}"\n[sandbox]\njail_dir = "{tmp_path}"\npython = "{python}"\n')
    said = await deskctl(config, "jail", "test")
    assert said.code == 1
    assert said.err.startswith("deskctl: ")
