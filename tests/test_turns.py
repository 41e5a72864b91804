"""Tests in several processes: what is lived once is lived in one of them, everything else is dealt out one by one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hang import HANG_S
from tests.turns import LONG_ROOMS, TOGETHER, turn_of

ROOT = Path(__file__).parents[1]
# Two files of three tests that say which process they ran in.
SAYS = """
import os, time, pytest

@pytest.mark.parametrize("number", range(3))
def test_says(number):
    time.sleep(0.1)
    print(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_the_bed_is_one_piece_of_work_and_other_tests_are_one_each() -> None:
    """However a test is named."""
    assert turn_of("tests/testbed/test_unit.py::test_a") == turn_of("tests/testbed/test_walls.py::test_b[x]")
    assert turn_of("tests/jail/test_attacks.py::test_a[1]") == turn_of("tests/jail/test_attacks.py::test_a[2]")
    for nodeid in ("tests/whole/test_desk.py::test_a", "tests/jail/test_walls.py::test_a[tests/testbed]", "x.py::y"):
        assert turn_of(nodeid) == nodeid


@pytest.mark.parametrize("name", [*TOGETHER, *(f"tests/{room}" for room in LONG_ROOMS)])
def test_what_is_named_is_there(name: str) -> None:
    """A room that was renamed would be run as if nobody had said anything."""
    assert (ROOT / name).exists()


def test_pytest_deals_out_as_is_said_here(tmp_path: Path) -> None:
    """In real processes, with the pytest and the pytest-xdist of these days: one process has all of the bed."""
    room = tmp_path / "tests" / "testbed"
    room.mkdir(parents=True)
    for name in ("test_a.py", "test_b.py"):
        (room / name).write_text(SAYS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    flags = ["-p", "tests.conftest", "--numprocesses", "2", "--dist", "loadscope", "--no-loadscope-reorder"]
    command = [sys.executable, "-m", "pytest", "-rP", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), *flags]
    ran = subprocess.run(
        [*command, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    workers = [line for line in ran.stdout.splitlines() if line in {"gw0", "gw1"}]
    assert len(workers) == 6, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert len(set(workers)) == 1


def test_no_test_asks_for_a_group_that_nobody_hears() -> None:
    """The mark is pytest-xdist's own, and does nothing here: tests/turns.py does."""
    mark = "mark.xdist" + "_group"
    assert [path.name for path in (ROOT / "tests").rglob("*.py") if mark in path.read_text()] == []
