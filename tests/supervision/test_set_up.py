"""Which set-up a desk has decides how far apart strategies are."""

import pytest

from deskd.supervision.set_up import SetUp, set_up_of


@pytest.mark.parametrize(
    ("is_jailed", "maps_uids", "euid", "expected"),
    [
        (True, True, 0, SetUp.ROOT),
        (True, True, 999, SetUp.OWN_UIDS),
        (True, False, 999, SetUp.ONE_UID),
        (True, False, 0, SetUp.ONE_UID),  # root without its capabilities is nobody special
        (False, True, 0, SetUp.NO_JAIL),
        (False, False, 999, SetUp.NO_JAIL),
    ],
)
def test_rights_decide_the_set_up(is_jailed: bool, maps_uids: bool, euid: int, expected: SetUp) -> None:
    """What counts is what the desk may do, not who it is called."""
    assert set_up_of(is_jailed=is_jailed, maps_uids=maps_uids, euid=euid) is expected


def test_the_weaker_ways_are_loud() -> None:
    """Nobody takes one uid for all, or no jail, for the usual."""
    assert "ONE uid" in SetUp.ONE_UID.text
    assert "NO jails" in SetUp.NO_JAIL.text
