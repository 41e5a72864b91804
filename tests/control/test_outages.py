"""An outage's row as the caller may see it."""

from typing import Any

from deskd.control.outages import view


def test_counts_and_names_of_others_are_left_out() -> None:
    """What is left says how many there were."""
    row: dict[str, Any] = {
        "stream": "trades",
        "affected": '["alice", "bob", "eve"]',
        "refusals": '{"alice": 2, "bob": 7}',
        "is_cut_short": 1,
    }
    assert view(row, lambda name: name == "alice") == {
        "stream": "trades",
        "affected": ["alice"],
        "affected_others": 2,
        "refusals": {"alice": 2},
        "is_cut_short": True,
    }
