"""Whatever strategies do to each other on the shared account, the broker has nothing against it."""

import os
from datetime import timedelta

import pytest

from deskd.domain.lane import ConflictPolicy, LaneRules
from tests.lane.driver import Counts, Story

SEQUENCES = int(os.environ.get("DESKD_LANE_SEQUENCES", "60"))


@pytest.mark.parametrize("policy", ConflictPolicy)
def test_the_broker_never_refuses_an_order_because_of_another(policy: ConflictPolicy) -> None:
    """Orders, cancels and replaces of many strategies, over a late line that reorders: no refusal for a conflict.

    And at the end of each sequence nobody waits, and the sum over the books is the account.
    `python -m tests.lane --sequences 1000000` plays more.
    """
    counts = Counts()
    for seed in range(SEQUENCES):
        Story(seed, LaneRules(conflict=policy, hold_max=timedelta(seconds=5)), counts).run(40)
    assert counts.fills, "nothing was traded"
    assert counts.denied.keys() >= {"CONFLICT_WASH", "CONFLICT_ZERO"}
    if policy is ConflictPolicy.HOLD:
        assert counts.released, "nobody who waited was sent"
