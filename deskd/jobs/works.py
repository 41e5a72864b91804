"""What each job does. It calls what the desk has; nothing is done a second way here.

Rule 1: what is heavy runs in a process of its own (worker.py), niced; files are touched in threads.
Rule 2: a backup counts once it was read to its last entry. One that is damaged is removed, and the job says so.
Rule 3: retention counts: so many backups, reports of so many days. The newest backup is never removed.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import msgspec

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.domain.ids import HOUSE, StrategyId
from deskd.domain.job import JobName, JobOutcome
from deskd.domain.look import Look
from deskd.domain.market import MarketClock, TradingDay
from deskd.domain.money import Cash, plain
from deskd.domain.order import Order, TimeInForce
from deskd.domain.run import StrategyStatus
from deskd.jobs.checks import Evidence, judge
from deskd.jobs.runner import Done, Failed, Work
from deskd.jobs.worker import Checked, Written
from deskd.ledger.backup import backup, why_not_written
from deskd.ports import Clock

DRAIN_S = 20.0  # for the broker to end the orders of the day by itself
NOT_SEEN = "the desk did not run on this day"
CONNECT_S = 20.0  # for a stream to be up, where the desk has just started
CONNECTING = "connecting"  # as alpaca.stream says it
_LOOK_S = 0.1
CANCEL_S = 20.0  # and for those that it left open, once they are canceled
_OF_THE_DAY = frozenset({TimeInForce.DAY, TimeInForce.OPG, TimeInForce.CLS, TimeInForce.IOC, TimeInForce.FOK})


class Account(Protocol):
    """What the broker is asked for."""

    async def account(self) -> tuple[Cash, Cash, Cash]:
        """Return cash, equity and buying power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How much of what is kept."""

    backups: int
    reports: timedelta
    logs: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where things lie."""

    ledger: Path
    reports: Path
    backups: Path
    logs: Path  # of strategies


