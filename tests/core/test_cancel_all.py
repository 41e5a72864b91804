"""When all that is open is canceled with one request, and what stands on disk before it."""

import pytest

from deskd.core.cancel_all import SINGLE_MAX, is_due, is_wanted
from deskd.core.closing import has_work
from deskd.core.deciding import decide, handle
from deskd.core.desk import Desk
from deskd.domain import effects as ef
from deskd.domain import events as ev
from deskd.domain.effects import Record
from deskd.domain.ids import ClientOrderId
from deskd.domain.kill import KillDepth
from deskd.domain.order import OrderStatus
from deskd.ledger import fold
from tests.factories import (
    ALICE,
    NOON,
    a_desk,
    a_kill,
    a_limit_request,
    a_release,
    accepted,
    of_strategy,
    requested,
)
from tests.playbook import Playbook

REQUEST = ev.CancelAllRequested(by="kill", at=NOON)
DONE = ev.CancelAllAnswered(canceled=1, refused=0, unnamed=0, strangers=(), at=NOON)


def a_busy_desk(orders: int) -> tuple[Desk, list[ClientOrderId]]:
    desk = a_desk()
    ids = [ClientOrderId(f"alice-{number}") for number in range(orders)]
    for number, oid in enumerate(ids):
        request = a_limit_request(str(50 + number), client_order_id=oid)
        handle(desk, requested(request))
        handle(desk, accepted(request))
    return desk, ids


def wish(oid: ClientOrderId) -> ev.CancelRequested:
    return ev.CancelRequested(client_order_id=oid, by="kill", at=NOON, in_bulk=True)


def test_the_wish_of_each_order_is_a_fact_and_no_request_of_its_own() -> None:
    """In doubt it is from the wish on; what the broker says to it is handled as an answer to it alone."""
    desk, ids = a_busy_desk(2)
    handle(desk, a_kill(depth=KillDepth.CANCEL))
    for oid in ids:
        effects = handle(desk, wish(oid))
        assert [type(e.fact) for e in effects if isinstance(e, Record)] == [ev.OrderCancelRequested]
        assert not [e for e in effects if isinstance(e, ef.Cancel)]
    effects = decide(desk, REQUEST)
    told, request = effects
    assert isinstance(told, Record)
    assert told.fact == ev.CancelAllRequested(by="kill", at=NOON, orders=2)
    assert isinstance(request, ef.CancelAll)
    assert [oid for oid, _ in request.orders] == ids
    refused = ev.CancelAnswered(client_order_id=ids[0], refusal="order is filled", at=NOON)
    assert Playbook(desk) >> refused << ev.OrderCancelRefused << ef.LookUp(ids[0])
    doubt = ev.CancelInDoubt(client_order_id=ids[1], why="HTTP 500", at=NOON)
    assert Playbook(desk) >> doubt << ev.BrokerSaid
    assert desk.orders[ids[1]].status is OrderStatus.PENDING_CANCEL


@pytest.mark.parametrize("depth", KillDepth)
def test_it_takes_a_kill_of_the_desk_that_cancels(depth: KillDepth) -> None:
    """It takes strangers' orders along: nothing less is reason enough."""
    desk, _ = a_busy_desk(9)
    handle(desk, a_kill(of_strategy(ALICE), depth))
    assert not is_wanted(desk, 9)
    assert decide(desk, REQUEST) == []
    handle(desk, a_kill(depth=depth))
    assert is_due(desk) is is_wanted(desk, 0) is depth.reaches(KillDepth.CANCEL)


def test_a_kill_asks_once_also_where_the_desk_knows_of_nothing_open() -> None:
    """A stranger's order may be open; then again only while many of the desk's are left, or for another kill."""
    desk, _ = a_busy_desk(0)
    handle(desk, a_kill(depth=KillDepth.CANCEL))
    assert has_work(desk)
    handle(desk, DONE)
    assert not has_work(desk)
    assert not is_wanted(desk, SINGLE_MAX)
    assert is_wanted(desk, SINGLE_MAX + 1)
    assert fold.decode(fold.encode(desk)).kills == desk.kills
    handle(desk, a_kill(depth=KillDepth.CANCEL))
    assert not is_due(desk)  # it is no deeper, and no news
    handle(desk, a_kill(depth=KillDepth.FLATTEN))
    assert is_due(desk)
    handle(desk, a_release())
    assert not is_wanted(desk, 9)


def test_it_is_not_asked_again_while_an_order_closes() -> None:
    """It would go with the rest; those that are left are canceled one by one."""
    desk, _ = a_busy_desk(1)
    handle(desk, a_kill(depth=KillDepth.FLATTEN))
    closing = a_limit_request("90", client_order_id=ClientOrderId("kill-1"), for_kill=True)
    approved = next(e.fact for e in decide(a_desk(), requested(closing)) if isinstance(e, Record))
    desk.apply(approved)
    assert is_wanted(desk, 9)
    handle(desk, DONE)
    assert not is_wanted(desk, 9)


def test_what_the_broker_did_not_name_is_looked_for() -> None:
    """One look at the account tells of all of them."""
    desk, _ = a_busy_desk(1)
    answered = ev.CancelAllAnswered(canceled=0, refused=0, unnamed=1, strangers=(), at=NOON)
    effects = decide(desk, answered)
    assert effects[0] == Record(answered)
    assert isinstance(effects[1], ef.Reconcile)
