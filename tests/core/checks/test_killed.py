"""Checks under a kill, one by one; what they deny stands in tests/core/test_checks.py."""

from deskd.core.checks import killed
from tests.core.test_checks import KILLED, REDUCING, evidence


def test_without_a_kill_both_find_none() -> None:
    """The finding is kept with the order."""
    assert killed.is_not_killed(evidence()).figure == "kill=none"
    assert killed.is_not_killed(evidence(kill=REDUCING)).is_good


def test_the_desks_own_closing_passes_until_a_kill_cancels() -> None:
    """Stopping new orders does not stop a stop-loss."""
    assert not killed.is_not_killed(evidence(kill=KILLED)).is_good
    assert killed.is_not_killed(evidence(kill=KILLED, is_closing=True)).is_good
