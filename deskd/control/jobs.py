"""The day's jobs and reports over the control socket.

Rule 1: everybody may see the list; only officers run a job, and that is a fact before it begins.
Rule 2: a member reads his own report, and no other; officers read all. What is asked for is a day and a kind: no path.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import structlog
from aiohttp import web

from deskd.control.answers import JobAnswer, JobRunAnswer
from deskd.control.asking import CALLER, Refused, body_of
from deskd.control.names import the_one
from deskd.control.people import Caller
from deskd.control.views import instant
from deskd.core.desk import Desk
from deskd.domain.events import CommandGiven
from deskd.domain.job import JobName, JobOutcome, JobRun
from deskd.ports import Clock

KINDS = ("html", "json", "strategies.csv", "orders.csv", "fills.csv", "denials.csv", "runs.csv")
_TYPES = {"html": "text/html", "json": "application/json", "csv": "text/csv"}

log = structlog.get_logger()


class Planned(Protocol):
    """What a job is."""

    @property
    def name(self) -> JobName:
        """Return its name."""

    @property
    def does(self) -> str:
        """Return what it does, in one sentence."""


class ListedJob(Protocol):
    """One line of the list."""

    @property
    def job(self) -> Planned:
        """Return what it is."""

    @property
    def is_planned(self) -> bool:
        """Tell whether it runs by itself."""

    @property
    def last(self) -> JobRun | None:
        """Return its last run."""

    @property
    def is_running(self) -> bool:
        """Tell whether it runs now."""

    @property
    def next_at(self) -> datetime | None:
        """Return when it runs next."""

    @property
    def is_given_up(self) -> bool:
        """Tell whether the desk died of it too often."""


class Jobs(Protocol):
    """What runs jobs."""

    desk: Desk

    def listed(self) -> Sequence[ListedJob]:
        """Return every job."""

    async def run_now(self, name: JobName, by: str, session: date | None = None) -> JobRun:
        """Run one; return how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRoutes:
    """Answers /jobs, /jobs/run, /reports and /report."""

    jobs: Jobs
    reports: Path
    wall: Clock
    post: Callable[[CommandGiven], Awaitable[None]]  # returns when it is on disk

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        app.router.add_get("/jobs", self._list)
        app.router.add_post("/jobs/run", self._run)
        app.router.add_get("/reports", self._reports)
        app.router.add_get("/report", self._report)

    async def _list(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"jobs": [view(one) for one in self.jobs.listed()]})

    async def _run(self, request: web.Request) -> web.StreamResponse:
        body, caller = await body_of(request), request[CALLER]
        if not caller.is_officer:
            raise Refused(403, f"jobs are the desk's, and run by officers: {caller.name} is none")
        name, session = _name(body.get("name")), _day(body.get("session"))
        by = f"{caller.name} (uid {caller.uid})"
        arguments = name if session is None else f"{name} --session {session}"
        await self.post(CommandGiven(by=by, command="jobs run", arguments=arguments, at=self.wall.now()))
        log.info("command_given", by=by, command="jobs run", arguments=arguments)
        run = await self.jobs.run_now(name, by, session)
        return web.json_response({"run": run_view(run)}, status=200 if run.outcome is JobOutcome.DONE else 422)

    async def _reports(self, request: web.Request) -> web.StreamResponse:
        whose = self._whose(request)
        days = await asyncio.to_thread(self._days, whose)
        return web.json_response({"reports": [{"market_day": day, "of": whose} for day in days]})

    def _whose(self, request: web.Request) -> str:
        """Return whose report is meant, as its files are named; refuse what is not the caller's."""
        caller, typed = request[CALLER], request.query.get("member")
        if typed is None:
            return "desk" if caller.is_officer else _file_of(caller.name)
        if caller.is_officer and any(member.startswith(typed) for member in self.jobs.desk.members):
            typed = the_one("member", typed, self.jobs.desk.members)  # else one who traded here once
        if not _may_read(caller, typed):
            raise Refused(403, f"the report of {typed} is not yours: {caller.name} reads his own, officers all")
        return _file_of(typed)

    def _days(self, whose: str) -> list[str]:
        return sorted(file.parent.name for file in self.reports.glob(f"????-??-??/{whose}.json"))

    async def _report(self, request: web.Request) -> web.StreamResponse:
        whose, kind = self._whose(request), request.query.get("kind", "html")
        if kind not in KINDS:
            raise Refused(400, f"kind={kind!r}; allowed: {', '.join(KINDS)}")
        day = _day(request.query.get("day"))
        if day is None:
            days = await asyncio.to_thread(self._days, whose)
            if not days:
                raise Refused(404, f"there is no report of {whose} yet: it is written after the close")
            day = date.fromisoformat(days[-1])
        file = self.reports / day.isoformat() / f"{whose}.{kind}"
        try:
            text = await asyncio.to_thread(file.read_text)
        except FileNotFoundError:
            remedy = f"deskctl jobs run report --session {day}"
            raise Refused(404, f"there is no report of {whose} of {day}; an officer makes it: {remedy}") from None
        return web.Response(text=text, content_type=_TYPES[kind.rpartition(".")[2]])


def _may_read(caller: Caller, member: str) -> bool:
    return caller.is_officer or caller.name == member


def _file_of(member: str) -> str:
    if not member.replace("-", "").replace("_", "").replace(".", "").isalnum():  # a name, and never a path
        raise Refused(400, f"member={member!r}: not a member's name")
    return f"member-{member}"


def _name(typed: object) -> JobName:
    known = ", ".join(JobName)
    if not isinstance(typed, str):
        raise Refused(400, f"which job? One of {known}")
    found = [name for name in JobName if name == typed] or [name for name in JobName if name.startswith(typed)]
    if len(found) != 1 or not typed:
        raise Refused(404, f"there is no job {typed!r}; there are: {known}" if not found else f"{typed!r} is ambiguous")
    return found[0]


def _day(typed: object) -> date | None:
    if typed is None:
        return None
    try:
        return date.fromisoformat(str(typed))
    except ValueError:
        raise Refused(400, f"{typed!r} is no day: write it as 2026-01-31") from None


def view(one: ListedJob) -> JobAnswer:
    """Return a job as `deskctl jobs` shows it."""
    return {
        "name": one.job.name,
        "does": one.job.does,
        "is_planned": one.is_planned,
        "is_running": one.is_running,
        "is_given_up": one.is_given_up,
        "next_at": None if one.next_at is None else instant(one.next_at),
        "last": None if one.last is None else run_view(one.last),
    }


def run_view(run: JobRun) -> JobRunAnswer:
    """Return one run."""
    return {
        "name": run.name,
        "session": run.session.isoformat(),
        "by": run.by,
        "started_at": instant(run.started_at),
        "ended_at": None if run.ended_at is None else instant(run.ended_at),
        "outcome": None if run.outcome is None else run.outcome.value,
        "detail": run.detail,
    }
