"""What people look at: the desk, strategies, orders, fills, runs, outages, accounts, logs."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from deskd.control import logs, outages, runs, views
from deskd.control.asking import CALLER, Refused, count
from deskd.control.meant import Found, Json, Meant, answer_of, may_manage, must_manage
from deskd.core.stages import Stages
from deskd.domain.ids import HOUSE
from deskd.domain.strategy import BrokenStrategy
from deskd.ledger.queries import LedgerReader
from deskd.ports import Orders, Runs

ROWS_MAX = 1_000  # of one answer: under 5 ms to gather
ROWS_DEFAULT = 100
LINES_DEFAULT = 100
FOLLOWERS_MAX = 32  # `logs -f` at a time, each a file and an inotify descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class LookRoutes:
    """Answers every GET that needs no file of its own."""

    orders: Orders
    runs: Runs
    reader: LedgerReader
    status: Callable[[], Json]  # the desk's own state
    stages: Stages
    meant: Meant
    followers: set[asyncio.Task[object]]  # of logs: the door cancels them when it closes

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        app.router.add_get("/status", self._status)
        app.router.add_get("/logs/{name}", self._logs)
        app.router.add_get("/orders", self._orders)
        app.router.add_get("/fills", self._fills)
        app.router.add_get("/runs", self._runs)
        app.router.add_get("/positions", self._positions)
        app.router.add_get("/outages", self._outages)
        app.router.add_get("/account", self._account)

    async def _status(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        typed = request.query.get("strategy")
        wanted = self.runs.strategies() if typed is None else [self.meant.named(typed)]
        rows = [(views.strategy(found, self.runs, self.orders), found) for found in wanted]
        for row, found in rows:
            row["stage"] = self.stages.of(found.strategy_id).value
        await runs.with_last_ends([row for row, _ in rows], self.reader)
        strategies = [row if may_manage(caller, found) else views.for_others(row) for row, found in rows]
        desk = views.plain_values(self.status())
        return answer_of({"desk": desk if caller.is_officer else views.for_members(desk), "strategies": strategies})

    async def _orders(self, request: web.Request) -> web.StreamResponse:
        return await self._rows(request, "orders")

    async def _fills(self, request: web.Request) -> web.StreamResponse:
        return await self._rows(request, "fills")

    async def _runs(self, request: web.Request) -> web.StreamResponse:
        limit = count(request, "limit", ROWS_DEFAULT, ROWS_MAX)
        rows = [
            row
            for name in self.meant.wanted(request)
            for row in await self.reader.latest("runs", strategy_id=name, limit=limit)
        ]
        text = await asyncio.to_thread(lambda: json.dumps({"runs": [runs.view(row) for row in rows]}))
        return web.Response(text=text, content_type="application/json")

    async def _rows(self, request: web.Request, table: str) -> web.StreamResponse:
        limit = count(request, "limit", ROWS_DEFAULT, ROWS_MAX)
        rows: list[Json] = []
        for name in self.meant.wanted(request):
            if table == "orders" and request.query.get("open"):
                rows += [views.order(o) for o in self.orders.orders(name, is_open=True)][-limit:]
            else:
                rows += await self.reader.latest(table, strategy_id=name, limit=limit)
        text = await asyncio.to_thread(json.dumps, {table: rows})
        return web.Response(text=text, content_type="application/json")

    async def _outages(self, request: web.Request) -> web.StreamResponse:
        caller = request[CALLER]
        rows = await self.reader.latest("outages", limit=count(request, "limit", ROWS_DEFAULT, ROWS_MAX))
        mine = {found.strategy_id for found in self.runs.strategies() if may_manage(caller, found)}

        def text() -> str:
            return json.dumps(
                {"outages": [outages.view(row, lambda name: caller.is_officer or name in mine) for row in rows]}
            )

        return web.Response(text=await asyncio.to_thread(text), content_type="application/json")

    async def _positions(self, request: web.Request) -> web.StreamResponse:
        found = [p for name in self.meant.wanted(request) for p in self.orders.positions(name)]
        return answer_of({"positions": [views.position(p) for p in found]})

    async def _account(self, request: web.Request) -> web.StreamResponse:
        wanted = self.meant.wanted(request)
        if wanted == [None]:
            wanted = [HOUSE, *(found.strategy_id for found in self.runs.strategies())]
        accounts = [self.orders.account(name) for name in wanted if name is not None]
        return answer_of({"accounts": [views.account(a) for a in accounts if a is not None]})

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        found = self.meant.named(request.match_info["name"])
        must_manage(request, found)
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
        if len(self.followers) >= FOLLOWERS_MAX:
            await response.write(f"deskd: {FOLLOWERS_MAX} readers follow logs already: end one of them\n".encode())
            return
        reader = asyncio.current_task()
        assert reader is not None
        self.followers.add(reader)  # canceled when the reader leaves or the desk stops
        try:
            async for chunk in logs.follow(path, offset):
                await response.write(chunk.encode())
        finally:
            self.followers.discard(reader)


def _never_ran(found: Found) -> str:
    name = found.strategy_id
    if isinstance(found, BrokenStrategy):
        return f"{name} has no log: it cannot run. {found.problem}"
    return f"{name} has no log yet: it never ran; start it with: deskctl start {name}"
