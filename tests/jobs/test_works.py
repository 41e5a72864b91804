"""What each job does, with what the desk has: and what it says where that cannot be done."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from deskd.core.deciding import handle
from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.events import BrokerStatus
from deskd.domain.ids import ClientOrderId
from deskd.domain.job import JobName
from deskd.domain.look import Look
from deskd.domain.market import MarketClock
from deskd.domain.money import Cash
from deskd.domain.order import OrderRequest, TimeInForce
from deskd.domain.run import StrategyStatus
from deskd.jobs.runner import Done, Failed
from deskd.jobs.works import CONNECTING, Kept, Places, Works
from tests.factories import (
    ALICE,
    DAY,
    MONDAY,
    NOON,
    a_broker_order,
    a_desk,
    a_limit_request,
    accepted,
    cash,
    requested,
    updated,
)
from tests.fixed_clock import FixedClock
from tests.jobs.a_week import TUESDAY, a_week
from tests.ledger.life import KEY, a_life, written

AFTER = DAY.close_at + timedelta(minutes=5)


@dataclass
class World:
    """A desk without its runtime: what is posted takes hold at once; the broker cancels what it is asked to."""

    folder: Path
    desk: Desk = field(default_factory=a_desk)
    wall: FixedClock = field(default_factory=FixedClock)
    kept: list[ev.Event] = field(default_factory=list)
    canceled: list[ClientOrderId] = field(default_factory=list)
    cancels: bool = True
    problem: str | None = None  # of the broker
    signed: ev.RootSigned | None = None
    has_snapshot: bool = True

    def works(self) -> Works:
        return Works(
            desk=self.desk,
            wall=self.wall,
            market=lambda: MarketClock(
                timestamp=self.wall.at, is_open=True, next_open=DAY.open_at, next_close=DAY.close_at
            ),
            market_stream=lambda: "up",
            is_tape=True,
            disk_min=lambda: 1,
            broker=self,
            post=self.post,
            keep=self.keep,
            until=self.until,
            look=self.look,
            sign=self.sign,
            snapshot=self.snapshot,
            places=Places(
                ledger=self.folder / "desk.db",
                reports=self.folder / "reports",
                backups=self.folder / "backups",
                logs=self.folder / "logs",
            ),
            kept=Kept(backups=2, reports=timedelta(days=10), logs=timedelta(days=10)),
            drain_s=0.02,
            cancel_s=0.02,
        )

    async def account(self) -> tuple[Cash, Cash, Cash]:
        await asyncio.sleep(0)
        if self.problem:
            raise ConnectionError(self.problem)
        return cash(1), cash(1), cash(1)

    async def post(self, event: ev.Event) -> None:
        await asyncio.sleep(0)
        assert isinstance(event, ev.CancelRequested)
        handle(self.desk, event)
        self.canceled.append(event.client_order_id)
        if self.cancels:
            request = self.desk.orders[event.client_order_id].request
            handle(self.desk, updated(a_broker_order(request, status=BrokerStatus.CANCELED)))

    async def keep(self, event: ev.Event) -> None:
        await asyncio.sleep(0)
        self.kept.append(event)

    async def until(self, holds: Callable[[Desk], bool]) -> None:
        while not holds(self.desk):  # noqa: ASYNC110  the runtime's condition is another room's
            await asyncio.sleep(0.001)

    async def look(self, why: str) -> Look:
        await asyncio.sleep(0)
        assert why == "end of day"
        return Look(problem=self.problem)

    async def sign(self, day: date) -> ev.RootSigned | None:
        await asyncio.sleep(0)
        if self.signed is not None:
            return None
        self.signed = KEY.sign(day, 7, "ab" * 32, NOON)
        return self.signed

    async def snapshot(self) -> bool:
        await asyncio.sleep(0)
        return self.has_snapshot

    def opens(self, request: OrderRequest) -> OrderRequest:
        handle(self.desk, requested(request))
        handle(self.desk, accepted(request))
        return request


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Make a desk that rests."""
    return World(tmp_path)


def test_every_job_has_its_work(world: World) -> None:
    """A planned job that nobody does would be done for ever."""
    assert world.works().all().keys() == set(JobName)


async def test_the_checks_say_what_is_wrong_and_what_to_do(world: World) -> None:
    """All of it at once."""
    world.problem = "HTTP 401"
    answer = await world.works().checks(MONDAY)
    assert isinstance(answer, Failed)
    assert "account: the broker does not tell it (HTTP 401); are the keys valid" in answer.detail
    assert "calendar: " in answer.detail


