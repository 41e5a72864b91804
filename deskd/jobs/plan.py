"""Which jobs are due. Pure: the broker's calendar, the market's time and what the ledger knows go in, a list comes out.

Rule 1: a job runs once a session. It is due from its moment on, however late: what a downtime missed is caught up with.
Rule 2: what only makes sense now (a backup, a comparison) is caught up with once, for the latest session; what is each
        session's own (its report) for every one that the calendar still knows.
Rule 3: a check before the open makes no sense after the close. It is not caught up with.
Rule 4: a job that ended the desk so often, without an end of its own, is not tried again for that session.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum

from deskd.core.jobs import Jobs
from deskd.domain.job import JobName
from deskd.domain.market import TradingDay

TRIES_MAX = 3  # starts for one session that the desk did not survive: it must not die of a job for ever


class When(Enum):
    """The moment of a job."""

    BEFORE_OPEN = "before the open"
    AFTER_CLOSE = "after the close"


class Missed(Enum):
    """What becomes of sessions that the desk did not see the moment of."""

    LATEST = "the latest is made up for"
    EVERY = "each is made up for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job: when, and what of sessions that were missed."""

    name: JobName
    does: str  # one sentence for officers
    when: When = When.AFTER_CLOSE
    missed: Missed = Missed.LATEST


@dataclass(frozen=True, slots=True)
class Times:
    """How long before the open and after the close the moments are."""

    before_open: timedelta
    after_close: timedelta


@dataclass(frozen=True, slots=True)
class Due:
    """A job to run now."""

    name: JobName
    session: date


JOBS = (
    Job(
        name=JobName.CHECKS,
        does="look at disk, keys, account, calendar, streams and books before the open",
        when=When.BEFORE_OPEN,
    ),
    Job(name=JobName.DRAIN, does="see that no order of the day is left open after the close"),
    Job(name=JobName.RECONCILE, does="compare books and broker"),
    Job(name=JobName.SIGN, does="put the desk's name to the day"),
    Job(
        name=JobName.REPORT,
        does="write the day's reports, per member and desk, as HTML, CSV and JSON",
        missed=Missed.EVERY,
    ),
    Job(name=JobName.SUMMARY, does="tell the day in one event", missed=Missed.EVERY),
    Job(name=JobName.SNAPSHOT, does="take a snapshot, so that the next start is short"),
    Job(name=JobName.BACKUP, does="copy the ledger, and check the copy from its first entry to its last"),
    Job(name=JobName.RETENTION, does="remove backups, reports and logs that are old enough"),
)


def moment(job: Job, day: TradingDay, times: Times) -> datetime:
    """Return when the job falls due on that day."""
    return day.open_at - times.before_open if job.when is When.BEFORE_OPEN else day.close_at + times.after_close


def due(
    jobs: Collection[Job], calendar: Mapping[date, TradingDay], done: Jobs, *, now: datetime, times: Times
) -> list[Due]:
    """Return what is to run at the market's *now*: the oldest session first, and of one session in the jobs' order."""
    found = [
        (session, order, job.name)
        for order, job in enumerate(jobs)
        for session in _due(job, calendar, done, now, times)
    ]
    return [Due(name, session) for session, _, name in sorted(found)]


def _due(job: Job, calendar: Mapping[date, TradingDay], done: Jobs, now: datetime, times: Times) -> Iterator[date]:
    if done.since is None:
        return
    passed = sorted(day.day for day in calendar.values() if day.day >= done.since and moment(job, day, times) <= now)
    settled = done.settled.get(job.name)
    missed = passed if job.missed is Missed.EVERY else passed[-1:]
    for session in missed:
        is_over = job.when is When.BEFORE_OPEN and now >= calendar[session].close_at
        if not is_over and (settled is None or session > settled) and not is_given_up(done, job.name, session):
            yield session


def is_given_up(done: Jobs, name: JobName, session: date) -> bool:
    """Tell whether the desk died of the job so often that it is not tried again for that session."""
    tried, count = done.tries.get(name, (session, 0))
    return tried == session and count >= TRIES_MAX


def next_moment(job: Job, calendar: Mapping[date, TradingDay], *, now: datetime, times: Times) -> datetime | None:
    """Return when the job falls due next; None where the calendar does not know so far."""
    return min((at for day in calendar.values() if (at := moment(job, day, times)) > now), default=None)
