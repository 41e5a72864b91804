"""The jail's configuration, word by word."""

from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.ids import StrategyId, UserId
from deskd.supervision.jail import JailPlan, environment_of, jail_config, plain_command
from deskd.supervision.staging import Environment
from deskd.supervision.uids import Identity


def a_plan(tmp_path: Path, **overrides: object) -> JailPlan:
    fields: dict[str, object] = {
        "strategy_id": StrategyId("alice"),
        "user_id": UserId("al"),
        "env": {"THRESHOLD": "5"},
        "who": Identity(200_001, 200_001, False),
        "environment": Environment((), tmp_path / "env", Path("/usr/bin/python3"), "python3", None),
        "code": tmp_path / "code",
        "state_fd": 9,
        "socket_folder": tmp_path / "run",
        "section": SandboxSection(tmp_mb=32, pids=7, state_mb=48, state_files=100),
        "log_fd": 7,
        "progress_fd": 8,
    }
    return JailPlan(**fields | overrides)  # type: ignore[arg-type]


def blocks(config: str, kind: str) -> list[str]:
    """Return the configuration's messages of one kind, each on one line."""
    found = [part.split("\n}")[0] for part in config.split(f"\n{kind} {{")[1:]]
    return [" ".join(part.split()) for part in found]


def test_only_tmp_and_state_can_be_written(tmp_path: Path) -> None:
    """Every other mount is read-only, and where nothing need be executed nothing can."""
    mounts = blocks(jail_config(a_plan(tmp_path)), "mount")
    writable = [mount for mount in mounts if "rw: true" in mount]
    assert [mount.split('dst: "')[1].split('"')[0] for mount in writable] == ["/tmp", "/state"]
    assert all("noexec: true" in mount for mount in writable)
    [tmp] = [mount for mount in mounts if 'dst: "/tmp"' in mount]
    assert "size=32m,nr_inodes=4096,mode=0700,uid=200001,gid=200001" in tmp
    [state] = [mount for mount in mounts if 'dst: "/state"' in mount]
    assert "size=48m,nr_inodes=101,mode=0700,uid=200001,gid=200001" in state


def test_what_was_proved_stands_there(tmp_path: Path) -> None:
    """The figures that nsjail would otherwise choose itself are all set."""
    config = jail_config(a_plan(tmp_path))
    for line in (
        'name: "alice"',
        "time_limit: 0",
        "log_fd: 7",
        "pass_fd: 8",
        "pass_fd: 9",
        "log_level: INFO",
        "rlimit_as_type: HARD",
        "rlimit_cpu_type: HARD",
        "rlimit_nproc: 7",
        "iface_no_lo: true",
    ):
        assert f"\n{line}\n" in f"\n{config}", line
    for forbidden in (
        "mount_proc",
        "keep_env",
        "keep_caps",
        "disable_no_new_privs",
        "forward_signals",
        "cgroup_",
        "clone_new",
    ):
        assert forbidden not in config
    assert "DEFAULT ERRNO(38)" in config
    [uids] = blocks(config, "uidmap")
    assert uids == 'inside_id: "200001" outside_id: "200001"'


def test_the_member_never_overrules_the_desk(tmp_path: Path) -> None:
    """Even if discovery let a name through."""
    plan = a_plan(tmp_path, env={"USER_ID": "bob", "PATH": "/evil", "MINE": "1"})
    env = environment_of(plan, server_url="unix:///x")
    assert (env["USER_ID"], env["PATH"], env["MINE"]) == ("al", "/venv/bin", "1")


def test_a_source_with_a_mount_below_is_refused(tmp_path: Path) -> None:
    """It would stay writable in the jail: /dev has mounts below it on every machine."""
    with pytest.raises(SandboxUnavailable, match="is mounted below /dev, which jails bind"):
        jail_config(a_plan(tmp_path, code=Path("/dev")))


def test_a_run_without_a_jail_gets_the_same_environment(tmp_path: Path) -> None:
    """Only the places differ."""
    command, env = plain_command(a_plan(tmp_path))
    assert command[0] == f"{tmp_path}/env/bin/python3"
    assert command[-1] == f"{tmp_path}/code/strategy.py"
    assert env["DESK_SERVER_URL"] == f"unix://{tmp_path}/run/order.sock"
    assert (env["USER_ID"], env["THRESHOLD"], env["PYTHONHASHSEED"]) == ("al", "5", "0")
