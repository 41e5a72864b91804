"""`GET /instruments?symbols=A,B`: which of them the broker lists, and trades. Everybody may ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from deskd.control.asking import Refused
from deskd.domain.ids import Symbol
from deskd.domain.market import Instrument

ASKED_MAX = 1_000  # at once: more than a strategy can name


@dataclass(frozen=True, slots=True)
class InstrumentRoute:
    """Answers from the list that the desk judges orders by."""

    listed: Callable[[], Mapping[Symbol, Instrument]]

    def add_to(self, app: web.Application) -> None:
        """Add the route to the control socket's."""
        app.router.add_get("/instruments", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = [Symbol(name) for name in request.query.get("symbols", "").split(",") if name]
        if not 0 < len(asked) <= ASKED_MAX:
            raise Refused(400, f"symbols={len(asked)}: name from 1 to {ASKED_MAX}, as in ?symbols=AAPL,SPY")
        listed = self.listed()
        if not listed:
            raise Refused(503, "the broker's list of what can be traded is not there yet: try again")
        unknown = [name for name in asked if name not in listed]
        closed = [name for name in asked if name in listed and not listed[name].is_tradable]
        return web.json_response({"unknown": unknown, "not_tradable": closed})
