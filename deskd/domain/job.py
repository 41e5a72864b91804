"""The jobs of the desk's day: what each does, and how one can end."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

SCHEDULE = "schedule"  # who runs a job that fell due; everybody else is a person, with a uid


class JobName(StrEnum):
    """Every job, in the order in which those of one moment run."""

    CHECKS = "checks"  # before the open: disk, keys, account, calendar, streams, books
    DRAIN = "drain"  # after the close: no order of the day is left open
    RECONCILE = "reconcile"  # books and broker are compared
    SIGN = "sign"  # the desk puts its name to the day
    REPORT = "report"  # per member and desk, as HTML, CSV and JSON
    SUMMARY = "summary"  # the day in one event
    SNAPSHOT = "snapshot"  # of the fold: the next start is short
    BACKUP = "backup"  # a copy of the ledger, read back and checked
    RETENTION = "retention"  # backups, reports and logs that are old enough go


class JobOutcome(StrEnum):
    """How a job ended. One that was cut short has no end: the desk died."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One run of a job: of the market's day *session*."""

    name: JobName
    session: date
    by: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: JobOutcome | None = None  # None: it runs, or the desk died meanwhile
    detail: str = ""
