"""`GET /why/{order}`: one order's whole story, read from the ledger in a thread."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from deskd.control.asking import CALLER
from deskd.control.names import NoSuchName
from deskd.control.order_page import order_page
from deskd.control.people import Caller
from deskd.ledger.fact_reader import FactReader

READERS_MAX = 4  # pages at a time: each is a thread that reads


@dataclass(slots=True)
class WhyRoute:
    """Answers /why. Members see their own orders: another's is no order to them."""

    ledger: Path
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS_MAX))

    def add_to(self, app: web.Application) -> None:
        """Add the route to the control socket's."""
        app.router.add_get("/why/{order}", self.why)

    async def why(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page of the order."""
        async with self._room:
            text = await asyncio.to_thread(self._page, request.match_info["order"], request[CALLER])
        return web.Response(text=text, content_type="application/json")

    def _page(self, typed: str, caller: Caller) -> str:
        with FactReader(self.ledger) as history:
            try:
                page = order_page(history, typed, caller.may_manage)
            except LookupError as error:
                raise NoSuchName(str(error)) from None
        if not caller.is_officer:
            page["in_the_way"] = []  # who else trades is nobody's business
        return json.dumps(page)
