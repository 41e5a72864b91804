"""`deskctl run`: one strategy on a desk of its own, and nothing left of it."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.cli.in_process import Said
from tests.cli.test_outputs import misfits
from tests.hang import HANG_S
from tests.venue.serving import OPEN, write_tape
from tests.whole.desk_process import ROOT

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

BUYS_ONCE = """
    import json, sys
    from desk_client import place_order
    has_bought = False
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "order" and message["event"] == "fill":
            print("filled at", message["fill_price"])
        if message["type"] == "trade" and not has_bought:
            has_bought = True
            print(place_order("AAPL", 3, "buy", reason="the first line").status)
            print(place_order("AAPL", 9000, "buy").reason, file=sys.stderr)
"""
SILENT = "import sys\nfor line in sys.stdin: pass\n"


@dataclass
class Bench:
    """A folder with a configuration, a tape and a strategy."""

    folder: Path

    def strategy(self, name: str, source: str, config: Mapping[str, object] | None = None) -> Path:
        place = self.folder / name
        place.mkdir()
        (place / "strategy.py").write_text(dedent(source))
        (place / "config.json").write_text(json.dumps({"symbols": ["AAPL"], **(config or {})}))
        return place

    async def started(self, *arguments: object) -> asyncio.subprocess.Process:
        config = str(self.folder / "desk.toml")
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deskd.cli.deskctl", "--config", config, *map(str, arguments)),
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(self.folder / "tmp")},
            stdout=pipe,
            stderr=pipe,
        )

    async def deskctl(self, *arguments: object) -> tuple[int | None, str, str]:
        process = await self.started(*arguments)
        async with asyncio.timeout(HANG_S):
            out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    def left(self) -> list[str]:
        return [path.name for path in (self.folder / "tmp").iterdir()]


@pytest.fixture
def bench(folder: Path) -> Bench:
    (folder / "tmp").mkdir(mode=0o711)
    (folder / "desk.toml").write_text('[desk]\nstate_dir = "real"\n[exchange]\nfills = "immediate"\n')
    write_tape(folder / "tape", opens_at=OPEN - timedelta(minutes=1), minutes=20)
    return Bench(folder)


@pytest.mark.parametrize("more", [(), ("--without-jail",)], ids=["jailed", "as_oneself"])
async def test_a_strategy_runs_until_the_tape_ends(bench: Bench, more: tuple[str, ...]) -> None:
    """Its prints, orders and fills are shown; the result counts them; no real desk was made or left."""
    place = bench.strategy("ann", BUYS_ONCE, {"channels": ["trades", "orders"], "enabled": False})
    code, out, err = await bench.deskctl(
        "run", place, "--tape", bench.folder / "tape", "--speed", 600, "--start", "09:30", *more
    )
    assert code == 0, out + err
    lines = out.splitlines()
    assert "| success" in lines
    assert any(line.startswith("| filled at") for line in lines), out
    assert any(line.startswith("! ") and "MAX" in line for line in lines), out
    assert any("order_filled" in line and "buy 3 AAPL" in line for line in lines), out
    assert "ann on" in out
    assert "the tape has ended" in out
    assert "orders: 1 sent, 1 fills" in out
    assert bench.left() == []
    assert not (bench.folder / "real").exists()


async def test_the_result_is_told_to_programs(bench: Bench) -> None:
    """One object on standard output; what the strategy says goes to standard error. --cash is what it trades with."""
    place = bench.strategy("bob", BUYS_ONCE, {"channels": ["trades"]})
    tape = ("--tape", bench.folder / "tape", "--start", "09:30", "--speed", 600)
    code, out, err = await bench.deskctl("run", place, *tape, "--cash", "25,000", "--json")
    assert code == 0, out + err
    assert list(misfits("run", Said(code, out, err))) == []
    told: dict[str, Any] = json.loads(out)
    assert (told["ended_by"], told["exit_reason"], told["orders"], told["fills"]) == ("tape", "stopped", 1, 1)
    assert told["allocation"] == "25000"
    assert list(told["denied"].values()) == [1]
    assert told["lines_handled"] == told["lines_delivered"] > 10
    assert [row["qty"] for row in told["positions"]] == ["3"]
    assert "| success" in err


async def test_a_strategy_that_fails_ends_with_one_and_says_why(bench: Bench) -> None:
    """With its own line, as on the real desk; it is not tried again."""
    place = bench.strategy("cyd", "import sys\nnext(sys.stdin)\nraise KeyError('prise')\n")
    code, out, _ = await bench.deskctl("run", place, "--tape", "synthetic", "--speed", 60)
    assert code == 1
    assert "run ended as error" in out
    assert "raise KeyError('prise')" in out
    assert out.count("run_started") == 1
    assert bench.left() == []


async def test_ctrl_c_ends_it_in_order(bench: Bench) -> None:
    """With a result, and nothing left."""
    place = bench.strategy("dan", "import sys\nfor line in sys.stdin: print('read')\n")
    process = await bench.started("run", place, "--tape", "synthetic")
    assert process.stdout is not None
    async with asyncio.timeout(HANG_S):
        async for line in process.stdout:
            if line == b"| read\n":
                break
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert "it was ended from here" in out.decode()
    assert bench.left() == []


async def test_what_cannot_be_run_is_refused_in_a_sentence(bench: Bench) -> None:
    """No jail, no strategy, no tape: each with its remedy, and nothing left."""
    broken = bench.strategy("eve", "def (\n")
    code, _, err = await bench.deskctl("run", broken, "--tape", "synthetic")
    assert (code, "line 1" in err) == (1, True), err
    place = bench.strategy("fay", SILENT)
    code, _, err = await bench.deskctl("run", place, "--tape", "/nowhere/tape")
    assert (code, "there is no /nowhere/tape" in err) == (1, True), err
    assert (await bench.deskctl("run", place))[0] == 2
    assert (await bench.deskctl("run", place, "--tape", "synthetic", "--cash", "-5"))[0] == 2
    (bench.folder / "desk.toml").write_text('[sandbox]\npython = "/nowhere/python"\n')
    code, _, err = await bench.deskctl("run", place, "--tape", "synthetic")
    assert (code, "[sandbox] python=/nowhere/python" in err) == (1, True), err
    assert bench.left() == []


def test_the_machines_own_folder_for_such_things_is_used() -> None:
    """Strategies' uids must be able to pass it."""
    assert Path(tempfile.gettempdir()).stat().st_mode & 0o001
