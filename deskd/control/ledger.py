"""What officers command of the running desk's ledger: sign it now, copy it now. Looking at it needs no desk."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from deskd.control.asking import CALLER, Refused, body_of
from deskd.domain.events import CommandGiven, RootSigned
from deskd.ledger.backup import backup, identity_of
from deskd.ports import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRoutes:
    """Answers /sign and /backup; each is a fact before it is carried out."""

    db: Path
    wall: Clock
    post: Callable[[CommandGiven], Awaitable[None]]
    sign: Callable[[], Awaitable[RootSigned | None]]

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the control socket's."""
        app.router.add_post("/sign", self._sign)
        app.router.add_post("/backup", self._backup)

    async def _sign(self, request: web.Request) -> web.StreamResponse:
        await self._record(request, "audit sign", "")
        root = await self.sign()
        shown = (
            None if root is None else {"market_day": root.market_day.isoformat(), "seq": root.seq, "root": root.root}
        )
        return web.json_response({"root": shown})

    async def _backup(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request)
        file = body.get("file")
        if not isinstance(file, str) or not file.startswith("/") or "\0" in file:
            raise Refused(400, "a backup into which file? Give its whole path")
        await self._record(request, "backup", file)
        seen = await asyncio.to_thread(identity_of, Path(file).parent)
        if None not in (meant := body.get("folder"), seen) and meant != seen:  # it would be gone with the unit's own
            raise Refused(
                409,
                f"{file}: {Path(file).parent} is another folder to the desk than to you (its unit has a /tmp of its own): "
                "name a folder elsewhere, or have root copy it: sudo deskctl backup FILE",
            )
        head = await asyncio.to_thread(backup, self.db, Path(file))
        log.info("ledger_backed_up", file=file, facts=head.seq, last_hash=head.hash)
        return web.json_response({"file": file, "facts": head.seq, "last_hash": head.hash})

    async def _record(self, request: web.Request, command: str, arguments: str) -> None:
        caller = request[CALLER]
        if not caller.is_officer:
            raise Refused(403, f"the ledger is kept by officers: {caller.name} is none")
        by = f"{caller.name} (uid {caller.uid})"
        await self.post(CommandGiven(by=by, command=command, arguments=arguments, at=self.wall.now()))
        log.info("command_given", by=by, command=command, arguments=arguments)
