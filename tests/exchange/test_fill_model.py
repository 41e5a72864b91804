"""The two presets of how orders fill."""

from datetime import timedelta

from deskd.exchange.fill_model import IMMEDIATE, PAPER


def test_paper_is_as_documented() -> None:
    """5 ms to new, 150 ms to the fill, 3 ms for fractions, one fill in ten partial."""
    assert timedelta(milliseconds=5) == PAPER.acknowledged_after
    assert timedelta(milliseconds=150) == PAPER.filled_after
    assert timedelta(milliseconds=3) == PAPER.fractional_after
    assert PAPER.partial_percent == 10


def test_immediate_takes_no_time() -> None:
    """Nothing is late, and nothing is partial."""
    assert timedelta(0) == IMMEDIATE.acknowledged_after == IMMEDIATE.filled_after == IMMEDIATE.fractional_after
    assert IMMEDIATE.partial_percent == 0
