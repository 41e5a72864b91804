"""A start: from exec to `desk_ready`, with an empty ledger and with a long one, after SIGKILL."""

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Report, median
from tests.bench.tools import PYTHON, process
from tests.whole.long_desk import a_long_life

ORDERS, OPEN = 100_000, 500
PHASES = ("ledger_replayed", "exchange_ready", "stream_changed", "desk_ready")
BOUND_S = 180.0  # of one start: the first replays everything, on a machine that may work


@dataclass(frozen=True)
class Start:
    """When each phase was over, in seconds since exec, and what the desk had used by then."""

    at: dict[str, float]
    cpu_s: float
    rss_mb: float


def run(*, is_quick: bool) -> Report:
    """Measure all of it."""
    report = Report("start")
    rounds = 3 if is_quick else 7
    with tempfile.TemporaryDirectory(prefix="bench-") as empty, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = [_row("empty ledger", _starts(Path(empty), rounds + 1)[1:])]
        state = Path(folder, "var")
        state.mkdir()
        asyncio.run(a_long_life(state, orders=ORDERS, open_orders=OPEN))
        rows.append(_row("every fact replayed", [_start(Path(folder), until="snapshot_taken")]))
        long = _starts(Path(folder), rounds)
        rows.append(_row("snapshot and tail", long))
    report.table(
        f"Seconds from exec, medians; the long ledger has {ORDERS:,} orders, {OPEN} of them open",
        ("start with", *PHASES, "desk's CPU s", "RSS MB"),
        rows,
    )
    ready = median([start.at["desk_ready"] for start in long])
    report.target("start", f"{ORDERS:,} orders, {OPEN} open: ready <= 2 s", f"{ready:.2f} s", is_met=ready <= 2)
    return report


def _row(name: str, starts: list[Start]) -> tuple[object, ...]:
    phases = (median([start.at.get(phase, 0.0) for start in starts]) for phase in PHASES)
    return (name, *phases, median([s.cpu_s for s in starts]), median([s.rss_mb for s in starts]))


def _starts(folder: Path, rounds: int) -> list[Start]:
    return [_start(folder, until="desk_ready") for _ in range(rounds)]


def _start(folder: Path, *, until: str) -> Start:
    """Start the desk, kill it once it has said *until*, and return what it took until it was ready."""
    for name in ("etc", "strategies"):
        (folder / name).mkdir(exist_ok=True)
    config = folder / "etc" / "desk.toml"
    config.touch()
    errors = folder / "log"
    environment = os.environ | {"DESKD_LOG__FORMAT": "json"}
    command = [PYTHON, "-m", "deskd", "run", "--config", str(config)]
    began = time.monotonic()
    at: dict[str, float] = {}
    used = (0.0, 0.0)
    with process(command, keeps_errors_in=errors, environment=environment) as desk:
        for event in _events(errors, desk):
            at.setdefault(event, time.monotonic() - began)
            if event == "desk_ready":
                used = _used(desk.pid)
            if event == until:
                break
        os.kill(desk.pid, signal.SIGKILL)
        desk.wait()
    return Start(at, *used)


def _events(log: Path, desk: "subprocess.Popen[str]") -> Iterator[str]:
    """Yield the events of the log as they come."""
    deadline = time.monotonic() + BOUND_S
    with log.open() as lines:
        while time.monotonic() < deadline:
            line = lines.readline()
            if line.startswith("{"):
                yield json.loads(line)["event"]
            elif not line and desk.poll() is not None:
                break
            elif not line:
                time.sleep(0.005)
    raise TimeoutError(f"no desk was ready: {desk.poll()=}; its log: {log.read_text()[-2_000:]}")


def _used(pid: int) -> tuple[float, float]:
    """Return the process's CPU seconds, and its resident megabytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return ticks / os.sysconf("SC_CLK_TCK"), kib / 1024
