"""The walls of jails hold without root as well: the tests of jails, as the desk's user, on cgroup v2.

What is quick enough to be run with every test, and all of the corpus of attacks; `make bed` runs all there is, in both
set-ups that have no root. What is tried here with few runs, and on this machine with fifty, is tried there with fifty.
"""

import re

import pytest

from tests.jail.attacks import ATTACKS
from tests.testbed.bed import BOOT_S, Bed

pytestmark = [pytest.mark.needs_testbed, pytest.mark.timeout(1_500)]

TOLD_CHARACTERS = 6_000
WALLS = "sh tests/testbed/guest/walls.sh"
TRIED = "attacks walls run state orphans"
MANY = "--deselect tests/jail/test_orphans.py::test_fifty_runs_stop_together"  # `make bed` runs it
# What one uid for all, and no right at all, could make a difference for.
WEAKER = (
    "other_members or files_of_the_host or overwritten_files or become_root or signals or processes or covert_files"
)


TRIALS = {
    "every": f"{WALLS} {' '.join(f'tests/jail/test_{name}.py' for name in TRIED.split())} {MANY}",
    "weakest": f"RIGHTS= {WALLS} tests/jail/test_attacks.py tests/jail/test_walls.py -k '{WEAKER} or test_walls or victim'",
}


@pytest.fixture(scope="module")
def said(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what the tests of each set-up said, with how they ended as the last line: one boot is for both."""
    out = tmp_path_factory.mktemp("walls")
    each = (f"{{ {command}; echo exit $?; }} >/out/{name} 2>&1" for name, command in TRIALS.items())
    ran = bed.boot("; ".join(each), out, limit_s=2 * BOOT_S)
    assert ran.returncode == 0, ran.stdout[-TOLD_CHARACTERS:] + ran.stderr[-TOLD_CHARACTERS:]
    return {name: (out / name).read_text() for name in TRIALS}


def passed(said: str) -> int:
    """Return how many tests passed; all must."""
    *lines, ended = said.splitlines()
    assert ended == "exit 0", said[-TOLD_CHARACTERS:]
    found = re.findall(r"(\d+) passed", said)
    assert len(found) == 1, said[-TOLD_CHARACTERS:]
    assert "failed" not in lines[-1]
    return int(found[0])


def test_every_attack_is_contained_without_root(said: dict[str, str]) -> None:
    """The same attempts as on this machine, below another kernel, another Python, another set-up: a uid for each."""
    assert passed(said["every"]) > len(ATTACKS)


def test_the_weakest_set_up_has_the_same_walls(said: dict[str, str]) -> None:
    """One uid for all, and no right on this machine: still no file, no process and no member in sight."""
    assert passed(said["weakest"]) > 10
