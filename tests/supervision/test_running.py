"""One run, from its door to its last descriptor."""

from pathlib import Path

from deskd.domain.run import ExitReason
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
