"""The bounds of the desk itself, tried from a real jail at a real door; each is taken down once, and is named."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deskd.api.connection import Bounds
from deskd.api.endpoint import Api
from deskd.config import ApiSection
from deskd.ports import SystemClock
from deskd.supervision.door_test import DoorTest
from deskd.supervision.walls import DESK_PROBES, Row, Verdict, Wall
from tests.api.fakes import FakeOrders
from tests.supervision.test_self_test import a_self_test, missing, same

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

CONNECTIONS, BODY, REQUESTS = 4, 16_384, 20
ENDLESS = 10_000_000


async def rows_of(
    jail_root: Path, *, bounds: dict[str, Any] | None = None, rate: int = REQUESTS, **log: int
) -> Sequence[Row]:
    """Try the doors of an api with those bounds, and a log with those."""
    test = a_self_test(jail_root, same)
    held = Bounds(**{"connections_max": CONNECTIONS, "body_max": BODY, "read_s": 0.3, **(bounds or {})})
    try:
        async with asyncio.TaskGroup() as tasks:
            api = Api(FakeOrders(), SystemClock(), tasks, config=ApiSection(), requests_per_s=rate, bounds=held)
            door = DoorTest(
                jail=test,
                doors=api,
                clock=SystemClock(),
                connections_max=CONNECTIONS,
                requests_per_s=REQUESTS,
                half_a_request_s=2.0,
                **log,
            )
            return await door.run()
    finally:
        test.groups.close()


async def test_the_desks_own_bounds_hold(jail_root: Path) -> None:
    """Body, time, rate, connections and prints: each is run into, and nothing is left of the jail."""
    rows = await rows_of(jail_root)
    assert [row for row in rows if row.result is not Verdict.HOLDS] == []
    assert len(rows) == len(DESK_PROBES)
    assert not list((jail_root / "run").glob("self-test*"))


@pytest.mark.parametrize(
    ("wall", "taken_down"),
    [
        (Wall.DOOR, {"bounds": {"connections_max": 100}}),
        (Wall.DOOR, {"bounds": {"body_max": ENDLESS}}),
        (Wall.DOOR, {"bounds": {"read_s": 60.0}}),
        (Wall.DOOR, {"rate": ENDLESS}),
        (Wall.LOG, {"log_bytes_per_s": ENDLESS, "log_kept_bytes": ENDLESS}),
    ],
    ids=["connections", "bodies", "time", "requests", "prints"],
)
async def test_a_bound_that_is_gone_is_named(jail_root: Path, wall: Wall, taken_down: dict[str, Any]) -> None:
    """No other is blamed."""
    assert missing(await rows_of(jail_root, **taken_down)) == {wall}
