"""`make chaos SECONDS=120 SEED=7`: desk, exchange and twenty jailed strategies, with everything going wrong at random.

usage: python -m tests.chaos [--seconds S] [--seed N] [--pace X] [--keep] [--quiet]

Exits 0 if all invariants of ARCHITECTURE 3 hold at the end; else 1, and the run's folder is kept.
"""

import argparse
import asyncio
import secrets
import sys
from decimal import Decimal

from tests.chaos import report
from tests.chaos.invariants import check, gather
from tests.chaos.run import run, tidy
from tests.chaos.world import CASH


def chaos(
    seed: int, seconds: float, *, pace: float = 1.0, keep: bool = False, echoes: bool = True
) -> dict[str, list[str]]:
    """Do one run, print its report, and return what is broken."""
    done = asyncio.run(run(seed, seconds, pace=pace, echoes=echoes))
    logs = (done.folder / "desk.log", done.folder / "exchange.log")  # of the very last start, too
    evidence = gather(done.evidence, logs, Decimal(CASH))
    broken = check(evidence)
    if done.broken:
        broken["the end"] = done.broken
    found = report.figures(done, evidence, broken)
    print(report.text(found, broken))
    print(f"\nwritten to {report.write(found, broken)}")
    if broken or keep:
        print(f"kept: {done.folder}")
    else:
        tidy(done)
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    parser.add_argument("--pace", type=float, default=1.0, help="above 1: strategies act less often")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder though all is well")
    parser.add_argument("--quiet", action="store_true", help="do not say each step")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    print(
        f"chaos: seed {seed}, {given.seconds:g} s; again: make chaos SECONDS={given.seconds:g} SEED={seed}", flush=True
    )
    broken = chaos(seed, given.seconds, pace=given.pace, keep=given.keep, echoes=not given.quiet)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
