"""What follows from a kill: facts that change something, and answers that tell why."""

from dataclasses import replace
from datetime import timedelta

import pytest

from deskd.core import asking, killing
from deskd.core.deciding import decide, handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.breaker import BreakerState
from deskd.domain.effects import Record, Refuse
from deskd.domain.exits import ExitKind
from deskd.domain.ids import ClientOrderId, StrategyId, UserId
from deskd.domain.kill import THE_DESK, KillDepth, KillScope, KillTarget, TradingState
from deskd.domain.order import Replacement
from deskd.domain.reasons import DenialReason, RefusalReason
from deskd.ledger import fold
from tests.factories import (
    AAPL,
    ALICE,
    MONDAY,
    NOON,
    a_desk,
    a_kill,
    a_limit_request,
    a_quote,
    a_release,
    a_request,
    accepted,
    of_strategy,
    price,
    registered,
    requested,
)
from tests.playbook import Playbook


def test_only_what_changes_something_is_a_fact() -> None:
    """A kill that is no deeper, a release of none, and what is known already are none."""
    desk = a_desk()
    flat = ev.FlattenCompleted(target=THE_DESK, at=NOON)
    left = ev.FlattenHindered(target=THE_DESK, left=("alice: 5 AAPL: halted",), at=NOON)
    assert Playbook(desk) >> a_release() >> flat >> left
    assert (
        Playbook(desk)
        >> a_kill(depth=KillDepth.CANCEL)
        << ev.KillEngaged
        >> a_kill(depth=KillDepth.STOP_NEW)
        >> a_kill(depth=KillDepth.FLATTEN)
        << ev.KillEngaged
        >> left
        << ev.FlattenHindered
        >> left
        >> flat
        << ev.FlattenCompleted
        >> flat
        >> a_release()
        << ev.KillReleased
    )


def test_a_killed_desk_takes_no_order_and_no_replace_and_every_cancel() -> None:
    """503 with the kill's figures; what is open can be called back."""
    desk = a_desk()
    request = a_limit_request("90")
    handle(desk, requested(request))
    handle(desk, accepted(request))
    handle(desk, a_kill())
    [refused] = decide(desk, requested(a_request(client_order_id=ClientOrderId("alice-2"))))
    assert isinstance(refused, Refuse)
    assert refused.reason is RefusalReason.KILLED
    assert refused.message == (
        "kill=desk depth=stop_new since=2026-01-05T17:00:00Z by='ada (uid 0)' reason='runaway orders': "
        "the desk takes no orders until an officer releases it; cancels pass"
    )
    wish = ev.ReplaceRequested(
        client_order_id=ClientOrderId("alice-3"),
        replacement=Replacement(replaces=request.client_order_id, limit_price=price(91)),
        quote=a_quote(),
        market_day=MONDAY,
        by="alice",
        at=NOON,
    )
    [refused] = decide(desk, wish)
    assert isinstance(refused, Refuse)
    assert refused.reason is RefusalReason.KILLED
    cancel = ev.CancelRequested(client_order_id=request.client_order_id, by="alice", at=NOON)
    assert any(isinstance(effect, ef.Cancel) for effect in decide(desk, cancel))
    handle(desk, a_release())
    effects = decide(desk, requested(a_request(client_order_id=ClientOrderId("alice-2"))))
    assert any(isinstance(effect, ef.Submit) for effect in effects)


def test_a_narrower_kill_is_the_gates_no() -> None:
    """The order is denied and kept, with the kill's figures; REDUCE_ONLY likewise."""
    desk = a_desk()
    handle(desk, a_kill(of_strategy(ALICE)))
    handle(desk, requested(a_request()))
    assert desk.orders[a_request().client_order_id].reason == DenialReason.KILLED
    desk = a_desk()
    handle(desk, a_kill(depth=KillDepth.REDUCE_ONLY))
    handle(desk, requested(a_request()))
    assert desk.orders[a_request().client_order_id].reason == DenialReason.REDUCE_ONLY


def test_a_kill_is_kept_by_a_snapshot() -> None:
    """A start from a snapshot has the kills that a replay would have."""
    desk = a_desk()
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.FLATTEN))
    handle(desk, ev.FlattenHindered(target=of_strategy(ALICE), left=("alice: 5 AAPL: halted",), at=NOON))
    assert fold.decode(fold.encode(desk)).kills == desk.kills


