"""A jail of the desk's own is made as a strategy's is."""

from pathlib import Path

import pytest

from deskd.config import SandboxSection
from deskd.domain.errors import SandboxUnavailable
from deskd.supervision.own_jail import plan_of
from deskd.supervision.process import make_pipes
from deskd.supervision.staging import JailFolder, stage_environment
from deskd.supervision.uids import can_map_uids


def test_a_script_of_ours_is_a_strategy_that_only_the_mount_keeps_from_its_code(jail_root: Path) -> None:
    """Its files are its own to write, so that a probe which cannot has met the wall, and not the file's mode."""
    folder, section = JailFolder(jail_root), SandboxSection()
    folder.prepare()
    place = jail_root / "run" / "ours"
    place.mkdir()
    pipes = make_pipes()
    try:
        environment = stage_environment(folder, section.python)
        plan = plan_of("ours", b"print()\n", place, section=section, environment=environment, pipes=pipes)
        script = plan.code / "strategy.py"
        assert script.read_bytes() == b"print()\n"
        assert script.stat().st_mode & 0o777 == 0o660
        assert script.stat().st_gid == plan.who.gid
        assert plan.socket_folder == place / "socket"
        assert plan.who.is_own is not can_map_uids()
    finally:
        pipes.close_ours()
        pipes.close_theirs()


def test_without_setpriv_there_is_a_remedy(tmp_path: Path, jail_root: Path) -> None:
    """Nothing is made where a run could outlive the desk."""
    folder, section = JailFolder(jail_root), SandboxSection()
    folder.prepare()
    environment = stage_environment(folder, section.python)
    pipes = make_pipes()
    try:
        with pytest.raises(SandboxUnavailable, match="install util-linux"):
            plan_of("ours", b"", tmp_path, section=section, environment=environment, pipes=pipes, path=str(tmp_path))
        assert list(tmp_path.iterdir()) == []
    finally:
        pipes.close_ours()
        pipes.close_theirs()
