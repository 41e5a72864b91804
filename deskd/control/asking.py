"""What the routes of the control socket share: who asks, how a refusal travels, how bodies and numbers are read."""

from collections.abc import Callable, Mapping

import msgspec
from aiohttp import ClientError, web

from deskd.control.people import OFFICERS_GROUP, Caller

type AddRoutes = Callable[[web.Application], None]

CALLER = web.RequestKey("caller", Caller)


class Refused(Exception):
    """A refusal, on its way to the one place that answers it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def not_yours(caller: Caller, thing: str) -> str:
    """Return why *caller* may neither see nor command it."""
    return (
        f"{thing} is not yours: {caller.name} is neither its member nor an officer "
        f"(an officer is root, the desk's own user, or in the group {OFFICERS_GROUP})"
    )


def count(request: web.Request, name: str, default: int, most: int) -> int:
    """Return ?NAME= as a whole number from 0 to *most*, or *default*; refuse all else."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 6 or not int(text) <= most:
        raise Refused(400, f"{name}={text!r}: allowed: a whole number from 0 to {most}")
    return int(text)


async def body_of(request: web.Request) -> Mapping[str, object]:
    r"""Return the command's arguments; whatever else came, or did not, is refused.

    No string of it is more than UTF-8 can say (`"\ud800"`): what a command is told goes into the ledger.
    """
    try:
        body = msgspec.json.decode(await request.read())
    except (ValueError, RecursionError, OSError, ClientError, web.RequestPayloadError):
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "the command's body is not a JSON object in UTF-8")
    return body
