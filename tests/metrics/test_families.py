"""The table of figures: names that Prometheus takes, and words that say what they mean."""

import re

from prometheus_client import generate_latest
from prometheus_client.core import Metric

from deskd.latency import Latency
from deskd.metrics.families import FAMILIES, Family

UNITS = ("_seconds", "_bytes", "_dollars", "_ratio", "_total", "_lines")


class One:
    def __init__(self, family: Metric) -> None:
        self.family = family

    def collect(self) -> list[Metric]:
        return [self.family]


def test_names_are_of_one_kind() -> None:
    """A counter ends with `_total`, nothing else does; every name is ours, and stands once."""
    names = [one.name for one in FAMILIES]
    assert len(set(names)) == len(names) > 60
    assert all(re.fullmatch(r"deskd_[a-z_]+", name) for name in names)
    assert [f.name for f in FAMILIES if f.name.endswith("_total") != (f.kind == "counter")] == []
    assert all(f.name.endswith("_seconds") for f in FAMILIES if f.kind == "histogram")


def test_labels_are_few_and_none_is_written_by_a_member_or_the_broker() -> None:
    """A series costs memory for as long as Prometheus keeps it: no symbol, order, run or text is a label."""
    labels = {label for one in FAMILIES for label in one.labels}
    assert labels == {
        "version",
        "broker",
        "event",
        "reason",
        "stream",
        "status",
        "strategy",
        "member",
        "job_name",
        "outcome",
    }


def test_a_histogram_is_written_as_prometheus_reads_it() -> None:
    """Buckets are cumulated, with sum and count."""
    latency = Latency(bounds=(0.1, 1.0))
    latency.observe(0.05)
    latency.observe(0.5)
    page = generate_latest(One(Family("x_seconds", "histogram", "y").durations(latency))).decode()
    assert 'x_seconds_bucket{le="0.1"} 1.0' in page
    assert 'x_seconds_bucket{le="+Inf"} 2.0' in page
    assert "x_seconds_count 2.0" in page
    assert "x_seconds_sum 0.55" in page


def test_a_counter_keeps_its_name() -> None:
    """What the table says is what a query asks for."""
    family = Family("x_total", "counter", "y", ("reason",)).of((("A",), 3.0))
    assert 'x_total{reason="A"} 3.0' in generate_latest(One(family)).decode()
