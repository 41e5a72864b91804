"""Some minutes of chaos in every test run: `make chaos` does the same for as long as one likes."""

import os
import secrets

import pytest

from tests.chaos.__main__ import chaos

pytestmark = [
    pytest.mark.needs_nsjail,
    pytest.mark.usefixtures("needs_jail"),
    pytest.mark.slow,
    pytest.mark.timeout(1200),  # of which SETTLE_S and slow machines take the most
]

SECONDS = float(os.environ.get("DESKD_CHAOS_SECONDS", "20"))


def test_whatever_goes_wrong_the_books_agree() -> None:
    """After kills, freezes, lies and losses at random, every invariant of ARCHITECTURE 3 holds. The seed is printed."""
    seed = secrets.randbelow(1_000_000)
    broken = chaos(seed, SECONDS, echoes=False)
    assert not broken, f"again: make chaos SECONDS={SECONDS:g} SEED={seed}"
