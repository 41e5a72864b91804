"""A start into a jail that waited is a start like any other, only sooner."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from deskd.domain.ids import StrategyId
from deskd.domain.run import ExitReason, RunStatus
from tests.hang import HANG_S
from tests.supervised import World, a_world, write_strategy

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

ALICE = StrategyId("alice")
# All that a script can see of where it is, times left out.
LOOKS = """
import ctypes, json, os, resource, socket, sys
def stat(path):
    found = os.stat(path)
    return [oct(found.st_mode), found.st_uid, found.st_gid]
def page():
    return {at: byte for at, byte in enumerate(os.pread(3, 4096, 0)) if byte}
print(json.dumps({
    "environment": sorted(os.environ.items()),
    "arguments": [sys.argv, [word for word in sys.orig_argv if not word.isdecimal()], sys.flags, sys.path, __file__, __name__],
    "descriptors": [(fd, os.readlink(f"/proc/self/fd/{fd}") if os.path.exists("/proc") else oct(os.fstat(fd).st_mode))
                    for fd in range(64) if not ctypes.CDLL(None).fcntl(fd, 1) == -1],
    "page": page(),
    "who": [os.getpid(), os.getppid(), os.getuid(), os.getgid(), os.getgroups(), socket.gethostname()],
    "limits": [resource.getrlimit(number) for number in range(16)],
    "folders": {path: [sorted(os.listdir(path)), stat(path)] for path in ("/", "/strategy", "/tmp", "/state", "/venv")},
    "socket": stat("/run/desk"),
    "modules": len(sys.modules),
    "main": sorted(globals()),
    "nice": [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)],
    "stdin": [type(sys.stdin).__name__, sys.stdin.fileno(), sys.stdin.encoding],
}))
for line in sys.stdin:
    print("line", line.strip())
