"""What both websockets do alike when they misbehave on purpose: black holes, and handshakes that are refused."""

import asyncio

from aiohttp import web

from deskd.venue.faults import StreamFaults


def open_way() -> asyncio.Event:
    """Return the switch of a black hole: set while bytes go through."""
    way = asyncio.Event()
    way.set()
    return way


def turn(way: asyncio.Event, *, is_open: bool) -> None:
    """Open or close the way."""
    if is_open:
        way.set()
    else:
        way.clear()


def switch_reading(transport: asyncio.Transport, *, is_on: bool) -> None:
    """Take bytes from the peer, or leave them in the kernel: then its pings have no answer, and nothing is closed."""
    if transport.is_closing():
        return
    if is_on:
        transport.resume_reading()
    else:
        transport.pause_reading()


def refused_handshake(wrong: StreamFaults) -> web.Response | None:
    """Return the refusal of this handshake, if it is to be refused: HTTP 429, as in a storm of connects."""
    if not wrong.refuses_handshake(asyncio.get_running_loop().time()):
        return None
    headers = {"Retry-After": str(wrong.retry_after_s)} if wrong.retry_after_s else None
    return web.json_response({"message": "too many requests."}, status=429, headers=headers)
