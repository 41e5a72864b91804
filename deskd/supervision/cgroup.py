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

PERIOD_US = 100_000  # nsjail's own second would freeze a busy strategy for half of one
WEIGHT = 20  # of 100, v2: the desk goes first
_SHARES = 205  # the same, v1 (of 1024)
_REMOVE_TIMEOUT_S = 5.0
_REMOVE_EVERY_S = 0.002  # killed processes leave their group some ms after they are reaped; the kernel tells nobody


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used, as the kernel counted it; None where this kernel does not count it."""

    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    oom_kills: int = 0
    forks_refused: int = 0
    cpu_seconds: float | None = None


class Group(Protocol):
    """One run's cgroup."""

    @property
    def join_files(self) -> Sequence[Path]:
        """Return the files to which the run's first process writes 0 before it becomes the jail."""

    def usage(self) -> Usage:
        """Return what was used so far."""

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


async def clear(group: Group) -> bool:
    """Kill all that is in the group and remove it; say whether it is gone (else the kernel holds something)."""
    deadline = time.monotonic() + _REMOVE_TIMEOUT_S
    while not group.remove():
        if time.monotonic() > deadline:
            return False
        group.kill()
        await asyncio.sleep(_REMOVE_EVERY_S)
    return True


def find_groups(name: str) -> Groups:
    """Return the desk's groups, below the cgroup that it runs in; raise SandboxUnavailable with the remedy."""
    mounts = _mounts()
    own = _own_paths()
    controllers = {"memory", "pids", "cpu"}
    missing = controllers - mounts.keys()
    try:
        if not missing:
            return V1Groups(
                {
                    c: _below(mounts[c], own[c]) / name
                    for c in (*sorted(controllers), "cpuacct", "freezer")
                    if c in mounts
                }
            )
        if "" in mounts:
            return delegated(*mounts[""], own.get("", "/"), name)
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
            group: Group = V2Group(left) if (left / "cgroup.kill").exists() else V1Group({"": left})
            deadline = time.monotonic() + _REMOVE_TIMEOUT_S
            while not group.remove() and time.monotonic() < deadline:
                group.kill()
                time.sleep(_REMOVE_EVERY_S)
    return found


# --- v1 --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class V1Groups:
    """One folder of the desk's per controller."""

    by_controller: dict[str, Path]

    @property
    def folders(self) -> Sequence[Path]:
        """Return one folder per controller."""
        return tuple(self.by_controller.values())

    def create(self, name: str, section: SandboxSection) -> Group:
        """Make the group in every hierarchy."""
        group = V1Group({controller: folder / name for controller, folder in self.by_controller.items()})
        for folder in group.by_controller.values():
            folder.mkdir(parents=True)
        memory, cpu = group.by_controller["memory"], group.by_controller["cpu"]
        limit = section.memory_mb << 20
        (memory / "memory.limit_in_bytes").write_text(str(limit))
        if (memory / "memory.memsw.limit_in_bytes").exists():  # absent without swap accounting
            (memory / "memory.memsw.limit_in_bytes").write_text(str(limit))
        (group.by_controller["pids"] / "pids.max").write_text(str(section.pids))
        (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (cpu / "cpu.cfs_quota_us").write_text(str(round(section.cpu * PERIOD_US)))
        (cpu / "cpu.shares").write_text(str(_SHARES))
        return group

    def close(self) -> None:
        """Remove the desk's folders, where they are empty."""
        for folder in self.by_controller.values():
            _rmdir(folder)


@dataclass(frozen=True, slots=True)
class V1Group:
    """One run, in every hierarchy."""

    by_controller: dict[str, Path]

    @property
    def join_files(self) -> Sequence[Path]:
        """Return one file per hierarchy."""
        return tuple(folder / "cgroup.procs" for folder in self.by_controller.values())

    def usage(self) -> Usage:
        """Return what the controllers counted."""
        memory, pids = self.by_controller["memory"], self.by_controller["pids"]
        cpuacct = self.by_controller.get("cpuacct")
        return Usage(
            memory_bytes=_number(memory / "memory.usage_in_bytes"),
            peak_memory_bytes=_number(memory / "memory.max_usage_in_bytes"),
            oom_kills=_table(memory / "memory.oom_control").get("oom_kill", 0),
            forks_refused=_table(pids / "pids.events").get("max", 0),
            cpu_seconds=None if cpuacct is None else (_number(cpuacct / "cpuacct.usage") or 0) / 1e9,
        )

    def is_empty(self) -> bool:
        """Say whether no hierarchy has a process of it."""
        return not any(self._pids())

    def kill(self) -> None:
        """Freeze, so that nothing can fork meanwhile; kill; thaw, so that they can die."""
        freezer = self.by_controller.get("freezer", Path("/nonexistent")) / "freezer.state"
        _write_if_there(freezer, "FROZEN")
        for pid in self._pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it was faster
        _write_if_there(freezer, "THAWED")

    def remove(self) -> bool:
        """Remove it from every hierarchy."""
        return {_rmdir(folder) for folder in self.by_controller.values()} == {True}

    def _pids(self) -> list[int]:
        pids: set[int] = set()
        for file in self.join_files:
            if file.exists():
                pids.update(int(line) for line in file.read_text().split())
        return sorted(pids)


# --- v2 --------------------------------------------------------------------------------------------------------------


def delegated(mount: Path, root: str, own: str, name: str) -> Groups:
    """Return groups below our own cgroup, whose inner node may hold no process: the desk moves to a leaf `daemon`."""
    home = mount / os.path.relpath(own, root)
    if home.name in {"daemon", "supervisor"}:  # a second start in one process; systemd's DelegateSubgroup=
        home = home.parent
    needed = {"memory", "pids", "cpu"}
    if missing := needed - set((home / "cgroup.controllers").read_text().split()):
        raise SandboxUnavailable(
            f"{home}: has no controllers {', '.join(sorted(missing))}: run the desk under systemd with "
            "Delegate=cpu memory pids, or as root; [sandbox] unsafe_without_jail = true runs strategies without bounds"
        )
    try:
        if home != mount:  # the root may hold processes beside groups
            (home / "daemon").mkdir(exist_ok=True)
            (home / "daemon" / "cgroup.procs").write_text("0")
        _enable(home, needed)
    except OSError:
        if os.geteuid() != 0 or home == mount:
            raise
        home = mount  # started from a shell: others live in our group, and root may make one beside
        _enable(home, needed)
    folder = home / name
    folder.mkdir(exist_ok=True)
    _enable(folder, needed)
    return V2Groups(folder)


def _enable(folder: Path, controllers: set[str]) -> None:
    if absent := controllers - set((folder / "cgroup.subtree_control").read_text().split()):
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in sorted(absent)))


