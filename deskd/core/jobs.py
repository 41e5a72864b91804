"""What the desk knows of its day's jobs: the last run of each, and up to which session the plan is settled.

Rule 1: only a run that fell due settles its session; what a person runs by hand counts for nothing in the plan.
Rule 2: a failed job is settled, too: an officer looks, and runs it by hand. One that the desk's death cut short is not.
Rule 3: a tape that began anew takes its sessions back: they come again, and so do their jobs.
"""

from dataclasses import dataclass, field, replace
from datetime import date, datetime

from deskd.domain import events as ev
from deskd.domain.job import SCHEDULE, JobName, JobOutcome, JobRun


@dataclass(slots=True)
class Jobs:
    """The fold of the facts of jobs."""

    since: date | None = None  # the first market day of this ledger: nothing is due for days before it
    last: dict[JobName, JobRun] = field(default_factory=dict)
    done_at: dict[JobName, datetime] = field(default_factory=dict)  # when it last did what it is for
    settled: dict[JobName, date] = field(default_factory=dict)  # the latest session that its scheduled run ended
    tries: dict[JobName, tuple[date, int]] = field(default_factory=dict)  # scheduled starts for the session at hand

    def begin_day(self, fact: ev.MarketDayBegan) -> None:
        """Know the first day; forget what a tape that began anew will play again."""
        if self.since is None or (fact.is_rewound and fact.market_day < self.since):
            self.since = fact.market_day
        if fact.is_rewound:
            self.settled = {name: day for name, day in self.settled.items() if day < fact.market_day}
            self.tries.clear()

    def start(self, fact: ev.JobStarted) -> None:
        """Note that a job runs."""
        self.last[fact.name] = JobRun(name=fact.name, session=fact.session, by=fact.by, started_at=fact.at)
        if fact.by == SCHEDULE:
            session, count = self.tries.get(fact.name, (fact.session, 0))
            self.tries[fact.name] = (fact.session, count + 1 if session == fact.session else 1)

    def end(self, fact: ev.JobEnded) -> None:
        """Note how it ended."""
        run = self.last[fact.name]
        self.last[fact.name] = replace(run, ended_at=fact.at, outcome=fact.outcome, detail=fact.detail)
        if fact.outcome is JobOutcome.DONE:
            self.done_at[fact.name] = fact.at
        if fact.by == SCHEDULE:
            self.settled[fact.name] = max(fact.session, self.settled.get(fact.name, fact.session))
            self.tries.pop(fact.name, None)