"""


async def until_warm(world: World, strategy_id: StrategyId = ALICE) -> None:
    """Return once a jail waits for the strategy."""
    async with asyncio.timeout(HANG_S):
        while (warm := world.supervisor.prewarmed.waiting(strategy_id)) is None or not warm.is_ready:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_script_cannot_tell_a_jail_that_waited(tmp_path: Path, jail_root: Path) -> None:
    """Environment, arguments, descriptors, limits, files, modules and memory page are those of a cold start."""
    seen: list[object] = []
    for number in (0, 1):
        async with a_world(tmp_path, jail_root, {"alice": LOOKS}, sandbox={"prewarmed": number}) as world:
            if number:
                await until_warm(world)
            await world.start("alice")
            run_id = await world.until_fed("alice")
            world.feed(run_id, b'{"price": 1}\n')
            await world.until_printed("alice", "line")
            await world.stop("alice")
            looks, line = world.printed("alice")[-2:]
            assert line == 'line {"price": 1}'
            seen.append(json.loads(looks))
            assert [end.reason for end in world.ends("alice")] == [ExitReason.STOPPED]
    cold, warm = seen
    assert warm == cold


async def test_nothing_of_the_member_runs_before_the_start(tmp_path: Path, jail_root: Path) -> None:
    """A jail that waits has no order channel, and neither his script nor a module of his has run."""
    source = "import json, mine\nprint('script')\n"
    async with a_world(tmp_path, jail_root, {}, sandbox={"prewarmed": 1}) as world:
        folder = write_strategy(world.strategies_dir, "alice", source)
        (folder / "mine.py").write_text("print('module')\n")
        await world.supervisor.reread()
        await until_warm(world)
        warm = world.supervisor.prewarmed.waiting(ALICE)
        assert warm is not None
        assert world.doors.opened == {}
        assert world.starts("alice") == 0
        assert world.live("alice") is None
        assert warm.prepared.group.usage().memory_bytes  # it is counted, in a cgroup of its own
        assert world.log("alice") == ""
        end = await world.run("alice")
        assert (end.reason, world.printed("alice")) == (ExitReason.CLEAN, ["module", "script"])
        assert len(world.doors.opened) == world.starts("alice") == 1


async def test_what_waits_is_what_a_cold_start_would_run(tmp_path: Path, jail_root: Path) -> None:
    """After a change of code or environment nobody gets the jail that was made before it."""
    async with a_world(tmp_path, jail_root, {"alice": "print('old')"}, sandbox={"prewarmed": 1}) as world:
        await until_warm(world)
        write_strategy(world.strategies_dir, "alice", "import os; print('new', os.environ.get('A'))")
        assert (await world.run("alice")).reason == ExitReason.CLEAN
        assert world.printed("alice") == ["new None"]
        await until_warm(world)
        (world.strategies_dir / "alice" / "config.json").write_text('{"env": {"A": "1"}}')
        await world.supervisor.reread()
        await until_warm(world)
        await world.start("alice")
        await world.until_printed("alice", "new 1")


async def test_a_warm_jail_that_died_is_no_death(tmp_path: Path, jail_root: Path) -> None:
    """The run starts cold; and a restart after a death has a jail that waits, too."""
    source = "import os\nprint('up')\nos._exit(3)\n"
    rules = {"give_up_after": 2, "backoff_initial_s": 3.0, "backoff_max_s": 3.0}  # a slow machine warms up in that time
    async with a_world(tmp_path, jail_root, {"alice": source}, sandbox={"prewarmed": 1}, restart=rules) as world:
        await until_warm(world)
        warm = world.supervisor.prewarmed.waiting(ALICE)
        assert warm is not None
        warm.process.kill()
        warm.process.wait()
        await world.run("alice")
        await until_warm(world)  # in the wait between two tries
        assert world.status("alice") is RunStatus.BACKOFF
        await world.until(lambda: len(world.ends("alice")) == 2)
        assert world.printed("alice") == ["up", "up"]
        assert [end.exit_code for end in world.ends("alice")] == [3, 3]


async def test_only_so_many_wait_and_all_end_with_the_desk(tmp_path: Path, jail_root: Path) -> None:
    """The key bounds them, whoever is stopped; a strategy that is gone or disabled has none; none outlives the desk."""
    names = [f"s{number}" for number in range(4)]
    async with a_world(tmp_path, jail_root, dict.fromkeys(names, "print('up')"), sandbox={"prewarmed": 2}) as world:
        prewarmed = world.supervisor.prewarmed
        for name in names[:2]:
            await until_warm(world, StrategyId(name))
        assert [prewarmed.waiting(StrategyId(name)) is not None for name in names] == [True, True, False, False]
        warm = prewarmed.waiting(StrategyId("s0"))
        assert warm is not None
        (world.strategies_dir / "s0" / "config.json").write_text('{"enabled": false}')
        await world.supervisor.reread()
        await until_warm(world, StrategyId("s2"))  # there is room again
        assert prewarmed.waiting(StrategyId("s0")) is None
        groups = world.supervisor.launcher.groups.folders
    assert warm.process.returncode is not None
    assert not [path for folder in groups if folder.exists() for path in folder.glob("*/")]


async def test_one_start_after_the_other_keeps_state_and_leaves_nothing(tmp_path: Path, jail_root: Path) -> None:
    """Each run finds in /state what the one before left; descriptors, children and cgroups stay as many."""
    source = """
        import os
        print(len(os.listdir("/state")))
        open(f"/state/{len(os.listdir('/state'))}", "w").close()
    """
    async with a_world(tmp_path, jail_root, {"saver": source}, sandbox={"prewarmed": 1}) as world:
        groups = world.supervisor.launcher.groups.folders
        held: list[tuple[int, int, int]] = []
        for number in range(12):
            await until_warm(world, StrategyId("saver"))
            held.append(_held(groups))
            await world.start("saver")
            await world.until(lambda expected=number + 1: len(world.ends("saver")) == expected)  # type: ignore[misc]
            await world.stop("saver")
        assert world.printed("saver") == [str(number) for number in range(12)]
        assert {end.reason for end in world.ends("saver")} == {ExitReason.CLEAN}
        assert len(set(held[2:])) == 1, held


def _held(groups: Sequence[Path]) -> tuple[int, int, int]:
    """Return descriptors, children and cgroups."""
    children = Path("/proc/thread-self/children").read_text().split()
    return len(os.listdir("/proc/self/fd")), len(children), sum(1 for folder in groups for _ in folder.glob("*/"))  # noqa: PTH208
