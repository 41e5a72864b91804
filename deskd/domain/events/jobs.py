"""Facts of the day's jobs: that one began, how it ended, and what the day came to."""

from dataclasses import dataclass
from datetime import date, datetime

from deskd.domain.ids import StrategyId
from deskd.domain.job import JobName, JobOutcome
from deskd.domain.money import Cash


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted:
    """A job of the market's day *session* began."""

    name: JobName
    session: date
    by: str  # `schedule`, or the person
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """It ended. Where this is missing the desk died meanwhile, and the job is due again."""

    name: JobName
    session: date
    by: str
    outcome: JobOutcome
    detail: str  # what was done; of a failure: what is wrong, and the remedy
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySummarized:
    """What a market day came to, members and house apart."""

    market_day: date
    equity: Cash  # of all strategies
    day_pnl: Cash
    fees: Cash  # that the house bore; negative: paid
    orders: int
    fills: int
    denied: int
    deaths: int  # runs that did not end well
    strategies: tuple[tuple[StrategyId, Cash], ...]  # each with its day's P&L
    at: datetime
