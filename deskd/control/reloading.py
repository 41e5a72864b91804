"""What officers command of the configuration: read it again. What it came to is answered, and on record."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from deskd.control.asking import CALLER, Refused, body_of

type Reload = Callable[[str, bool], Awaitable[Mapping[str, object]]]  # who asks, and whether only to look


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadRoute:
    """Answers /config/reload; whoever carries it out records it before it counts."""

    reload: Reload

    def add_to(self, app: web.Application) -> None:
        """Add the route to the control socket's."""
        app.router.add_post("/config/reload", self._reload)

    async def _reload(self, request: web.Request) -> web.StreamResponse:
        caller, body = request[CALLER], await body_of(request)
        if not caller.is_officer:
            raise Refused(403, f"the configuration is the officers': {caller.name} is none; ask one")
        answer = await self.reload(f"{caller.name} (uid {caller.uid})", body.get("dry_run") is True)
        return web.json_response(answer, status=200 if answer["good"] else 422)
