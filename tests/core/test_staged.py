"""Paused takes no order, shadow judges and does not send, active sends; cancels pass in each."""

import pytest

from deskd.core.deciding import decide, handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.effects import Record, Submit
from deskd.domain.ids import ClientOrderId
from deskd.domain.lane import ConflictPolicy, LaneRules
from deskd.domain.order import OrderStatus, Replacement, Side
from deskd.domain.reasons import DenialReason
from deskd.domain.stage import Stage
from deskd.ledger import fold
from tests.factories import (
    ALICE,
    BOB,
    MONDAY,
    NOON,
    a_desk,
    a_limit_request,
    a_quote,
    a_request,
    accepted,
    filled,
    price,
    qty,
    requested,
)
from tests.playbook import Playbook


def staged(stage: Stage) -> ev.StageChanged:
    return ev.StageChanged(strategy_id=ALICE, stage=stage, by="ada (uid 0)", why="a test", at=NOON)


def denied(desk: Desk, event: ev.Event) -> ev.OrderDenied:
    effects = decide(desk, event)
    assert not any(isinstance(effect, Submit | ef.Replace) for effect in effects)
    [fact] = [effect.fact for effect in effects if isinstance(effect, Record)]
    assert isinstance(fact, ev.OrderDenied)
    return fact


def test_a_stage_that_it_has_already_is_no_fact() -> None:
    """Only changes stand in the ledger."""
    desk = a_desk()
    assert (
        Playbook(desk)
        >> staged(Stage.ACTIVE)
        >> staged(Stage.SHADOW)
        << ev.StageChanged
        >> staged(Stage.SHADOW)
        >> staged(Stage.ACTIVE)
        << ev.StageChanged
    )


def test_a_paused_strategy_is_denied_and_told_how_it_goes_on() -> None:
    """No order is taken; the remedy stands in the message."""
    desk = a_desk()
    handle(desk, staged(Stage.PAUSED))
    fact = denied(desk, requested())
    assert fact.reason == DenialReason.PAUSED
    assert fact.message == ("stage=paused: the strategy is paused; `deskctl resume alice` lets it trade; cancels pass")


def test_a_shadow_order_is_judged_by_every_check_recorded_and_not_sent() -> None:
    """Its record has what every check found, and the value that it would have been sent for."""
    desk = a_desk()
    sent = next(e.fact for e in decide(desk, requested()) if isinstance(e, Record))
    assert isinstance(sent, ev.OrderApproved)
    handle(desk, staged(Stage.SHADOW))
    fact = denied(desk, requested())
    assert fact.reason == DenialReason.SHADOW
    assert [check.name for check in fact.checks[:-1]] == [check.name for check in sent.checks]
    assert fact.checks[-1] == ev.Checked("is_sent", "stage=shadow")
    assert "passed every check and was recorded, not sent" in fact.message


def test_a_shadow_order_that_breaks_a_limit_gets_the_limits_reason() -> None:
    """Shadow finds out what the gate would say; it does not hide it."""
    desk = a_desk()
    handle(desk, staged(Stage.SHADOW))
    assert denied(desk, requested(a_request(qty=qty(999)))).reason == DenialReason.ORDER_NOTIONAL_MAX


def test_shadow_reserves_and_moves_nothing() -> None:
    """A shadow order holds no money that a real one needs, and no position comes of it."""
    desk = a_desk()
    handle(desk, staged(Stage.SHADOW))
    free = desk.buying_power(ALICE)
    handle(desk, requested())
    assert desk.buying_power(ALICE) == free
    assert not desk.open_ids


@pytest.mark.parametrize("stage", [Stage.PAUSED, Stage.SHADOW])
def test_what_the_broker_has_stays_and_can_be_canceled_and_not_replaced(stage: Stage) -> None:
    """A stage stops new orders; what was sent is called back by cancel, or by hand."""
    desk = a_desk()
    resting = a_limit_request()
    for event in (requested(resting), accepted(resting), staged(stage)):
        handle(desk, event)
    oid = resting.client_order_id
    assert desk.orders[oid].status is OrderStatus.ACCEPTED
    wanted = Replacement(replaces=oid, limit_price=price(99))
    replace = ev.ReplaceRequested(
        client_order_id=ClientOrderId("new"),
        replacement=wanted,
        quote=a_quote(),
        market_day=MONDAY,
        by="alice",
        at=NOON,
    )
    assert denied(desk, replace).reason in {DenialReason.PAUSED, DenialReason.SHADOW}
    effects = decide(desk, ev.CancelRequested(client_order_id=oid, by="alice", at=NOON))
    assert [type(effect) for effect in effects] == [Record, ef.Cancel, ef.Reply]


def test_what_waits_at_the_desk_ends_with_the_stage() -> None:
    """An order that was never sent is not sent later by a strategy in shadow; another's goes on waiting."""
    desk = a_desk()
    desk.lane = LaneRules(conflict=ConflictPolicy.HOLD)
    bought = a_request()
    resting = a_limit_request("90", strategy_id=BOB, client_order_id=ClientOrderId("bob-1"))
    for event in (requested(bought), accepted(bought), filled(bought, 10), requested(resting), accepted(resting)):
        handle(desk, event)
    waiting = a_request(side=Side.SELL, client_order_id=ClientOrderId("alice-2"))
    handle(desk, requested(waiting))
    assert list(desk.held_ids) == [waiting.client_order_id]
    handle(desk, ev.StageChanged(strategy_id=BOB, stage=Stage.SHADOW, by="ada", why="a test", at=NOON))
    assert list(desk.held_ids) == [waiting.client_order_id]
    handle(desk, staged(Stage.SHADOW))
    assert not desk.held_ids
    assert desk.orders[waiting.client_order_id].status is OrderStatus.CANCELED


def test_stages_stand_after_a_restart() -> None:
    """They are facts: the desk that starts again replays them."""
    facts: list[ev.Fact] = [staged(Stage.SHADOW), staged(Stage.PAUSED)]
    desk = a_desk()
    for fact in facts:
        desk.apply(fact)
    assert desk.stages.of(ALICE) is Stage.PAUSED
    assert desk.stages.resumed(ALICE) is Stage.SHADOW
    assert fold.decode(fold.encode(desk)).stages == desk.stages