@dataclass(frozen=True, slots=True)
class V2Groups:
    """The desk's folder in the one hierarchy."""

    folder: Path

    @property
    def folders(self) -> Sequence[Path]:
        """Return the one folder."""
        return (self.folder,)

    def create(self, name: str, section: SandboxSection) -> Group:
        """Make the group with its limits."""
        group = self.folder / name
        group.mkdir()
        limits = {
            "memory.max": str(section.memory_mb << 20),
            "memory.swap.max": "0",
            "memory.oom.group": "1",  # a run dies as a whole, not by its parts
            "pids.max": str(section.pids),
            "cpu.max": f"{round(section.cpu * PERIOD_US)} {PERIOD_US}",
            "cpu.weight": str(WEIGHT),
        }
        for file, value in limits.items():
            if file != "memory.swap.max" or (group / file).exists():  # absent without swap accounting
                (group / file).write_text(value)
        return V2Group(group)

    def close(self) -> None:
        """Remove the desk's folder, if it is empty."""
        _rmdir(self.folder)


@dataclass(frozen=True, slots=True)
class V2Group:
    """One run."""

    folder: Path

    @property
    def join_files(self) -> Sequence[Path]:
        """Return the one file."""
        return (self.folder / "cgroup.procs",)

    def usage(self) -> Usage:
        """Return what the controllers counted."""
        cpu = _table(self.folder / "cpu.stat").get("usage_usec")
        return Usage(
            memory_bytes=_number(self.folder / "memory.current"),
            peak_memory_bytes=_number(self.folder / "memory.peak"),
            oom_kills=_table(self.folder / "memory.events").get("oom_kill", 0),
            forks_refused=_table(self.folder / "pids.events").get("max", 0),
            cpu_seconds=None if cpu is None else cpu / 1e6,
        )

    def is_empty(self) -> bool:
        """Say whether the kernel counts no process in it."""
        return _table(self.folder / "cgroup.events").get("populated", 0) == 0

    def kill(self) -> None:
        """Have the kernel kill them all at once."""
        _write_if_there(self.folder / "cgroup.kill", "1")

    def remove(self) -> bool:
        """Remove it, if it is empty."""
        return _rmdir(self.folder)


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


# --- files -----------------------------------------------------------------------------------------------------------


def _mounts() -> dict[str, tuple[Path, str]]:
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


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _table(file: Path) -> dict[str, int]:
    try:
        rows = (line.split() for line in file.read_text().splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}
    except OSError:
        return {}


def _write_if_there(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError:
        return


def _rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
