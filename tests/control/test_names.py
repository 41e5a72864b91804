"""Names as people type them."""

import pytest

from deskd.control.names import NoSuchName, the_one

NAMES = ["momentum", "momentum_fast", "vwap", "alice"]


@pytest.mark.parametrize(
    ("typed", "meant"), [("vwap", "vwap"), ("v", "vwap"), ("momentum", "momentum"), ("momentum_", "momentum_fast")]
)
def test_an_unambiguous_prefix_is_enough(typed: str, meant: str) -> None:
    """A whole name wins over longer ones that begin with it."""
    assert the_one("strategy", typed, NAMES) == meant


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("mom", "strategy 'mom' is ambiguous: momentum, momentum_fast; type more of it"),
        ("vwpa", "there is no strategy 'vwpa'; did you mean vwap?"),
        ("", "there is no strategy ''; there is: alice, momentum, momentum_fast, vwap"),
    ],
)
def test_a_wrong_name_is_answered_with_what_there_is(typed: str, problem: str) -> None:
    """Nobody has to look up the names first."""
    with pytest.raises(NoSuchName) as caught:
        the_one("strategy", typed, NAMES)
    assert str(caught.value) == problem


def test_where_there_is_nothing_it_says_so() -> None:
    """An empty folder is told as such, and a long list is cut."""
    with pytest.raises(NoSuchName, match="there is no strategy at all"):
        the_one("strategy", "x", [])
    with pytest.raises(NoSuchName, match=r", … \(60 in all\)"):
        the_one("strategy", "zz", [f"s{n}" for n in range(60)])
