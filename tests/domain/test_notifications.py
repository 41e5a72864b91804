"""Quiet hours: within a day, and over midnight."""

from datetime import time

import pytest

from deskd.domain.notifications import NO_WISHES, QuietHours


@pytest.mark.parametrize(("hour", "quiet"), [(21, False), (22, True), (3, True), (6, True), (7, False)])
def test_hours_over_midnight_are_quiet_on_both_sides(hour: int, *, quiet: bool) -> None:
    """From their first minute, up to their end."""
    assert QuietHours(since=time(22), until=time(7)).covers(time(hour)) is quiet


def test_who_wishes_nothing_hears_everything() -> None:
    """No topic is off by itself."""
    assert NO_WISHES.off == frozenset()
