"""The broker's account is suspended behind a kill of the desk, never before closing is done."""

import pytest

from deskd.core.deciding import handle
from deskd.core.suspending import is_wanted
from deskd.domain import events as ev
from deskd.domain.effects import Record, Refuse
from deskd.domain.kill import THE_DESK, KillDepth
from deskd.ledger import fold
from tests.factories import ALICE, NOON, a_desk, a_kill, a_release, of_strategy, requested

ON = ev.TradingSuspended(is_suspended=True, why="the desk is killed", at=NOON)
OFF = ev.TradingSuspended(is_suspended=False, why="the kill was released", at=NOON)


@pytest.mark.parametrize(
    ("depth", "is_suspended"),
    [(KillDepth.REDUCE_ONLY, False), (KillDepth.STOP_NEW, False), (KillDepth.CANCEL, True), (KillDepth.FLATTEN, False)],
)
def test_only_a_kill_that_needs_no_more_orders_suspends(depth: KillDepth, is_suspended: bool) -> None:
    """Exits go on under one that stops new orders; closing needs orders until all is flat."""
    desk = a_desk()
    assert not is_wanted(desk)
    desk.apply(a_kill(depth=depth))
    assert is_wanted(desk) is is_suspended


def test_while_anything_is_being_closed_nothing_is_suspended() -> None:
    """Also under a narrower kill."""
    desk = a_desk()
    desk.apply(a_kill(depth=KillDepth.CANCEL))
    desk.apply(a_kill(of_strategy(ALICE), KillDepth.FLATTEN))
    assert not is_wanted(desk)
    desk.apply(ev.FlattenCompleted(target=of_strategy(ALICE), at=NOON))
    assert is_wanted(desk)
    desk.apply(a_release())
    assert not is_wanted(desk)


def test_a_strategys_kill_suspends_nobody() -> None:
    """The account is everybody's."""
    desk = a_desk()
    desk.apply(a_kill(of_strategy(ALICE), KillDepth.CANCEL))
    assert not is_wanted(desk)


def test_it_is_a_fact_once_and_outlives_a_restart_and_a_release() -> None:
    """Until the broker has confirmed, an order would only be refused there: the desk says so itself."""
    desk = a_desk()
    assert handle(desk, OFF) == []
    assert handle(desk, ON) == [Record(ON)]
    assert handle(desk, ON) == []
    again = fold.decode(fold.encode(desk))
    assert again == desk
    assert THE_DESK not in again.kills.in_force
    [refused] = handle(again, requested())
    assert isinstance(refused, Refuse)
    assert "has not confirmed yet" in refused.message
    assert handle(again, OFF) == [Record(OFF)]
    assert again.kills.stopping_desk() is None
