"""A desk is killed in the middle of a deployment: the next one has the old version or the new one, whole, and trades on."""

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest

from deskd.domain import events as ev
from deskd.ledger.codec import decode
from deskd.supervision.folder import read_folder
from tests.hang import HANG_S
from tests.whole.crashing_desk import DEPLOYING
from tests.whole.desk_process import DeskProcess, a_desk_process

pytestmark = pytest.mark.timeout(300)  # a life of a desk for each point

READS = "import sys\nprint('version {}', flush=True)\nfor line in sys.stdin: pass\n"
WITHOUT_JAILS = "[sandbox]\nunsafe_without_jail = true\n"
BEFORE_THE_SWITCH = DEPLOYING[: DEPLOYING.index("deploy: exchanged")]


def lay(folder: Path, number: int) -> Path:
    """Return a folder with that version; of several files, so that a half would be seen."""
    place = folder / "work" / "ann"
    (place / "data").mkdir(parents=True, exist_ok=True)
    (place / "strategy.py").write_text(READS.format(number))
    for name in ("a", "b", "c"):
        (place / "data" / f"{name}.txt").write_text(str(number))
    return place


def version_in(folder: Path) -> int:
    """Return which version lies in the folder; fail where it is not whole."""
    files, _ = read_folder(folder)
    [number] = {int(content) for path, content in files.items() if path.suffix == ".txt"}
    assert files[PurePosixPath("strategy.py")].decode() == READS.format(number)
    assert len(files) == 4
    return number


def facts_of(state: Path) -> list[ev.Fact]:
    with closing(sqlite3.connect(state / "desk.db")) as db:
        return [decode(kind, body) for kind, body in db.execute("SELECT kind, body FROM facts ORDER BY seq")]


async def until_it_runs(desk: DeskProcess, number: int) -> None:
    """Return when the strategy's newest run printed that it is of this version."""
    log = desk.state / "logs" / "ann.log"
    async with asyncio.timeout(HANG_S):
        while True:
            lines = log.read_text().splitlines() if log.exists() else []
            if (printed := [line for line in lines if "version " in line]) and printed[-1].endswith(
                f"version {number}"
            ):
                return
            await asyncio.sleep(0.05)


async def test_a_kill_in_the_middle_leaves_one_version_whole(folder: Path) -> None:
    """At every point of the way, one after the other over one ledger; before the switch it is the old one, after it the new."""
    async with a_desk_process(folder) as desk:
        desk.program = "tests.whole.crashing_desk"
        desk.configure(WITHOUT_JAILS)
        notes = folder / "crashes"
        lay(folder, 1).rename(folder / "strategies" / "ann")
        there = 1
        for number, point in enumerate(DEPLOYING, 2):
            desk.environment = {"CRASH_NOTE": str(notes), "CRASH_AT": f"{point}*1"}
            await desk.start()
            await until_it_runs(desk, there)
            assert await desk.ctl("deploy", str(lay(folder, number))) != 0
            assert await desk.dies() == -signal.SIGKILL
            assert notes.read_text().splitlines()[-1] == point
            expected = there if point in BEFORE_THE_SWITCH else number
            there = version_in(folder / "strategies" / "ann")
            assert there == expected, point
        desk.environment = {}
        await desk.start()
        await until_it_runs(desk, there)
        assert await desk.ctl("deploy", str(lay(folder, 99))) == 0
        await until_it_runs(desk, 99)
        assert await desk.ctl("rollback", "ann") == 0
        await until_it_runs(desk, there)
        assert await desk.end() == 0
        assert sorted(path.name for path in (folder / "strategies").iterdir()) == ["ann"]
        registered = [fact for fact in facts_of(desk.state) if isinstance(fact, ev.StrategyRegistered)]
        assert registered[-1].code_hash == read_folder(folder / "strategies" / "ann")[1]


async def test_a_folder_that_is_put_there_comes_into_use_by_itself(tmp_path: Path) -> None:
    """Where officers want that: new, it is started in the stage that they chose; changed, it is restarted."""
    async with a_desk_process(tmp_path) as desk:
        desk.configure(WITHOUT_JAILS + '[strategies]\npick_up_after_s = 1\npick_up_stage = "shadow"\n')
        await desk.start()
        desk.strategy("ann", "import sys\nfor line in sys.stdin: pass")
        await desk.hears("run_started")
        desk.strategy("ann", "import sys, time\nfor line in sys.stdin: pass")
        await desk.hears("run_started", 2)
        taken = [line["consequence"] for line in desk.log if line["event"] == "folder_picked_up"]
        assert taken == ["started", "restarted"]
        with closing(sqlite3.connect(desk.state / "desk.db")) as db:
            kinds = [kind for (kind,) in db.execute("SELECT kind FROM facts ORDER BY seq")]
        assert kinds.index("StageChanged") < kinds.index("RunStarted")
