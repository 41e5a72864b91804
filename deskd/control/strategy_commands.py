"""Commands to strategies by name: start, stop, restart. One that fails does not keep the others from being tried."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from deskd.control.asking import Refused, body_of
from deskd.control.meant import Found, Json, Meant, Record, answer_of, must_be_officer, must_manage
from deskd.domain.errors import ConfigError, SandboxUnavailable
from deskd.domain.ids import StrategyId
from deskd.domain.run import RunStatus
from deskd.domain.strategy import BrokenStrategy, StrategySpec
from deskd.ports import Runs

STOPPED = frozenset({RunStatus.STOPPED, RunStatus.FATAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyCommands:
    """Answers /start, /stop and /restart."""

    runs: Runs
    meant: Meant
    record: Record

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        app.router.add_post("/start", self._start)
        app.router.add_post("/stop", self._stop)
        app.router.add_post("/restart", self._restart)

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
            must_be_officer(request, "NAME...")
        for found in targets:
            must_manage(request, found)
        arguments = "--all" if body.get("all") else " ".join(found.strategy_id for found in targets)
        await self.record(request, command, arguments)
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
        return answer_of({"strategies": results}, status=422 if problems else 200)

    def _targets(self, body: Json, is_meant_by_all: Callable[[Found], bool]) -> list[Found]:
        names = body.get("names")
        if body.get("all"):
            return [found for found in self.runs.strategies() if is_meant_by_all(found)]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise Refused(400, "which strategies? Give their names, or --all")
        return list({(found := self.meant.named(name)).strategy_id: found for name in names}.values())
