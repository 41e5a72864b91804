"""Runs the jobs of the day: what is due, one after the other, and what an officer asks for.

Rule 1: one job at a time, and every run is two facts: that it began is on disk before it does anything.
Rule 2: whatever becomes of a job, the others run, and the desk goes on: a job is beside what trades.
Rule 3: without the broker's clock and calendar nothing is due: nobody knows the session.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NoReturn
from zoneinfo import ZoneInfo

import structlog

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.job import SCHEDULE, JobName, JobOutcome, JobRun
from deskd.domain.market import MarketClock
from deskd.jobs.plan import JOBS, Due, Job, Times, due, is_given_up, next_moment
from deskd.ports import Clock

LOOK_EVERY_S = 5.0
JOB_MAX_S = 1_800.0  # a job that takes longer hangs: the others wait behind it

_NEW_YORK = ZoneInfo("America/New_York")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Done:
    """What a job did, in figures."""

    detail: str


@dataclass(frozen=True, slots=True)
class Failed:
    """What is wrong, and the remedy."""

    detail: str


type Work = Callable[[date], Awaitable[Done | Failed]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One job, as `deskctl jobs` shows it."""

    job: Job
    is_planned: bool  # else only by hand
    last: JobRun | None
    is_running: bool
    next_at: datetime | None  # None: not planned, or beyond what is known of the calendar
    is_given_up: bool  # the desk died of it too often today


@dataclass(slots=True, kw_only=True)
class JobRunner:
    """Looks what is due, and runs it."""

    desk: Desk
    works: Mapping[JobName, Work]
    keep: Callable[[ev.JobStarted | ev.JobEnded], Awaitable[None]]  # returns when it is on disk
    wall: Clock
    market: Callable[[], MarketClock | None]  # the broker's clock, moved on
    times: Times
    is_on: bool = True  # else jobs run by hand only
    off: Collection[JobName] = ()  # those, too
    look_every_s: float = LOOK_EVERY_S
    job_max_s: float = JOB_MAX_S
    running: JobName | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> NoReturn:
        """Run what falls due until canceled."""
        while True:
            await self.look()
            await asyncio.sleep(self.look_every_s)

    async def look(self) -> None:
        """Run all that is due now, the next one as the plan is after the one before."""
        while one := self._next():
            await self._once(one, SCHEDULE)

    def _next(self) -> Due | None:
        clock = self.market()
        if clock is None or not self.is_on:
            return None
        found = due(self._planned(), self.desk.calendar, self.desk.jobs, now=clock.timestamp, times=self.times)
        return found[0] if found else None

    def _planned(self) -> list[Job]:
        return [job for job in JOBS if job.name not in self.off and job.name in self.works]

    async def run_now(self, name: JobName, by: str, session: date | None = None) -> JobRun:
        """Run one job by hand, of *session* (default: the latest market day); return how it ended."""
        return await self._once(Due(name, session or self.session()), by)

    def session(self) -> date:
        """Return the market's present day, as far as it is known."""
        known = self.desk.records.day
        return known or self.wall.now().astimezone(_NEW_YORK).date()

    async def _once(self, one: Due, by: str) -> JobRun:
        async with self._turn:
            self.running = one.name
            try:
                await self.keep(ev.JobStarted(name=one.name, session=one.session, by=by, at=self.wall.now()))
                answer = await self._work(one)
                outcome = JobOutcome.DONE if isinstance(answer, Done) else JobOutcome.FAILED
                await self.keep(
                    ev.JobEnded(
                        name=one.name,
                        session=one.session,
                        by=by,
                        outcome=outcome,
                        detail=answer.detail,
                        at=self.wall.now(),
                    )
                )
                return self.desk.jobs.last[one.name]
            finally:
                self.running = None

    async def _work(self, one: Due) -> Done | Failed:
        try:
            async with asyncio.timeout(self.job_max_s):
                return await self.works[one.name](one.session)
        except TimeoutError:
            return Failed(f"it took over {self.job_max_s:g} s and was ended: look at the disk and the broker")
        except Exception as error:
            log.exception("job_broke", job=one.name, session=str(one.session))  # the desk trades on
            return Failed(f"{type(error).__name__}: {error}; run it again: deskctl jobs run {one.name}")

    def listed(self) -> list[Listed]:
        """Return every job: when it ran last and how, and when it runs next."""
        clock, planned = self.market(), {job.name for job in self._planned()} if self.is_on else set()
        return [
            Listed(
                job=job,
                is_planned=job.name in planned,
                last=self.desk.jobs.last.get(job.name),
                is_running=self.running is job.name,
                next_at=next_moment(job, self.desk.calendar, now=clock.timestamp, times=self.times)
                if clock is not None and job.name in planned
                else None,
                is_given_up=is_given_up(self.desk.jobs, job.name, self.session()),
            )
            for job in JOBS
        ]
