"""cgroup v2: one hierarchy, of which systemd delegates a part to the desk."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.cgroup_files import (
    PERIOD_US,
    STARTING_PERIOD_US,
    MeterFiles,
    Usage,
    is_crowded_above,
    number,
    pids_file,
    quota_and_period_us,
    rmdir,
    table,
    write_if_there,
)
from deskd.supervision.weight import STARTING, weight_of

_DESK_WEIGHT = 1_000  # the desk's own, beside all runs together, where the kernel has no cpu.idle (before 5.15)
_LOOKS_MAX = 3  # at the processes of our own group, to move them; nothing there forks for long


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
        cpu = table(self.folder / "cpu.stat")
        return Usage(
            memory_bytes=number(self.folder / "memory.current"),
            peak_memory_bytes=number(self.folder / "memory.peak"),
            oom_kills=table(self.folder / "memory.events").get("oom_kill", 0),
            forks_refused=table(self.folder / "pids.events").get("max", 0),
            cpu_seconds=cpu["usage_usec"] / 1e6 if "usage_usec" in cpu else None,
            throttled_seconds=cpu["throttled_usec"] / 1e6 if "throttled_usec" in cpu else None,
            throttled_periods=cpu.get("nr_throttled"),
            periods=cpu.get("nr_periods"),
            peak_pids=number(self.folder / "pids.peak"),
            is_crowded_above=is_crowded_above(self.folder),
        )

    def has_cpu_quota(self) -> bool:
        """Say whether the kernel bounds its time."""
        quota = self.folder / "cpu.max"
        return quota.exists() and quota.read_text().split()[0].isdecimal()

    def dies_whole(self) -> bool | None:
        """Say whether the kernel ends all of it where its memory ends."""
        return number(self.folder / "memory.oom.group") == 1

    @property
    def meter_files(self) -> MeterFiles:
        """Return what tells its use at the moment."""
        return MeterFiles(
            memory=self.folder / "memory.current",
            cpu_stat=self.folder / "cpu.stat",
            pids_events=self.folder / "pids.events",
            pids=pids_file(self.folder),
        )

    def settle(self, cores: float) -> None:
        """Let it have those cores in short turns: its start is over."""
        quota, period = quota_and_period_us(cores, PERIOD_US)
        write_if_there(self.folder / "cpu.max", f"{quota} {period}")

    def weigh(self, weight: int) -> None:
        """Give it that weight among those that want a core; a group that is gone has none."""
        write_if_there(self.folder / "cpu.weight", str(weight))

    def is_empty(self) -> bool:
        """Say whether the kernel counts no process in it."""
        return table(self.folder / "cgroup.events").get("populated", 0) == 0

    def kill(self) -> None:
        """Have the kernel kill them all at once."""
        write_if_there(self.folder / "cgroup.kill", "1")

    def remove(self) -> bool:
        """Remove it, if it is empty."""
        return rmdir(self.folder)


@dataclass(frozen=True, slots=True)
class V2Groups:
    """The desk's folder in the one hierarchy."""

    folder: Path

    @property
    def folders(self) -> Sequence[Path]:
        """Return the one folder."""
        return (self.folder,)

    def create(self, name: str, section: SandboxSection) -> V2Group:
        """Make the group with its limits, or none."""
        group = self.folder / name
        group.mkdir()
        try:
            self._limit(group, section)
        except OSError:
            rmdir(group)
            raise
        return V2Group(group)

    @staticmethod
    def _limit(group: Path, section: SandboxSection) -> None:
        quota, period = quota_and_period_us(section.cpu, STARTING_PERIOD_US)
        limits = {
            "memory.max": str(section.memory_mb << 20),
            "memory.swap.max": "0",
            "memory.oom.group": "1",  # a run dies as a whole, not by its parts
            "pids.max": str(section.pids),
            "cpu.max": f"{quota} {period}",
            "cpu.weight": str(weight_of(section.cpu_weight, STARTING)),
        }
        for file, value in limits.items():
            if file != "memory.swap.max" or (group / file).exists():  # absent without swap accounting
                (group / file).write_text(value)

    def close(self) -> None:
        """Remove the desk's folder, if it is empty."""
        rmdir(self.folder)


def delegated(mount: Path, root: str, own: str, name: str) -> V2Groups:
    """Return groups below our own cgroup, whose inner node may hold no process: the desk moves to a leaf `daemon`."""
    home = mount / os.path.relpath(own, root)
    if home.name in {"daemon", "supervisor"}:  # a second start in one process; systemd's DelegateSubgroup=
        home = home.parent
    needed = {"memory", "pids", "cpu"}
    if needed - _controllers(home) and os.geteuid() == 0:
        home = mount  # started from a shell or a unit that delegates nothing: root may make one beside it
    if missing := needed - _controllers(home):
        raise SandboxUnavailable(
            f"{home}: has no controllers {', '.join(sorted(missing))}: run the desk under systemd with "
            "Delegate=cpu memory pids, or as root; [sandbox] unsafe_without_jail = true runs strategies without bounds"
        )
    try:
        if home != mount:  # the root may hold processes beside groups
            (home / "daemon").mkdir(exist_ok=True)
            _move_all(home, home / "daemon")
        _enable(home, needed)
    except OSError:
        if os.geteuid() != 0 or home == mount:
            raise
        home = mount  # started from a shell: others live in our group, and root may make one beside
        _enable(home, needed)
    if (home / "daemon" / "cpu.weight").exists():
        (home / "daemon" / "cpu.weight").write_text(str(_DESK_WEIGHT))
    folder = home / name
    folder.mkdir(exist_ok=True)
    _enable(folder, needed)
    if home != mount:  # only the desk is beside them: they get what it leaves, and it wakes at once
        write_if_there(folder / "cpu.idle", "1")
    return V2Groups(folder)


def _controllers(folder: Path) -> set[str]:
    return set((folder / "cgroup.controllers").read_text().split())


def _move_all(home: Path, leaf: Path) -> None:
    """Move every process of *home* to the leaf: ours, and those that we started before (the embedded exchange).

    One that forks meanwhile leaves a child behind, which the next look finds.
    """
    for _ in range(_LOOKS_MAX):
        for pid in (home / "cgroup.procs").read_text().split():
            try:
                (leaf / "cgroup.procs").write_text(pid)
            except ProcessLookupError:
                continue  # it ended


def _enable(folder: Path, controllers: set[str]) -> None:
    if absent := controllers - set((folder / "cgroup.subtree_control").read_text().split()):
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in sorted(absent)))
