"""The control socket: runtime_dir/control.sock, HTTP and JSON. `deskctl` is its client.

Rule 1: the uid of the caller is the identity (SO_PEERCRED). Officers may do all; members see and manage what is theirs.
Rule 2: every command is a fact in the ledger before it is carried out.
Rule 3: a command speaks for every name it was given: one that fails does not keep the others from being tried.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from aiohttp import web

from deskd.control import people
from deskd.control.asking import CALLER, AddRoutes, Refused, body_of
from deskd.control.listen import SOCKET_NAME, listening
from deskd.control.looking import LookRoutes
from deskd.control.meant import Json, Meant, answer_of
from deskd.control.names import NoSuchName
from deskd.control.order_commands import OrderCommands
from deskd.control.people import Caller
from deskd.control.reconciling import CannotResolve, Reconciling
from deskd.control.strategy_commands import StrategyCommands
from deskd.core.stages import Stages
from deskd.domain.errors import ConfigError, LedgerError
from deskd.domain.events import CommandGiven
from deskd.domain.ids import StrategyId
from deskd.ledger.queries import LedgerReader
from deskd.ports import Clock, Orders, Runs

BODY_MAX = 65_536  # a command with a thousand names

log = structlog.get_logger()

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
        meant = Meant(self.orders, self.runs)
        look = LookRoutes(
            orders=self.orders,
            runs=self.runs,
            reader=self.reader,
            status=self.status,
            stages=self.stages,
            meant=meant,
            followers=self._followers,
        )
        look.add_to(app)
        StrategyCommands(runs=self.runs, meant=meant, record=self._record).add_to(app)
        OrderCommands(orders=self.orders, meant=meant, record=self._record).add_to(app)
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
            return answer_of({"error": "the caller is gone"}, status=403)
        request[CALLER] = caller
        try:
            return await handler(request)
        except Refused as refused:
            log.info("command_refused", by=caller.name, path=request.path, why=str(refused))
            return answer_of({"error": str(refused)}, status=refused.status)
        except NoSuchName as error:
            return answer_of({"error": str(error)}, status=404)
        except LedgerError as error:
            return answer_of({"error": str(error)}, status=503)
        except web.HTTPException as error:
            text = "the running desk does not know this command: is it older than this deskctl? Restart it"
            return answer_of({"error": text if error.status in {404, 405} else error.reason}, status=error.status)

    async def _caller(self, request: web.Request) -> Caller | None:
        connection = None if request.transport is None else request.transport.get_extra_info("socket")
        if connection is None or connection.fileno() < 0:
            return None
        uid = people.peer_of(connection.fileno())
        return await asyncio.to_thread(self.who_is, uid)

    # --- what officers alone may ------------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.StreamResponse:
        caller, body = request[CALLER], await body_of(request)
        typed = body.get("name")
        if not isinstance(typed, str):
            raise Refused(400, "a token for which strategy? Give its name")
        if not caller.is_officer:  # a token outlives whatever its bearer was trusted with: there is no taking back one
            raise Refused(403, f"tokens are given out by officers: {caller.name} is none")
        name = Meant(self.orders, self.runs).named(typed).strategy_id
        try:
            token = self.issue(name)
        except ConfigError as error:
            raise Refused(422, str(error)) from None
        await self._record(request, "token", name)
        return answer_of({"strategy_id": name, "token": token})

    async def _reconcile(self, request: web.Request) -> web.StreamResponse:
        body, caller = await body_of(request), request[CALLER]
        if not caller.is_officer:
            raise Refused(403, f"the account is every member's: {caller.name} is no officer, and may not reconcile it")
        try:
            resolution = self.reconciling.asked(body, caller.name)
        except CannotResolve as error:
            raise Refused(422, str(error)) from None
        await self._record(request, "reconcile", " ".join(f"{key}={value}" for key, value in sorted(body.items())))
        return answer_of(await self.reconciling.answer(resolution, caller.name))

    async def _record(self, request: web.Request, command: str, arguments: str) -> None:
        caller = request[CALLER]
        by = f"{caller.name} (uid {caller.uid})"
        await self.post(CommandGiven(by=by, command=command, arguments=arguments, at=self.wall.now()))
        log.info("command_given", by=by, command=command, arguments=arguments)
