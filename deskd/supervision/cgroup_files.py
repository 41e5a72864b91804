"""The kernel's small files of figures, and what is read from them."""

from dataclasses import dataclass
from pathlib import Path

PERIOD_US = 10_000  # a busy run holds a core, and then waits, for half of one: measured in docs/decisions/0060
STARTING_PERIOD_US = 100_000  # a start is 25 ms of work: it does not wait for the next period
NEARLY_ALL = 0.9  # of a bound: who had less did not run into it
_QUOTA_LEAST_US, _PERIOD_MOST_US = 1_000, 1_000_000  # the kernel's own bounds


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used, as the kernel counted it; None where this kernel does not count it."""

    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    oom_kills: int = 0
    forks_refused: int = 0
    cpu_seconds: float | None = None
    throttled_seconds: float | None = None  # it wanted to work, and its share of the CPU was used up
    throttled_periods: int | None = None
    periods: int | None = None  # in which it wanted to work
    peak_pids: int | None = None  # processes and threads, together
    is_crowded_above: bool = False  # a group that it lies in, or the machine, had nearly all that it may have


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFiles:
    """The files that tell what a run uses at the moment, for one that reads them often; None: not counted here."""

    memory: Path | None = None  # one figure, in bytes
    cpu: Path | None = None  # one figure, in nanoseconds; None: *cpu_stat* has it as usage_usec
    cpu_stat: Path | None = None
    pids_events: Path | None = None
    pids: Path | None = None  # one figure: the most there were; older kernels: how many there are


def quota_and_period_us(cores: float, period_us: int) -> tuple[int, int]:
    """Return how long a run may work in each period, in microseconds, for that many cores; a longer period where it must be."""
    period = min(max(period_us, round(_QUOTA_LEAST_US / cores)), _PERIOD_MOST_US)
    return max(_QUOTA_LEAST_US, round(cores * period)), period


def number(file: Path) -> int | None:
    """Return the figure that the file holds; None where there is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def table(file: Path) -> dict[str, int]:
    """Return the file's lines of name and figure; nothing where there is no file."""
    try:
        rows = (line.split() for line in file.read_text().splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}
    except OSError:
        return {}


def pids_file(group: Path) -> Path:
    """Return the file that tells the most processes it had; where the kernel has none, how many it has."""
    peak = group / "pids.peak"
    return peak if peak.exists() else group / "pids.current"


def is_crowded_above(group: Path, machine: Path = Path("/proc")) -> bool:
    """Say whether a group that this one lies in has nearly as many processes as it may, or the machine has."""
    for folder in group.parents:
        bound, there = number(folder / "pids.max"), number(folder / "pids.current")
        if bound is not None and there is not None and there >= bound * NEARLY_ALL:
            return True
    bounds = [number(machine / "sys" / "kernel" / name) for name in ("pid_max", "threads-max")]
    try:
        total = int((machine / "loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return False
    return any(bound is not None and total >= bound * NEARLY_ALL for bound in bounds)


def write_if_there(file: Path, text: str) -> None:
    """Write, where the kernel has the file."""
    try:
        file.write_text(text)
    except OSError:
        return


def rmdir(folder: Path) -> bool:
    """Remove the group; say whether it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
