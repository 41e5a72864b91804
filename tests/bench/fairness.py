"""Fairness: what one greedy run, and what fifty in crash loops, cost the others (PERFORMANCE.md, ARCHITECTURE.md 6)."""

import array
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.report import Report, quantile
from tests.bench.tools import PYTHON, ROOT, answer, finish, order, process

READERS, CALLERS, CRASHERS = 10, 3, 50
RATE = 300  # trades a second to each reader
SETTLE_S = 1.5  # a phase is measured when what began it is over
CHANGE_MAX = 0.2
ALONE, GREEDY = "alone", "beside a greedy run"
STARTS, LOOPS = "beside fifty starts by hand", "beside fifty crash loops"  # loops: each has died once
MARK = b"took in pairs..."

type Window = tuple[int, int]


@dataclass(slots=True)
class Phase:
    """The windows of one kind, and by how much the loop was late in each."""

    windows: list[Window] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)


def run(*, is_quick: bool) -> Report:
    """Measure both; say why where no jail can be made here."""
    report = Report("fairness")
    hello = [PYTHON, "-m", "deskd.supervision.hello", str(ROOT / "var")]
    proved = subprocess.run(hello, capture_output=True, text=True, cwd=ROOT, check=False)
    if proved.returncode:
        report.missing("jails", (proved.stdout or proved.stderr).strip())
        return report
    rounds, seconds = (3, 4.0) if is_quick else (8, 6.0)
    phases = {name: Phase() for name in (ALONE, GREEDY, STARTS, LOOPS)}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        figures = [str(n) for n in (READERS, CALLERS, CRASHERS, RATE)]
        command = [PYTHON, "-m", "tests.bench.fairness_desk", folder, *figures]
        with process(command, keeps_errors_in=Path(folder, "log")) as desk:
            answer(desk, "ready")
            ends = _phases(desk, phases, rounds, seconds)
            finish(desk)
        lines = _took(folder, "reader")
        orders = _took(folder, "caller")
    _tell(report, phases, lines, orders, ends)
    return report


def _phases(desk: "subprocess.Popen[str]", phases: dict[str, Phase], rounds: int, seconds: float) -> list[str]:
    """Live through the phases A B C A B C ...; return how the greedy run ended."""
    ends = []
    for _ in range(rounds):
        _watch(desk, phases[ALONE], seconds)
        order(desk, "start greedy")
        answer(desk, "started")
        _watch(desk, phases[GREEDY], seconds)
        order(desk, "stop greedy")
        ends += answer(desk, "stopped")
        time.sleep(SETTLE_S)
        _lags(desk)
        for what, said, name in (("storm", "looping", STARTS), ("calm", "calm", LOOPS)):
            began = time.monotonic_ns()
            order(desk, what)
            answer(desk, said)
            phases[name].windows.append((began, time.monotonic_ns()))
            phases[name].lags += _lags(desk)
    return ends


def _watch(desk: "subprocess.Popen[str]", phase: Phase, seconds: float) -> None:
    time.sleep(SETTLE_S)
    _lags(desk)
    began = time.monotonic_ns()
    time.sleep(seconds)
    phase.windows.append((began, time.monotonic_ns()))
    phase.lags += _lags(desk)


def _lags(desk: "subprocess.Popen[str]") -> list[float]:
    order(desk, "lag")
    return [int(one) / 1e6 for one in answer(desk, "lag")]


def _took(folder: str, kind: str) -> list[tuple[int, int]]:
    """Return when and how long, of all runs of a kind."""
    found = []
    for path in Path(folder).rglob(
        f"state/{kind}*.kept"
    ):  # the desk keeps /state in a form of its own: look for the mark
        _, _, kept = path.read_bytes().partition(MARK)
        pairs = array.array("q")
        pairs.frombytes(kept[16 : 16 + int(kept[:16])])
        found += list(zip(pairs[::2], pairs[1::2], strict=True))
    return found


def _within(took: Sequence[tuple[int, int]], window: Window) -> list[float]:
    began, ended = window
    return sorted(ns / 1e6 for when, ns in took if began <= when <= ended)


def _tell(
    report: Report,
    phases: dict[str, Phase],
    lines: Sequence[tuple[int, int]],
    orders: Sequence[tuple[int, int]],
    ends: Sequence[str],
) -> None:
    rows = []
    p99: dict[tuple[str, str], float] = {}
    for what, took in (("lines", lines), ("orders' answers", orders)):
        for name, phase in phases.items():
            found = sorted(one for window in phase.windows for one in _within(took, window))
            p99[what, name] = quantile(found, 0.99)
            rows.append((what, name, len(found), quantile(found, 0.5), p99[what, name]))
    columns = ("what", "the polite runs", "count", "p50 ms", "p99 ms")
    report.table(
        f"{READERS} readers at {RATE} trades a second, {CALLERS} callers at some 15 orders a second", columns, rows
    )
    lag_rows = [
        (name, quantile(sorted(phase.lags), 0.5), quantile(sorted(phase.lags), 0.99), max(phase.lags))
        for name, phase in phases.items()
    ]
    report.table("By how much the desk's loop was late", ("the polite runs", "p50 ms", "p99 ms", "most ms"), lag_rows)
    report.table(
        "How the greedy run ended before it was stopped",
        ("end", "times"),
        [(end, ends.count(end)) for end in sorted(set(ends))],
    )
    for number, other in (("4.7", GREEDY), ("4.6", LOOPS)):
        for what in ("lines", "orders' answers"):
            change = p99[what, other] / p99[what, ALONE] - 1  # the phases took turns: the machine's noise is in both
            says = f"others' p99 of {what} {other}, against alone: < +20 %"
            report.target(f"issue {number}", says, f"{change:+.0%}", is_met=change < CHANGE_MAX)
