"""What Alpaca's trading API has and this exchange does not trade: options, and announcements of corporate actions.

Asking gets an empty list or a clear 404, so that a client library works whole; nothing is invented.
"""

from aiohttp import web

from deskd.exchange import errors
from deskd.venue.server import json_answer
from deskd.venue.trading_rest import refusal


def routes() -> list[web.RouteDef]:
    """Return the endpoints."""
    return [
        web.get("/v2/options/contracts", _no_contracts),
        web.get("/v2/options/contracts/{symbol}", _no_contract),
        web.post("/v2/positions/{symbol}/exercise", _no_exercise),
        web.get("/v2/corporate_actions/announcements", _no_announcements),
        web.get("/v2/corporate_actions/announcements/{id}", _no_announcement),
    ]


async def _no_contracts(_request: web.Request) -> web.Response:
    return json_answer({"option_contracts": [], "next_page_token": None})


async def _no_contract(request: web.Request) -> web.Response:
    return refusal(errors.not_found(f"option contract not found for {request.match_info['symbol']}"))


async def _no_exercise(_request: web.Request) -> web.Response:
    return refusal(errors.refused("no available position for the specified contract"))


async def _no_announcements(_request: web.Request) -> web.Response:
    return json_answer([])


async def _no_announcement(request: web.Request) -> web.Response:
    return refusal(errors.not_found(f"announcement not found for {request.match_info['id']}"))
