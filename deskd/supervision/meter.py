"""What a run used in its last minute: samples of memory and CPU, read from files that stay open.

A sample costs some 25 us of the loop: five reads of the kernel's own figures, which never wait for anything.
"""

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from deskd.supervision.cgroup_files import MeterFiles

KEPT_S = 60.0
GROWTH_S = 10.0
PERIODS_LEAST = 10  # a second's worth: a share of fewer says nothing
_READ_BYTES = 1_024  # cpu.stat has some 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a run had used at one instant; None where this kernel does not count it."""

    at: float  # monotonic
    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    throttled_periods: int | None = None
    periods: int | None = None
    forks_refused: int | None = None
    pids: int | None = None  # the most it had, or had at that instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a run used of the CPU between two samples."""

    seconds: float  # that passed
    cpu_seconds: float
    periods: int  # in which it wanted to work
    throttled_periods: int


def use_between(then: Sample | None, now: Sample) -> Use | None:
    """Return it; None where no time passed, or this kernel does not count."""
    if then is None or now.at <= then.at:
        return None
    if now.cpu_seconds is None or then.cpu_seconds is None or now.periods is None or then.periods is None:
        return None
    return Use(
        seconds=now.at - then.at,
        cpu_seconds=now.cpu_seconds - then.cpu_seconds,
        periods=now.periods - then.periods,
        throttled_periods=(now.throttled_periods or 0) - (then.throttled_periods or 0),
    )


@dataclass(slots=True)
class Meter:
    """The open files of one run. Close it."""

    _memory: int | None
    _cpu: int | None
    _cpu_stat: int | None
    _pids_events: int | None
    _pids: int | None

    @classmethod
    def open(cls, files: MeterFiles) -> Self:
        """Open what is there."""
        return cls(
            _opened(files.memory),
            _opened(files.cpu),
            _opened(files.cpu_stat),
            _opened(files.pids_events),
            _opened(files.pids),
        )

    def sample(self, at: float) -> Sample:
        """Return what is used now; a figure that the kernel does not give any more is None."""
        stat = _table(_read(self._cpu_stat))
        cpu = _figure(_read(self._cpu))
        if cpu is not None:
            seconds: float | None = cpu / 1e9
        else:
            seconds = stat["usage_usec"] / 1e6 if "usage_usec" in stat else None
        return Sample(
            at=at,
            memory_bytes=_figure(_read(self._memory)),
            cpu_seconds=seconds,
            throttled_periods=stat.get("nr_throttled"),
            periods=stat.get("nr_periods"),
            forks_refused=_table(_read(self._pids_events)).get("max"),
            pids=_figure(_read(self._pids)),
        )

    def close(self) -> None:
        """Close the files; a second call does nothing, and a later sample has no figures."""
        for fd in (self._memory, self._cpu, self._cpu_stat, self._pids_events, self._pids):
            if fd is not None:
                os.close(fd)
        self._memory = self._cpu = self._cpu_stat = self._pids_events = self._pids = None


@dataclass(slots=True)
class Samples:
    """The last minute of one run."""

    _kept: deque[Sample] = field(default_factory=deque)
    most_pids: int | None = None  # that any sample had, those forgotten as well

    def add(self, sample: Sample) -> None:
        """Keep the sample, and forget what is older than a minute before it."""
        self._kept.append(sample)
        if sample.pids is not None:
            self.most_pids = max(sample.pids, self.most_pids or 0)
        while self._kept[0].at < sample.at - KEPT_S:
            self._kept.popleft()

    @property
    def last(self) -> Sample | None:
        """Return the youngest."""
        return self._kept[-1] if self._kept else None

    def since(self, at: float) -> Sample | None:
        """Return the last sample that is not younger than *at*, or the oldest."""
        older = [sample for sample in self._kept if sample.at <= at]
        return older[-1] if older else next(iter(self._kept), None)

    def throttled_share(self, now: Sample) -> float | None:
        """Return in what share of the last seconds' periods it waited for its share of the CPU; None: it hardly worked."""
        then = self.since(now.at - GROWTH_S)
        if then is None or now.periods is None or then.periods is None or now.periods - then.periods < PERIODS_LEAST:
            return None
        return ((now.throttled_periods or 0) - (then.throttled_periods or 0)) / (now.periods - then.periods)

    def growth(self, now: float, memory_bytes: int | None) -> tuple[int, float] | None:
        """Return by how much memory grew to *memory_bytes* in the last seconds, from its least, and in how many."""
        if memory_bytes is None:
            return None
        known = [
            (sample.memory_bytes, sample.at)
            for sample in self._kept
            if sample.memory_bytes is not None and now - sample.at <= GROWTH_S
        ]
        if not known:
            return None
        least, _ = min(known)
        return memory_bytes - least, min(GROWTH_S, max(now - known[0][1], 1.0))


def _opened(file: Path | None) -> int | None:
    if file is None:
        return None
    try:
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _read(fd: int | None) -> bytes:
    if fd is None:
        return b""
    try:
        return os.pread(fd, _READ_BYTES, 0)
    except OSError:  # the group is gone
        return b""


def _figure(data: bytes) -> int | None:
    return int(data) if data.strip().isdigit() else None


def _table(data: bytes) -> dict[str, int]:
    rows = (line.split() for line in data.decode("ascii", "replace").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}
