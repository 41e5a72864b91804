"""The desk's side of notifications: starts the worker and starts it again, nudges it, and ends it within its bound.

Rule 1: nothing here blocks the loop, and no trouble here ends the desk: what is not told stays in the outbox.
Rule 2: the worker reads the ledger by itself; it is nudged when there is something, at most every NUDGE_S.
Rule 3: what has no fact (the disk, a report) is put into the outbox directly, in a thread.
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from deskd.alerts.outbox import opened
from deskd.alerts.plan import Plan
from deskd.alerts.routes import Routes
from deskd.alerts.speech import Told, heard, line
from deskd.alerts.tail import KINDS
from deskd.domain.events import Fact
from deskd.domain.ids import StrategyId
from deskd.domain.notifications import Notification, Wishes
from deskd.ports import Clock

END_S = 3.0  # for the worker to end: its own STOP_S, and what a loaded machine needs
NUDGE_S = 0.25
AGAIN_FIRST_S, AGAIN_MAX_S = 1.0, 60.0  # before a worker that ended is started again

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Office:
    """Has notifications sent while the desk lives; without routes it does nothing."""

    desk: str
    ledger: Path
    outbox: Path
    first_seq: int
    routes: Routes
    plan: Plan
    wall: Clock
    again_first_s: float = AGAIN_FIRST_S
    started: asyncio.Event = field(default_factory=asyncio.Event)  # a worker has been up
    _process: asyncio.subprocess.Process | None = None
    _has_routes: asyncio.Event = field(default_factory=asyncio.Event)
    _is_nudged: bool = False
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _posting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_open(self) -> bool:
        """Tell whether there is any route."""
        return bool(self.routes.addresses)

    async def run(self) -> None:
        """Keep a worker from when there is a route until the office is closed."""
        wait_s = self.again_first_s
        if self.is_open:
            self._has_routes.set()
        await self._has_routes.wait()
        while not self._ending.is_set():
            began = self.wall.monotonic()
            code = await self._work()
            if self._ending.is_set():
                return
            wait_s = self.again_first_s if self.wall.monotonic() - began > AGAIN_MAX_S else wait_s
            log.warning("notification_worker_ended", code=code, again_in_s=wait_s, consequence="what is due waits")
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, AGAIN_MAX_S)

    async def _work(self) -> int | None:
        """Have one worker until it ends; return how."""
        command = (sys.executable, "-m", "deskd.alerts.worker", str(self.ledger), str(self.outbox))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command,
            str(self.first_seq),
            self.desk,
            str(os.getpid()),
            stdin=pipe,
            stdout=pipe,
            start_new_session=True,
        )
        try:
            self._process = process
            self.started.set()
            self._say(Told(plan=self.plan, addresses=dict(self.routes.addresses)))
            assert process.stdout is not None
            async for text in process.stdout:
                self._log(text)
            await process.wait()
        finally:
            self._process = None
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return process.returncode

    def on_fact(self, fact: Fact) -> None:
        """Have the worker look, where the fact may be told."""
        if type(fact).__name__ in KINDS:
            self.nudge()

    def nudge(self) -> None:
        """Have the worker look soon; several wishes are one look."""
        if self._process is not None and not self._is_nudged:
            self._is_nudged = True
            asyncio.get_running_loop().call_later(NUDGE_S, self._look)

    def wish(self, strategy: StrategyId, wishes: Wishes) -> None:
        """Let the strategy's member hear what they wish from now on."""
        if self.plan.wishes.get(strategy) != wishes:
            self.plan = replace(self.plan, wishes={**self.plan.wishes, strategy: wishes})
            self._say(Told(plan=self.plan))

    def take(self, routes: Routes, plan: Plan) -> None:
        """Go by other routes from the next message on; members keep their wishes."""
        self.routes, self.plan = routes, replace(plan, wishes=self.plan.wishes)
        self._say(Told(plan=self.plan, addresses=dict(routes.addresses)))
        if self.is_open:
            self._has_routes.set()

    async def post(self, said: Notification) -> None:
        """Keep a notification that no fact tells; return when it is on disk, and will be sent."""
        if self.is_open:
            async with self._posting:
                await asyncio.to_thread(self._keep, said)
            self.nudge()

    async def figures(self) -> Mapping[str, int] | None:
        """Return how many notifications are in which status; None where there is no route, or nobody can tell now."""
        return await asyncio.to_thread(self._counted) if self.is_open else None

    async def close(self) -> None:
        """Let the worker send what is due, and end; return within END_S."""
        self._ending.set()
        process = self._process
        if process is None:
            return
        self._say(Told(is_stop=True))
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            log.warning(
                "notification_worker_killed", after_s=END_S, consequence="what is due is sent at the next start"
            )
            with suppress(ProcessLookupError):
                process.kill()

    def _counted(self) -> Mapping[str, int] | None:
        try:
            with opened(self.outbox) as outbox:
                return outbox.count()
        except sqlite3.Error:  # a full disk is told by others
            return None

    def _keep(self, said: Notification) -> None:
        try:
            with opened(self.outbox) as outbox:
                outbox.add([said], self.plan, self.wall.now())
        except sqlite3.Error as error:
            log.error("notification_not_kept", title=said.title, error=str(error))  # noqa: TRY400  no bug of ours

    def _look(self) -> None:
        self._is_nudged = False
        self._say(Told())

    def _say(self, words: Told) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(line(words))  # some bytes at most every NUDGE_S; the worker reads at once

    @staticmethod
    def _log(text: bytes) -> None:
        words = heard(text)
        if words.is_well:
            log.info("notification_route_well", route=words.route)
            return
        keys = {"route": words.route, "problem": words.problem, "failures": words.failures}
        if words.dead:
            remedy = "mend the route, then: deskctl notify retry"
            log.error("notifications_dead", **keys, dead=words.dead, remedy=remedy)
        else:
            log.warning("notification_route_failed", **keys, next_at=str(words.next_at))
