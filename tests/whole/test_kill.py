"""Everything flat, now: while the broker refuses, and through a SIGKILL in the middle of it."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.whole.killed_desk import REFUSING, RESTING, a_busy_desk, at_the_broker
from tests.whole.sums import soon_add_up

STRATEGIES = 6


def kinds(state: Path) -> list[str]:
    with closing(sqlite3.connect(state / "desk.db")) as db:
        return [kind for (kind,) in db.execute("SELECT kind FROM risk_events ORDER BY id")]


async def test_one_command_leaves_nothing_open_and_nothing_held(tmp_path: Path) -> None:
    """Every refusal is asked again; then no order passes until an officer says so."""
    async with a_busy_desk(tmp_path, STRATEGIES) as (exchange, desk):
        assert await at_the_broker(exchange) == (STRATEGIES * RESTING, 1)
        await exchange.misbehave(REFUSING)
        assert await desk.ctl("kill", "--flatten", "--reason", "the proof") == 0
        await desk.hears("flatten_completed")
        assert await at_the_broker(exchange) == (0, 0)
        await desk.hears("trading_suspended", holds=lambda line: line["is_suspended"] is True)
        await soon_add_up(desk.state)
        told = kinds(desk.state)
        assert (told[0], told[-2:]) == ("kill_engaged", ["flatten_completed", "trading_suspended"])
        assert await desk.ctl("release", "--reason", "the proof is over") == 0
        await desk.hears("kill_released")
        await desk.hears("trading_suspended", holds=lambda line: line["is_suspended"] is False)


async def test_a_desk_that_dies_while_it_closes_goes_on_closing(tmp_path: Path) -> None:
    """SIGKILL in the middle: the kill is in force at the next start, nobody pulls it again, and all is flat."""
    async with a_busy_desk(tmp_path, STRATEGIES) as (exchange, desk):
        await exchange.misbehave(REFUSING)
        assert await desk.ctl("kill", "--flatten", "--reason", "the proof") == 0
        await desk.hears("order_canceled", 3)
        await desk.end(signal.SIGKILL)
        assert "flatten_completed" not in kinds(desk.state)
        await desk.start(ready=False)
        await desk.hears("flatten_completed")
        assert await at_the_broker(exchange) == (0, 0)
        await soon_add_up(desk.state)
        with closing(sqlite3.connect(desk.state / "desk.db")) as db:
            sent = [
                json.loads(body)["request"]
                for (body,) in db.execute("SELECT body FROM facts WHERE kind = 'OrderApproved'")
            ]
        closings = [request["client_order_id"] for request in sent if request.get("for_kill")]
        assert len(closings) == len(set(closings)) >= STRATEGIES


async def test_a_file_and_a_signal_stop_a_running_desk(tmp_path: Path) -> None:
    """Without the control socket: open orders go, positions stay."""
    async with a_busy_desk(tmp_path, 2) as (exchange, desk):
        assert desk.process is not None
        desk.process.send_signal(signal.SIGUSR1)
        await desk.hears("kill_engaged", holds=lambda line: line["cause"] == "signal")
        await desk.hears("order_canceled", 2 * RESTING)
        assert await at_the_broker(exchange) == (0, 1)
        assert await desk.ctl("release", "--reason", "seen") == 0
        (desk.state / "KILL").write_text("fire")
        await desk.hears("kill_engaged", holds=lambda line: line["cause"] == "file" and line["why"] == "fire")
        assert await desk.ctl("release", "--reason", "not yet") == 1
