"""What officers ask of notifications: what became of them, send what is dead again, try a topic's routes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from deskd.alerts.outbox import DEAD, SENT, WAITING, WITHDRAWN, opened
from deskd.control.asking import CALLER, Refused, body_of, count
from deskd.control.people import Caller
from deskd.domain.events import CommandGiven
from deskd.domain.notifications import Notification, Severity, Topic
from deskd.ports import Clock

ROWS_MAX = 1_000
IDS_MAX = 500

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRoutes:
    """Answers /notifications; each command is a fact before it is carried out."""

    outbox: Path
    wall: Clock
    post: Callable[[CommandGiven], Awaitable[None]]
    tell: Callable[[Notification], Awaitable[None]]
    nudge: Callable[[], None]
    is_open: Callable[[], bool]  # there is any route

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        app.router.add_get("/notifications", self._list)
        app.router.add_post("/notifications/retry", self._retry)
        app.router.add_post("/notifications/test", self._test)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        caller, status = request[CALLER], request.query.get("status")
        if status not in {None, WAITING, SENT, DEAD, WITHDRAWN}:
            raise Refused(400, f"status={status!r}: allowed: {WAITING}, {SENT}, {DEAD}, {WITHDRAWN}")
        limit = count(request, "limit", 100, ROWS_MAX)
        rows = await asyncio.to_thread(self._rows, status, limit) if self.is_open() else []
        mine = [row for row in rows if caller.is_officer or row["member"] == caller.name]
        return web.json_response({"notifications": mine, "has_routes": self.is_open()})

    async def _retry(self, request: web.Request) -> web.StreamResponse:
        ids = (await body_of(request)).get("ids")
        if ids is not None and (
            not isinstance(ids, list) or len(ids) > IDS_MAX or not all(type(one) is int for one in ids)
        ):
            raise Refused(400, f"ids: a list of at most {IDS_MAX} numbers, as `deskctl notify list` shows them")
        await self._command(request[CALLER], "notify retry", "all" if ids is None else " ".join(map(str, ids)))
        number = await asyncio.to_thread(self._again, ids)
        self.nudge()
        return web.json_response({"again": number})

    async def _test(self, request: web.Request) -> web.StreamResponse:
        typed = (await body_of(request)).get("topic")
        if typed not in set(Topic):
            raise Refused(400, f"topic={typed!r}: there are {', '.join(Topic)}")
        topic, now = Topic(str(typed)), self.wall.now()
        by = await self._command(request[CALLER], "notify test", topic)
        said = Notification(
            key=f"test:{now.isoformat()}",
            topic=topic,
            severity=Severity.WARNING,
            title=f"Test of {topic}",
            text=f"{by} asked for it. Nothing is wrong, nothing is to do.",
            at=now,
        )
        await self.tell(said)
        return web.json_response({"key": said.key, "topic": topic.value})

    async def _command(self, caller: Caller, command: str, arguments: str) -> str:
        if not caller.is_officer:
            raise Refused(403, f"notifications are kept by officers: {caller.name} is none")
        if not self.is_open():
            raise Refused(409, "there are no routes: set notifications.routes_file in desk.toml and restart the desk")
        by = f"{caller.name} (uid {caller.uid})"
        await self.post(CommandGiven(by=by, command=command, arguments=arguments, at=self.wall.now()))
        log.info("command_given", by=by, command=command, arguments=arguments)
        return by

    def _rows(self, status: str | None, limit: int) -> list[dict[str, object]]:
        with opened(self.outbox) as outbox:
            return outbox.rows(status=status, limit=limit)

    def _again(self, ids: list[int] | None) -> int:
        with opened(self.outbox) as outbox:
            return outbox.retry(self.wall.now(), ids)
