"""What officers ask of notifications: what became of them, send what is dead again, try routes, tell people something."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from deskd.alerts.outbox import DEAD, SENT, WAITING, WITHDRAWN, opened
from deskd.alerts.plan import Plan
from deskd.control.asking import CALLER, Refused, body_of, count
from deskd.control.people import Caller
from deskd.domain.events import CommandGiven, NoticeGiven
from deskd.domain.ids import StrategyId, UserId
from deskd.domain.notifications import Notification, Severity, Topic
from deskd.ports import Clock

ROWS_MAX = 1_000
IDS_MAX = 500
TITLE_MAX, TEXT_MAX = 120, 4_000  # characters: it goes into the ledger, and receivers cut what is longer
NO_ROUTES = (
    "there are no routes: set notify.routes_file in desk.toml and reload the desk; the unit's own file is"
    " /etc/deskd/notification_routes, and is read at a start: systemctl restart deskd"
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRoutes:
    """Answers /notifications; each command is a fact before it is carried out."""

    outbox: Path
    wall: Clock
    post: Callable[[CommandGiven | NoticeGiven], Awaitable[None]]
    tell: Callable[[Notification], Awaitable[None]]
    nudge: Callable[[], None]
    is_open: Callable[[], bool]  # there is any route
    plan: Callable[[], Plan]
    members: Callable[[], Mapping[StrategyId, UserId | None]]  # whose each strategy is; None: it is broken

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        app.router.add_get("/notifications", self._list)
        app.router.add_post("/notifications/retry", self._retry)
        app.router.add_post("/notifications/test", self._test)
        app.router.add_post("/notifications/send", self._send)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        caller, status = request[CALLER], request.query.get("status")
        if status not in {None, WAITING, SENT, DEAD, WITHDRAWN}:
            raise Refused(400, f"status={status!r}: allowed: {WAITING}, {SENT}, {DEAD}, {WITHDRAWN}")
        limit, keys = count(request, "limit", 100, ROWS_MAX), request.query.getall("key", None)
        rows = await asyncio.to_thread(self._rows, status, keys, limit) if self.is_open() else []
        mine = [row for row in rows if caller.is_officer or row["member"] == caller.name]
        return web.json_response({"notifications": mine, "has_routes": self.is_open(), "may_tell": caller.is_officer})

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
        """Send a test on every route of a topic or of a member; without either, on every route that anybody has."""
        body, plan = await body_of(request), self.plan()
        topic = None if body.get("topic") is None else _topic(body["topic"])
        member = None if body.get("member") is None else UserId(str(body["member"]))
        topics, members = tried(plan, topic, member)
        what = [*topics, *(f"member {one}" for one in members)]
        by = await self._command(request[CALLER], "notify test", " ".join(what))
        if member is not None and not members:
            known = ", ".join(sorted(plan.members)) or "nobody"
            raise Refused(
                404, f"member {member!r} has no route; who has one: {known}; write it under [members], beside [routes]"
            )
        if not what:
            raise Refused(409, "no topic names a route: write names of routes into [notify] of desk.toml")
        tests = [self._a_test(one, by) for one in topics]
        tests += [self._a_test(Topic.SYSTEM_ALERTS, by, who, only) for who, only in members.items()]
        await asyncio.to_thread(self._hurry)
        for said in tests:
            await self.tell(said)
        told = [{"topic": said.topic.value, "key": said.key} for said in tests]
        return web.json_response({**told[0], "tests": told})

    def _a_test(self, topic: Topic, by: str, member: UserId | None = None, only: Sequence[str] = ()) -> Notification:
        now = self.wall.now()
        whose = topic if member is None else f"{member}'s routes"
        return Notification(
            key=f"test:{topic if member is None else f'member {member}'}:{now.isoformat()}",
            topic=topic,
            severity=Severity.WARNING,
            title=f"Test of {whose}",
            text=f"{by} asked for it. Nothing is wrong, nothing is to do.",
            at=now,
            member=member,
            only=tuple(only),
        )

    async def _send(self, request: web.Request) -> web.StreamResponse:
        """Have an officer's words on record, and told; refuse what nobody would hear."""
        body = await body_of(request)
        topic, text, who = _topic(body.get("topic")), _words(body, "text", TEXT_MAX), body.get("strategy")
        title = _words(body, "title", TITLE_MAX) if body.get("title") else _first_line(text)
        severity = body.get("severity", Severity.INFO)
        if severity not in set(Severity):
            raise Refused(400, f"severity={severity!r}: there are {', '.join(Severity)}")
        member = None
        if who is not None:
            if who not in self.members():
                raise Refused(404, f"there is no strategy {who!r}: deskctl status lists them")
            member = self.members()[StrategyId(str(who))]
        routes = {*self.plan().topics.get(topic, ()), *(self.plan().members.get(member, ()) if member else ())}
        by = await self._command(request[CALLER], "notify send", f"{topic}: {title}")
        if not routes:
            key = f"notifications.{topic.replace('-', '_')}"
            raise Refused(409, f"nobody would hear of it: {topic} has no route; set {key} in desk.toml, and reload")
        await self.post(
            NoticeGiven(
                topic=topic,
                severity=Severity(str(severity)),
                title=title,
                text=text,
                by=by,
                at=self.wall.now(),
                strategy_id=None if who is None else StrategyId(str(who)),
            )
        )
        return web.json_response({"topic": topic.value, "title": title, "routes": sorted(routes)})

    async def _command(self, caller: Caller, command: str, arguments: str) -> str:
        if not caller.is_officer:
            raise Refused(403, f"notifications are kept by officers: {caller.name} is none")
        if not self.is_open():
            raise Refused(409, NO_ROUTES)
        by = f"{caller.name} (uid {caller.uid})"
        await self.post(CommandGiven(by=by, command=command, arguments=arguments, at=self.wall.now()))
        log.info("command_given", by=by, command=command, arguments=arguments)
        return by

    def _rows(self, status: str | None, keys: list[str] | None, limit: int) -> list[dict[str, object]]:
        with opened(self.outbox) as outbox:
            return outbox.rows(status=status, keys=keys, limit=limit)

    def _hurry(self) -> None:
        with opened(self.outbox) as outbox:
            outbox.hurry()

    def _again(self, ids: list[int] | None) -> int:
        with opened(self.outbox) as outbox:
            return outbox.retry(self.wall.now(), ids)