async def test_the_checks_wait_for_a_stream_that_is_on_its_way(world: World) -> None:
    """A desk that starts just before the open checks in its first second: that is no trouble, unless it stays so."""
    states = iter([CONNECTING, CONNECTING, "up: subscribed"])
    works = replace(world.works(), market_stream=lambda: next(states, "up: subscribed"))
    answer = await works.checks(MONDAY)
    assert isinstance(answer, Failed)  # for other reasons
    assert "market stream" not in answer.detail
    stuck = replace(world.works(), market_stream=lambda: CONNECTING, connect_s=0.02)
    answer = await stuck.checks(MONDAY)
    assert isinstance(answer, Failed)
    assert "market stream: connecting" in answer.detail


async def test_orders_of_the_day_are_drained_and_those_till_canceled_stay(world: World) -> None:
    """The broker ends them by itself; what it left open is canceled; GTC orders are their strategies'."""
    world.wall.at = AFTER
    assert isinstance(await world.works().drain(MONDAY), Done)
    day = world.opens(a_limit_request("99", client_order_id=ClientOrderId("alice-day")))
    gtc = a_limit_request("98", client_order_id=ClientOrderId("alice-gtc"), time_in_force=TimeInForce.GTC)
    world.opens(gtc)
    answer = await world.works().drain(MONDAY)
    assert isinstance(answer, Done)
    assert "open_orders=1" in answer.detail
    assert world.canceled == [day.client_order_id]
    assert list(world.desk.open_ids) == [gtc.client_order_id]


async def test_what_waits_for_the_next_open_is_not_of_the_day(world: World) -> None:
    """It came after the close; and one for extended hours has hours left."""
    world.wall.at = AFTER
    late = a_limit_request("99", client_order_id=ClientOrderId("alice-late"))
    handle(world.desk, requested(late))
    order = a_broker_order(late, submitted_at=DAY.close_at + timedelta(minutes=1))
    handle(world.desk, ev.SubmitAccepted(client_order_id=late.client_order_id, order=order, at=NOON))
    world.opens(a_limit_request("98", client_order_id=ClientOrderId("alice-ext"), extended_hours=True))
    assert isinstance(await world.works().drain(MONDAY), Done)
    assert world.canceled == []


async def test_in_the_session_nothing_is_drained(world: World) -> None:
    """Whoever runs it by hand at noon must not cancel everybody's orders; nor where nobody knows the close."""
    world.opens(a_limit_request("99", client_order_id=ClientOrderId("alice-day")))
    for session in (MONDAY, MONDAY + timedelta(days=1)):
        answer = await world.works().drain(session)
        assert isinstance(answer, Failed)
        assert "run it after the close" in answer.detail
    assert world.canceled == []


async def test_an_order_that_does_not_end_is_named(world: World) -> None:
    """An officer looks at it; the other jobs go on."""
    world.cancels, world.wall.at = False, AFTER
    world.opens(a_limit_request("99", client_order_id=ClientOrderId("alice-day")))
    answer = await world.works().drain(MONDAY)
    assert isinstance(answer, Failed)
    assert "alice-day" in answer.detail


async def test_the_comparison_with_the_broker_tells_its_verdict(world: World) -> None:
    """Agreement, a broker that does not answer, and drift are three things."""
    assert isinstance(await world.works().reconcile(MONDAY), Done)
    world.desk.apply(ev.SymbolFrozen(symbol=a_limit_request("1").symbol, why="two shares", at=NOON))
    drift = await world.works().reconcile(MONDAY)
    assert isinstance(drift, Failed)
    assert "frozen=AAPL" in drift.detail
    world.problem = "connection refused"
    away = await world.works().reconcile(MONDAY)
    assert isinstance(away, Failed)
    assert "connection refused" in away.detail


async def test_the_day_is_signed_and_its_snapshot_taken(world: World) -> None:
    """A second signature finds nothing to sign; without a snapshot the next start only takes longer."""
    works = world.works()
    assert isinstance(await works.sign_day(MONDAY), Done)
    assert await works.sign_day(MONDAY) == Done("signed already")
    assert isinstance(await works.take_snapshot(MONDAY), Done)
    world.has_snapshot = False
    assert isinstance(await works.take_snapshot(MONDAY), Failed)


