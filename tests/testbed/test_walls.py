"""The walls of jails hold without root as well: the tests of jails, as the desk's user with the unit's rights, on cgroup v2."""

from pathlib import Path

import pytest

from tests.testbed.bed import Bed

pytestmark = [pytest.mark.needs_testbed, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(900)]

TOLD_CHARACTERS = 6_000
# Not the whole corpus of attacks: in the guest it takes longer than all else here (README.md says how to run it there).
TRIED = "tests/jail/test_walls.py tests/jail/test_run.py tests/jail/test_state.py tests/jail/test_orphans.py"


def test_every_wall_holds_without_root(bed: Bed, tmp_path: Path) -> None:
    """The same attempts as on this machine, below another kernel, another Python, another set-up."""
    ran = bed.boot(f"sh tests/testbed/guest/walls.sh {TRIED}", tmp_path)
    assert ran.returncode == 0, ran.stdout[-TOLD_CHARACTERS:] + ran.stderr[-TOLD_CHARACTERS:]
    assert " passed" in ran.stdout
    assert "failed" not in ran.stdout.splitlines()[-1]
