"""Every route of the control socket, and who may what: a route that nobody thought about fails here."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.control.a_running_desk import MEMBER, OFFICER, RunningDesk, a_running_desk

# Route: how it is asked about alice's, and about bob's. None: it is for officers alone, and asked as the second says.
type Ask = tuple[str, dict[str, Any] | None]
TABLE: dict[str, tuple[Ask | None, Ask]] = {
    "GET /logs/{name}": (("/logs/alice", None), ("/logs/bob", None)),
    "GET /orders": (("/orders?strategy=alice", None), ("/orders?strategy=bob", None)),
    "GET /fills": (("/fills?strategy=alice", None), ("/fills?strategy=bob", None)),
    "GET /runs": (("/runs?strategy=alice", None), ("/runs?strategy=bob", None)),
    "GET /positions": (("/positions?strategy=alice", None), ("/positions?strategy=bob", None)),
    "GET /account": (("/account?strategy=alice", None), ("/account?strategy=bob", None)),
    "GET /versions/{name}": (("/versions/alice", None), ("/versions/bob", None)),
    "GET /why/{order}": (("/why/alice-2", None), ("/why/bob-1", None)),
    "POST /start": (("/start", {"names": ["alice"]}), ("/start", {"names": ["bob"]})),
    "POST /stop": (("/stop", {"names": ["alice"]}), ("/stop", {"names": ["bob"]})),
    "POST /restart": (("/restart", {"names": ["alice"]}), ("/restart", {"names": ["bob"]})),
    "POST /pause": (("/pause", {"names": ["alice"]}), ("/pause", {"names": ["bob"]})),
    "POST /shadow": (("/shadow", {"names": ["alice"]}), ("/shadow", {"names": ["bob"]})),
    "POST /activate": (("/activate", {"names": ["alice"]}), ("/activate", {"names": ["bob"]})),
    "POST /resume": (("/resume", {"names": ["alice"]}), ("/resume", {"names": ["bob"]})),
    "POST /rollback": (("/rollback", {"name": "alice"}), ("/rollback", {"name": "bob"})),
    "POST /cancel": (("/cancel", {"strategy": "alice"}), ("/cancel", {"strategy": "bob"})),
    "POST /replace": (
        ("/replace", {"order": "alice-2", "limit_price": "80"}),
        ("/replace", {"order": "bob-1", "limit_price": "80"}),
    ),
    "POST /kill": (
        ("/kill", {"strategy": "alice", "reason": "test"}),
        ("/kill", {"strategy": "bob", "reason": "test"}),
    ),
    "POST /release": (None, ("/release", {"strategy": "alice", "reason": "test"})),
    "POST /token": (None, ("/token", {"name": "alice"})),
    "POST /reconcile": (None, ("/reconcile", {})),
    "POST /config/reload": (None, ("/config/reload", {})),
    "POST /build": (None, ("/build", {"name": "alice"})),
    "POST /jobs/run": (None, ("/jobs/run", {"name": "checks"})),
    "POST /notifications/retry": (None, ("/notifications/retry", {})),
    "POST /notifications/test": (None, ("/notifications/test", {"topic": "risk"})),
    "POST /notifications/send": (None, ("/notifications/send", {"topic": "risk", "text": "hear"})),
}
# Held by tests of their own, where the answer has another form.
ELSEWHERE = {
    "GET /status": "test_looking: of another's strategy a member sees that it is there",
    "GET /outages": "test_outages: whom it concerned",
    "GET /events": "test_events: what a member sees",
    "GET /instruments": "test_instruments: everybody may ask what the broker lists",
    "GET /jobs": "test_jobs: everybody sees the list",
    "GET /report": "test_jobs: a member reads his own report and no other",
    "GET /reports": "test_jobs: a member reads his own report and no other",
    "GET /notifications": "test_notifications: a member sees their own",
    "POST /deploy": "test_deploying: members deploy what is theirs to themselves",
    "POST /backup": "test_ledger: officers",
    "POST /jail/test": "test_jail: officers",
    "POST /sign": "test_ledger: officers",
}


async def status(desk: RunningDesk, method: str, ask: Ask) -> int:
    path, body = ask
    text = b"" if body is None else json.dumps(body).encode()
    reader, writer = await asyncio.open_unix_connection(desk.socket)
    head = f"{method} {path} HTTP/1.0\r\nHost: desk\r\nContent-Length: {len(text)}\r\n\r\n"
    writer.write(head.encode() + text)
    line = await reader.readline()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_every_route_stands_in_the_table(tmp_path: Path) -> None:
    """Whoever adds one says here who may use it."""
    async with a_running_desk(tmp_path) as desk:
        routes = desk.control._app().router.routes()
        asked = {f"{r.method} {r.resource.canonical}" for r in routes if r.resource is not None and r.method != "HEAD"}
    assert asked - TABLE.keys() - ELSEWHERE.keys() == set()


@pytest.mark.parametrize("route", TABLE)
async def test_members_see_and_manage_what_is_theirs_and_officers_all(tmp_path: Path, route: str) -> None:
    """Another's, and what is for officers, is refused with 403 and no fact; an officer is never refused so."""
    own, others = TABLE[route]
    method = route.split(maxsplit=1)[0]
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        assert await status(desk, method, others) in {403, 404}
        assert desk.commands == []
        if own is not None:
            assert await status(desk, method, own) != 403
    (tmp_path / "again").mkdir()
    async with a_running_desk(tmp_path / "again", caller=OFFICER) as desk:
        for ask in (own, others):
            assert ask is None or await status(desk, method, ask) != 403


# Asked of this desk they come to nothing; that they are on record is held where they come to something.
NOTHING_TO_DO_HERE = {
    "POST /release": "test_kill",
    "POST /notifications/retry": "test_notifications",
    "POST /notifications/test": "test_notifications",
    "POST /notifications/send": "test_notifications",
}


@pytest.mark.parametrize(
    "route", [route for route in TABLE if route.startswith("POST") and route not in NOTHING_TO_DO_HERE]
)
async def test_every_command_is_on_record_with_who_gave_it(tmp_path: Path, route: str) -> None:
    """Whoever asks next year what was done to the desk, and by whom, finds it in the ledger."""
    for number, ask in enumerate(TABLE[route]):
        if ask is not None:
            (tmp_path / str(number)).mkdir()
            async with a_running_desk(tmp_path / str(number), caller=OFFICER) as desk:
                await status(desk, "POST", ask)
                # A reload is recorded by who carries it out (app/reloading.py): what changed is a part of it.
                given = [command.by for command in desk.commands] or [by for by, _ in desk.reloads]
                assert given == ["ada (uid 0)"]


@pytest.mark.parametrize("route", NOTHING_TO_DO_HERE)
async def test_what_comes_to_nothing_is_no_command(tmp_path: Path, route: str) -> None:
    """What is refused for what it asks changes nothing, and leaves nothing on record."""
    _, ask = TABLE[route]
    async with a_running_desk(tmp_path, caller=OFFICER) as desk:
        assert await status(desk, "POST", ask) in {404, 409}
        assert desk.commands == []
