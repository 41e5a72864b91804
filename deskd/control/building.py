"""What officers command of a strategy's own packages: build them now. A member causes no download."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from deskd.control.asking import CALLER, Refused, body_of
from deskd.control.names import the_one
from deskd.domain.events import CommandGiven
from deskd.domain.ids import StrategyId
from deskd.ports import Clock, Runs

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRoute:
    """Answers /build; it is a fact before it is carried out."""

    runs: Runs
    wall: Clock
    post: Callable[[CommandGiven], Awaitable[None]]
    build: Callable[[StrategyId], Awaitable[str]]  # says what was done; raises ValueError with the remedy

    def add_to(self, app: web.Application) -> None:
        """Add the route to the control socket's."""
        app.router.add_post("/build", self._build)

    async def _build(self, request: web.Request) -> web.StreamResponse:
        caller, typed = request[CALLER], (await body_of(request)).get("name")
        if not isinstance(typed, str):
            raise Refused(400, "whose packages? Give a strategy's name")
        if not caller.is_officer:
            raise Refused(403, f"packages are fetched by officers: {caller.name} is none; ask one for it")
        await self.runs.reread()  # a folder that came since is meant, too
        name = StrategyId(the_one("strategy", typed, [found.strategy_id for found in self.runs.strategies()]))
        by = f"{caller.name} (uid {caller.uid})"
        await self.post(CommandGiven(by=by, command="build", arguments=name, at=self.wall.now()))
        log.info("command_given", by=by, command="build", arguments=name)
        try:
            done = await self.build(name)
        except ValueError as problem:
            raise Refused(422, f"{name}: {problem}") from None
        log.info("packages_built", strategy_id=name, done=done)
        return web.json_response({"strategy_id": name, "done": done})
