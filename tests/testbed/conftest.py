"""One boot tells the whole story of the unit; every test reads from it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.bed import Bed, NoBed, facts, prepare, record


@pytest.fixture(scope="session")
def bed() -> Bed:
    """Skip, with the reason, where there is no bed."""
    try:
        return prepare()
    except NoBed as why:
        pytest.skip(str(why))


@pytest.fixture(scope="session")
def story(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what was seen of the unit, from installation to the weakest set-up."""
    return told(bed, "story", tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="session")
def office(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what was seen by officers: restarts, backups, a handover, the journal, everyday commands."""
    if "DESKD_BARE_BED" not in os.environ:
        pytest.skip("an officer's year takes the bed several minutes: `make bed` lives it (DESKD_BARE_BED=1)")
    return told(bed, "office", tmp_path_factory.mktemp("office"))


def told(bed: Bed, name: str, out: Path) -> dict[str, Any]:
    """Boot, and tell the story of that name to its end."""
    ran = bed.boot(f"python3 tests/testbed/guest/{name}.py", out)
    seen = facts(out)
    record(name, seen, is_whole=ran.returncode == 0)
    if ran.returncode != 0:
        journal = out / "journal.txt"
        last = "\n".join(journal.read_text().splitlines()[-40:]) if journal.exists() else ""
        pytest.fail(
            f"{name} ended with {ran.returncode}: {json.dumps(seen.get('failed'))}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}\n{last}"
        )
    return seen
