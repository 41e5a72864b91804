"""`make soak`: start and stop runs in real jails, thousands of times, and see that the desk holds no more than before.

usage: python -m tests.soak [--starts N] [--every N] [--seed N]

Exits 0 if every count is flat and nothing is left behind.
"""

import argparse
import json
import secrets
import sys
from collections import Counter
from collections.abc import Callable, MutableMapping
from dataclasses import asdict
from typing import Any, NoReturn

import structlog
import uvloop

from tests.bench.tools import ROOT
from tests.soak.counts import Counts, broken
from tests.soak.soak import AT_ONCE, soak

EXPECTED_ERRORS = frozenset({"strategy_given_up"})  # lives end badly on purpose


def _count_errors(errors: Counter[str]) -> Callable[[object, str, MutableMapping[str, Any]], NoReturn]:
    """Return a processor that keeps no line, but counts those for which an officer would have to act."""

    def count(_logger: object, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        if level not in {"debug", "info", "warning"}:
            errors[event["event"]] += 1
        raise structlog.DropEvent

    return count


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--starts", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=500, help="starts from one sample to the next")
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    errors: Counter[str] = Counter()
    structlog.configure(processors=[_count_errors(errors)])
    print(f"soak: seed {seed}, {given.starts} starts; again: make soak STARTS={given.starts} SEED={seed}", flush=True)

    def say(sample: Counts) -> None:
        print(
            "  "
            + "  ".join(
                f"{key} {value:.1f}" if key == "rss_mib" else f"{key} {value}" for key, value in asdict(sample).items()
            ),
            flush=True,
        )

    soaked = uvloop.run(soak(given.starts, given.every, seed=seed, say=say))
    wrong = broken(soaked.samples) + [f"left behind: {path}" for path in soaked.left]
    wrong += [f"{count} times in the log: {event}" for event, count in errors.items() if event not in EXPECTED_ERRORS]
    ends = {str(reason): count for reason, count in sorted(soaked.ends.items())}
    print(f"\n{sum(ends.values())} runs in {soaked.took_s:.0f} s, {AT_ONCE} at once; they ended as {ends}")
    place = ROOT / "var" / "soak.json"
    place.parent.mkdir(exist_ok=True)
    found = {
        "seed": seed,
        "took_s": round(soaked.took_s, 1),
        "ends": ends,
        "broken": wrong,
        "samples": [asdict(one) for one in soaked.samples],
    }
    place.write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join(["FALLS SHORT", *wrong]) if wrong else "flat: the desk holds what it held at first")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
