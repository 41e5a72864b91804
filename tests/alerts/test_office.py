"""The desk's side: a worker while there are routes, facts told within a moment, an end within its bound."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import structlog

from deskd.alerts.office import END_S, Office
from deskd.alerts.outbox import opened
from deskd.alerts.plan import Plan
from deskd.alerts.routes import Routes
from deskd.core.desk import Desk
from deskd.domain.notifications import Topic, Wishes
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from deskd.ports import SystemClock
from tests.alerts.notes import HttpReceiver, a_note, http_receiver
from tests.factories import ALICE, a_kill
from tests.hang import HANG_S

PLAN = Plan(topics=dict.fromkeys((Topic.RISK, Topic.SYSTEM_ALERTS), ("club",)))


@asynccontextmanager
async def an_office(folder: Path, receiver: HttpReceiver | None) -> AsyncIterator[tuple[Office, LedgerStore]]:
    routes = Routes() if receiver is None else Routes(addresses={"club": receiver.address(30)})
    async with await LedgerStore.open(folder / "desk.db") as store, asyncio.TaskGroup() as tasks:
        office = Office(
            desk="club",
            ledger=folder / "desk.db",
            outbox=folder / "o.db",
            first_seq=store.last_seq,
            routes=routes,
            plan=PLAN,
            wall=SystemClock(),
            again_first_s=0.05,
        )
        task = tasks.create_task(office.run(), name="office")
        try:
            yield office, store
        finally:
            await office.close()
            task.cancel()


async def came(receiver: HttpReceiver) -> None:
    async with asyncio.timeout(HANG_S):
        await receiver.came.wait()
    receiver.came.clear()


async def test_how_many_wait_and_how_many_are_dead_is_told(tmp_path: Path) -> None:
    """For the page of figures: nothing where there are no routes, or where the outbox cannot be read now."""
    async with an_office(tmp_path, None) as (office, _):
        assert await office.figures() is None
        office.routes = Routes(addresses={"club": "json://127.0.0.1:9"})
        await office.post(a_note())
        assert await office.figures() == {"waiting": 1}
        office.outbox = tmp_path / "none" / "o.db"
        assert await office.figures() is None


async def test_a_fact_is_told_and_so_is_what_has_none(tmp_path: Path) -> None:
    """The worker reads the ledger when it is nudged; a post is on disk when it returns."""
    async with http_receiver() as receiver, an_office(tmp_path, receiver) as (office, store):
        await office.started.wait()
        fact = a_kill(at=SystemClock().now())
        await store.append([fact], project([fact], Desk()))
        office.on_fact(fact)
        await came(receiver)
        await office.post(a_note("disk:1", title="disk low"))
        await came(receiver)
        await office.close()
        assert receiver.titles() == ["[club] KILL desk: stop_new", "[club] disk low"]


async def test_a_worker_that_dies_is_started_again_and_goes_on(tmp_path: Path) -> None:
    """Nothing that it had to send is lost, and the desk's log says that it died."""
    async with http_receiver() as receiver, an_office(tmp_path, receiver) as (office, _):
        await office.started.wait()
        process = office._process
        assert process is not None
        with structlog.testing.capture_logs() as logs:
            process.kill()
            await process.wait()
            await office.post(a_note("disk:1", title="disk low"))
            await came(receiver)
        assert logs[0]["event"] == "notification_worker_ended"


async def test_a_hanging_receiver_does_not_delay_the_end(tmp_path: Path) -> None:
    """The message waits in the outbox for the next start."""
    async with http_receiver() as receiver, an_office(tmp_path, receiver) as (office, _):
        receiver.is_hanging = True
        await office.started.wait()
        await office.post(a_note())
        await came(receiver)
        before = asyncio.get_running_loop().time()
        await office.close()
        assert asyncio.get_running_loop().time() - before < END_S + 1
    with opened(tmp_path / "o.db") as outbox:
        assert [row["status"] for row in outbox.rows()] == ["waiting"]


async def test_without_routes_there_is_no_worker(tmp_path: Path) -> None:
    """Nothing is kept, nothing is started."""
    async with an_office(tmp_path, None) as (office, _):
        await office.post(a_note())
        office.on_fact(a_kill())
        assert office._process is None
    assert not (tmp_path / "o.db").exists()


async def test_routes_that_come_later_are_told(tmp_path: Path) -> None:
    """A reload brought them; the same worker goes by others when they change, and members' wishes stay."""
    wishes = Wishes(digest=timedelta(minutes=5))
    async with http_receiver() as receiver, http_receiver() as other, an_office(tmp_path, None) as (office, _):
        office.wish(ALICE, wishes)
        office.take(Routes(addresses={"club": receiver.address(30)}), PLAN)
        async with asyncio.timeout(HANG_S):
            await office.started.wait()
        await office.post(a_note("disk:1", title="disk low"))
        await came(receiver)
        office.take(Routes(addresses={"club": other.address(30)}), PLAN)
        await office.post(a_note("disk:2", title="disk lower"))
        await came(other)
        await office.close()
        assert (receiver.titles(), other.titles()) == (["[club] disk low"], ["[club] disk lower"])
        assert office.plan.wishes == {ALICE: wishes}


async def test_members_wishes_reach_the_worker(tmp_path: Path) -> None:
    """Each strategy's, once, as they change."""
    async with an_office(tmp_path, None) as (office, _):
        wishes = Wishes(digest=timedelta(minutes=5))
        office.wish(ALICE, wishes)
        office.wish(ALICE, wishes)
        assert office.plan.wishes == {ALICE: wishes}
