"""Whatever strategies do to each other on the shared account, the broker has nothing against it."""

import pytest

from deskd.domain.lane import ConflictPolicy
from tests.lane.driver import Counts, Story
from tests.lane.plan import a_plan

SEQUENCES = 120


@pytest.mark.parametrize("policy", ConflictPolicy)
def test_the_broker_never_refuses_an_order_because_of_another(policy: ConflictPolicy) -> None:
    """Orders, cancels, replaces and restarts, over a late line that reorders: no refusal for a conflict.

    Nobody who waits waits for nothing, or longer than he may; and at the end of each sequence the sum over the books is
    the account. `python -m tests.lane --sequences 1000000` plays more.
    """
    counts = Counts()
    for seed in range(SEQUENCES):
        Story(a_plan(seed, policy), counts).play()
    assert counts.sequences == SEQUENCES
    assert not counts.conflicts
    assert counts.facts["OrderFilled"], "nothing was traded"
    assert counts.facts["DeskStarted"], "the desk never died"
    assert counts.facts["OrderSplit"], "no order went in parts"
    assert counts.denied.keys() >= {"CONFLICT_WASH", "CONFLICT_ZERO"}
    if policy.lets_wait:
        assert counts.facts["OrderReleased"], "nobody who waited was sent"
    if policy is ConflictPolicy.CROSS:
        assert counts.facts["OrderReturned"], "nothing was taken back from the broker to meet another"
