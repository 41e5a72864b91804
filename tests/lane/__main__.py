"""Run many sequences: `python -m tests.lane --sequences 1000000`. Says what they brought; ends at the first failure."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import timedelta

from deskd.domain.lane import ConflictPolicy, LaneRules
from tests.lane.driver import Counts, Story


def main() -> int:
    """Play the sequences of each policy in turn, and print the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.lane")
    parser.add_argument("--sequences", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    counts = {policy: Counts() for policy in ConflictPolicy}
    began = time.monotonic()
    for n in range(wanted.sequences):
        policy = list(ConflictPolicy)[n % len(ConflictPolicy)]
        rules = LaneRules(conflict=policy, hold_max=timedelta(seconds=5))
        Story(wanted.seed + n, rules, counts[policy]).run(wanted.steps)
        if (n + 1) % 1_000 == 0:
            print(f"{n + 1} sequences, {time.monotonic() - began:.0f} s", flush=True)
    print(json.dumps({policy: asdict(one) for policy, one in counts.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
