"""An order that somebody put in the place of ours belongs to the same strategy."""

from dataclasses import replace
from typing import Any

import pytest

from deskd.core.deciding import handle
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import BrokerOrderId, ClientOrderId
from deskd.domain.order import Side
from tests.core.some_replaces import NEW_ID, OLD, OLD_ID, THEIRS, S, a_desk_with, old_replaced, wanting
from tests.factories import AAPL, ALICE, NOON, SPY, a_fill, a_snapshot, filled, qty, updated
from tests.playbook import Playbook


def test_an_order_that_an_officer_replaced_belongs_to_the_same_strategy() -> None:
    """In the broker's own page: its fills are the member's, never the house's."""
    desk = a_desk_with()
    handle(desk, filled(OLD, 4))
    old = old_replaced(filled_qty=4, by=THEIRS.broker_order_id)
    assert (
        Playbook(desk)
        >> updated(old, "replaced")
        << ef.LookUp(OLD_ID)  # by whom? until that is known, the old one holds
        >> updated(THEIRS)
        << ev.DiscrepancyFound
        << ev.OrderAdopted
        << ef.LookUp(OLD_ID)
        >> ev.OrderLookedUp(client_order_id=OLD_ID, order=old, fills=(), successors=(THEIRS,), at=NOON)
        << ev.OrderReplaced
    )
    new = desk.orders[THEIRS.client_order_id]
    assert (new.status, new.replaces, new.request.strategy_id, new.leaves_qty) == (S.ACCEPTED, OLD_ID, ALICE, qty(6))
    assert desk.orders[OLD_ID].replaced_by == THEIRS.client_order_id
    assert desk.reservations.cash(ALICE) == 606
    whole = replace(THEIRS, status=BrokerStatus.FILLED, raw_status="filled", filled_qty=qty(6))
    handle(desk, updated(whole, "fill", a_fill(whole, 6, cumulative=6, at_price="101")))
    assert desk.portfolio.book(ALICE).qty(AAPL) == 10
    assert desk.reservations.by_order == {}


def test_the_pair_of_an_adopted_order_holds_enough() -> None:
    """Before the old one has ended: what either could trade."""
    desk = a_desk_with()
    theirs = replace(THEIRS, qty=qty(20))
    handle(desk, updated(theirs))
    assert desk.reservations.cash(ALICE) == 2020
    assert desk.reservations.opening(ALICE, AAPL, Side.BUY) == 20


def test_a_look_up_finds_what_took_the_place_and_what_took_its_place() -> None:
    """The stream told nothing: a chain of replaces is adopted link by link."""
    desk = a_desk_with()
    first = replace(THEIRS, status=BrokerStatus.REPLACED, raw_status="replaced", replaced_by=BrokerOrderId("b-hand-2"))
    second = replace(
        THEIRS,
        broker_order_id=BrokerOrderId("b-hand-2"),
        client_order_id=ClientOrderId("by-hand-2"),
        replaces=THEIRS.broker_order_id,
    )
    old = old_replaced(by=THEIRS.broker_order_id)
    handle(desk, ev.OrderLookedUp(client_order_id=OLD_ID, order=old, fills=(), successors=(first, second), at=NOON))
    statuses = [desk.orders[ClientOrderId(oid)].status for oid in (OLD_ID, "by-hand", "by-hand-2")]
    assert statuses == [S.REPLACED, S.REPLACED, S.ACCEPTED]
    assert set(desk.reservations.by_order) == {"by-hand-2"}


def test_a_look_at_the_account_adopts_what_it_finds() -> None:
    """After an outage: in any order, and the fills are asked for."""
    desk = a_desk_with()
    done = replace(THEIRS, status=BrokerStatus.FILLED, raw_status="filled", filled_qty=qty(6))
    old = old_replaced(by=THEIRS.broker_order_id)
    effects = handle(desk, a_snapshot(orders=(done, old)))
    assert ef.LookUp(THEIRS.client_order_id) in effects
    fills = (a_fill(done, 6, cumulative=6, at_price="101"),)
    handle(desk, ev.OrderLookedUp(client_order_id=THEIRS.client_order_id, order=done, fills=fills, at=NOON))
    handle(desk, ev.OrderLookedUp(client_order_id=OLD_ID, order=old, fills=(), successors=(done,), at=NOON))
    assert desk.orders[THEIRS.client_order_id].status is S.FILLED
    assert desk.orders[OLD_ID].status is S.REPLACED
    assert desk.portfolio.book(ALICE).qty(AAPL) == 6
    assert desk.reservations.by_order == {}


def test_an_order_under_an_id_of_ours_is_not_adopted() -> None:
    """An id names one order for ever: a stranger's trick changes no book."""
    desk = a_desk_with()
    trick = replace(THEIRS, client_order_id=OLD_ID)
    assert handle(desk, updated(trick)) == []


def test_an_orphan_waits_for_its_parent() -> None:
    """What replaces an order that is not ours is a stranger's."""
    desk = a_desk_with()
    assert handle(desk, updated(replace(THEIRS, replaces=BrokerOrderId("nobody")))) == []


def test_a_strangers_replace_beats_ours() -> None:
    """The PATCH is refused, the officer's order is adopted, and nothing is held twice in the end."""
    desk = a_desk_with()
    handle(desk, wanting())
    handle(desk, updated(THEIRS))
    handle(desk, ev.SubmitRejected(client_order_id=NEW_ID, message="order is not open", at=NOON))
    old = old_replaced(by=THEIRS.broker_order_id)
    handle(desk, ev.OrderLookedUp(client_order_id=OLD_ID, order=old, fills=(), successors=(THEIRS,), at=NOON))
    assert desk.orders[OLD_ID].replaced_by == THEIRS.client_order_id
    assert set(desk.reservations.by_order) == {THEIRS.client_order_id}
    assert desk.needs == {}


@pytest.mark.parametrize(
    "change", [{"qty": None}, {"qty": qty(0)}, {"qty": qty(-5)}, {"symbol": SPY}, {"side": Side.SELL}]
)
def test_what_no_replace_can_make_is_not_adopted(change: dict[str, Any]) -> None:
    """It is a stranger's, whatever it says of itself: nothing is held for it."""
    desk = a_desk_with()
    held = desk.reservations.by_order.copy()
    assert Playbook(desk) >> updated(replace(THEIRS, **change))
    assert desk.reservations.by_order == held


def test_one_id_is_adopted_once() -> None:
    """The order that replaced it under the same id is another's: no order replaces itself."""
    desk = a_desk_with()
    second = replace(THEIRS, broker_order_id=BrokerOrderId("b-2"), replaces=THEIRS.broker_order_id)
    handle(desk, a_snapshot(orders=(THEIRS, second)))
    assert desk.orders[THEIRS.client_order_id].replaces == OLD_ID
