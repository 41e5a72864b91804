"""Live events: kept for a while, encoded once, told to all who wait."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deskd.control import live_events
from deskd.control.live_events import KEPT, TAKEN_MAX, LiveEvents
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId
from deskd.ledger.fact_reader import FactReader
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from deskd.wire.drop_copy import DropCopy
from deskd.wire.event_line import decode
from tests.factories import NOON
from tests.ledger.story import a_story

NOWHERE = FactReader(Path("none.db"))  # not asked
FACT = ev.DeskStopped(at=NOON)


def test_events_are_kept_by_their_place_and_the_oldest_go() -> None:
    """Who is further behind than what is kept is told so, and reads the ledger."""
    live = LiveEvents(DropCopy(), 10, NOWHERE)
    assert live.after(10) == []
    assert live.after(11) == []
    assert live.after(9) is None
    for _ in range(KEPT + 5):
        live(FACT)
    assert live.last_seq == 10 + KEPT + 5
    assert live.after(14) is None
    first = live.after(15)
    assert first is not None
    assert [fact[0].event.seq for fact in first] == list(range(16, 16 + TAKEN_MAX))
    last = live.after(live.last_seq - 1)
    assert last is not None
    assert [fact[0].event.seq for fact in last] == [live.last_seq]


def test_a_silent_fact_has_its_place_too() -> None:
    """Places are the ledger's: a fact without events does not shift those after it."""
    live = LiveEvents(DropCopy(), 0, NOWHERE)
    live(ev.PositionsMarked(marks=(), at=NOON))
    live(FACT)
    assert [[e.event.seq for e in fact] for fact in live.after(0) or ()] == [[], [2]]


def test_an_event_is_encoded_once_however_many_follow() -> None:
    """All followers are given the same bytes."""
    live = LiveEvents(DropCopy(), 0, NOWHERE)
    live(FACT)
    (first,), (second,) = live.after(0) or (), live.after(0) or ()
    assert first[0].line is second[0].line
    assert decode(first[0].line) == first[0].event
    assert live_events.KEPT >= TAKEN_MAX


async def test_everybody_who_waits_is_woken_by_the_next_fact() -> None:
    """Nobody polls."""
    live = LiveEvents(DropCopy(), 0, NOWHERE)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(live.news()) for _ in range(3)]
        gone = group.create_task(live.news())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        live(FACT)
    assert all(task.done() and not task.cancelled() for task in waiting)


@pytest.mark.parametrize("is_late", [False, True])
async def test_who_waits_when_the_desk_stops_is_woken(is_late: bool) -> None:
    """A follower takes what is there, and ends."""
    live = LiveEvents(DropCopy(), 0, NOWHERE)
    if is_late:
        live.close()
        assert live.is_closed
        return
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(live.news())
        await asyncio.sleep(0)
        live.close()
    assert waiting.done()


async def test_a_late_word_on_an_order_of_long_ago_is_told_whole(tmp_path: Path) -> None:
    """What the desk did not take over into memory is looked up: whose it was, how far it was filled."""
    facts, desk = a_story()
    *before, _ = facts
    late = ev.OrderCanceled(client_order_id=ClientOrderId("alice-1"), at=NOON)
    store = await LedgerStore.open(tmp_path / "desk.db")
    await store.append(before, project(before, desk))
    copy, whole = DropCopy(), DropCopy()
    copy.take_over(desk.open_orders(), desk.strategies.values())
    live = LiveEvents(copy, store.last_seq, FactReader(tmp_path / "desk.db"))
    for seq, fact in enumerate(before, 1):
        whole.events(seq, fact)
    await store.append([late], [])
    live(late)
    await store.close()
    (told,) = live.after(live.last_seq - 1) or ()
    live.close()
    assert [encoded.event for encoded in told] == whole.events(store.last_seq, late)
    assert told[0].event.filled_qty == "10"


def test_a_ledger_that_cannot_be_read_ends_no_desk() -> None:
    """The event names the order alone, and the log says why."""
    live = LiveEvents(DropCopy(), 0, NOWHERE)
    with capture_logs() as lines:
        live(ev.OrderCanceled(client_order_id=ClientOrderId("alice-1"), at=NOON))
    ((told,),) = live.after(0) or ((),)
    assert (told.event.client_order_id, told.event.strategy_id) == ("alice-1", None)
    assert [line["event"] for line in lines] == ["order_not_recalled"]