async def test_the_summary_is_the_reports_sums_as_one_fact(world: World) -> None:
    """Whoever is told of the day is told what the report says."""
    week = await a_week(world.folder / "desk.db", 1)
    works = world.works()
    answer = await works.summary(TUESDAY)  # and makes the report, where there is none
    assert isinstance(answer, Done)
    [fact] = world.kept
    assert isinstance(fact, ev.DaySummarized)
    total = sum((week.ended.account(who).day_pnl for who, _ in fact.strategies), cash(0))  # type: ignore[union-attr]
    assert fact.day_pnl == total == sum((pnl for _, pnl in fact.strategies), cash(0))
    assert fact.fills == sum(isinstance(one, ev.OrderFilled) for one in week.facts)
    assert (world.folder / "reports" / TUESDAY.isoformat() / "member-alice.html").exists()
    unseen = MONDAY + timedelta(days=40)
    assert await works.summary(unseen) == Done("the desk did not run on this day")
    assert await works.report(unseen) == Done("the desk did not run on this day")
    assert not (world.folder / "reports" / unseen.isoformat()).exists(), "it would be the latest report, and empty"


async def test_a_report_that_cannot_be_written_says_why(world: World) -> None:
    """And so does the summary that needs it."""
    works = world.works()
    for answer in (await works.report(MONDAY), await works.summary(MONDAY)):
        assert isinstance(answer, Failed)
        assert "desk.db" in answer.detail


async def test_a_backup_is_read_to_its_end_and_only_the_newest_are_kept(world: World) -> None:
    """The newest is never removed, whatever its age."""
    await written(world.folder / "desk.db", a_life(1, 50))
    works = world.works()
    for minute in range(3):
        world.wall.at = NOON + timedelta(minutes=minute)
        answer = await works.back_up(MONDAY)
        assert isinstance(answer, Done), answer
    names = [file.name for file in sorted((world.folder / "backups").iterdir())]
    assert len(names) == 3
    assert (world.folder / "backups").stat().st_mode & 0o777 == 0o700
    (world.folder / "backups" / "mine.db").touch()
    assert isinstance(await works.retain(MONDAY), Done)
    assert [file.name for file in sorted((world.folder / "backups").glob("desk-*"))] == names[1:]
    assert (world.folder / "backups" / "mine.db").exists()


async def test_a_backup_disk_that_is_not_mounted_is_told(world: World) -> None:
    """A copy on the ledger's own disk, in the other's place, is no backup: nobody would notice."""
    works = world.works()
    away = world.folder / "not-mounted"
    works.places = replace(works.places, backups=away / "backups")
    answer = await works.back_up(MONDAY)
    assert isinstance(answer, Failed)
    assert "not-mounted is not there: mount its disk" in answer.detail
    assert not away.exists()


async def test_a_backup_folder_that_cannot_be_made_names_its_key(world: World) -> None:
    """The disk is there, and the folder is not the desk's to make: the key is what an officer looks for."""
    works = world.works()
    (world.folder / "disk").touch()
    works.places = replace(works.places, backups=world.folder / "disk" / "backups")
    answer = await works.back_up(MONDAY)
    assert isinstance(answer, Failed)
    assert answer.detail.startswith(f"[jobs] backup_dir={world.folder}/disk/backups: cannot be made: Not a directory;")


async def test_a_copy_of_damaged_books_is_no_backup(world: World) -> None:
    """It is removed: nobody must find it on the evening that he needs it."""
    path = await written(world.folder / "desk.db", a_life(1, 200))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TRIGGER facts_are_never_changed")
        db.execute("UPDATE facts SET body = replace(body, 'alice', 'alicf') WHERE seq = 5")
    answer = await world.works().back_up(MONDAY)
    assert isinstance(answer, Failed)
    assert "damaged" in answer.detail
    assert list((world.folder / "backups").iterdir()) == []
    none = World(world.folder / "none")
    assert isinstance(await none.works().back_up(MONDAY), Failed)


async def test_old_reports_and_logs_go_and_an_active_strategys_log_stays(world: World) -> None:
    """The desk holds it open; and what is not ours is not touched."""
    reports, logs = world.folder / "reports", world.folder / "logs"
    for day in (MONDAY - timedelta(days=11), MONDAY - timedelta(days=9)):
        (reports / day.isoformat()).mkdir(parents=True)
        (reports / day.isoformat() / "desk.json").write_text("{}")
    (reports / "2026-99-99").mkdir()
    logs.mkdir()
    old = (NOON - timedelta(days=11)).timestamp()
    for name in ("alice.log", "gone.log", "gone.log.1", "new.log"):
        (logs / name).write_text("x")
        os.utime(logs / name, (old, old) if name != "new.log" else (NOON.timestamp(), NOON.timestamp()))
    world.desk.statuses[ALICE] = StrategyStatus.ACTIVE
    answer = await world.works().retain(MONDAY)
    assert answer == Done("removed backups=0 reports=1 logs=2")
    assert {file.name for file in logs.iterdir()} == {"alice.log", "new.log"}
    assert {folder.name for folder in reports.iterdir()} == {(MONDAY - timedelta(days=9)).isoformat(), "2026-99-99"}
