"""Many sequences: `python -m tests.lane --sequences 1000000 --jobs 2`. One of them: `--replay SEED --policy hold`."""

import argparse
import sys
import traceback
from pathlib import Path

from deskd.core.desk import Desk
from deskd.domain.lane import ConflictPolicy
from tests.lane.campaign import Campaign, jobs_max
from tests.lane.driver import Counts, Story
from tests.lane.plan import Plan, a_plan
from tests.lane.shrink import failure_of, shrunk
from tests.lane.wide import a_wide_plan


def main() -> int:
    """Play a campaign, or one sequence; 1 where something broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.lane", description=__doc__)
    parser.add_argument("--sequences", type=int, default=10_000, help="how many; those that were played count")
    parser.add_argument("--seed", type=int, default=0, help="the first; each sequence has the next one")
    parser.add_argument("--jobs", type=int, default=jobs_max(), help="processes")
    parser.add_argument("--file", type=Path, help="where it is counted; default var/lane/SEED.json")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play that one, and make it smaller if it fails")
    parser.add_argument("--policy", type=ConflictPolicy, default=ConflictPolicy.DENY, choices=list(ConflictPolicy))
    parser.add_argument("--wide", action="store_true", help="the sequence to replay is of the wide alphabet")
    wanted = parser.parse_args()
    if wanted.replay is not None:
        return replay((a_wide_plan if wanted.wide else a_plan)(wanted.replay, wanted.policy))
    path = wanted.file or Path("var") / "lane" / f"{wanted.seed}.json"
    campaign = Campaign.loaded(path, wanted.seed, wanted.sequences)
    if campaign.done:
        sys.stdout.write(f"{campaign.done} were played before ({path})\n")
    campaign.run(path, wanted.jobs, lambda text: print(text, flush=True))
    return 1 if campaign.failures else 0


def replay(plan: Plan) -> int:
    """Play one plan. If it fails, print the smallest that fails so, step by step, and where it broke."""
    if failure_of(plan, Counts(), Desk) is None:
        print(f"seed {plan.seed}, {plan.rules.conflict}: {len(plan.steps)} steps, nothing is wrong")
        return 0
    smallest = shrunk(plan, Desk)
    print(f"seed {plan.seed}, {plan.rules.conflict}: {len(plan.steps)} steps, of which these are enough:")
    print(f"  strategies={len(plan.strategies)} is_paper={plan.is_paper} is_short_allowed={plan.is_short_allowed}")
    for step in smallest.steps:
        print(f"  {step}")
    try:
        Story(smallest, Counts()).play()
    except Exception:  # noqa: BLE001  to be shown, whatever it is
        print(traceback.format_exc())
    return 1


if __name__ == "__main__":
    sys.exit(main())
