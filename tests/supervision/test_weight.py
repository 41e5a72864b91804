"""Who starts, or uses up its whole share, waits behind those that do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.supervision.weight import GREEDY_SHARE, STARTING, weight_of


@pytest.mark.parametrize(
    ("share", "weight"),
    [(None, 20), (0.0, 20), (GREEDY_SHARE - 0.01, 20), (GREEDY_SHARE, 1), (STARTING, 1)],
)
def test_a_run_that_is_throttled_most_of_the_time_weighs_a_twentieth(share: float | None, weight: int) -> None:
    """One that hardly worked, or has time left, has its own weight."""
    assert weight_of(20, share) == weight


@given(st.integers(1, 100), st.floats(0, 1), st.floats(0, 1))
def test_more_throttling_never_weighs_more(weight: int, one: float, other: float) -> None:
    """And nobody weighs nothing: the kernel takes no less than 1."""
    less, more = sorted((one, other))
    assert 1 <= weight_of(weight, more) <= weight_of(weight, less) <= weight
