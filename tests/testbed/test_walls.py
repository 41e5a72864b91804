"""The walls of jails hold without root as well: tests/jail, as the desk's user with the unit's rights, on cgroup v2."""

from pathlib import Path

import pytest

from tests.testbed.bed import Bed

pytestmark = [pytest.mark.needs_testbed, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(900)]

TOLD_CHARACTERS = 6_000


def test_every_wall_holds_without_root(bed: Bed, tmp_path: Path) -> None:
    """The same attempts as on this machine, below another kernel, another Python, another set-up."""
    ran = bed.boot("sh tests/testbed/guest/walls.sh tests/jail", tmp_path)
    assert ran.returncode == 0, ran.stdout[-TOLD_CHARACTERS:] + ran.stderr[-TOLD_CHARACTERS:]
    assert " passed" in ran.stdout
    assert "failed" not in ran.stdout.splitlines()[-1]
