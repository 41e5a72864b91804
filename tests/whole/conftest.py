"""Whole desks need real jails, and sometimes recorded markets."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leftovers import sweep_up
from tests.supervised import jail_root, needs_jail

__all__ = ["jail_root", "needs_jail"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder that strategies' uids can reach: pytest's own is 0700."""
    made = Path(tempfile.mkdtemp(prefix="deskd-whole-", dir="/tmp"))
    made.chmod(0o711)
    yield made
    sweep_up(made / "var")
    shutil.rmtree(made)


@pytest.fixture
def ticks() -> Path:
    """Return the folder of recorded ticks; the test is skipped where there is none."""
    default = Path(__file__).parents[3] / "shared" / "data"
    found = Path(os.environ.get("DESKD_TEST_DATA", default)) / "ticks"
    if not found.is_dir():
        pytest.skip(f"no recorded markets at {found.parent}: set DESKD_TEST_DATA")
    return found
