"""`POST /jail/test`: attack a jail of the desk's own now, and tell what every wall did."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from deskd.control.asking import CALLER, Refused, not_yours
from deskd.domain.errors import SandboxUnavailable
from deskd.domain.events import CommandGiven
from deskd.ports import Clock

type Test = Callable[[], Awaitable[Sequence[Mapping[str, str]]]]  # the rows; raises SandboxUnavailable

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class JailRoute:
    """Answers officers alone: a test takes a tenth of a second of a core, and some seconds in all."""

    test: Test
    wall: Clock
    post: Callable[[CommandGiven], Awaitable[None]]  # returns when it is on disk
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def add_to(self, app: web.Application) -> None:
        """Add the route to the control socket's."""
        app.router.add_post("/jail/test", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        if not caller.is_officer:
            raise Refused(403, not_yours(caller, "the test of jails"))
        by = f"{caller.name} (uid {caller.uid})"
        await self.post(CommandGiven(by=by, command="jail test", arguments="", at=self.wall.now()))
        log.info("command_given", by=by, command="jail test", arguments="")
        async with self._turn:
            try:
                return web.json_response({"probes": [dict(row) for row in await self.test()]})
            except SandboxUnavailable as error:
                raise Refused(503, str(error)) from error
