"""What the desk looks at before the open: each look says what was found, and the remedy where it is not good.

Pure: the edge gathers the evidence, here it is judged. What is not known is not good.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from deskd.domain.market import TradingDay

DISK_LOW = 2 * 2**30  # bytes: a month of a busy desk
BACKUP_AGE_MAX = timedelta(days=4)  # a long weekend
CLOCK_SKEW_MAX = timedelta(seconds=5)
CALENDAR_AHEAD_MIN = timedelta(days=7)
_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the edge found out."""

    session: date
    now: datetime  # of the desk's own clock
    market_now: datetime | None  # of the broker's; None: not heard
    is_tape: bool  # the embedded exchange: its time is its own
    calendar: Mapping[date, TradingDay]
    disk_free: int  # bytes, where the ledger is
    disk_min: int  # under which no order is taken
    account: str | None  # what is wrong with the broker's account or keys; None: it answered
    is_trade_stream_up: bool
    is_synced: bool
    market_stream: str  # in words; `up: ...` where it is
    discrepancies: int  # that stand open
    frozen: tuple[str, ...]  # symbols
    kills: tuple[str, ...]  # in force
    backup_at: datetime | None  # when the last one was checked and found whole
    is_first_day: bool  # of this ledger: there can be no backup yet


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not good, and what to do."""

    check: str
    found: str
    remedy: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.check}: {self.found}; {self.remedy}"


def judge(e: Evidence) -> list[Finding]:
    """Return everything that is not as it should be before a session."""
    return [*_machine(e), *_broker(e), *_books(e)]


def _machine(e: Evidence) -> Iterator[Finding]:
    if e.disk_free < (enough := max(DISK_LOW, 2 * e.disk_min)):
        yield Finding(
            "disk",
            f"disk_free_mb={e.disk_free // _MIB} enough_mb={enough // _MIB}",
            "make room, or lower [jobs] backups_kept (runbook disk-full)",
        )
    if e.market_now is None:
        yield Finding("clock", "the broker's clock was not heard", "look at broker and network (runbook broker-down)")
    elif not e.is_tape and abs(e.market_now - e.now) > CLOCK_SKEW_MAX:
        skew = (e.now - e.market_now).total_seconds()
        yield Finding(
            "clock", f"skew_s={skew:.1f} skew_max_s={CLOCK_SKEW_MAX.seconds}", "let chrony set this machine's"
        )
    if not e.is_first_day and (e.backup_at is None or e.now - e.backup_at > BACKUP_AGE_MAX):
        last = "never" if e.backup_at is None else e.backup_at.isoformat(timespec="seconds")
        yield Finding("backup", f"last_good={last}", "deskctl jobs run backup")


def _broker(e: Evidence) -> Iterator[Finding]:
    if e.account is not None:
        yield Finding("account", e.account, "are the keys valid, and for this account? (runbook key-rotation)")
    ahead = max(e.calendar, default=None)
    if ahead is None or ahead - e.session < CALENDAR_AHEAD_MIN:
        known = "none" if ahead is None else ahead.isoformat()
        yield Finding("calendar", f"known_until={known}", "the broker must list the days to come (runbook year-change)")
    if not e.is_trade_stream_up:
        yield Finding("trade stream", "down: no order is taken", "runbook stream-down")
    if not e.market_stream.startswith(("up", "not needed")):
        yield Finding("market stream", e.market_stream, "runbook stream-down")


def _books(e: Evidence) -> Iterator[Finding]:
    if not e.is_synced:
        yield Finding("books", "not compared with the broker since the trade stream came up", "deskctl reconcile")
    if e.discrepancies or e.frozen:
        figures = f"open={e.discrepancies} frozen={','.join(e.frozen) or 'none'}"
        yield Finding("books", figures, "deskctl reconcile shows each (runbook drift)")
    for kill in e.kills:
        yield Finding("kill", f"in force: {kill}", "release it when you know why (runbook kill)")
