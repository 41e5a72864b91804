"""A clean run means something: a desk that sees less is caught by the same sequences."""

from collections import Counter
from itertools import chain

import pytest

from deskd.core.desk import Desk
from deskd.domain.lane import ConflictPolicy
from tests.lane.driver import Counts, Story
from tests.lane.mutants import LANE_OFF, MUTANTS, is_caught
from tests.lane.plan import a_plan
from tests.lane.shrink import failure_of, shrunk

SEQUENCES = 100
ENOUGH = 2_000
# As `python -m tests.lane.mutants` prints them.
CAUGHT_BY = {
    "sees no other order": 0,
    "takes the account for flat": 15,
    "forgets what is in doubt": 0,
    "takes a cancel that is asked for as done": 22,
    "takes a replace that is asked for as done": 888,
    "forgets exits": 134,
}


def test_without_the_lane_the_broker_refuses_by_each_of_its_rules() -> None:
    """The sequences of the differential test reach every rule between orders: it is the lane that keeps them clean."""
    without, with_lane = Counts(), Counts()
    for seed in range(SEQUENCES):
        plan = a_plan(seed, ConflictPolicy.DENY)
        Story(plan, without, LANE_OFF, is_strict=False).play()
        Story(plan, with_lane, Desk, is_strict=False).play()
    assert not with_lane.conflicts
    assert without.conflicts.keys() == {"held_shares_or_zero", "long_and_short", "wash_trade", "account_position"}
    assert without.conflicts.total() > SEQUENCES, "there is more than one conflict in a sequence"


@pytest.mark.parametrize("what", MUTANTS)
def test_a_desk_that_forgets_is_caught(what: str) -> None:
    """Each thing that the lane looks at is one without which the broker refuses an order."""
    seeds = chain((CAUGHT_BY[what],), range(ENOUGH))  # plans may have changed since
    assert any(is_caught(MUTANTS[what], seed) for seed in seeds), f"a desk that {what} was not found out"


def test_a_failing_plan_is_made_smaller() -> None:
    """What is left fails as the whole did, and not without any of its steps."""
    mutant = MUTANTS["sees no other order"]
    plan = next(
        plan
        for plan in (a_plan(seed, ConflictPolicy.DENY) for seed in range(ENOUGH))
        if failure_of(plan, Counts(), mutant)
    )
    smallest = shrunk(plan, mutant)
    assert failure_of(smallest, Counts(), mutant)
    assert len(smallest.steps) < len(plan.steps)
    kinds = Counter(type(step.what).__name__ for step in smallest.steps)
    assert kinds["Ask"] >= 2, "a conflict is between two"
