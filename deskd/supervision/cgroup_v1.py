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
    is_crowded_above,
    number,
    pids_file,
    quota_and_period_us,
    rmdir,
    table,
    write_if_there,
)
from deskd.supervision.weight import STARTING, weight_of

_SHARES_OF_WEIGHT = 10.24  # v1 counts 1024 where v2 counts 100
_DESK, _RUNS = "desk", "runs"
_DESK_WEIGHT, _BOTH_WEIGHT = 1_000, 200  # beside its runs; of it and its runs together beside whatever else there is


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
        return tuple(folder / "tasks" for folder in _once(self.by_controller))

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
            peak_pids=number(pids / "pids.peak"),
            is_crowded_above=is_crowded_above(pids),
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
            pids=pids_file(self.by_controller["pids"]),
        )

    def has_cpu_quota(self) -> bool:
        """Say whether the kernel bounds its time."""
        return (number(self.by_controller["cpu"] / "cpu.cfs_quota_us") or 0) > 0

    def dies_whole(self) -> bool | None:
        """v1 ends one process at a time; its first process ends the jail."""
        return None

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
        return {rmdir(folder) for folder in _once(self.by_controller)} == {True}

    def _pids(self) -> list[int]:
        pids: set[int] = set()
        for folder in _once(self.by_controller):
            file = folder / "cgroup.procs"
            if file.exists():
                pids.update(int(line) for line in file.read_text().split())
        return sorted(pids)


@dataclass(frozen=True, slots=True)
class V1Groups:
    """One folder of the desk's per controller."""

    by_controller: dict[str, Path]
    seat: Path | None = None  # where the desk itself is, beside its runs

    @property
    def folders(self) -> Sequence[Path]:
        """Return one folder per hierarchy."""
        return _once(self.by_controller)

    def create(self, name: str, section: SandboxSection) -> V1Group:
        """Make the group in every hierarchy, or in none."""
        group = V1Group({controller: folder / name for controller, folder in self.by_controller.items()})
        made: list[Path] = []
        try:
            for folder in _once(group.by_controller):
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
        """Remove the desk's folders, where they are empty; the desk itself goes back to where it came from."""
        for folder in self.folders:
            rmdir(folder)
        if self.seat is not None:
            both = self.seat.parent
            write_if_there(both.parent / "cgroup.procs", "0")
            rmdir(self.seat)
            rmdir(both)


def _once(by_controller: dict[str, Path]) -> tuple[Path, ...]:
    """Return each folder once: some systems mount cpu and cpuacct as one hierarchy."""
    return tuple(dict.fromkeys(by_controller.values()))


def found_below(homes: dict[str, Path], name: str, *, goes_first: bool) -> V1Groups:
    """Return the groups of that name below *homes*, by controller; where the desk *goes first* it takes a seat beside them.

    Its runs get what it leaves of both's share: whichever of them works, the desk wakes at once. So does not everybody
    else on the machine: the two together weigh among others what they weighed apart.
    """
    folders = {controller: home / name for controller, home in homes.items()}
    seat = None
    if goes_first:
        both = folders["cpu"]
        seat, runs = both / _DESK, both / _RUNS
        for folder in (seat, runs):
            folder.mkdir(parents=True, exist_ok=True)
        (both / "cpu.shares").write_text(str(_shares(_BOTH_WEIGHT)))
        (seat / "cpu.shares").write_text(str(_shares(_DESK_WEIGHT)))
        write_if_there(runs / "cpu.idle", "1")  # Linux 5.15 and later; before that the weights alone
        (seat / "cgroup.procs").write_text("0")
        folders |= {controller: runs for controller, folder in folders.items() if folder == both}
    groups = V1Groups(folders, seat)
    for folder in groups.folders:
        folder.mkdir(exist_ok=True)  # fails now, and not at the first run
    return groups


def without_seat(own: Path) -> Path:
    """Return where a process lives, or where it came from if it sits beside its runs."""
    return own.parents[1] if own.name == _DESK and own.parent.name.startswith("deskd-") else own