@pytest.mark.parametrize("depth", KillDepth)
def test_an_order_that_waits_for_its_turn_does_not_leave_under_a_kill(depth: KillDepth) -> None:
    """What a kill closes does; the desk's own exits until a kill cancels."""
    desk = a_desk()
    assert killing.stops_leaving(desk, a_request()) is None
    handle(desk, a_kill(depth=depth))
    assert (killing.stops_leaving(desk, a_request()) is not None) is depth.reaches(KillDepth.STOP_NEW)
    an_exit = a_request(exit=ExitKind.STOP_LOSS)
    assert (killing.stops_leaving(desk, an_exit) is not None) is depth.reaches(KillDepth.CANCEL)
    assert killing.stops_leaving(desk, a_request(for_kill=True)) is None


def test_what_a_kill_closes_is_not_called_back_by_its_strategy() -> None:
    """It is told that only an officer can."""
    desk = a_desk()
    effects = asking.on_request(desk, requested(a_request(for_kill=True)))
    [record, *_] = effects
    assert isinstance(record, Record)
    desk.apply(record.fact)
    refused = killing.not_to_be_canceled(desk.orders[a_request().client_order_id])
    assert refused.reason is RefusalReason.KILLED


@pytest.mark.parametrize("depth", KillDepth)
def test_a_release_opens_what_was_closed(depth: KillDepth) -> None:
    """Nothing of the kill stays behind."""
    desk = a_desk()
    before = desk.kills
    handle(desk, a_kill(depth=depth))
    handle(desk, a_release())
    assert desk.kills == before


def a_twin(of: StrategyId, code: str = "0") -> ev.StrategyRegistered:
    """Return alice's folder under another name."""
    return replace(registered(StrategyId(f"{of}_again")), user_id=UserId("alice"), code_hash=code)


def test_another_name_escapes_no_kill() -> None:
    """A folder with another name and the same code is killed as deep, by whom and why; its own release ends it."""
    desk, again = a_desk(), StrategyId("alice_again")
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.CANCEL))
    [_, inherited] = [effect.fact for effect in handle(desk, a_twin(ALICE)) if isinstance(effect, Record)]
    assert isinstance(inherited, ev.KillEngaged)
    assert (inherited.target, inherited.depth) == (of_strategy(again), KillDepth.CANCEL)
    assert (inherited.by, inherited.reason) == (
        "ada (uid 0)",
        "has the code of alice, which is killed: runaway orders",
    )
    assert desk.kills.state_of(again, UserId("alice")) is TradingState.KILLED
    handle(desk, a_release(of_strategy(again)))
    assert handle(desk, a_twin(ALICE)) == [Record(a_twin(ALICE))]  # read again: it is known, and was released
    assert desk.kills.state_of(again, UserId("alice")) is TradingState.ACTIVE
    assert desk.kills.state_of(ALICE, UserId("alice")) is TradingState.KILLED


def test_another_name_closes_no_breaker() -> None:
    """It stays open for as long, and counts its trips on."""
    desk, again = a_desk(), StrategyId("alice_again")
    opened = ev.BreakerMoved(
        strategy_id=ALICE,
        state=BreakerState.OPEN,
        why="denials=600",
        until=NOON + timedelta(minutes=5),
        trips=4,
        at=NOON,
    )
    handle(desk, opened)
    handle(desk, a_twin(ALICE))
    move = desk.kills.breakers[again]
    assert (move.state, move.until, move.trips) == (BreakerState.OPEN, opened.until, 4)
    assert desk.kills.state_of(again, UserId("alice")) is TradingState.REDUCE_ONLY


def facts_of(desk: Desk, event: ev.Event) -> list[ev.Fact]:
    return [effect.fact for effect in handle(desk, event) if isinstance(effect, Record)]


@pytest.mark.parametrize(
    ("beside", "why"),
    [
        ((), "takes the place of alice, which is killed: runaway orders"),
        ((ALICE,), "is new beside alice, which is killed: runaway orders"),
        (None, "is new beside alice, which is killed: runaway orders"),
    ],
)
def test_one_changed_letter_escapes_no_kill(beside: tuple[StrategyId, ...] | None, why: str) -> None:
    """A new folder is killed whatever its code, whether it came in the killed one's place or lies beside it."""
    desk, again = a_desk(), StrategyId("alice_again")
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.CANCEL))
    [_, inherited] = facts_of(desk, replace(a_twin(ALICE, code="1"), beside=beside))
    assert isinstance(inherited, ev.KillEngaged)
    assert (inherited.target, inherited.depth, inherited.reason) == (of_strategy(again), KillDepth.CANCEL, why)
    handle(desk, a_release(of_strategy(again)))
    assert desk.kills.state_of(again, UserId("alice")) is TradingState.ACTIVE


