"""How a run ended is told after the desk itself was started anew."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.whole.desk_process import ROOT, DeskProcess, a_desk_process

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]


async def told(desk: DeskProcess, *arguments: str) -> Any:
    """Return what deskctl answers, as a program reads it."""
    config = str(desk.folder / "etc" / "desk.toml")
    command = [sys.executable, "-m", "deskd.cli.deskctl", "--config", config, *arguments, "--json"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return json.loads(said)


async def test_a_restarted_desk_still_tells_how_a_run_ended(folder: Path) -> None:
    """The reason, the member's own line, the traceback and the last prints are in the ledger."""
    async with a_desk_process(folder) as desk:
        desk.configure("[restart]\ngive_up_after = 1\n")
        desk.strategy("dies", "print('here I am')\nraise KeyError('prise')\n")
        await desk.start()
        await desk.hears("run_ended", holds=lambda line: line["strategy_id"] == "dies")
        assert await desk.end() == 0
        desk.strategy("dies", "import sys\nfor line in sys.stdin: pass\n")
        await desk.start()
        status = await told(desk, "status", "dies")
        (row,) = [row for row in (await told(desk, "status"))["strategies"] if row["strategy_id"] == "dies"]
        assert await desk.end() == 0
    assert row["exit_reason"] == status["exit_reason"] == "error"
    end = status["last_run"]
    assert end["exit_detail"] == (
        "it ended with status 1: KeyError: 'prise'; at strategy.py:2: raise KeyError('prise')"
    )
    assert end["source_line"] == "strategy.py:2: raise KeyError('prise')"
    assert end["traceback"].splitlines()[0] == "Traceback (most recent call last):"
    assert end["output"][0] == "here I am"
    assert end["peak_memory_bytes"] > 0
