"""Nothing survives the desk, however it ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.hang import HANG_S
from tests.supervised import a_world, until_up, write_strategy

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

# A strategy that would live for ever: deaf, with a child of its own session.
IMMORTAL = """
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0: os.setsid()
    print("alive")
    while True: time.sleep(60)
"""
DESK = """
import asyncio, structlog, sys
from pathlib import Path
from tests.supervised import a_world

async def main():
    async with a_world(Path(sys.argv[1]), Path(sys.argv[2]), {}) as world:
        await world.supervisor.start_enabled()
        for name in ("one", "two"):
            await world.until_printed(name, "alive")
        print("up", flush=True)
        await asyncio.Event().wait()

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main())
"""


def living(jail_root: Path) -> set[int]:
    """Return every process in the groups of the desk of *jail_root*."""
    pids: set[int] = set()
    for folder in json.loads((jail_root / "cgroups.json").read_text()):
        for procs in Path(folder).glob("*/cgroup.procs"):
            pids.update(int(line) for line in procs.read_text().split())
    return pids


async def test_a_killed_desk_takes_its_runs_with_it(tmp_path: Path, jail_root: Path) -> None:
    """SIGKILL of the desk kills every run at once; the next start removes what the kernel kept of them."""
    for name in ("one", "two"):
        write_strategy(tmp_path / "strategies", name, IMMORTAL)
    desk = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DESK, str(tmp_path), str(jail_root), stdout=asyncio.subprocess.PIPE, cwd=Path.cwd()
    )
    assert desk.stdout is not None
    async with asyncio.timeout(HANG_S):
        assert b"up\n" in [line async for line in until_up(desk.stdout)]
    runs = living(jail_root)
    assert len(runs) >= 6  # two of nsjail, two scripts, two children
    desk.kill()
    assert await desk.wait() == -signal.SIGKILL
    async with asyncio.timeout(HANG_S):
        while any(map(exists, runs)):  # noqa: ASYNC110  a foreign process tells nobody
            await asyncio.sleep(0.005)
    async with a_world(tmp_path, jail_root, {}):
        assert living(jail_root) == set()
        assert not [path for folder in folders(jail_root) for path in folder.glob("*") if path.is_dir()]


async def test_fifty_runs_stop_together(tmp_path: Path, jail_root: Path) -> None:
    """Stopping is one grace for all of them, not one for each."""
    strategies = {f"s{number}": "import time\ntime.sleep(600)\n" for number in range(50)}
    async with a_world(tmp_path, jail_root, strategies, sandbox={"stop_grace_s": 0.5}) as world:
        await world.supervisor.start_enabled()
        for name in strategies:
            await world.until_fed(name)
        began = asyncio.get_running_loop().time()
        await world.supervisor.stop_all("the desk stopped")
        assert asyncio.get_running_loop().time() - began < 20.0  # one after the other: 25 s
        assert {end.reason for name in strategies for end in world.ends(name)} == {"stopped"}
        assert living(jail_root) == set()


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def folders(jail_root: Path) -> list[Path]:
    return [Path(path) for path in json.loads((jail_root / "cgroups.json").read_text())]
