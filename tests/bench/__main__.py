"""`make bench`: measure the desk as PERFORMANCE.md defines it, beside its peers and limits, in one run.

usage: python -m tests.bench [fanout|orders|jails|fairness|budget|start|kill|cli|gate|all] [--quick]

Exits 0 when it has measured, whatever the figures say: targets are printed as `ok` or `falls short`.
"""

import argparse
import signal
import sys
import time

from tests.bench.report import machine
from tests.bench.tools import ROOT, say


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument(
        "what",
        nargs="?",
        default="all",
        choices=("fanout", "orders", "jails", "fairness", "budget", "start", "kill", "cli", "gate", "all"),
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: some three minutes for all")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that every block ends what it started
    say("  ".join(f"{key}={value}" for key, value in machine().items()))
    all_of_them = (
        "fanout",
        "orders",
        "jails",
        "fairness",
        "budget",
        "start",
        "kill",
        "cli",
    )  # the gate is among the orders
    names = all_of_them if arguments.what == "all" else (arguments.what,)
    began = time.monotonic()
    targets = []
    for name in names:
        say(f"\n== {name}")
        if name == "fanout":
            from tests.bench.fanout import run
        elif name == "orders":
            from tests.bench.orders import run
        elif name == "jails":
            from tests.bench.jails import run
        elif name == "fairness":
            from tests.bench.fairness import run
        elif name == "budget":
            from tests.bench.budget import run
        elif name == "gate":
            from tests.bench.gate import run
        elif name == "kill":
            from tests.bench.kill import run
        elif name == "cli":
            from tests.bench.cli import run
        else:
            from tests.bench.start import run
        report = run(is_quick=arguments.quick)
        targets += report.targets
        say(f"\n  written to {report.write().relative_to(ROOT)}")
    short = [target for target in targets if target.is_met is False]
    say(f"\n{len(targets) - len(short)} of {len(targets)} targets ok, in {time.monotonic() - began:.0f} s")
    for target in short:
        say(f"  {target.verdict:<12} {target.name}: {target.says}: {target.measured}")


if __name__ == "__main__":
    main()
