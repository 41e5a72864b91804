"""The ledger knows which jobs ran, and up to which session."""

from dataclasses import replace
from datetime import date, timedelta

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.job import SCHEDULE, JobName, JobOutcome
from deskd.ledger import fold
from tests.factories import MONDAY, NOON

TUESDAY = MONDAY + timedelta(days=1)


def started(session: date = MONDAY, by: str = SCHEDULE) -> ev.JobStarted:
    return ev.JobStarted(name=JobName.BACKUP, session=session, by=by, at=NOON)


def ended(session: date = MONDAY, by: str = SCHEDULE) -> ev.JobEnded:
    return ev.JobEnded(name=JobName.BACKUP, session=session, by=by, outcome=JobOutcome.DONE, detail="2 MB", at=NOON)


def test_the_last_run_is_known_whoever_ran_it() -> None:
    """What `deskctl jobs` shows survives a restart."""
    desk = Desk()
    for fact in (started(by="ada (uid 0)"), ended(by="ada (uid 0)")):
        desk.apply(fact)
    run = desk.jobs.last[JobName.BACKUP]
    assert (run.by, run.outcome, run.detail, run.ended_at) == ("ada (uid 0)", JobOutcome.DONE, "2 MB", NOON)
    assert desk.jobs.settled == {}
    assert fold.decode(fold.encode(desk)) == desk


def test_a_session_that_is_settled_stays_settled_when_an_older_one_is_made_up_for() -> None:
    """Sessions only go on."""
    desk = Desk()
    for fact in (started(TUESDAY), ended(TUESDAY), started(MONDAY), ended(MONDAY)):
        desk.apply(fact)
    assert desk.jobs.settled == {JobName.BACKUP: TUESDAY}


def test_the_first_day_is_where_the_ledger_begins() -> None:
    """Nothing is due for days before it; a tape that goes further back begins further back."""
    desk = Desk()
    desk.apply(ev.MarketDayBegan(market_day=TUESDAY, at=NOON))
    desk.apply(ev.MarketDayBegan(market_day=TUESDAY + timedelta(days=1), at=NOON))
    assert desk.jobs.since == TUESDAY
    desk.apply(ev.MarketDayBegan(market_day=MONDAY, at=NOON, is_rewound=True))
    assert desk.jobs.since == MONDAY


def test_when_a_job_last_did_what_it_is_for_outlives_its_failures() -> None:
    """Backups that fail since Tuesday are of Tuesday, whenever they were last tried, after a restart, too."""
    desk = Desk()
    later = replace(ended(TUESDAY), outcome=JobOutcome.FAILED, detail="no space left", at=NOON + timedelta(days=1))
    for fact in (started(), ended(), started(TUESDAY), later):
        desk.apply(fact)
    assert desk.jobs.done_at == {JobName.BACKUP: NOON}
    assert desk.jobs.last[JobName.BACKUP].outcome is JobOutcome.FAILED
    assert fold.decode(fold.encode(desk)).jobs == desk.jobs
