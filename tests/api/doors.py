"""A door with next to nothing behind it, for tests of what it lets in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deskd.api.connection import Bounds
from deskd.api.door import Door, listen_unix
from deskd.api.rate import TokenBucket
from deskd.api.request import Answer, BadRequest, Request
from deskd.ports import SystemClock

type Asked = list[Request]


@asynccontextmanager
async def a_door(
    directory: Path, *, body: bytes = b"hello", asked: Asked | None = None, cuts: list[str] | None = None, **bounds: Any
) -> AsyncIterator[Path]:
    """Open a door that answers every request with *body*, `/wait` never, and has a mistake in `/crash`."""
    limits: dict[str, Any] = {"connections_max": 4, "body_max": 100}

    async def answer(request: Request) -> Answer:
        if asked is not None:
            asked.append(request)
        if request.path == ("crash",):
            raise AssertionError(request.path)
        if request.path == ("wait",):
            await asyncio.Event().wait()
        return Answer(status=200, body=body, content_type="text/plain")

    def refuse(bad: BadRequest) -> Answer:
        return Answer(status=bad.status, body=bad.message.encode(), content_type="text/plain")

    path = directory / "order.sock"
    accepts = TokenBucket(1000, SystemClock())
    listener = listen_unix(path, None)
    door = Door(
        listener,
        Bounds(**limits | bounds),
        accepts,
        admit=lambda _: None,
        answer=answer,
        refuse=refuse,
        cut=(cuts if cuts is not None else []).append,
    )
    async with asyncio.TaskGroup() as tasks:
        door.start(tasks, "test")
        try:
            yield path
        finally:
            await door.close()
