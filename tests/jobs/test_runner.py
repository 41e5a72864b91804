"""Jobs run one at a time, each on record before it begins; none stops another, and none stops the desk."""

import asyncio
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.job import SCHEDULE, JobName, JobOutcome
from deskd.domain.market import MarketClock
from deskd.jobs.plan import Times
from deskd.jobs.runner import Done, Failed, JobRunner, Work
from tests.factories import DAY, MONDAY, NOON
from tests.fixed_clock import FixedClock
from tests.hang import HANG_S

TIMES = Times(before_open=timedelta(minutes=30), after_close=timedelta(minutes=5))
EVENING = DAY.close_at + timedelta(minutes=10)


@dataclass
class World:
    """A desk of one market day, whose jobs note that they ran."""

    desk: Desk = field(default_factory=lambda: Desk(calendar={DAY.day: DAY}))
    at: datetime | None = EVENING
    ran: list[tuple[JobName, date]] = field(default_factory=list)
    facts: list[ev.JobStarted | ev.JobEnded] = field(default_factory=list)
    failing: set[JobName] = field(default_factory=set)
    breaking: set[JobName] = field(default_factory=set)
    has_run: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.desk.apply(ev.MarketDayBegan(market_day=MONDAY, at=NOON))

    def runner(self, *, is_on: bool = True, off: tuple[JobName, ...] = (), job_max_s: float = 60) -> JobRunner:
        def work(name: JobName) -> Work:
            async def one(session: date) -> Done | Failed:
                await asyncio.sleep(0)
                assert self.facts[-1] == ev.JobStarted(name=name, session=session, by=self.facts[-1].by, at=NOON)
                self.ran.append((name, session))
                self.has_run.set()
                if name in self.breaking:
                    raise OSError("No space left on device")
                return Failed("no") if name in self.failing else Done("yes")

            return one

        return JobRunner(
            desk=self.desk,
            works={name: work(name) for name in JobName},
            keep=self.keep,
            wall=FixedClock(),
            market=self.market,
            times=TIMES,
            is_on=is_on,
            off=off,
            look_every_s=0.001,
            job_max_s=job_max_s,
        )

    def market(self) -> MarketClock | None:
        if self.at is None:
            return None
        return MarketClock(timestamp=self.at, is_open=False, next_open=DAY.open_at, next_close=DAY.close_at)

    async def keep(self, fact: ev.JobStarted | ev.JobEnded) -> None:
        await asyncio.sleep(0)
        self.facts.append(fact)
        self.desk.apply(fact)


@pytest.fixture
def world() -> World:
    """Make it evening."""
    return World()


async def test_the_evenings_jobs_run_in_their_order_and_once(world: World) -> None:
    """A second look finds nothing to do."""
    runner = world.runner()
    await runner.look()
    assert world.ran == [(name, MONDAY) for name in JobName if name is not JobName.CHECKS]
    await runner.look()
    assert len(world.ran) == len(JobName) - 1
    assert {fact.by for fact in world.facts} == {SCHEDULE}


async def test_a_job_that_fails_or_breaks_stops_no_other(world: World) -> None:
    """Each failure is a fact with what is wrong."""
    world.failing, world.breaking = {JobName.RECONCILE}, {JobName.BACKUP}
    with capture_logs() as logs:
        await world.runner().look()
    assert len(world.ran) == len(JobName) - 1
    ends = {fact.name: fact for fact in world.facts if isinstance(fact, ev.JobEnded)}
    assert [name for name, end in ends.items() if end.outcome is JobOutcome.FAILED] == [
        JobName.RECONCILE,
        JobName.BACKUP,
    ]
    assert "No space left on device" in ends[JobName.BACKUP].detail
    assert [entry["job"] for entry in logs] == [JobName.BACKUP]


async def test_a_job_that_hangs_is_ended(world: World) -> None:
    """The others must get their turn."""
    runner = world.runner(job_max_s=0.01)

    async def hangs(session: date) -> Done | Failed:
        await asyncio.Event().wait()
        raise AssertionError(session)

    runner.works = dict(runner.works) | {JobName.DRAIN: hangs}
    await runner.look()
    assert "took over" in world.desk.jobs.last[JobName.DRAIN].detail
    assert len(world.ran) == len(JobName) - 2


async def test_without_the_markets_clock_nothing_is_due(world: World) -> None:
    """Nobody knows the session; and what is switched off is not planned."""
    world.at = None
    await world.runner().look()
    world.at = EVENING
    await world.runner(is_on=False).look()
    assert world.ran == []
    await world.runner(off=(JobName.BACKUP,)).look()
    assert JobName.BACKUP not in {name for name, _ in world.ran}


async def test_by_hand_a_job_runs_whatever_the_plan_says(world: World) -> None:
    """It is a fact with the person's name, and settles nothing; any session may be named."""
    runner = world.runner(is_on=False)
    run = await runner.run_now(JobName.REPORT, "ada (uid 0)")
    assert (run.by, run.outcome, run.detail, run.session) == ("ada (uid 0)", JobOutcome.DONE, "yes", MONDAY)
    earlier = MONDAY - timedelta(days=3)
    assert (await runner.run_now(JobName.REPORT, "ada (uid 0)", earlier)).session == earlier
    assert world.desk.jobs.settled == {}


async def test_two_jobs_never_run_at_once(world: World) -> None:
    """A copy of the ledger while its snapshot is taken would halve both."""
    runner = world.runner()
    async with asyncio.TaskGroup() as group:
        group.create_task(runner.look(), name="look")
        group.create_task(runner.run_now(JobName.BACKUP, "ada (uid 0)"), name="by hand")
    kinds = [type(fact) for fact in world.facts]
    assert kinds == [ev.JobStarted, ev.JobEnded] * (len(kinds) // 2)


async def test_the_list_tells_last_and_next(world: World) -> None:
    """What an officer sees before and after the close."""
    world.at = DAY.open_at
    runner = world.runner(off=(JobName.BACKUP,))
    listed = {one.job.name: one for one in runner.listed()}
    assert listed[JobName.REPORT].next_at == DAY.close_at + TIMES.after_close
    assert listed[JobName.REPORT].last is None
    assert not listed[JobName.BACKUP].is_planned
    assert listed[JobName.BACKUP].next_at is None
    world.at = EVENING
    await runner.look()
    listed = {one.job.name: one for one in runner.listed()}
    last = listed[JobName.REPORT].last
    assert last is not None
    assert last.outcome is JobOutcome.DONE
    assert listed[JobName.REPORT].next_at is None


async def test_it_goes_on_looking(world: World) -> None:
    """What falls due later is run later."""
    world.at = DAY.open_at - timedelta(hours=2)
    async with asyncio.timeout(HANG_S), asyncio.TaskGroup() as group:
        task = group.create_task(world.runner().run(), name="jobs")
        await asyncio.sleep(0)
        assert world.ran == []
        world.at = DAY.open_at
        await world.has_run.wait()
        task.cancel()
    assert world.ran == [(JobName.CHECKS, MONDAY)]
