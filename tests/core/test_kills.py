"""The kills in force: latched, the deepest holds, and only a release lifts one."""

from datetime import timedelta

import pytest

from deskd.core.kills import Kills, covers
from deskd.core.losses import Losses
from deskd.domain import events as ev
from deskd.domain.ids import UserId
from deskd.domain.kill import THE_DESK, KillDepth, KillScope, KillTarget, TradingState
from tests.factories import AAPL, ALICE, BOB, NOON, SPY, a_kill, a_release, of_strategy

MEMBER = UserId("carol")
SCOPES = (THE_DESK, of_strategy(ALICE), KillTarget(KillScope.MEMBER, MEMBER), KillTarget(KillScope.SYMBOL, AAPL))


@pytest.mark.parametrize("target", SCOPES, ids=str)
def test_a_kill_holds_for_what_its_scope_takes_in(target: KillTarget) -> None:
    """And for nothing else."""
    kills = Kills()
    assert kills.over(ALICE, MEMBER, AAPL) is None
    kills.engage(a_kill(target))
    found = kills.over(ALICE, MEMBER, AAPL)
    assert found is not None
    assert found.target == target
    assert (kills.over(BOB, UserId("bob"), SPY) is None) is (target != THE_DESK)
    assert covers(target, ALICE, MEMBER, AAPL)
    assert kills.over(ALICE, None, SPY) is None or target.scope is not KillScope.MEMBER


def test_a_kill_goes_deeper_and_never_shallower() -> None:
    """Who pulls it again, and less deep, changes nothing; the text tells who pulled it so deep."""
    kills = Kills()
    kills.engage(a_kill(depth=KillDepth.CANCEL))
    kills.engage(a_kill(depth=KillDepth.REDUCE_ONLY, reason="less"))
    assert kills.in_force[THE_DESK].depth is KillDepth.CANCEL
    kills.engage(a_kill(depth=KillDepth.FLATTEN, reason="more", at=NOON + timedelta(minutes=1)))
    assert kills.in_force[THE_DESK].in_words == (
        "kill=desk depth=flatten since=2026-01-05T17:00:00Z by='ada (uid 0)' reason='more'"
    )
    assert kills.at_least(KillDepth.FLATTEN) == [kills.in_force[THE_DESK]]


def test_of_several_the_deepest_holds_and_each_is_released_alone() -> None:
    """The release of one does not lift another."""
    kills = Kills()
    kills.engage(a_kill(depth=KillDepth.REDUCE_ONLY))
    kills.engage(a_kill(of_strategy(ALICE), KillDepth.CANCEL))
    found = kills.over(ALICE, None, AAPL)
    assert found is not None
    assert found.depth is KillDepth.CANCEL
    kills.release(a_release(of_strategy(ALICE)), Losses(day=None))
    kills.release(a_release(of_strategy(ALICE)), Losses(day=None))
    found = kills.over(ALICE, None, AAPL)
    assert found is not None
    assert found.target == THE_DESK


def test_what_became_of_closing_is_known_until_the_release() -> None:
    """Flat, or what is left; of a kill that is not in force nothing is known."""
    kills = Kills()
    flat, left = (
        ev.FlattenCompleted(target=THE_DESK, at=NOON),
        ev.FlattenHindered(target=THE_DESK, left=("alice: 5 AAPL: halted",), at=NOON),
    )
    kills.complete(flat)
    kills.hinder(left)
    assert kills == Kills()
    kills.engage(a_kill(depth=KillDepth.FLATTEN))
    kills.hinder(left)
    assert kills.in_force[THE_DESK].left == left.left
    kills.complete(flat)
    assert (kills.in_force[THE_DESK].left, kills.in_force[THE_DESK].flat_at) == ((), NOON)


@pytest.mark.parametrize(
    ("depth", "state"),
    [(None, TradingState.ACTIVE), (KillDepth.REDUCE_ONLY, TradingState.REDUCE_ONLY)]
    + [(depth, TradingState.KILLED) for depth in list(KillDepth)[1:]],
)
def test_a_kill_is_a_trading_state(depth: KillDepth | None, state: TradingState) -> None:
    """ACTIVE, REDUCE_ONLY or KILLED, for the desk and for a strategy."""
    kills = Kills()
    if depth is not None:
        kills.engage(a_kill(depth=depth))
    assert (kills.desk_state(), kills.state_of(ALICE, None)) == (state, state)
    assert (kills.stopping_desk() is not None) is (state is TradingState.KILLED)
    alone = Kills()
    if depth is not None:
        alone.engage(a_kill(KillTarget(KillScope.MEMBER, MEMBER), depth))
    assert (alone.desk_state(), alone.state_of(ALICE, MEMBER)) == (TradingState.ACTIVE, state)
