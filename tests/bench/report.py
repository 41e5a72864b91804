"""Figures, targets and the machine they were measured on: printed, and written to var/bench/NAME.json."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from deskd import __version__
from tests.bench.tools import ROOT, say


@dataclass(frozen=True, slots=True)
class Target:
    """One line of PERFORMANCE.md, and how far it is reached."""

    name: str
    says: str
    measured: str
    is_met: bool | None  # None: what it is compared with is absent

    @property
    def verdict(self) -> str:
        return "not measured" if self.is_met is None else "ok" if self.is_met else "falls short"


@dataclass(slots=True)
class Report:
    """One bench's tables and targets."""

    name: str
    rows: list[Mapping[str, object]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print the rows, and keep them."""
        texts = [[shown(cell) for cell in row] for row in rows]
        widths = [max(len(row[i]) for row in [list(columns), *texts]) for i in range(len(columns))]
        say(f"\n{title}")
        for row in [list(columns), *texts]:
            cells = [
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            say("  " + "  ".join(cells))
        self.rows += [{"table": title, **dict(zip(columns, row, strict=True))} for row in texts]

    def target(self, name: str, says: str, measured: str, *, is_met: bool | None) -> None:
        """Say whether the target is reached."""
        target = Target(name, says, measured, is_met)
        self.targets.append(target)
        say(f"  {target.verdict:<12} {name}: {says}: {measured}")

    def missing(self, who: str, why: str) -> None:
        """Say that a peer is absent."""
        self.absent.append(f"{who}: {why}")
        say(f"  absent       {who}: {why}")

    def write(self) -> Path:
        """Write all of it down."""
        path = ROOT / "var" / "bench" / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "bench": self.name,
            "at": datetime.now(UTC).isoformat(),  # noqa: TID251  a bench is of the world
            "machine": machine(),
            "rows": self.rows,
            "targets": [asdict(target) | {"verdict": target.verdict} for target in self.targets],
            "absent": self.absent,
        }
        path.write_text(json.dumps(content, indent=1) + "\n")
        return path


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(load, 2) for load in os.getloadavg()],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "deskd": __version__,
    }


def shown(value: object) -> str:
    """Return a figure to three digits, a thousand with a comma."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the q-quantile of values in order."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float("nan")
