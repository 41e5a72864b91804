"""What a person asks of a running desk, as deskctl asks it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from deskd.cli.client import Answer, Desk, NotDone
from tests.control.a_running_desk import RunningDesk


async def look(desk: RunningDesk, what: str, **query: str) -> dict[str, Any]:
    return await asyncio.to_thread(Desk(desk.socket).look, what, query)


async def command(desk: RunningDesk, what: str, **arguments: object) -> Answer:
    return await asyncio.to_thread(Desk(desk.socket).command, what, arguments)


async def refused(call: Callable[[], object]) -> str:
    with pytest.raises(NotDone) as caught:
        await asyncio.to_thread(call)
    return str(caught.value)
