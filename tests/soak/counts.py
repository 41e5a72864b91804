"""What a desk holds at one moment, with no run of its own alive, and whether that stays as it was."""

import asyncio
import gc
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RSS_GROWTH_MAX = 0.08  # of the desk, from the second tenth of the samples to the last: allocators settle, leaks do not
RSS_SLACK_MIB = 3.0  # a short soak's samples differ by so much by themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """One sample. All but `starts` and `rss_mib` are whole things that are given back, or are not."""

    starts: int
    fds: int
    tasks: int
    threads: int
    children: int
    cgroups: int  # of runs, in every hierarchy
    sockets: int  # files of order sockets
    files: int  # in the jail folder, but for the two environments
    uids: int
    scratch: int  # folders that nsjail mounts jails on: two, or as many as there were starts
    rss_mib: float


def take(starts: int, jail_root: Path, groups: Sequence[Path]) -> Counts:
    """Count what this process holds now."""
    gc.collect()
    return Counts(
        starts=starts,
        fds=len(list(Path("/proc/self/fd").iterdir())) - 1,  # the folder that is being read is one
        tasks=len(asyncio.all_tasks()),
        threads=len(list(Path("/proc/self/task").iterdir())),
        children=sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children")),
        cgroups=sum(path.is_dir() for folder in groups for path in folder.glob("*")),
        sockets=sum(path.is_socket() for path in (jail_root / "run").rglob("*")),
        files=sum(1 for part in ("code", "state", "run", "jails") for _ in (jail_root / part).rglob("*")),
        uids=len(json.loads((jail_root / "uids.json").read_text())),
        scratch=len(list(Path("/tmp").glob(f"nsjail.{os.geteuid()}.*"))),
        rss_mib=_rss_mib(),
    )


def broken(samples: Sequence[Counts]) -> list[str]:
    """Return what is not as flat as it has to be, in words; nothing where all is."""
    if len(samples) < 2:
        return [f"{len(samples)} samples say nothing: take at least two"]
    first, last = samples[0], samples[-1]
    found = [
        f"{name}: {before} after {first.starts} starts, {after} after {last.starts}"
        for name, before in asdict(first).items()
        if name not in {"starts", "rss_mib"} and (after := getattr(last, name)) > before
    ]
    tenth = max(1, len(samples) // 10)
    early = [one.rss_mib for one in samples[tenth : 2 * tenth] or samples[:1]]
    late = [one.rss_mib for one in samples[-tenth:]]
    before, after = sum(early) / len(early), sum(late) / len(late)
    if after > before * (1 + RSS_GROWTH_MAX) + RSS_SLACK_MIB:
        found.append(f"rss: {before:.1f} MiB early, {after:.1f} MiB late")
    return found


def _rss_mib() -> float:
    with Path("/proc/self/status").open() as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS:"))
