"""v2's texts and layout. Plain files stand for the kernel's: what is written and read is all that is looked at."""

import os
from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.cgroup_files import Usage
from deskd.supervision.cgroup_v2 import V2Group, V2Groups, delegated

SECTION = SandboxSection(memory_mb=64, cpu=0.5, pids=8)


def test_v2_limits_are_written_as_proved(tmp_path: Path) -> None:
    """One period is 100 ms; a run dies as a whole; swap is no way out."""
    (tmp_path / "x").mkdir()
    group = V2Groups(tmp_path).create("run", SECTION)
    written = {path.name: path.read_text() for path in (tmp_path / "run").iterdir()}
    assert written == {
        "memory.max": str(64 << 20),
        "memory.oom.group": "1",
        "pids.max": "8",
        "cpu.max": "50000 100000",
        "cpu.weight": "1",
    }
    assert group.join_files == (tmp_path / "run" / "cgroup.procs",)


def test_v2_says_whether_time_is_bounded(tmp_path: Path) -> None:
    """`max` is the kernel's word for no bound; a file that is not there bounds nothing."""
    group = V2Group(tmp_path)
    assert not group.has_cpu_quota()
    for quota, is_bounded in (("max 100000", False), ("50000 100000", True)):
        (tmp_path / "cpu.max").write_text(quota)
        assert group.has_cpu_quota() is is_bounded


def test_v2_says_whether_a_run_dies_whole(tmp_path: Path) -> None:
    """Where its memory ends, all of it ends: a file that is not there says no."""
    group = V2Group(tmp_path)
    assert group.dies_whole() is False
    for text, is_whole in (("0", False), ("1", True)):
        (tmp_path / "memory.oom.group").write_text(text)
        assert group.dies_whole() is is_whole


def test_v2_counters_are_read(tmp_path: Path) -> None:
    """The kernel's figures, by the names of v2."""
    for name, text in {
        "memory.current": "7\n",
        "memory.peak": "9\n",
        "memory.events": "low 0\noom 2\noom_kill 3\noom_group_kill 1\n",
        "pids.events": "max 4\n",
        "pids.peak": "11\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        "cgroup.events": "populated 1\nfrozen 0\n",
    }.items():
        (tmp_path / name).write_text(text)
    group = V2Group(tmp_path)
    assert group.usage() == Usage(
        memory_bytes=7, peak_memory_bytes=9, oom_kills=3, forks_refused=4, cpu_seconds=2.5, peak_pids=11
    )
    assert not group.is_empty()


def test_v2_delegation_moves_the_desk_to_a_leaf(tmp_path: Path) -> None:
    """A group with processes may have no limited children: the desk goes to `daemon` with all it started before."""
    own = tmp_path / "deskd.service"
    (own / "deskd-1").mkdir(parents=True)
    (own / "cgroup.procs").write_text("41\n42\n")  # the desk and its exchange
    for folder in (own, own / "deskd-1"):
        (folder / "cgroup.controllers").write_text("cpu io memory pids\n")
        (folder / "cgroup.subtree_control").write_text("")
    groups = delegated(tmp_path, "/", "/deskd.service", "deskd-1")
    assert groups.folders == (own / "deskd-1",)
    assert (own / "deskd-1" / "cpu.idle").read_text() == "1"  # its runs get what the desk leaves
    assert (own / "daemon" / "cgroup.procs").read_text() == "42"
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    again = delegated(tmp_path, "/", "/deskd.service/daemon", "deskd-1")
    assert again.folders == groups.folders


def test_v2_without_controllers_says_what_to_do(tmp_path: Path) -> None:
    """Runs without bounds are never made silently."""
    (tmp_path / "cgroup.controllers").write_text("io\n")
    with pytest.raises(SandboxUnavailable, match="no controllers cpu, memory, pids: run the desk under systemd"):
        delegated(tmp_path, "/", "/", "deskd-1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may use the top of the hierarchy")
def test_v2_root_started_from_a_shell_has_its_own_folder_at_the_top(tmp_path: Path) -> None:
    """A login session has no controller for CPU: nobody's processes are moved, and runs are bounded."""
    session = tmp_path / "user.slice" / "session-3.scope"
    session.mkdir(parents=True)
    (session / "cgroup.procs").write_text("41\n")
    (session / "cgroup.controllers").write_text("memory pids\n")
    (tmp_path / "deskd-1").mkdir()
    for folder in (tmp_path, tmp_path / "deskd-1"):
        (folder / "cgroup.controllers").write_text("cpu io memory pids\n")
        (folder / "cgroup.subtree_control").write_text("")
    groups = delegated(tmp_path, "/", "/user.slice/session-3.scope", "deskd-1")
    assert groups.folders == (tmp_path / "deskd-1",)
    assert not (session / "daemon").exists()
    assert not (tmp_path / "daemon").exists()
    assert not (tmp_path / "deskd-1" / "cpu.idle").exists()  # the whole machine is beside them, and would starve them


def test_v2_a_run_that_is_up_has_short_turns_and_its_own_weight(tmp_path: Path) -> None:
    """Until then it starts as one that uses up its share: in long turns, behind all others."""
    group = V2Group(tmp_path)
    group.settle(0.5)
    group.weigh(20)
    assert (tmp_path / "cpu.max").read_text() == "5000 10000"
    assert (tmp_path / "cpu.weight").read_text() == "20"
