"""cgroup v1: one hierarchy per controller, one folder of the desk's in each."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deskd.config import SandboxSection
from deskd.supervision.cgroup_files import (
    PERIOD_US,
    STARTING_PERIOD_US,
    MeterFiles,
    Usage,
    number,
    quota_and_period_us,
    rmdir,
    table,
    write_if_there,
)
from deskd.supervision.weight import STARTING, weight_of

_SHARES_OF_WEIGHT = 10.24  # v1 counts 1024 where v2 counts 100


def _shares(weight: int) -> int:
    return max(2, round(weight * _SHARES_OF_WEIGHT))


@dataclass(frozen=True, slots=True)
class V1Group:
    """One run, in every hierarchy."""

    by_controller: dict[str, Path]

    @property
    def join_files(self) -> Sequence[Path]:
        """Return one file per hierarchy.

        `tasks`, not `cgroup.procs`: a thread that moves itself takes no lock that waits for every core, 2 ms each time.
        """
        return tuple(folder / "tasks" for folder in self.by_controller.values())

    def usage(self) -> Usage:
        """Return what the controllers counted."""
        memory, pids = self.by_controller["memory"], self.by_controller["pids"]
        cpuacct = self.by_controller.get("cpuacct")
        cpu = table(self.by_controller["cpu"] / "cpu.stat")
        return Usage(
            memory_bytes=number(memory / "memory.usage_in_bytes"),
            peak_memory_bytes=number(memory / "memory.max_usage_in_bytes"),
            oom_kills=table(memory / "memory.oom_control").get("oom_kill", 0),
            forks_refused=table(pids / "pids.events").get("max", 0),
            cpu_seconds=None if cpuacct is None else (number(cpuacct / "cpuacct.usage") or 0) / 1e9,
            throttled_seconds=cpu["throttled_time"] / 1e9 if "throttled_time" in cpu else None,
            throttled_periods=cpu.get("nr_throttled"),
            periods=cpu.get("nr_periods"),
        )

    @property
    def meter_files(self) -> MeterFiles:
        """Return what tells its use at the moment."""
        cpuacct = self.by_controller.get("cpuacct")
        return MeterFiles(
            memory=self.by_controller["memory"] / "memory.usage_in_bytes",
            cpu=None if cpuacct is None else cpuacct / "cpuacct.usage",
            cpu_stat=self.by_controller["cpu"] / "cpu.stat",
            pids_events=self.by_controller["pids"] / "pids.events",
        )

    def has_cpu_quota(self) -> bool:
        """Say whether the kernel bounds its time."""
        return (number(self.by_controller["cpu"] / "cpu.cfs_quota_us") or 0) > 0

    def settle(self, cores: float) -> None:
        """Let it have those cores in short turns: its start is over. The quota first, so that it never has more."""
        quota, period = quota_and_period_us(cores, PERIOD_US)
        write_if_there(self.by_controller["cpu"] / "cpu.cfs_quota_us", str(quota))
        write_if_there(self.by_controller["cpu"] / "cpu.cfs_period_us", str(period))

    def weigh(self, weight: int) -> None:
        """Give it that weight among those that want a core; a group that is gone has none."""
        write_if_there(self.by_controller["cpu"] / "cpu.shares", str(_shares(weight)))

    def is_empty(self) -> bool:
        """Say whether no hierarchy has a process of it."""
        return not any(self._pids())

    def kill(self) -> None:
        """Freeze, so that nothing can fork meanwhile; kill; thaw, so that they can die."""
        freezer = self.by_controller.get("freezer", Path("/nonexistent")) / "freezer.state"
        write_if_there(freezer, "FROZEN")
        for pid in self._pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it was faster
        write_if_there(freezer, "THAWED")

    def remove(self) -> bool:
        """Remove it from every hierarchy."""
        return {rmdir(folder) for folder in self.by_controller.values()} == {True}

    def _pids(self) -> list[int]:
        pids: set[int] = set()
        for folder in self.by_controller.values():
            file = folder / "cgroup.procs"
            if file.exists():
                pids.update(int(line) for line in file.read_text().split())
        return sorted(pids)


@dataclass(frozen=True, slots=True)
class V1Groups:
    """One folder of the desk's per controller."""

    by_controller: dict[str, Path]

    @property
    def folders(self) -> Sequence[Path]:
        """Return one folder per controller."""
        return tuple(self.by_controller.values())

    def create(self, name: str, section: SandboxSection) -> V1Group:
        """Make the group in every hierarchy, or in none."""
        group = V1Group({controller: folder / name for controller, folder in self.by_controller.items()})
        made: list[Path] = []
        try:
            for folder in group.by_controller.values():
                folder.mkdir(parents=True)
                made.append(folder)
            self._limit(group, section)
        except OSError:
            for folder in made:
                rmdir(folder)
            raise
        return group

    @staticmethod
    def _limit(group: V1Group, section: SandboxSection) -> None:
        memory, cpu = group.by_controller["memory"], group.by_controller["cpu"]
        limit = section.memory_mb << 20
        (memory / "memory.limit_in_bytes").write_text(str(limit))
        if (memory / "memory.memsw.limit_in_bytes").exists():  # absent without swap accounting
            (memory / "memory.memsw.limit_in_bytes").write_text(str(limit))
        (group.by_controller["pids"] / "pids.max").write_text(str(section.pids))
        quota, period = quota_and_period_us(section.cpu, STARTING_PERIOD_US)
        (cpu / "cpu.cfs_period_us").write_text(str(period))
        (cpu / "cpu.cfs_quota_us").write_text(str(quota))
        group.weigh(weight_of(section.cpu_weight, STARTING))

    def close(self) -> None:
        """Remove the desk's folders, where they are empty."""
        for folder in self.by_controller.values():
            rmdir(folder)
