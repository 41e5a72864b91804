"""Each job runs once a session, never before its moment, and what a downtime missed is made up for."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import hypothesis.strategies as st
from hypothesis import given

from deskd.core.jobs import Jobs
from deskd.domain import events as ev
from deskd.domain.job import SCHEDULE, JobName, JobOutcome
from deskd.domain.market import TradingDay
from deskd.jobs.plan import JOBS, TRIES_MAX, Due, Missed, Times, When, due, is_given_up, moment, next_moment

TIMES = Times(before_open=timedelta(minutes=30), after_close=timedelta(minutes=5))
BY_NAME = {job.name: job for job in JOBS}
FIRST = date(2026, 1, 5)


def a_day(number: int, hours: int = 6) -> TradingDay:
    opens = datetime(2026, 1, 5, 14, 30, tzinfo=UTC) + timedelta(days=number)
    closes = opens + timedelta(hours=hours)
    extended = timedelta(hours=4)
    return TradingDay(
        day=opens.date(),
        extended_open_at=opens - extended,
        open_at=opens,
        close_at=closes,
        extended_close_at=closes + extended,
    )


CALENDAR: Mapping[date, TradingDay] = {
    day.day: day for day in (a_day(0), a_day(1), a_day(2, hours=3), a_day(3), a_day(4), a_day(7), a_day(8))
}


def known(since: date = FIRST) -> Jobs:
    jobs = Jobs()
    jobs.begin_day(ev.MarketDayBegan(market_day=since, at=CALENDAR[FIRST].open_at))
    return jobs


def starts(jobs: Jobs, one: Due, by: str = SCHEDULE) -> None:
    jobs.start(ev.JobStarted(name=one.name, session=one.session, by=by, at=CALENDAR[FIRST].open_at))


def ends(jobs: Jobs, one: Due, by: str = SCHEDULE, outcome: JobOutcome = JobOutcome.DONE) -> None:
    at = CALENDAR[FIRST].open_at
    jobs.end(ev.JobEnded(name=one.name, session=one.session, by=by, outcome=outcome, detail="", at=at))


def runs(jobs: Jobs, one: Due) -> None:
    starts(jobs, one)
    ends(jobs, one)


def due_at(now: datetime, jobs: Jobs) -> list[Due]:
    return due(JOBS, CALENDAR, jobs, now=now, times=TIMES)


def test_every_job_is_planned_once() -> None:
    """A job that nobody plans would be a promise that nobody keeps."""
    assert [job.name for job in JOBS] == list(JobName)


def test_nothing_is_due_before_the_desk_knows_a_market_day() -> None:
    """A new desk writes no reports of days that it never saw."""
    assert due_at(CALENDAR[FIRST].close_at + timedelta(days=3), Jobs()) == []


def test_a_day_goes_its_way() -> None:
    """The checks before the open; everything else, in its order, after the close, an early one too."""
    jobs, early = known(a_day(2).day), a_day(2, hours=3)
    assert due_at(early.open_at - timedelta(minutes=31), jobs) == []
    [checks] = due_at(early.open_at - timedelta(minutes=30), jobs)
    assert checks == Due(JobName.CHECKS, early.day)
    runs(jobs, checks)
    assert due_at(early.close_at, jobs) == []
    assert [one.name for one in due_at(early.close_at + timedelta(minutes=5), jobs)] == [
        name for name in JobName if name is not JobName.CHECKS
    ]


def test_after_a_week_of_downtime_every_report_is_written_and_the_rest_once() -> None:
    """Reports are each session's own; a backup of last Tuesday would be today's."""
    jobs, now = known(), a_day(8).close_at - timedelta(hours=1)
    found = due_at(now, jobs)
    reports = [one.session for one in found if one.name is JobName.REPORT]
    assert reports == [day for day in CALENDAR if day < now.date()]
    assert [one.session for one in found if one.name is JobName.BACKUP] == [a_day(7).day]
    assert [one.session for one in found if one.name is JobName.CHECKS] == [now.date()]
    assert [one.session for one in found] == sorted(one.session for one in found)


def test_checks_of_a_session_that_is_over_are_not_made_up_for() -> None:
    """They would say nothing of it."""
    found = due_at(CALENDAR[FIRST].close_at + timedelta(hours=1), known())
    assert JobName.CHECKS not in {one.name for one in found}


def test_a_failed_job_waits_for_a_person() -> None:
    """It is settled: the desk does not fail again and again."""
    jobs, now = known(), CALENDAR[FIRST].close_at + timedelta(hours=1)
    one = Due(JobName.BACKUP, FIRST)
    starts(jobs, one)
    ends(jobs, one, outcome=JobOutcome.FAILED)
    assert one not in due_at(now, jobs)


def test_a_job_that_the_desks_death_cut_short_is_due_again_but_not_for_ever() -> None:
    """A job that kills the desk must not keep it from trading."""
    jobs, now, one = known(), CALENDAR[FIRST].close_at + timedelta(hours=1), Due(JobName.REPORT, FIRST)
    for _ in range(TRIES_MAX):
        assert one in due_at(now, jobs)
        starts(jobs, one)
    assert one not in due_at(now, jobs)
    assert is_given_up(jobs, JobName.REPORT, FIRST)
    tomorrow = a_day(1)
    assert Due(JobName.REPORT, tomorrow.day) in due_at(tomorrow.close_at + timedelta(hours=1), jobs)


def test_what_a_person_runs_by_hand_counts_for_nothing_in_the_plan() -> None:
    """A report at noon is not the day's report."""
    jobs, one = known(), Due(JobName.REPORT, FIRST)
    starts(jobs, one, by="ada (uid 0)")
    ends(jobs, one, by="ada (uid 0)")
    assert one in due_at(CALENDAR[FIRST].close_at + timedelta(hours=1), jobs)