def covering(plan: Plan) -> list[Topic]:
    """Return topics that reach every route of officers, those first that reach more."""
    left, found = {route for routes in plan.topics.values() for route in routes}, []
    while left:
        best = max(plan.topics, key=lambda topic: len(left & set(plan.topics[topic])))
        found.append(best)
        left -= set(plan.topics[best])
    return found


def tried(
    plan: Plan, topic: Topic | None, member: UserId | None
) -> tuple[Sequence[Topic], Mapping[UserId, Sequence[str]]]:
    """Return by which topics, and on which members' routes, a test reaches what is asked for; nothing is: every route."""
    if topic is not None:
        return [topic], {}
    if member is not None:
        return [], {who: routes for who, routes in plan.members.items() if who == member and routes}
    topics = covering(plan)
    seen = {route for one in topics for route in plan.topics[one]}
    left: dict[UserId, Sequence[str]] = {}
    for who, routes in sorted(plan.members.items()):
        if mine := [route for route in dict.fromkeys(routes) if route not in seen]:
            left[who] = mine
            seen |= {*mine}
    return topics, left


def _topic(typed: object) -> Topic:
    if typed not in set(Topic):
        raise Refused(400, f"topic={typed!r}: there are {', '.join(Topic)}")
    return Topic(str(typed))


def _words(body: Mapping[str, object], name: str, most: int) -> str:
    words = body.get(name)
    if not isinstance(words, str) or not words.strip() or len(words) > most:
        raise Refused(400, f"{name}: from 1 to {most} characters")
    return words.strip()


def _first_line(text: str) -> str:
    line = text.splitlines()[0]
    return line if len(line) <= TITLE_MAX else f"{line[: TITLE_MAX - 1]}…"
