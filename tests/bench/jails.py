"""Jails (PERFORMANCE.md 3): from a start to the first line, what a filtered call costs, what idle runs weigh, a crash."""

import json
import os
import signal
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from tests.bench.jails_desk import make_strategies
from tests.bench.report import Report, median
from tests.bench.tools import PYTHON, ROOT, answer, end, finish, order, process

IDLE = 200
RESTARTED = 50
RESTART_S = 60.0


def run(*, is_quick: bool) -> Report:
    """Measure all of it; say why where no jail can be made here."""
    report = Report("jails")
    hello = [PYTHON, "-m", "deskd.supervision.hello", str(ROOT / "var")]
    proved = subprocess.run(hello, capture_output=True, text=True, cwd=ROOT, check=False)
    if proved.returncode:
        report.missing("jails", (proved.stdout or proved.stderr).strip())
        return report
    _first_line(report, rounds=5 if is_quick else 25)
    _calls(report)
    _idle(report)
    _restart(report)
    return report


def _first_line(report: Report, rounds: int) -> None:
    took: dict[str, list[float]] = {"nsjail": [], "desk": [], "warm": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        with process(
            [PYTHON, "-m", "tests.bench.jails_desk", folder, "1", "json"], keeps_errors_in=Path(folder, "log")
        ) as desk:
            answer(desk, "ready")
            for _ in range(rounds):
                for how, found in took.items():
                    order(desk, how)
                    found.append(int(answer(desk, "took")[0]) / 1e6)
            finish(desk)
    alone, by_desk, warm = median(took["nsjail"]), median(took["desk"]), median(took["warm"])
    columns = ("from start to the first line parsed", "median ms", "best ms", "x nsjail alone")
    rows = [
        ("nsjail alone, the same jail", alone, min(took["nsjail"]), 1.0),
        ("desk", by_desk, min(took["desk"]), by_desk / alone),
        ("desk, the jail waited (sandbox.prewarmed)", warm, min(took["warm"]), warm / alone),
    ]
    report.table(f"A plain strategy starts, {rounds} times each", columns, rows)
    report.target("3a", "<= 1.25 x nsjail alone", f"{by_desk / alone:.2f} x", is_met=by_desk <= 1.25 * alone)
    report.target("3a", "<= 40 ms", f"{by_desk:.0f} ms", is_met=by_desk <= 40)
    report.target("issue 4.8", "prewarmed <= 5 ms", f"{warm:.1f} ms", is_met=warm <= 5)


def _calls(report: Report) -> None:
    """Time a system call in a jail, and in the same jail without its filter."""
    command = [PYTHON, "-m", "tests.bench.syscalls"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    rows = []
    for line in said.splitlines():
        call, filtered, bare = line.split()
        rows.append((call.replace("_", " "), float(filtered), float(bare), float(filtered) - float(bare)))
    report.table(
        "The filter of system calls", ("call, by Python", "ns in a jail", "ns without the filter", "ns of it"), rows
    )


def _idle(report: Report) -> None:
    """Plain is what SANDBOX.md 4 calls so: no imports. What `import json` alone adds to each is shown beside it."""
    mib = 1024 * 1024
    used: dict[str, tuple[int, int]] = {}
    for kind in ("plain", "json"):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            Path(folder).chmod(0o755)
            command = [PYTHON, "-m", "tests.bench.jails_desk", folder, str(IDLE), kind]
            with process(command, keeps_errors_in=Path(folder, "log")) as desk:
                answer(desk, "ready")
                order(desk, "all")
                runs, own = (int(one) for one in answer(desk, "memory"))
                finish(desk)
        used[kind] = runs, own
    runs, own = used["plain"]
    columns = ("idle", "MiB", "KiB each")
    rows = [
        ("all runs, plain", runs / mib, runs / 1024 / IDLE),
        ("all runs, with `import json`", used["json"][0] / mib, used["json"][0] / 1024 / IDLE),
        ("supervisor and hub", own / mib, own / 1024 / IDLE),
    ]
    report.table(f"{IDLE} idle strategies", columns, rows)
    report.target("3b", f"{IDLE} idle <= 1 GiB", f"{runs / mib:.0f} MiB", is_met=0 < runs <= 1024 * mib)
    report.target("3b", "supervisor and hub <= 150 MB", f"{own / 1e6:.0f} MB", is_met=own <= 150e6)


def _restart(report: Report) -> None:
    """Kill the whole desk with fifty runs, start it again, and wait until each says that it is up."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        make_strategies(Path(folder), RESTARTED, {"channels": ["trades"]})
        config = Path(folder, "desk.toml")
        places = {"state_dir": "state", "runtime_dir": "run", "strategies_dir": "strategies"}
        lines = [f"{key} = {json.dumps(str(Path(folder, place)))}" for key, place in places.items()]
        config.write_text("[desk]\n" + "\n".join(lines) + "\n[risk.strategy]\nallocation = 1000\n")
        command = [PYTHON, "-m", "deskd", "run", "--config", str(config)]
        with process(command, is_quiet=True) as first:
            _wait_until_up(folder, 0, first)
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            began = time.monotonic_ns()
            with process(command, is_quiet=True) as second:
                last = _wait_until_up(folder, began, second)
                end(second)
    took = (last - began) / 1e9
    report.target("3c", f"{RESTARTED} runs up again after a crash <= 3 s", f"{took:.1f} s", is_met=took <= 3)


def _wait_until_up(folder: str, since: int, desk: "subprocess.Popen[str]") -> int:
    """Return when the last of the strategies said that it is up."""
    deadline = time.monotonic() + RESTART_S
    up: dict[Path, int] = {}
    while len(up) < RESTARTED:
        if time.monotonic() > deadline or desk.poll() is not None:
            raise TimeoutError(f"{len(up)} of {RESTARTED} strategies were up after {RESTART_S:g} s; {desk.poll()=}")
        for path in Path(folder, "state").rglob("*.log"):
            if path not in up:
                words = path.read_text().split()
                stamps = [int(stamp) for word, stamp in pairwise(words) if word == "up"]
                if stamps and stamps[-1] > since:
                    up[path] = stamps[-1]
        time.sleep(0.02)
    return max(up.values())
