"""The walls of jails hold without root as well: the tests of jails, as the desk's user, on cgroup v2.

What is quick enough to be run with every test, and all of the corpus of attacks; `make bed` runs all there is, in both
set-ups that have no root.
"""

import re
from pathlib import Path

import pytest

from tests.jail.attacks import ATTACKS
from tests.testbed.bed import Bed

pytestmark = [pytest.mark.needs_testbed, pytest.mark.xdist_group("long"), pytest.mark.timeout(900)]

TOLD_CHARACTERS = 6_000
WALLS = "sh tests/testbed/guest/walls.sh"
TRIED = "attacks walls run state orphans"
# What one uid for all, and no right at all, could make a difference for.
WEAKER = (
    "other_members or files_of_the_host or overwritten_files or become_root or signals or processes or covert_files"
)


def passed(bed: Bed, command: str, out: Path) -> int:
    """Return how many tests passed; all must."""
    ran = bed.boot(command, out)
    assert ran.returncode == 0, ran.stdout[-TOLD_CHARACTERS:] + ran.stderr[-TOLD_CHARACTERS:]
    found = re.findall(r"(\d+) passed", ran.stdout)
    assert len(found) == 1, ran.stdout[-TOLD_CHARACTERS:]
    assert "failed" not in ran.stdout.splitlines()[-1]
    return int(found[0])


def test_every_attack_is_contained_without_root(bed: Bed, tmp_path: Path) -> None:
    """The same attempts as on this machine, below another kernel, another Python, another set-up: a uid for each."""
    files = " ".join(f"tests/jail/test_{name}.py" for name in TRIED.split())
    assert passed(bed, f"{WALLS} {files}", tmp_path) > len(ATTACKS)


def test_the_weakest_set_up_has_the_same_walls(bed: Bed, tmp_path: Path) -> None:
    """One uid for all, and no right on this machine: still no file, no process and no member in sight."""
    files = "tests/jail/test_attacks.py tests/jail/test_walls.py"
    assert passed(bed, f"RIGHTS= {WALLS} {files} -k '{WEAKER} or test_walls or victim'", tmp_path) > 10
