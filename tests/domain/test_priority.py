"""The order of requests to the broker."""

from deskd.domain.priority import Priority


def test_getting_out_goes_before_getting_in() -> None:
    """Kill, cancel, look-up, exit, order, routine, history: in this order."""
    assert [one.name for one in sorted(Priority)] == [
        "KILL",
        "CANCEL",
        "LOOK_UP",
        "EXIT",
        "ORDER",
        "RECONCILE",
        "HISTORY",
    ]


def test_only_kills_and_cancels_are_urgent() -> None:
    """They may use the whole reserve; a look-up may not."""
    assert [one for one in Priority if one.is_urgent] == [Priority.KILL, Priority.CANCEL]
    assert [one for one in Priority if one.is_order] == [Priority.EXIT, Priority.ORDER]
