"""Durations are counted between bounds, and none is lost."""

from deskd.latency import Latency


def test_a_duration_counts_for_every_bound_that_it_does_not_pass() -> None:
    """A bound includes itself: so Prometheus reads `le`."""
    latency = Latency(bounds=(0.1, 1.0))
    latency.observe(0.1)
    latency.observe(0.5, times=3)
    latency.observe(20.0)
    assert latency.cumulated() == [("0.1", 1), ("1.0", 4), ("+Inf", 5)]
    assert latency.count == 5
    assert latency.sum_s == 0.1 + 1.5 + 20.0


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    """The sum of a histogram never falls: a reader would take it for a new start."""
    latency = Latency(bounds=(0.1,))
    latency.observe(-5.0)
    assert latency.sum_s == 0
    assert latency.cumulated() == [("0.1", 1), ("+Inf", 1)]
