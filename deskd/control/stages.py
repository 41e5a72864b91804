"""Paused, shadow, active over the control socket: members stage what is theirs, officers all.

A pause is no kill: whoever may pause a strategy may resume it. What must not trade, an officer kills.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from deskd.control.asking import CALLER, Refused, body_of, not_yours
from deskd.control.names import the_one
from deskd.core.stages import Stages
from deskd.domain import events as ev
from deskd.domain.ids import StrategyId
from deskd.domain.stage import Stage
from deskd.domain.strategy import StrategySpec
from deskd.ports import Clock, Runs

RESUME = "resume"
VERBS = {"pause": Stage.PAUSED, "shadow": Stage.SHADOW, "activate": Stage.ACTIVE, RESUME: None}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRoutes:
    """Answers /pause, /shadow, /activate and /resume."""

    stages: Stages
    runs: Runs
    wall: Clock
    post: Callable[[ev.CommandGiven | ev.StageChanged], Awaitable[None]]  # returns when it is on disk

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        for verb in VERBS:
            app.router.add_post(f"/{verb}", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body, caller, verb = await body_of(request), request[CALLER], request.path[1:]
        names = self._meant(request, body.get("names"), is_all=bool(body.get("all")))
        by, at = f"{caller.name} (uid {caller.uid})", self.wall.now()
        arguments = "--all" if body.get("all") else " ".join(names)
        await self.post(ev.CommandGiven(by=by, command=verb, arguments=arguments, at=at))
        log.info("command_given", by=by, command=verb, arguments=arguments)
        rows = []
        for name in names:
            before = self.stages.of(name)
            stage = VERBS[verb] or self.stages.resumed(name)
            await self.post(ev.StageChanged(strategy_id=name, stage=stage, by=by, why=f"deskctl {verb}", at=at))
            rows.append({"strategy_id": name, "stage": stage.value, "before": before.value})
        return web.json_response({"strategies": rows})

    def _meant(self, request: web.Request, typed: object, *, is_all: bool) -> list[StrategyId]:
        caller, found = request[CALLER], {str(one.strategy_id): one for one in self.runs.strategies()}
        if is_all:
            if not caller.is_officer:
                text = f"--all means every member's: {caller.name} is no officer; name what is yours: NAME..."
                raise Refused(403, text)
            return [StrategyId(name) for name in found]
        if not isinstance(typed, list) or not typed or not all(isinstance(name, str) for name in typed):
            raise Refused(400, "which strategies? Give their names, or --all")
        names = list(dict.fromkeys(the_one("strategy", name, found) for name in typed))
        for name in names:
            one = found[name]
            if not (caller.is_officer or (isinstance(one, StrategySpec) and caller.may_manage(one.user_id))):
                raise Refused(403, not_yours(caller, name))
        return [StrategyId(name) for name in names]
