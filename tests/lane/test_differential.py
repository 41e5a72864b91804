"""Whatever strategies do to each other on the shared account, the broker has nothing against it."""

import pytest

from deskd.domain.lane import ConflictPolicy
from tests.lane.driver import Counts, Story
from tests.lane.plan import a_plan
from tests.lane.wide import STRATEGIES_MAX, a_wide_plan

SEQUENCES = 120
WIDE_SEQUENCES = 200


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


@pytest.mark.parametrize(
    ("policy", "seed"),
    [
        (ConflictPolicy.CROSS, 61124529),  # a replace named the quantity that was no change, and was partly exchanged
        (ConflictPolicy.CROSS, 61133184),
        (ConflictPolicy.CROSS, 61144767),  # what came back was heard of late
        (ConflictPolicy.HOLD, 81597364),  # an older word of a bracket's exits than that of its replacement
        (ConflictPolicy.CROSS, 81683561),
        (ConflictPolicy.CROSS, 81684233),  # an order that was not there when it was looked for, and arrived
        (ConflictPolicy.CROSS, 140362966),  # exits of a larger entry held more than anybody had said yet
    ],
)
def test_what_a_campaign_found_once_stays_mended(policy: ConflictPolicy, seed: int) -> None:
    """Each stood for one in some 60,000 to 400,000 sequences."""
    counts = Counts()
    Story(a_plan(seed, policy), counts).play()
    assert not counts.conflicts


@pytest.mark.parametrize("policy", ConflictPolicy)
def test_nor_under_kills_and_exits_nor_around_auctions_opens_and_closes(policy: ConflictPolicy) -> None:
    """The wide alphabet: up to twenty strategies, closings of the desk's own under conflict, half days, extended hours."""
    counts, strategies = Counts(), 0
    for seed in range(WIDE_SEQUENCES):
        plan = a_wide_plan(seed, policy)
        strategies = max(strategies, len(plan.strategies))
        Story(plan, counts).play()
    assert strategies == STRATEGIES_MAX
    assert not counts.conflicts
    assert counts.facts.keys() >= {"KillEngaged", "KillReleased", "FlattenCompleted", "ExitTriggered", "OrderExpired"}
    assert counts.denied.keys() >= {"AUCTION_WINDOW", "MARKET_CLOSED", "KILLED", "REDUCE_ONLY", "EXIT_UNDER_WAY"}


@pytest.mark.parametrize(
    ("policy", "seed"),
    [
        (ConflictPolicy.DENY, 2724),  # two exits at the same prices took the same shares of the account
        (ConflictPolicy.DENY, 1242),  # two exits at the same prices, on two sides
        (ConflictPolicy.HOLD, 643),  # a kill sold a part of a share of an account that was short
        (ConflictPolicy.HOLD, 110005812),  # a kill sold shares that another's sale for money was to take
    ],
)
def test_what_the_wide_alphabet_found_once_stays_mended(policy: ConflictPolicy, seed: int) -> None:
    """Each stood for one in some 1,000 sequences, the last for one in some 6,000."""
    counts = Counts()
    Story(a_wide_plan(seed, policy), counts).play()
    assert not counts.conflicts