@dataclass(slots=True, kw_only=True)
class Works:
    """The jobs of one desk."""

    desk: Desk
    wall: Clock
    market: Callable[[], MarketClock | None]
    market_stream: Callable[[], str]
    is_tape: bool
    disk_min: Callable[[], int]  # bytes; a reload may change it
    broker: Account
    post: Callable[[ev.Event], Awaitable[None]]
    keep: Callable[[ev.Event], Awaitable[None]]  # returns when it is on disk
    until: Callable[[Callable[[Desk], bool]], Awaitable[None]]
    look: Callable[[str], Awaitable[Look]]  # compare with the broker
    sign: Callable[[date], Awaitable[ev.RootSigned | None]]
    snapshot: Callable[[], Awaitable[bool]]
    places: Places
    kept: Kept
    drain_s: float = DRAIN_S
    cancel_s: float = CANCEL_S
    connect_s: float = CONNECT_S

    def all(self) -> Mapping[JobName, Work]:
        """Return what each job does."""
        return {
            JobName.CHECKS: self.checks,
            JobName.DRAIN: self.drain,
            JobName.RECONCILE: self.reconcile,
            JobName.SIGN: self.sign_day,
            JobName.REPORT: self.report,
            JobName.SUMMARY: self.summary,
            JobName.SNAPSHOT: self.take_snapshot,
            JobName.BACKUP: self.back_up,
            JobName.RETENTION: self.retain,
        }

    # --- before the open ---------------------------------------------------------------------------------------------

    async def checks(self, session: date) -> Done | Failed:
        """Look at all that a session needs."""
        await self._connected()
        evidence = await self._evidence(session)
        findings = judge(evidence)
        if findings:
            return Failed(" | ".join(map(str, findings)))
        return Done("disk, clock, backup, account, calendar, streams and books are good")

    async def _connected(self) -> None:
        """Let a market stream that is on its way arrive: a desk that starts before the open checks in its first second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.connect_s):
                while self.market_stream() == CONNECTING:  # noqa: ASYNC110  the stream tells nobody, once a day
                    await asyncio.sleep(_LOOK_S)

    async def _evidence(self, session: date) -> Evidence:
        free = await asyncio.to_thread(lambda: shutil.disk_usage(self.places.ledger.parent).free)
        clock, last = self.market(), self.desk.jobs.last.get(JobName.BACKUP)
        return Evidence(
            session=session,
            now=self.wall.now(),
            market_now=None if clock is None else clock.timestamp,
            is_tape=self.is_tape,
            calendar=self.desk.calendar,
            disk_free=free,
            disk_min=self.disk_min(),
            account=await self._account(),
            is_trade_stream_up=self.desk.is_trade_stream_up,
            is_synced=self.desk.is_synced,
            market_stream=self.market_stream(),
            discrepancies=len(self.desk.standing.open),
            frozen=tuple(sorted(self.desk.standing.frozen)),
            kills=tuple(str(target) for target in sorted(self.desk.kills.in_force)),
            backup_at=last.ended_at if last is not None and last.outcome is JobOutcome.DONE else None,
            is_first_day=self.desk.jobs.since in {None, session},
        )

    async def _account(self) -> str | None:
        try:
            await self.broker.account()
        except (OSError, TimeoutError) as error:
            return f"the broker does not tell it ({error})"
        return None

    # --- after the close ---------------------------------------------------------------------------------------------

    async def drain(self, session: date) -> Done | Failed:
        """Wait for orders of the day to end, then cancel what is left of them; what is good till canceled stays."""
        day, clock = self.desk.calendar.get(session), self.market()
        if day is None or clock is None or clock.timestamp < day.close_at:  # its orders are alive, as they should be
            closes = "unknown" if day is None else day.close_at.isoformat()
            return Failed(f"closes_at={closes}: the session is not known to be over; run it after the close")
        if await self._ends(day, self.drain_s):
            return Done(self._left())
        for order in self._of_the_day(day):
            oid = order.request.client_order_id
            await self.post(ev.CancelRequested(client_order_id=oid, by="end of day", at=self.wall.now()))
        if await self._ends(day, self.cancel_s):
            return Done(f"canceled what the close left; {self._left()}")
        left = ", ".join(order.request.client_order_id for order in self._of_the_day(day))
        return Failed(f"still open after the close: {left}; look at each: deskctl why ORDER (runbook broker-down)")

    async def _ends(self, day: TradingDay, within_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.until(lambda _: not self._of_the_day(day))
                return True
        return False

    def _of_the_day(self, day: TradingDay) -> list[Order]:
        """Return the open orders that this session should have ended.

        Those for extended hours have hours left, and those that came after the close wait for the next open.
        """
        return [
            order
            for order in self.desk.open_orders()
            if order.request.time_in_force in _OF_THE_DAY
            and not order.request.extended_hours
            and (order.submitted_at is None or order.submitted_at < day.close_at)
        ]

    def _left(self) -> str:
        held = sum(bool(p.qty) for book in self._books() for p in book.positions.values())
        return f"open_orders={len(self.desk.open_ids)} positions={held}"

    def _books(self) -> list[Any]:
        return [book for who, book in self.desk.portfolio.books.items() if who != HOUSE]

    async def reconcile(self, _session: date) -> Done | Failed:
        """Compare books and broker now."""
        seen = await self.look("end of day")
        if seen.problem:
            return Failed(f"the broker could not be asked ({seen.problem}); later: deskctl reconcile")
        standing = self.desk.standing
        if standing.open or standing.frozen:
            figures = f"open={len(standing.open)} frozen={','.join(sorted(standing.frozen)) or 'none'}"
            return Failed(f"{figures}; deskctl reconcile shows each (runbook drift)")
        return Done("books and broker agree")

    async def sign_day(self, session: date) -> Done | Failed:
        """Put the desk's name to all that is on disk."""
        root = await self.sign(session)
        return Done("signed already" if root is None else f"seq={root.seq} root={root.root}")

    async def report(self, session: date) -> Done | Failed:
        """Write the reports of the session."""
        folder = self.places.reports / session.isoformat()
        answer = await self._work("report", str(self.places.ledger), str(folder), session.isoformat())
        if isinstance(answer, Failed):
            return answer
        written = msgspec.json.decode(answer, type=Written)
        if not written.files:
            return Done(NOT_SEEN)
        return Done(f"members={written.members} files={written.files} seq={written.last_seq} in {folder}")

    async def summary(self, session: date) -> Done | Failed:
        """Tell the day in one event, from its report."""
        file = self.places.reports / session.isoformat() / "desk.json"
        if not await asyncio.to_thread(file.exists):
            made = await self.report(session)
            if isinstance(made, Failed) or made.detail == NOT_SEEN:
                return made
        body: dict[str, Any] = msgspec.json.decode(await asyncio.to_thread(file.read_bytes))
        if not body["first_seq"]:  # an older version wrote an empty one
            return Done(NOT_SEEN)
        fact = _summary(session, body, self.wall.now())
        await self.keep(fact)
        return Done(
            f"day_pnl={plain(fact.day_pnl)} orders={fact.orders} fills={fact.fills} denied={fact.denied} "
            f"deaths={fact.deaths}"
        )

    async def take_snapshot(self, _session: date) -> Done | Failed:
        """Have the snapshot taken."""
        if await self.snapshot():
            return Done("the next start replays what comes from now on")
        return Failed("no snapshot: the next start takes longer; the log says why (snapshot_failed)")

    async def back_up(self, _session: date) -> Done | Failed:
        """Copy the ledger, and read the copy to its last entry."""
        folder = self.places.backups
        if not await asyncio.to_thread(folder.parent.exists):
            return Failed(
                f"[jobs] backup_dir={folder}: {folder.parent} is not there: mount its disk, or make that folder"
            )
        target = folder / f"desk-{self.wall.now():%Y%m%dT%H%M%SZ}.db"
        try:
            await asyncio.to_thread(folder.mkdir, mode=0o700, exist_ok=True)
        except OSError as error:
            return Failed(f"[jobs] backup_dir={folder}: cannot be made: {why_not_written(error, folder.parent)}")
        try:
            head = await asyncio.to_thread(backup, self.places.ledger, target)
        except LedgerError as error:
            return Failed(f"{error} (runbook disk-full)")
        answer = await self._work("check", str(target))
        if isinstance(answer, Failed):
            return answer
        checked = msgspec.json.decode(answer, type=Checked)
        if checked.damages or checked.last_hash != head.hash:
            await asyncio.to_thread(target.unlink, missing_ok=True)
            what = checked.damages[0] if checked.damages else "its last entry is another one"
            return Failed(f"the copy was damaged, and is removed ({what}); deskctl audit verify looks at the ledger")
        return Done(f"{target} facts={checked.facts} last_hash={checked.last_hash}")

    async def retain(self, _session: date) -> Done | Failed:
        """Remove what is old enough."""
        now = self.wall.now()
        backups = await asyncio.to_thread(_old_backups, self.places.backups, self.kept.backups)
        reports = await asyncio.to_thread(_old_reports, self.places.reports, (now - self.kept.reports).date())
        active = {str(who) for who, status in self.desk.statuses.items() if status is StrategyStatus.ACTIVE}
        logs = await asyncio.to_thread(_old_logs, self.places.logs, now - self.kept.logs, active)
        for path in (*backups, *reports, *logs):
            await asyncio.to_thread(_remove, path)
        return Done(f"removed backups={len(backups)} reports={len(reports)} logs={len(logs)}")

    async def _work(self, what: str, *more: str) -> bytes | Failed:
        """Have the worker do one thing."""
        command = (sys.executable, "-m", "deskd.jobs.worker", what, str(os.getpid()), *more)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:  # the desk ends, or it took too long
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            words = err.decode(errors="replace").strip()[-500:]
            return Failed(f"{what}: {words or f'exit status {process.returncode}'}")
        return out


