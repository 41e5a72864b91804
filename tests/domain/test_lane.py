"""What the policies for orders in conflict let happen."""

import pytest

from deskd.domain.lane import ConflictPolicy


@pytest.mark.parametrize("policy", ConflictPolicy)
def test_only_where_orders_are_denied_nobody_waits(policy: ConflictPolicy) -> None:
    """Under every other policy an order may wait for another's end."""
    assert policy.lets_wait is (policy is not ConflictPolicy.DENY)
