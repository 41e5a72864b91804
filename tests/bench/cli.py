"""What a person waits for: a deskctl command from fork to its end, beside Python that does nothing."""

import asyncio
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.report import Report, median
from tests.bench.tools import PYTHON, ROOT
from tests.control.a_running_desk import a_running_desk

BOUND_MS = 150


@dataclass(slots=True)
class Times:
    """Of one command, in ms."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def run(*, is_quick: bool) -> Report:
    """Measure them in turn, on a desk that answers."""
    report = Report("cli")
    times = asyncio.run(_measured(10 if is_quick else 40))
    bare = times["python -c pass"]
    report.table(
        "One process each, ms",
        ("command", "wall p50", "wall min", "cpu p50", "cpu min", "wall / bare"),
        [
            (name, median(t.wall), min(t.wall), median(t.cpu), min(t.cpu), median(t.wall) / median(bare.wall))
            for name, t in times.items()
        ],
    )
    for name in ("deskctl status", "deskctl orders"):
        took = median(times[name].wall)
        ratio = took / median(bare.wall)
        says = f"p50 <= {BOUND_MS} ms, from fork to end"
        report.target(name, says, f"{took:.0f} ms ({ratio:.1f} x bare Python)", is_met=took <= BOUND_MS)
    return report


async def _measured(rounds: int) -> dict[str, Times]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with a_running_desk(Path(folder)) as desk:
            ctl = (PYTHON, "-m", "deskd.cli.deskctl", "--config", str(desk.config))
            commands: dict[str, Sequence[str]] = {
                "python -c pass": (PYTHON, "-c", "pass"),
                "python -c 'import click'": (PYTHON, "-c", "import click"),
                "deskctl --version": (*ctl, "--version"),
                "deskctl status": (*ctl, "status"),
                "deskctl orders": (*ctl, "orders"),
                "deskctl status --json": (*ctl, "status", "--json"),
            }
            # As it is installed: compiled once, wherever the bench runs.
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
            environment["PYTHONPYCACHEPREFIX"] = f"{folder}/compiled"
            times = {name: Times() for name in commands}
            for number in range(rounds + 1):
                for name, command in commands.items():
                    wall, cpu = await asyncio.to_thread(_once, command, environment)
                    if number:  # the first fills the caches
                        times[name].wall.append(wall)
                        times[name].cpu.append(cpu)
            return times


def _once(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took * 1e3, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3
