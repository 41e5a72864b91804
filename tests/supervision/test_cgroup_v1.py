"""v1's texts. Plain files stand for the kernel's; test_cgroup.py tries the same on the real ones, where they are v1."""

from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.supervision.cgroup_files import Usage
from deskd.supervision.cgroup_v1 import V1Group, V1Groups, found_below, without_seat

CONTROLLERS = ("cpu", "cpuacct", "memory", "pids")


def test_v1_limits_are_written_as_proved(tmp_path: Path) -> None:
    """The same bounds as v2's, in v1's words, one folder per hierarchy."""
    groups = V1Groups({controller: tmp_path / controller for controller in CONTROLLERS})
    group = groups.create("run", SandboxSection(memory_mb=64, cpu=0.5, pids=8))
    written = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.glob("*/run/*")}
    assert written == {
        "memory/run/memory.limit_in_bytes": str(64 << 20),
        "pids/run/pids.max": "8",
        "cpu/run/cpu.cfs_period_us": "100000",
        "cpu/run/cpu.cfs_quota_us": "50000",
        "cpu/run/cpu.shares": "10",
    }
    assert {file.name for file in group.join_files} == {"tasks"}  # cgroup.procs takes a lock that stops every core
    assert len(group.join_files) == len(CONTROLLERS)


def test_v1_a_group_that_cannot_be_made_everywhere_is_nowhere(tmp_path: Path) -> None:
    """What is left of it would stand in the way of the desk's own folder at the end."""
    (tmp_path / "file").touch()
    folders = {controller: tmp_path / controller for controller in CONTROLLERS} | {"pids": tmp_path / "file" / "pids"}
    with pytest.raises(NotADirectoryError):
        V1Groups(folders).create("run", SandboxSection())
    assert list(tmp_path.glob("*/run")) == []


def test_v1_says_whether_time_is_bounded(tmp_path: Path) -> None:
    """-1 is the kernel's word for no bound; a file that is not there bounds nothing."""
    group = V1Group(dict.fromkeys(CONTROLLERS, tmp_path))
    assert not group.has_cpu_quota()
    for quota, is_bounded in (("-1", False), ("50000", True)):
        (tmp_path / "cpu.cfs_quota_us").write_text(quota)
        assert group.has_cpu_quota() is is_bounded


def test_v1_cannot_say_whether_a_run_dies_whole(tmp_path: Path) -> None:
    """It has no such thing: the kernel ends one process at a time."""
    assert V1Group(dict.fromkeys(CONTROLLERS, tmp_path)).dies_whole() is None


def test_v1_counters_are_read(tmp_path: Path) -> None:
    """The kernel's figures, by the names of v1."""
    for name, text in {
        "memory.usage_in_bytes": "7\n",
        "memory.max_usage_in_bytes": "9\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        "pids.events": "max 4\n",
        "pids.peak": "11\n",
        "cpuacct.usage": "2500000000\n",
        "cgroup.procs": "",
    }.items():
        (tmp_path / name).write_text(text)
    group = V1Group(dict.fromkeys(CONTROLLERS, tmp_path))
    assert group.usage() == Usage(
        memory_bytes=7, peak_memory_bytes=9, oom_kills=3, forks_refused=4, cpu_seconds=2.5, peak_pids=11
    )
    assert group.is_empty()


def test_v1_a_run_that_is_up_has_short_turns_and_its_own_weight(tmp_path: Path) -> None:
    """Until then it starts as one that uses up its share: in long turns, behind all others."""
    group = V1Groups({controller: tmp_path / controller for controller in CONTROLLERS}).create("run", SandboxSection())
    group.settle(0.5)
    group.weigh(20)
    cpu = tmp_path / "cpu" / "run"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "5000"
    assert (cpu / "cpu.cfs_period_us").read_text() == "10000"
    assert (cpu / "cpu.shares").read_text() == "205"


def test_one_hierarchy_of_two_controllers_is_made_once(tmp_path: Path) -> None:
    """Many systems mount cpu and cpuacct as one: the run's group there is made, joined and removed once, seat or not."""
    homes = {controller: tmp_path / controller for controller in ("cpu", "memory", "pids")} | {
        "cpuacct": tmp_path / "cpu"
    }
    for goes_first, name, where in ((False, "deskd-1", "deskd-1"), (True, "deskd-2", "deskd-2/runs")):
        for home in homes.values():
            home.mkdir(exist_ok=True)
        groups = found_below(homes, name, goes_first=goes_first)
        group = groups.create("run", SandboxSection())
        assert [str(file.relative_to(tmp_path)) for file in group.join_files] == [
            f"cpu/{where}/run/tasks",
            f"memory/{name}/run/tasks",
            f"pids/{name}/run/tasks",
        ]
        assert group.by_controller["cpuacct"] == group.by_controller["cpu"]


def test_a_process_with_a_seat_comes_from_above_it(tmp_path: Path) -> None:
    """A second look finds where the first one began; what only looks like a seat is none."""
    assert without_seat(tmp_path / "deskd-1" / "desk") == tmp_path
    assert without_seat(tmp_path / "user" / "desk") == tmp_path / "user" / "desk"
