"""Start, stop, restart: on record first, each name for itself."""

import asyncio
import json
from pathlib import Path

from deskd.domain.run import RunStatus
from tests.control.a_running_desk import WRECK, a_running_desk
from tests.control.questions import command
from tests.factories import ALICE, BOB


async def test_a_command_is_recorded_before_it_is_carried_out(tmp_path: Path) -> None:
    """Who commanded what, and when, stands in the ledger even when the command never ends."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.may_stop = asyncio.Event()
        stopping = asyncio.create_task(command(desk, "/stop", names=["alice"]))  # noqa: TID251  the test's own client
        await desk.runs.stopping.wait()
        assert [(c.by, c.command, c.arguments) for c in desk.commands] == [("ada (uid 0)", "stop", "alice")]
        assert desk.runs.status(ALICE) is RunStatus.RUNNING
        desk.runs.may_stop.set()
        answer = await stopping
    assert answer.body == {"strategies": [{"strategy_id": "alice", "status": "stopped", "problem": None}]}


async def test_a_command_goes_on_when_who_gave_it_leaves(tmp_path: Path) -> None:
    """Ctrl-C at a `deskctl stop` does not leave a strategy half stopped."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.may_stop = asyncio.Event()
        body = json.dumps({"names": ["alice"]}).encode()
        reader, writer = await asyncio.open_unix_connection(desk.socket)
        writer.write(b"POST /stop HTTP/1.0\r\nHost: desk\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await desk.runs.stopping.wait()
        writer.close()
        await writer.wait_closed()
        assert reader is not None
        desk.runs.may_stop.set()
    assert desk.runs.status(ALICE) is RunStatus.STOPPED


async def test_all_means_what_makes_sense(tmp_path: Path) -> None:
    """Start and stop: every enabled one; restart: every running one. Broken ones stand in nobody's way.

    Stop means those too that rest just now: they would start again with the desk.
    """
    async with a_running_desk(tmp_path) as desk:
        started = await command(desk, "/start", all=True)
        assert [row["strategy_id"] for row in started.body["strategies"]] == ["alice", "bob"]
        assert started.is_done
        desk.runs.running = {BOB}
        stopped = await command(desk, "/stop", all=True)
        assert [(row["strategy_id"], row["status"]) for row in stopped.body["strategies"]] == [
            ("alice", "stopped"),
            ("bob", "stopped"),
        ]
        assert [c.arguments for c in desk.commands] == ["--all", "--all"]


async def test_one_that_cannot_be_done_keeps_no_other_from_being_done(tmp_path: Path) -> None:
    """A broken strategy among the names is told, and the rest is carried out."""
    async with a_running_desk(tmp_path) as desk:
        answer = await command(desk, "/start", names=["wre", "bob"])
        assert not answer.is_done
        assert {row["strategy_id"]: row["problem"] for row in answer.body["strategies"]} == {
            WRECK: "strategy.py: line 1: bad syntax",
            BOB: None,
        }
        assert BOB in desk.runs.running


async def test_the_worlds_failures_are_told_with_their_remedy(tmp_path: Path) -> None:
    """A start that the machine does not allow says so in the supervisor's words."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.has_jails = False
        answer = await command(desk, "/restart", names=["alice"])
        (row,) = answer.body["strategies"]
        assert row == {
            "strategy_id": "alice",
            "status": "stopped",
            "problem": "no namespaces here: run the desk as root",
        }