def _summary(session: date, body: Mapping[str, Any], at: datetime) -> ev.DaySummarized:
    totals: Mapping[str, Any] = body["totals"]
    return ev.DaySummarized(
        market_day=session,
        equity=Cash(Decimal(totals["equity"])),
        day_pnl=Cash(Decimal(totals["day_pnl"])),
        fees=Cash(Decimal(body["desk"]["fees"])),
        orders=totals["orders"],
        fills=totals["fills"],
        denied=totals["denied"],
        deaths=totals["deaths"],
        strategies=tuple((StrategyId(row["strategy_id"]), Cash(Decimal(row["day_pnl"]))) for row in body["strategies"]),
        at=at,
    )


# --- retention --------------------------------------------------------------------------------------------------------


def _old_backups(folder: Path, kept: int) -> Sequence[Path]:
    """Return those beyond the newest *kept*: their names are their times."""
    return sorted(folder.glob("desk-*Z.db"))[: -max(kept, 1)]


def _old_reports(folder: Path, first: date) -> Sequence[Path]:
    found: list[Path] = []
    for one in folder.glob("????-??-??"):
        with suppress(ValueError):  # not ours
            if date.fromisoformat(one.name) < first:
                found.append(one)
    return found


def _old_logs(folder: Path, since: datetime, active: Collection[str]) -> Sequence[Path]:
    """Return logs that nobody has written to for so long; an active strategy's stay, its desk holds them open."""
    found = [one for one in folder.glob("*.log*") if one.is_file() and one.name.partition(".log")[0] not in active]
    return [one for one in found if one.stat().st_mtime < since.timestamp()]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
