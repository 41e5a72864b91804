"""The control socket: runtime_dir/control.sock, HTTP and JSON. `deskctl` is its client.

Rule 1: the uid of the caller is the identity (SO_PEERCRED). Officers may do all; members see and manage what is theirs.
Rule 2: every command is a fact in the ledger before it is carried out.
Rule 3: a command speaks for every name it was given: one that fails does not keep the others from being tried.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from aiohttp import web

from deskd.control import logs, outages, people, replacements, runs, views
from deskd.control.asking import CALLER, AddRoutes, Refused, body_of, count, not_yours
from deskd.control.listen import SOCKET_NAME, listening
from deskd.control.names import NoSuchName, the_one
from deskd.control.people import Caller
from deskd.control.reconciling import CannotResolve, Reconciling
from deskd.core.stages import Stages
from deskd.domain.effects import Refuse
from deskd.domain.errors import ConfigError, LedgerError, SandboxUnavailable
from deskd.domain.events import CommandGiven
from deskd.domain.ids import HOUSE, ClientOrderId, StrategyId
from deskd.domain.order import Order, OrderStatus
from deskd.domain.run import RunStatus
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.ledger.queries import LedgerReader
from deskd.ports import Clock, Orders, Runs

BODY_MAX = 65_536  # a command with a thousand names
ROWS_MAX = 1_000  # of one answer: under 5 ms to gather
ROWS_DEFAULT = 100
LINES_DEFAULT = 100
FOLLOWERS_MAX = 32  # `logs -f` at a time, each a file and an inotify descriptor
CANCELS_AT_ONCE = 32
REPLACE_WAIT_S = 10.0  # for the broker's answer; later it is in doubt, and shows in `deskctl orders`
ID_PREFIX_MIN = 4  # shorter beginnings of an order's id are typing errors
STOPPED = frozenset({RunStatus.STOPPED, RunStatus.FATAL})

log = structlog.get_logger()

type Found = StrategySpec | BrokenStrategy
type Json = Mapping[str, object]
type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True, kw_only=True)
class Control:
    """Answers what a person asks of the running desk."""

    orders: Orders
    runs: Runs
    reader: LedgerReader
    wall: Clock
    post: Callable[[CommandGiven], Awaitable[None]]
    status: Callable[[], Json]  # the desk's own state, for `deskctl status`
    issue: Callable[[StrategyId], str]  # a token for laptops; raises ConfigError where there are none
    reconciling: Reconciling
    stages: Stages
    who_is: Callable[[int], Caller] = people.look_up
    more: Sequence[AddRoutes] = ()  # what has a file of its own
    _commands: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    _followers: set[asyncio.Task[object]] = field(default_factory=set)

    @asynccontextmanager
    async def serve(self, runtime_dir: Path) -> AsyncIterator[Path]:
        """Answer on RUNTIME_DIR/control.sock until the context ends; raise ConfigError where a desk already does."""
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await runner.setup()
        assert runner.server is not None
        with listening(runtime_dir) as listener:
            server = await asyncio.get_running_loop().create_unix_server(runner.server, sock=listener)
            async with self._commands:
                try:
                    yield runtime_dir / SOCKET_NAME
                finally:
                    server.close()
                    for follower in self._followers:
                        follower.cancel()
                    await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX, middlewares=[self._answering])
        app.router.add_get("/status", self._status)
        app.router.add_get("/logs/{name}", self._logs)
        app.router.add_get("/orders", self._orders)
        app.router.add_get("/fills", self._fills)
        app.router.add_get("/runs", self._runs)
        app.router.add_get("/positions", self._positions)
        app.router.add_get("/outages", self._outages)
        app.router.add_get("/account", self._account)
        app.router.add_post("/start", self._start)
        app.router.add_post("/stop", self._stop)
        app.router.add_post("/restart", self._restart)
        app.router.add_post("/cancel", self._cancel)
        app.router.add_post("/replace", self._replace)
        app.router.add_post("/token", self._token)
        app.router.add_post("/reconcile", self._reconcile)
        for add_routes in self.more:
            add_routes(app)
        return app

    @web.middleware
    async def _answering(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "GET":
            return await self._answer(request, handler)
        # A command is carried out to its end, even when who gave it does not wait for the answer.
        command = self._commands.create_task(self._answer(request, handler), name=f"command {request.path}")
        return await asyncio.shield(command)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        caller = await self._caller(request)
        if caller is None:
            return _json({"error": "the caller is gone"}, status=403)
        request[CALLER] = caller
        try:
            return await handler(request)
        except Refused as refused:
            log.info("command_refused", by=caller.name, path=request.path, why=str(refused))
            return _json({"error": str(refused)}, status=refused.status)
        except NoSuchName as error:
            return _json({"error": str(error)}, status=404)
        except LedgerError as error:
            return _json({"error": str(error)}, status=503)
        except web.HTTPException as error:
            text = "the running desk does not know this command: is it older than this deskctl? Restart it"
            return _json({"error": text if error.status in {404, 405} else error.reason}, status=error.status)

    async def _caller(self, request: web.Request) -> Caller | None:
        connection = None if request.transport is None else request.transport.get_extra_info("socket")
        if connection is None or connection.fileno() < 0:
            return None
        uid = people.peer_of(connection.fileno())
        return await asyncio.to_thread(self.who_is, uid)

    # --- looking ----------------------------------------------------------------------------------------------------

    async def _status(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        typed = request.query.get("strategy")
        wanted = self.runs.strategies() if typed is None else [self._named(typed)]
        rows = [(views.strategy(found, self.runs, self.orders), found) for found in wanted]
        for row, found in rows:
            row["stage"] = self.stages.of(found.strategy_id).value
        await runs.with_last_ends([row for row, _ in rows], self.reader)
        strategies = [row if _may_manage(caller, found) else views.for_others(row) for row, found in rows]
        desk = views.plain_values(self.status())
        return _json({"desk": desk if caller.is_officer else views.for_members(desk), "strategies": strategies})

    async def _orders(self, request: web.Request) -> web.StreamResponse:
        return await self._rows(request, "orders")

    async def _fills(self, request: web.Request) -> web.StreamResponse:
        return await self._rows(request, "fills")

    async def _runs(self, request: web.Request) -> web.StreamResponse:
        limit = count(request, "limit", ROWS_DEFAULT, ROWS_MAX)
        rows = [
            row
            for name in self._wanted(request)
            for row in await self.reader.latest("runs", strategy_id=name, limit=limit)
        ]
        text = await asyncio.to_thread(lambda: json.dumps({"runs": [runs.view(row) for row in rows]}))
        return web.Response(text=text, content_type="application/json")

    async def _rows(self, request: web.Request, table: str) -> web.StreamResponse:
        limit = count(request, "limit", ROWS_DEFAULT, ROWS_MAX)
        rows: list[Json] = []
        for name in self._wanted(request):
            if table == "orders" and request.query.get("open"):
                rows += [views.order(o) for o in self.orders.orders(name, is_open=True)][-limit:]
            else:
                rows += await self.reader.latest(table, strategy_id=name, limit=limit)
        text = await asyncio.to_thread(json.dumps, {table: rows})
        return web.Response(text=text, content_type="application/json")

    async def _outages(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        rows = await self.reader.latest("outages", limit=count(request, "limit", ROWS_DEFAULT, ROWS_MAX))
        mine = {found.strategy_id for found in self.runs.strategies() if _may_manage(caller, found)}

        def text() -> str:
            return json.dumps(
                {"outages": [outages.view(row, lambda name: caller.is_officer or name in mine) for row in rows]}
            )

        return web.Response(text=await asyncio.to_thread(text), content_type="application/json")

    async def _positions(self, request: web.Request) -> web.StreamResponse:
        found = [p for name in self._wanted(request) for p in self.orders.positions(name)]
        return _json({"positions": [views.position(p) for p in found]})

    async def _account(self, request: web.Request) -> web.StreamResponse:
        wanted = self._wanted(request)
        if wanted == [None]:
            wanted = [HOUSE, *(found.strategy_id for found in self.runs.strategies())]
        accounts = [self.orders.account(name) for name in wanted if name is not None]
        return _json({"accounts": [views.account(a) for a in accounts if a is not None]})

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        found = self._named(request.match_info["name"])
        _must_manage(request, found)
        lines = count(request, "tail", LINES_DEFAULT, logs.LINES_MAX)
        path = self.runs.log_path(found.strategy_id)
        if not (path.parent.is_dir() if request.query.get("follow") else path.exists()):
            raise Refused(404, _never_ran(found))
        last, offset = await asyncio.to_thread(logs.tail, path, lines)
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        await response.write(last.encode())
        if request.query.get("follow"):
            await self._follow(response, path, offset)
        return response

    async def _follow(self, response: web.StreamResponse, path: Path, offset: int) -> None:
        if len(self._followers) >= FOLLOWERS_MAX:
            await response.write(f"deskd: {FOLLOWERS_MAX} readers follow logs already: end one of them\n".encode())
            return
        reader = asyncio.current_task()
        assert reader is not None
        self._followers.add(reader)  # canceled when the reader leaves or the desk stops
        try:
            async for chunk in logs.follow(path, offset):
                await response.write(chunk.encode())
        finally:
            self._followers.discard(reader)

    # --- commanding -------------------------------------------------------------------------------------------------

    async def _start(self, request: web.Request) -> web.StreamResponse:
        await self.runs.reread()  # what came since is meant, too

        def is_meant(found: Found) -> bool:
            return isinstance(found, StrategySpec) and found.is_enabled

        return await self._command(request, "start", self._start_one, is_meant)

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        def is_meant(found: Found) -> bool:  # what rests just now as well: it would start again with the desk
            return isinstance(found, StrategySpec) and found.is_enabled

        return await self._command(request, "stop", self._stop_one, is_meant)

    async def _restart(self, request: web.Request) -> web.StreamResponse:
        await self.runs.reread()
        return await self._command(request, "restart", self._restart_one, self._is_up)

    def _is_up(self, found: Found) -> bool:
        return isinstance(found, StrategySpec) and self.runs.status(found.strategy_id) not in STOPPED

    async def _start_one(self, name: StrategyId) -> None:
        await self.runs.start(name)

    async def _stop_one(self, name: StrategyId) -> None:
        await self.runs.stop(name)

    async def _restart_one(self, name: StrategyId) -> None:
        await self.runs.restart(name)

    async def _command(
        self,
        request: web.Request,
        command: str,
        act: Callable[[StrategyId], Awaitable[None]],
        is_meant_by_all: Callable[[Found], bool],
    ) -> web.StreamResponse:
        body = await body_of(request)
        targets = self._targets(body, is_meant_by_all)
        if body.get("all"):
            _must_be_officer(request, "NAME...")
        for found in targets:
            _must_manage(request, found)
        arguments = "--all" if body.get("all") else " ".join(found.strategy_id for found in targets)
        await self._record(request, command, arguments)
        problems: dict[StrategyId, str] = {}

        async def act_on(name: StrategyId) -> None:
            try:
                await act(name)
            except (OSError, SandboxUnavailable, ConfigError) as error:
                problems[name] = str(error)

        async with asyncio.TaskGroup() as group:
            for found in targets:
                if isinstance(found, BrokenStrategy):
                    problems[found.strategy_id] = found.problem
                else:
                    group.create_task(act_on(found.strategy_id), name=f"{command} {found.strategy_id}")
        results = [
            {
                "strategy_id": found.strategy_id,
                "status": "broken" if isinstance(found, BrokenStrategy) else str(self.runs.status(found.strategy_id)),
                "problem": problems.get(found.strategy_id),
            }
            for found in targets
        ]
        return _json({"strategies": results}, status=422 if problems else 200)

    def _targets(self, body: Json, is_meant_by_all: Callable[[Found], bool]) -> list[Found]:
        names = body.get("names")
        if body.get("all"):
            return [found for found in self.runs.strategies() if is_meant_by_all(found)]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise Refused(400, "which strategies? Give their names, or --all")
        return list({(found := self._named(name)).strategy_id: found for name in names}.values())

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        body, caller = await body_of(request), request[CALLER]
        match body:
            case {"order": str(typed)}:
                order = self._order(typed)
                orders, arguments = [order], str(order.request.client_order_id)
            case {"strategy": str(typed)}:
                found = self._named(typed)
                _must_manage(request, found)
                name = found.strategy_id
                orders, arguments = list(self.orders.orders(name, is_open=True)), f"--strategy {name}"
            case {"all": True}:
                _must_be_officer(request, "--strategy NAME")
                orders, arguments = list(self.orders.orders(None, is_open=True)), "--all"
            case _:
                raise Refused(400, "which orders? Give an order's id, --strategy NAME, or --all")
        for order in orders:
            if not caller.may_manage(order.request.user_id):
                raise Refused(403, not_yours(caller, f"order {order.request.client_order_id}"))
        await self._record(request, "cancel", arguments)
        answers: dict[str, Order | Refuse] = {}
        room = asyncio.Semaphore(CANCELS_AT_ONCE)

        async def cancel(order: Order) -> None:
            oid = order.request.client_order_id
            async with room:
                answers[oid] = await self.orders.cancel(None, oid, by=caller.name)

        async with asyncio.TaskGroup() as group:
            for order in orders:
                group.create_task(cancel(order), name=f"cancel {order.request.client_order_id}")
        refused = [
            {"client_order_id": oid, "reason": str(a.reason), "message": a.message}
            for oid, a in answers.items()
            if isinstance(a, Refuse)
        ]
        shown = [views.order(a) for a in answers.values() if isinstance(a, Order)]
        return _json({"orders": shown, "refused": refused}, status=422 if refused else 200)

    async def _replace(self, request: web.Request) -> web.StreamResponse:
        body, caller = await body_of(request), request[CALLER]
        typed = body.get("order")
        if not isinstance(typed, str):
            raise Refused(400, "which order? Give its client_order_id or the broker's id")
        old = self._order(typed)
        if not caller.may_manage(old.request.user_id):
            raise Refused(403, not_yours(caller, f"order {old.request.client_order_id}"))
        try:
            wanted = replacements.read(body, old.request.client_order_id)
        except ValueError as error:
            raise Refused(400, str(error)) from None
        await self._record(request, "replace", replacements.arguments(wanted))
        oid = ClientOrderId(str(uuid.uuid4()))
        answer = await self.orders.replace(None, wanted, client_order_id=oid, by=caller.name, timeout_s=REPLACE_WAIT_S)
        if isinstance(answer, Refuse):
            refused = {
                "client_order_id": old.request.client_order_id,
                "reason": answer.reason,
                "message": answer.message,
            }
            return _json({"orders": [], "refused": [refused]}, status=422)
        is_done = answer.status not in {OrderStatus.DENIED, OrderStatus.REJECTED}
        return _json({"orders": [views.order(answer)], "refused": []}, status=200 if is_done else 422)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        caller, body = request[CALLER], await body_of(request)
        typed = body.get("name")
        if not isinstance(typed, str):
            raise Refused(400, "a token for which strategy? Give its name")
        if not caller.is_officer:  # a token outlives whatever its bearer was trusted with: there is no taking back one
            raise Refused(403, f"tokens are given out by officers: {caller.name} is none")
        name = self._named(typed).strategy_id
        try:
            token = self.issue(name)
        except ConfigError as error:
            raise Refused(422, str(error)) from None
        await self._record(request, "token", name)
        return _json({"strategy_id": name, "token": token})

    async def _reconcile(self, request: web.Request) -> web.StreamResponse:
        body, caller = await body_of(request), request[CALLER]
        if not caller.is_officer:
            raise Refused(403, f"the account is every member's: {caller.name} is no officer, and may not reconcile it")
        try:
            resolution = self.reconciling.asked(body, caller.name)
        except CannotResolve as error:
            raise Refused(422, str(error)) from None
        await self._record(request, "reconcile", " ".join(f"{key}={value}" for key, value in sorted(body.items())))
        return _json(await self.reconciling.answer(resolution, caller.name))

    async def _record(self, request: web.Request, command: str, arguments: str) -> None:
        caller = request[CALLER]
        by = f"{caller.name} (uid {caller.uid})"
        await self.post(CommandGiven(by=by, command=command, arguments=arguments, at=self.wall.now()))
        log.info("command_given", by=by, command=command, arguments=arguments)

    # --- what they mean ---------------------------------------------------------------------------------------------

    def _wanted(self, request: web.Request) -> list[StrategyId | None]:
        """Return the strategy that ?strategy= names; without it [None] (all) for officers, for members what is theirs."""
        caller, typed = request[CALLER], request.query.get("strategy")
        if typed == HOUSE and caller.is_officer:
            return [HOUSE]
        if typed is not None:
            found = self._named(typed)
            _must_manage(request, found)
            return [found.strategy_id]
        if caller.is_officer:
            return [None]
        return [found.strategy_id for found in self.runs.strategies() if _may_manage(caller, found)]

    def _named(self, typed: str) -> Found:
        by_name: dict[str, Found] = {found.strategy_id: found for found in self.runs.strategies()}
        return by_name[the_one("strategy", typed, by_name)]

    def _order(self, typed: str) -> Order:
        if order := self.orders.find(None, typed):
            return order
        ids: dict[str, Order] = {}
        if len(typed) >= ID_PREFIX_MIN:
            for order in self.orders.orders(None):
                ids |= {i: order for i in (order.request.client_order_id, order.broker_order_id) if i is not None}
        begun = {o.request.client_order_id: o for i, o in ids.items() if i.startswith(typed)}
        if len(begun) == 1:
            return next(iter(begun.values()))
        if begun:
            raise NoSuchName(f"order {typed!r} is ambiguous: {len(begun)} begin so; type more of it")
        raise NoSuchName(f"there is no order {typed!r}; `deskctl orders --open` lists what is open")


def _may_manage(caller: Caller, found: Found) -> bool:
    return caller.is_officer or (isinstance(found, StrategySpec) and caller.may_manage(found.user_id))


def _must_manage(request: web.Request, found: Found) -> None:
    caller = request[CALLER]
    if not _may_manage(caller, found):
        raise Refused(403, not_yours(caller, found.strategy_id))


def _must_be_officer(request: web.Request, instead: str) -> None:
    caller = request[CALLER]
    if not caller.is_officer:
        raise Refused(403, f"--all means every member's: {caller.name} is no officer; name what is yours: {instead}")


def _never_ran(found: Found) -> str:
    name = found.strategy_id
    if isinstance(found, BrokenStrategy):
        return f"{name} has no log: it cannot run. {found.problem}"
    return f"{name} has no log yet: it never ran; start it with: deskctl start {name}"


def _json(answer: Json, *, status: int = 200) -> web.Response:
    return web.json_response(answer, status=status)
