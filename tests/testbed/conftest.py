"""One boot tells the whole story of the unit; every test reads from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.bed import Bed, NoBed, facts, prepare


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
    out: Path = tmp_path_factory.mktemp("out")
    ran = bed.boot("python3 tests/testbed/guest/story.py", out)
    told = facts(out)
    if ran.returncode != 0:
        journal = out / "journal.txt"
        last = "\n".join(journal.read_text().splitlines()[-40:]) if journal.exists() else ""
        pytest.fail(
            f"the story ended with {ran.returncode}: {json.dumps(told.get('failed'))}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}\n{last}"
        )
    return told
