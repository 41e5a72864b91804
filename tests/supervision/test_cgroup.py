"""The bounds of a run, on the kernel's own files where this machine lets us, on plain files where only texts matter."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision import cgroup
from deskd.supervision.cgroup import Group, Groups, ProcessGroup, Usage, V2Group, V2Groups, clear, find_groups, sweep

SECTION = SandboxSection(memory_mb=64, cpu=0.5, pids=8)


@pytest.fixture
def groups() -> Iterator[Groups]:
    try:
        found = find_groups(f"deskd-test-{os.getpid()}")
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    yield found
    sweep(found.folders)
    found.close()
    assert not [folder for folder in found.folders if folder.exists()]


def a_sleeper(group: Group) -> "subprocess.Popen[bytes]":
    joins = "; ".join(f"echo 0 > {file}" for file in group.join_files)
    command = f"{joins}; trap '' TERM; echo in; sleep 600 & sleep 600"
    process = subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"in\n"
    return process


async def test_a_group_bounds_counts_and_is_cleared(groups: Groups) -> None:
    """Whoever joined is counted, killed with all its children, and nothing of the group stays."""
    group = groups.create("run", SECTION)
    assert group.is_empty()
    with a_sleeper(group) as process:
        assert not group.is_empty()
        usage = group.usage()
        assert usage.memory_bytes
        assert usage.cpu_seconds is not None
        assert usage.oom_kills == 0
        assert not group.remove()
        group.kill()
        assert process.wait(5) == -signal.SIGKILL
    assert await clear(group)
    assert group.remove()
    assert group.usage().memory_bytes is None  # reading a group that is gone is no error


async def test_a_sweep_ends_what_an_earlier_desk_left(groups: Groups) -> None:
    """Leftovers are killed and removed, by the folders alone."""
    with a_sleeper(groups.create("left", SECTION)) as process:
        assert sweep(groups.folders) == len(groups.folders)
        assert process.wait(5) == -signal.SIGKILL
    assert sweep(groups.folders) == 0
    assert sweep([Path("/nonexistent")]) == 0


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
        "cpu.weight": "20",
    }
    assert group.join_files == (tmp_path / "run" / "cgroup.procs",)


def test_v2_counters_are_read(tmp_path: Path) -> None:
    """The kernel's figures, by the names of v2."""
    for name, text in {
        "memory.current": "7\n",
        "memory.peak": "9\n",
        "memory.events": "low 0\noom 2\noom_kill 3\noom_group_kill 1\n",
        "pids.events": "max 4\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
        "cgroup.events": "populated 1\nfrozen 0\n",
    }.items():
        (tmp_path / name).write_text(text)
    group = V2Group(tmp_path)
    assert group.usage() == Usage(memory_bytes=7, peak_memory_bytes=9, oom_kills=3, forks_refused=4, cpu_seconds=2.5)
    assert not group.is_empty()


def test_v2_delegation_moves_the_desk_to_a_leaf(tmp_path: Path) -> None:
    """A group with processes may have no limited children: the desk goes to `daemon`, runs beside it."""
    own = tmp_path / "deskd.service"
    (own / "deskd-1").mkdir(parents=True)
    for folder in (own, own / "deskd-1"):
        (folder / "cgroup.controllers").write_text("cpu io memory pids\n")
        (folder / "cgroup.subtree_control").write_text("")
    groups = cgroup.delegated(tmp_path, "/", "/deskd.service", "deskd-1")
    assert groups.folders == (own / "deskd-1",)
    assert (own / "daemon" / "cgroup.procs").read_text() == "0"
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    again = cgroup.delegated(tmp_path, "/", "/deskd.service/daemon", "deskd-1")
    assert again.folders == groups.folders


def test_v2_without_controllers_says_what_to_do(tmp_path: Path) -> None:
    """Runs without bounds are never made silently."""
    (tmp_path / "cgroup.controllers").write_text("io\n")
    with pytest.raises(SandboxUnavailable, match="no controllers cpu, memory, pids: run the desk under systemd"):
        cgroup.delegated(tmp_path, "/", "/", "deskd-1")


def test_v2_on_this_kernel_kills_at_once() -> None:
    """cgroup.kill reaps a group whose members ignore every signal."""
    mount = cgroup._mounts().get("")
    folder = mount[0] / f"deskd-test-{os.getpid()}" if mount else Path("/nonexistent/x")
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup2 here: {error}")
    group = V2Group(folder)
    with a_sleeper(group) as process:
        assert not group.is_empty()
        group.kill()
        assert process.wait(5) == -signal.SIGKILL
    assert sweep([folder.parent / "nothing"]) == 0
    while not group.remove():
        group.kill()


async def test_without_cgroups_a_run_is_its_session() -> None:
    """Where protection was given up, at least the session is ended."""
    group = ProcessGroup()
    assert group.is_empty()
    assert group.usage() == Usage()
    with subprocess.Popen(["/bin/sh", "-c", "sleep 600 & sleep 600"], start_new_session=True) as process:
        group.pid = process.pid
        assert not group.is_empty()
        group.kill()
        process.wait(5)
    assert await clear(group)
