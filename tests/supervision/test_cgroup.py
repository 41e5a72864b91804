"""The bounds of a run, on the kernel's own files where this machine lets us, on plain files where only texts matter."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.cgroup import Group, Groups, ProcessGroup, clear, find_groups, mounts, sweep
from deskd.supervision.cgroup_files import Usage
from deskd.supervision.cgroup_v2 import V2Group

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


def test_v2_on_this_kernel_kills_at_once() -> None:
    """cgroup.kill reaps a group whose members ignore every signal."""
    mount = mounts().get("")
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
    with subprocess.Popen(["/bin/sh", "-c", "sleep 600 & sleep 600"], start_new_session=True) as process:  # noqa: ASYNC220  returns at once
        group.pid = process.pid
        assert not group.is_empty()
        group.kill()
        process.wait(5)
    assert await clear(group)


SEAT = """
import os, sys
from pathlib import Path
from deskd.config import SandboxSection
from deskd.supervision.cgroup import find_groups, mounts
from deskd.supervision.cgroup_v1 import V1Groups

def own():
    rows = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    return [path for _, controllers, path in rows if "cpu" in controllers.split(",")]

name = sys.argv[1]
before = own()
groups = find_groups(name, goes_first=True)
if not isinstance(groups, V1Groups):
    print("v2")
    sys.exit()
print(own()[0].endswith(f"/{name}/desk"))
group = groups.create("run", SandboxSection())
run = group.by_controller["cpu"]
print(run.parent.name, run.parent.parent.name == name)
idle = run.parent / "cpu.idle"
print(not idle.exists() or idle.read_text() == "1\\n")
print(find_groups(name + "-tool").by_controller["cpu"].parent == groups.seat.parents[1])  # beside, not below
find_groups(name + "-tool").close()
print(group.remove())
groups.close()
print(own() == before, not groups.seat.parent.exists())
"""


def test_a_desk_that_goes_first_sits_beside_its_runs_and_goes_back() -> None:
    """In v1: one group holds both, its runs get what it leaves, and nothing of it stays."""
    command = [sys.executable, "-c", SEAT.replace("\\\\n", "\\n"), f"deskd-seat-{os.getpid()}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if "SandboxUnavailable" in said.stderr or said.stdout == "v2\n":
        pytest.skip(said.stderr[-200:] or "v2 has the desk's own group in any case: test_cgroup_v2.py")
    assert said.stdout.split() == ["True", "runs", "True", "True", "True", "True", "True", "True"], said.stderr