def test_of_several_the_worst_of_each_holds() -> None:
    """The deepest kill, and the breaker that is open longest, from whichever folder of the member."""
    desk, gone, again = a_desk(), StrategyId("alice_old"), StrategyId("alice_again")
    handle(desk, replace(a_twin(ALICE, code="1"), strategy_id=gone, beside=(ALICE, gone)))
    handle(desk, a_kill(of_strategy(ALICE), KillDepth.REDUCE_ONLY))
    handle(desk, a_kill(of_strategy(gone), KillDepth.CANCEL))
    until = NOON + timedelta(minutes=9)
    for who, state, trips in ((ALICE, BreakerState.OPEN, 1), (gone, BreakerState.HALF_OPEN, 4)):
        ends = until if state is BreakerState.OPEN else None
        handle(desk, ev.BreakerMoved(strategy_id=who, state=state, why="x", trips=trips, until=ends, at=NOON))
    handle(desk, replace(a_twin(ALICE, code="2"), beside=(again,)))
    assert desk.kills.in_force[of_strategy(again)].depth is KillDepth.CANCEL
    assert (desk.kills.breakers[again].state, desk.kills.breakers[again].until) == (BreakerState.OPEN, until)


def test_a_breaker_of_other_code_that_is_still_there_holds_for_itself_alone() -> None:
    """It ends by itself in minutes, and the member may have another strategy."""
    desk = a_desk()
    handle(desk, ev.BreakerMoved(strategy_id=ALICE, state=BreakerState.OPEN, why="x", trips=1, until=NOON, at=NOON))
    event = replace(a_twin(ALICE, code="1"), beside=(ALICE,))
    assert handle(desk, event) == [Record(event)]


def test_a_kill_does_not_follow_to_another_member() -> None:
    """Two members may begin with one template."""
    desk, other = a_desk(), replace(a_twin(ALICE), user_id=UserId("bob"), beside=())
    handle(desk, a_kill(of_strategy(ALICE)))
    assert handle(desk, other) == [Record(other)]


def test_a_strategy_that_leaves_its_member_stays_killed() -> None:
    """Whoever was killed as a member trades on under no other member's name, until an officer releases the strategy."""
    desk, moved = a_desk(), replace(registered(ALICE), user_id=UserId("bob"))
    of_alice = KillTarget(KillScope.MEMBER, "alice")
    handle(desk, a_kill(of_alice, KillDepth.CANCEL))
    [_, own] = facts_of(desk, moved)
    assert isinstance(own, ev.KillEngaged)
    assert (own.target, own.depth) == (of_strategy(ALICE), KillDepth.CANCEL)
    assert own.reason == "was of alice, who is killed: runaway orders"
    assert handle(desk, replace(moved, version="2")) == [Record(replace(moved, version="2"))]
    desk = a_desk()
    assert handle(desk, moved) == [Record(moved)]
    handle(desk, a_kill(KillTarget(KillScope.MEMBER, "bob")))
    handle(desk, a_kill(of_strategy(ALICE)))
    assert handle(desk, registered(ALICE)) == [Record(registered(ALICE))]  # it is killed as deep already


@pytest.mark.parametrize(
    ("target", "is_shut_out"),
    [
        (of_strategy(ALICE), True),
        (KillTarget(KillScope.MEMBER, a_request().user_id), True),
        (KillTarget(KillScope.SYMBOL, AAPL), False),
    ],
)
def test_a_kill_of_strategy_or_member_closes_the_order_channel(target: KillTarget, *, is_shut_out: bool) -> None:
    """That of a symbol denies the order, and leaves the channel; so does any other denial, and a kill that lets positions shrink."""
    desk = a_desk()
    desk.apply(a_kill(target))
    handle(desk, requested(request := a_request()))
    order = desk.orders[request.client_order_id]
    assert order.reason == DenialReason.KILLED
    assert killing.is_shut_out(desk, order) is is_shut_out
    assert not killing.is_shut_out(desk, replace(order, reason=DenialReason.REDUCE_ONLY))
    for reason in (DenialReason.PAUSED, DenialReason.STRATEGY_NOT_ACTIVE):
        assert killing.is_shut_out(desk, replace(order, reason=reason))
