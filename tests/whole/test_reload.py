"""A desk reads its configuration again while it trades: what changes, what does not, and what is on record."""

import asyncio
import json
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.whole.desk_process import ROOT, DeskProcess, a_desk_process

BASE = "[sandbox]\nunsafe_without_jail = true\n"
WAITS = "import sys\nfor line in sys.stdin: pass\n"


async def told(desk: DeskProcess, *arguments: str) -> tuple[int, Any]:
    """Return deskctl's exit code and answer, as a program reads it."""
    config = str(desk.folder / "etc" / "desk.toml")
    command = [sys.executable, "-m", "deskd.cli.deskctl", "--config", config, *arguments, "--json"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return process.returncode or 0, json.loads(said)


def facts(desk: DeskProcess, kind: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{desk.state}/desk.db?mode=ro", uri=True)) as ledger:
        rows = ledger.execute("SELECT body FROM facts WHERE kind = ? ORDER BY seq", (kind,)).fetchall()
    return [json.loads(body) for (body,) in rows]


async def test_limits_and_allocations_change_while_it_runs(tmp_path: Path) -> None:
    """By deskctl and by SIGHUP: facts say who and what; what needs a restart is named again; a wrong file is nothing."""
    async with a_desk_process(tmp_path) as desk:
        desk.environment = {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
        desk.configure(BASE)
        desk.strategy("ann", WAITS, {"limits": {"order_qty_max": 900}})
        desk.strategy("bob", WAITS)
        await desk.start()
        desk.configure(
            f'{BASE}uid_first = 300_000\n[risk.strategy]\nallocation = "8000"\norder_qty_max = "100"\n'
            '[risk.strategies.bob]\nallocation = "500"\n[log]\nlevel = "debug"\n'
        )
        code, answer = await told(desk, "config", "reload", "--dry-run")
        assert (code, len(answer["changes"]), facts(desk, "CommandGiven")) == (0, 5, [])
        code, answer = await told(desk, "config", "reload")
        assert code == 0
        assert {change["key"]: change["applies"] for change in answer["changes"]} == {
            "sandbox.uid_first": "needs restart",
            "risk.strategy.allocation": "applied",
            "risk.strategy.order_qty_max": "applied",
            "risk.strategies.bob.allocation": "applied",
            "log.level": "applied",
        }
        assert list(answer["misfits"]) == ["ann"]
        accounts = {row["strategy_id"]: row for row in (await told(desk, "account"))[1]}
        assert (accounts["ann"]["allocation"], accounts["bob"]["allocation"]) == ("8000", "500")
        by = facts(desk, "CommandGiven")[-1]["by"]
        assert {fact["by"] for fact in facts(desk, "AllocationChanged")[-2:]} == {by}
        limits = [fact for fact in facts(desk, "LimitsChanged") if fact["by"] == by]
        assert {fact["strategy_id"]: dict(fact["limits"])["order_qty_max"] for fact in limits} == {
            "ann": "100",
            "bob": "100",
        }

        desk.configure(f"{BASE}[risk.strategy]\nallocation = 1\nallocatoin = 2\n")
        code, answer = await told(desk, "config", "reload")
        assert (code, len(answer["problems"])) == (1, 1)
        assert "desk.toml:5:1: risk.strategy.allocatoin" in answer["problems"][0]
        assert "did you mean risk.strategy.allocation?" in answer["problems"][0]
        assert desk.process is not None
        desk.process.send_signal(signal.SIGHUP)
        await desk.hears("config_wrong", 2)
        assert len(facts(desk, "CommandGiven")) == 1
        desk.configure(f"{BASE}uid_first = 300_000\n")
        desk.process.send_signal(signal.SIGHUP)
        await desk.hears(
            "config_changed", holds=lambda line: line["key"] == "sandbox.uid_first" and line["by"] == "SIGHUP"
        )
        await desk.hears("config_reloaded", 2)
        assert facts(desk, "CommandGiven")[-1]["by"] == "SIGHUP"
        assert await desk.end() == 0