def test_a_tape_that_begins_anew_brings_its_jobs_again() -> None:
    """Its day is another day with the same date."""
    jobs, now = known(), CALENDAR[FIRST].close_at + timedelta(hours=1)
    for one in due_at(now, jobs):
        runs(jobs, one)
    assert due_at(now, jobs) == []
    jobs.begin_day(ev.MarketDayBegan(market_day=FIRST, at=now, is_rewound=True))
    assert len(due_at(now, jobs)) == len(JOBS) - 1


def test_the_next_moment_is_told_as_far_as_the_calendar_goes() -> None:
    """`deskctl jobs` shows it; beyond the calendar nobody knows."""
    report = BY_NAME[JobName.REPORT]
    first = CALENDAR[FIRST]
    assert next_moment(report, CALENDAR, now=first.open_at, times=TIMES) == first.close_at + TIMES.after_close
    assert next_moment(report, CALENDAR, now=a_day(30).open_at, times=TIMES) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 9 * 24 * 60), st.sampled_from(["ends", "fails", "dies", "sleeps"]), st.integers(0, 9)),
        max_size=40,
    )
)
def test_whatever_happens_a_job_settles_once_a_session_and_never_early(steps: list[tuple[int, str, int]]) -> None:
    """Downtimes, deaths and failures in any order: once a session, from its moment on, and nothing is forgotten."""
    jobs, settled, given_up = known(), list[Due](), set[Due]()
    now = start = CALENDAR[FIRST].open_at - timedelta(hours=6)
    for minutes, what, count in sorted(steps):
        now = start + timedelta(minutes=minutes)
        if what == "sleeps":
            continue
        for one in due_at(now, jobs)[: count + 1]:
            assert moment(BY_NAME[one.name], CALENDAR[one.session], TIMES) <= now
            assert one not in settled
            starts(jobs, one)
            if what == "dies":
                if is_given_up(jobs, one.name, one.session):
                    given_up.add(one)
                continue
            ends(jobs, one, outcome=JobOutcome.FAILED if what == "fails" else JobOutcome.DONE)
            settled.append(one)
    for one in due_at(now, jobs):
        runs(jobs, one)
        settled.append(one)
    assert due_at(now, jobs) == []
    assert len(settled) == len(set(settled))
    for job in JOBS:
        passed = [day for day, one in CALENDAR.items() if moment(job, one, TIMES) <= now]
        if job.when is When.AFTER_CLOSE:
            wanted = passed if job.missed is Missed.EVERY else passed[-1:]
            missing = {Due(job.name, day) for day in wanted} - set(settled) - given_up
            assert missing == set() or any(lost.name is job.name for lost in given_up)
