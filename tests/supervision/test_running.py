"""One run, from its door to its last descriptor."""

import asyncio
import threading
from pathlib import Path

from deskd.domain.run import ExitReason, RunStatus
from deskd.supervision.spawn import Child, spawn
from tests.supervised import a_world
from tests.supervision.test_launch import open_fds


async def test_a_run_without_a_door_is_none(tmp_path: Path, jail_root: Path) -> None:
    """Where nobody can hear its orders nothing is started: it is ours, and nothing is left of it."""
    restart = {"backoff_initial_s": 600, "backoff_max_s": 600, "watch_s": 600}
    async with a_world(tmp_path, jail_root, {"alice": "print('ran')"}, jailed=False, restart=restart) as world:
        world.doors.problem = OSError(24, "Too many open files")
        before = open_fds()
        end = await world.run("alice")
        assert end.reason is ExitReason.SANDBOX_FAILURE
        assert "the desk could not start it ([Errno 24] Too many open files)" in end.detail
        assert open_fds() == before
        assert world.printed("alice") == []
        assert not [path for folder in world.supervisor.launcher.groups.folders for path in folder.glob("*/")]


async def test_a_stop_while_a_run_is_started_ends_it(tmp_path: Path, jail_root: Path) -> None:
    """The desk goes on while the process is made, and what it is asked meanwhile holds: it does not run on."""
    async with a_world(tmp_path, jail_root, {"alice": "import time; time.sleep(600)"}, jailed=False) as world:
        may_go_on = threading.Event()

        def slowly() -> Child:
            may_go_on.wait()
            return spawn(["/bin/true"], env={}, cwd=Path("/"), standard=(0, 1, 2))

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            other = tasks.create_task(world.supervisor.launcher.starter.start(slowly))
            await world.start("alice")
            while not world.doors.opened:  # noqa: ASYNC110  its door tells nobody
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
            stopping = tasks.create_task(world.stop("alice"))
            await asyncio.sleep(0)
            assert world.status("alice") is RunStatus.STOPPING
            may_go_on.set()
            await stopping
        other.result().wait()
        assert [end.reason for end in world.ends("alice")] == [ExitReason.STOPPED]
        assert world.status("alice") is RunStatus.STOPPED
