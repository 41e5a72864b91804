"""What `deskctl outages` puts into its table; the whole command in test_deskctl."""

from typing import Any

import pytest

from deskd.cli.outages import cells, lasted


def a_row(**overrides: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "started_at": "2026-01-05T17:00:00.000000Z",
        "ended_at": "2026-01-05T17:02:05.000000Z",
        "closed_at": "2026-01-05T17:02:06.000000Z",
        "is_cut_short": False,
        "affected": ["alice"],
        "affected_others": 0,
        "refusals": {},
    }
    return row | overrides


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({}, "2m 5s"),
        ({"ended_at": "2026-01-05T17:00:00.250000Z"}, "0.2s"),
        ({"ended_at": None, "closed_at": None}, "goes on"),
        ({"closed_at": None}, "2m 5s, not made up for yet"),
        ({"is_cut_short": True}, "at most 2m 5s: the desk ended meanwhile"),
    ],
)
def test_how_long_it_lasted_is_said_as_far_as_it_is_known(overrides: dict[str, Any], text: str) -> None:
    """One that goes on has no length, and of one that outlived the desk only a bound is known."""
    assert lasted(a_row(**overrides)) == text


def test_others_are_counted_and_nobody_is_said() -> None:
    """An empty cell would leave open whether it is known."""
    assert cells(a_row(affected_others=2))["affected"] == ["alice", "2 of others"]
    assert cells(a_row(affected=[]))["affected"] == ["nobody"]
    assert cells(a_row(refusals={"alice": 2}))["refusals"] == {"alice": 2}
