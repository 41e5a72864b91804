"""The bounds of what a run may use up: one cgroup per run, made by the desk, joined before the jail exists.

Two kernels' worth of files behind one small protocol: v1 (one hierarchy per controller) and v2 (one for all, delegated
by systemd). All groups of one desk lie below one folder of its own, so that leftovers of a killed desk can be swept.
A run's processes never leave the limits that the desk itself lives under.
"""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.cgroup_files import MeterFiles, Usage
from deskd.supervision.cgroup_v1 import V1Group, found_below, without_seat
from deskd.supervision.cgroup_v2 import V2Group, delegated

_REMOVE_TIMEOUT_S = 5.0
_REMOVE_EVERY_S = 0.002  # killed processes leave their group some ms after they are reaped; the kernel tells nobody


class Group(Protocol):
    """One run's cgroup."""

    @property
    def join_files(self) -> Sequence[Path]:
        """Return the files to which the run's first process writes 0 before it becomes the jail."""

    def usage(self) -> Usage:
        """Return what was used so far."""

    def has_cpu_quota(self) -> bool:
        """Say whether the kernel bounds its time."""

    def dies_whole(self) -> bool | None:
        """Say whether all of it ends where its memory does; None where this kernel ends a process at a time."""

    @property
    def meter_files(self) -> MeterFiles:
        """Return the files that tell what it uses at the moment."""

    def settle(self, cores: float) -> None:
        """Let it have those cores in short turns: its start is over."""

    def weigh(self, weight: int) -> None:
        """Give it that weight among those that want a core: 100 is the kernel's default."""

    def is_empty(self) -> bool:
        """Say whether no process is left."""

    def kill(self) -> None:
        """Kill every process in it, whatever they do against it."""

    def remove(self) -> bool:
        """Remove it, if it is empty; say whether it is gone."""


class Groups(Protocol):
    """All cgroups of one desk."""

    @property
    def folders(self) -> Sequence[Path]:
        """Return the folders that hold this desk's groups, for the sweep after a crash."""

    def create(self, name: str, section: SandboxSection) -> Group:
        """Make the group with its limits."""

    def close(self) -> None:
        """Remove the desk's own folders, where they are empty."""


def clear_now(group: Group) -> bool:
    """Do as `clear`, where nobody else waits."""
    deadline = time.monotonic() + _REMOVE_TIMEOUT_S
    while not group.remove():
        if time.monotonic() > deadline:
            return False
        group.kill()
        time.sleep(_REMOVE_EVERY_S)
    return True


async def clear(group: Group) -> bool:
    """Kill all that is in the group and remove it; say whether it is gone (else the kernel holds something)."""
    deadline = time.monotonic() + _REMOVE_TIMEOUT_S
    while not group.remove():
        if time.monotonic() > deadline:
            return False
        group.kill()
        await asyncio.sleep(_REMOVE_EVERY_S)
    return True


def find_groups(name: str, *, goes_first: bool = False) -> Groups:
    """Return the desk's groups, below the cgroup that it runs in; raise SandboxUnavailable with the remedy.

    *goes_first*: this process is a desk and nothing else; in v1 it moves to a group that goes before its runs' (in v2 it
    always has one, where systemd delegates).
    """
    found = mounts()
    own = _own_paths()
    controllers = {"memory", "pids", "cpu"}
    missing = controllers - found.keys()
    try:
        if not missing:
            used = [c for c in (*sorted(controllers), "cpuacct", "freezer") if c in found]
            homes = {c: without_seat(_below(found[c], own[c])) for c in used}
            return found_below(homes, name, goes_first=goes_first)
        if "" in found:
            return delegated(*found[""], own.get("", "/"), name)
    except OSError as error:
        raise SandboxUnavailable(
            f"cgroups cannot be made ({error}): run the desk as root, or under systemd with Delegate=cpu memory pids; "
            "[sandbox] unsafe_without_jail = true runs strategies without any bounds"
        ) from error
    raise SandboxUnavailable(
        f"no cgroup hierarchy has {', '.join(sorted(missing))}: mount cgroup2 at /sys/fs/cgroup; "
        "[sandbox] unsafe_without_jail = true runs strategies without any bounds"
    )


def sweep(folders: Sequence[Path]) -> int:
    """Kill and remove all groups that an earlier desk left in *folders*; return how many."""
    found = 0
    for folder in folders:
        for left in (path for path in folder.glob("*") if path.is_dir()) if folder.is_dir() else ():
            found += 1
            clear_now(V2Group(left) if (left / "cgroup.kill").exists() else V1Group({"": left}))
    return found


# --- no cgroups: only where `unsafe_without_jail` was asked for -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoGroups:
    """Runs without any bounds."""

    folders: Sequence[Path] = ()

    def create(self, name: str, section: SandboxSection) -> Group:  # noqa: ARG002  there is nothing to bound
        """Return a group that only knows its session."""
        return ProcessGroup()

    def close(self) -> None:
        """Nothing was made."""


@dataclass(slots=True)
class ProcessGroup:
    """The processes of one session: all that can be known of a run without a cgroup."""

    pid: int | None = None  # set once it is started; a session's leader has its number
    join_files: Sequence[Path] = field(default=())

    def usage(self) -> Usage:
        """Nothing is counted."""
        return Usage()

    def has_cpu_quota(self) -> bool:
        """Nothing is bounded."""
        return False

    def dies_whole(self) -> bool | None:
        """Nothing is bounded."""
        return None

    @property
    def meter_files(self) -> MeterFiles:
        """There are none."""
        return MeterFiles()

    def settle(self, cores: float) -> None:
        """Nothing is bounded."""

    def weigh(self, weight: int) -> None:
        """Nothing is weighed."""

    def is_empty(self) -> bool:
        """Say whether no process of the session's group is left."""
        if self.pid is None:
            return True
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return True
        return False

    def kill(self) -> None:
        """Kill the session's group; a process that left it lives on."""
        if self.pid is not None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return

    def remove(self) -> bool:
        """Say whether it is empty."""
        return self.is_empty()


# --- where we are --------------------------------------------------------------------------------------------------


def mounts() -> dict[str, tuple[Path, str]]:
    """Return mount point and root of each v1 controller's hierarchy, and of the v2 one under the name ""."""
    found: dict[str, tuple[Path, str]] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, point = fields.split()[3:5]
        if kind == "cgroup2":
            found.setdefault("", (Path(point), root))
        elif kind == "cgroup":
            for controller in options.split(","):
                found.setdefault(controller, (Path(point), root))
    return found


def _own_paths() -> dict[str, str]:
    """Return our own cgroup's path by controller, v2 under the name ""."""
    paths: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _below(mount: tuple[Path, str], own: str) -> Path:
    point, root = mount
    return Path(os.path.normpath(point / os.path.relpath(own, root)))
