"""A small soak in every test run: `make soak` does ten thousand."""

import os

import pytest

from tests.soak.counts import broken
from tests.soak.lives import Life
from tests.soak.soak import AT_ONCE, soak

pytestmark = [
    pytest.mark.needs_nsjail,
    pytest.mark.usefixtures("needs_jail"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

STARTS = int(os.environ.get("DESKD_SOAK_STARTS", "100"))


async def test_a_desk_holds_nothing_of_the_runs_it_had() -> None:
    """Descriptors, tasks, threads, children, cgroups, sockets, files and uids are what they were; so is memory."""
    soaked = await soak(STARTS, max(STARTS // 4, 1), seed=7, say=lambda _: None)
    assert broken(soaked.samples) == []
    assert soaked.left == []
    assert soaked.ends.total() == STARTS >= AT_ONCE * len(Life)
    assert "sandbox_failure" not in soaked.ends
