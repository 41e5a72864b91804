"""What is prepared for a run is given back where no run comes to be; one desk at a time has a jail folder."""

import json
import os
import resource
import socket
from pathlib import Path

import pytest

from deskd.config import Config
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import RunId
from deskd.domain.strategy import StrategySpec
from deskd.supervision.discovery import Defaults, discover_one
from deskd.supervision.launch import EditedMeanwhile, Launcher
from tests.supervised import a_config, write_strategy


def a_spec(config: Config, name: str = "alice") -> StrategySpec:
    folder = write_strategy(config.desk.strategies_dir, name, "print(1)")
    defaults = Defaults(market=config.market, risk=config.risk.strategy)
    spec = discover_one(folder, defaults, lambda sources: [None for _ in sources])
    assert isinstance(spec, StrategySpec)
    return spec


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_an_abandoned_run_leaves_nothing(tmp_path: Path, jail_root: Path) -> None:
    """No pipe, no cgroup, no folder of a socket's content."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    before = open_fds()
    launcher.prepare(a_spec(config), RunId("alice.1")).abandon()
    assert open_fds() == before
    assert not [path for folder in launcher.groups.folders for path in folder.glob("*/")]
    launcher.close()


def test_a_folder_that_changed_is_not_run(tmp_path: Path, jail_root: Path) -> None:
    """What runs is what was read and checked."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    spec = a_spec(config)
    write_strategy(config.desk.strategies_dir, "alice", "print('other')")
    before = open_fds()
    with pytest.raises(EditedMeanwhile):
        launcher.prepare(spec, RunId("alice.1"))
    assert open_fds() == before
    launcher.close()


def test_a_run_that_cannot_be_prepared_leaves_nothing(tmp_path: Path, jail_root: Path) -> None:
    """A cgroup of that name stands in the way: the error passes, nothing is kept."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    if not launcher.groups.folders:
        launcher.close()
        pytest.skip("no cgroups here")
    spec = a_spec(config)
    first = launcher.prepare(spec, RunId("alice.1"))
    before = open_fds()
    with pytest.raises(FileExistsError):
        launcher.prepare(spec, RunId("alice.1"))
    assert open_fds() == before
    first.abandon()
    launcher.close()


def test_a_damaged_list_of_uids_ends_the_start(tmp_path: Path, jail_root: Path) -> None:
    """It is told before anything runs, and the folder is free for the next try."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    file = jail_root / "uids.json"
    before = file.read_text() if file.exists() else None
    file.write_text('{"alice": ')
    try:
        with pytest.raises(SandboxUnavailable, match="restore it from a backup"):
            Launcher.open(config)
    finally:
        file.unlink() if before is None else file.write_text(before)
    Launcher.open(config).close()


def test_one_desk_at_a_time(tmp_path: Path, jail_root: Path) -> None:
    """The second is refused with the remedy, and may have the folder when the first is gone."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    with pytest.raises(SandboxUnavailable, match="another desk runs strategies from here: stop it"):
        Launcher.open(config)
    launcher.close()
    Launcher.open(config).close()


def test_the_sockets_of_a_killed_desks_runs_go(tmp_path: Path, jail_root: Path) -> None:
    """Also where their strategies do not start again; what may be another process's stays."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    left, other = (jail_root / "run" / name for name in ("200019", "hello-1"))
    for folder in (left, other):
        folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(left / "order.sock"))
    Launcher.open(config).close()
    assert not left.exists()
    assert other.is_dir()
    other.rmdir()


def test_where_the_cgroups_are_is_remembered(tmp_path: Path, jail_root: Path) -> None:
    """A desk that is started elsewhere still finds what an earlier one left."""
    config = a_config(tmp_path, jail_root, jailed=False, sandbox={}, restart={})
    launcher = Launcher.open(config)
    remembered = json.loads((jail_root / "cgroups.json").read_text())
    assert [Path(path) for path in remembered] == list(launcher.groups.folders)
    launcher.close()


def test_a_full_disk_is_told_with_its_remedy(tmp_path: Path, jail_root: Path) -> None:
    """What cannot be copied is no traceback, and the folder can be tried again."""
    config = a_config(tmp_path, jail_root / "full", jailed=False, sandbox={}, restart={})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))  # as good as full: no file can grow
    try:
        with pytest.raises(SandboxUnavailable, match=r"full: what jails need .* free the disk .* jail_dir"):
            Launcher.open(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    Launcher.open(config).close()
