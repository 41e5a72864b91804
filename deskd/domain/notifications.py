"""Notifications: what the desk tells people who do not look at it. Words only; `deskd/alerts` makes and sends them."""

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum

from deskd.domain.ids import StrategyId, Symbol, UserId
from deskd.domain.money import Price, Qty
from deskd.domain.order import Side


class Topic(StrEnum):
    """What a notification is about; routes and wishes go by it."""

    PAPER_TRADING = "paper-trading"  # orders of paper money, the embedded exchange's too
    LIVE_TRADING = "live-trading"  # orders of real money
    HEARTBEAT = "heartbeat"  # the desk lives; silence means trouble
    SYSTEM_ALERTS = "system-alerts"
    RISK = "risk"  # kills, exits, limits on losses
    DAILY_SUMMARY = "daily-summary"
    BACKTEST_RESULTS = "backtest-results"
    SCANNER = "scanner"  # what a scan of the market found
    CALENDAR = "calendar"  # market days, corporate actions, economic events


class Severity(StrEnum):
    """How urgent a notification is."""

    INFO = "info"  # waits for its digest
    WARNING = "warning"  # at once, but not in quiet hours
    CRITICAL = "critical"  # at once, always: somebody must act


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One fill, for digests to sum up."""

    side: Side
    symbol: Symbol
    qty: Qty
    price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What is told once, however often it is found: *key* is its identity."""

    key: str
    topic: Topic
    severity: Severity
    title: str
    text: str  # figures, and what to do
    at: datetime
    member: UserId | None = None  # whom it concerns; None: officers alone
    strategy: StrategyId | None = None
    trade: Trade | None = None
    subject: str = ""  # by which a later one can withdraw it while it waits
    wait: timedelta = timedelta(0)  # it is told only if nothing withdraws it for so long
    withdraws: str = ""  # what still waits about this subject is not told, and this neither
    only: tuple[str, ...] = ()  # these routes, whoever has them; empty: as its topic and its member have them
    is_private: bool = False  # to its member's routes alone: officers hear of the same in another form


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Hours of New York in which only what is critical is told; over midnight where *since* is after *until*."""

    since: time
    until: time

    def covers(self, clock: time) -> bool:
        """Tell whether it is quiet at that time of the day."""
        if self.since <= self.until:
            return self.since <= clock < self.until
        return clock >= self.since or clock < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a member wants to hear of a strategy. What is critical is told in any case."""

    off: frozenset[Topic] = field(default_factory=frozenset)
    digest: timedelta | None = None  # None: the desk's
    quiet: QuietHours | None = None


NO_WISHES = Wishes()
