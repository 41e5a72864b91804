"""Deaths in a row are remembered, and told in one sentence."""

from datetime import timedelta

import pytest

from deskd.domain.run import ExitReason, RunEnd
from deskd.domain.streak import DEATHS_KEPT, Streak, after_end, given_up
from tests.factories import NOON


def died(*reasons: ExitReason) -> Streak | None:
    streak = None
    for number, reason in enumerate(reasons, 1):
        end = RunEnd(reason=reason, detail=f"detail {number}")
        streak = after_end(streak, end, deaths=number, at=NOON + timedelta(seconds=number))
    return streak


def test_the_story_tells_how_often_when_and_of_what() -> None:
    """A student reads why it was given up without reading five ends."""
    streak = died(ExitReason.ERROR, ExitReason.OOM, ExitReason.ERROR)
    assert streak is not None
    first, last = (f"{NOON + timedelta(seconds=n):%H:%M:%S}" for n in (1, 3))
    told = f"died 3 times in a row from {NOON:%Y-%m-%d} {first} to {last} UTC (2 x error, 1 x oom); the last: detail 3"
    assert streak.story() == told
    once = died(ExitReason.SIGNAL)
    assert once is not None
    assert once.story() == f"died once at {NOON:%Y-%m-%d} {first} UTC (1 x signal); the last: detail 1"


@pytest.mark.parametrize("reason", [ExitReason.SANDBOX_FAILURE, ExitReason.STOPPED])
def test_what_is_no_death_changes_nothing(reason: ExitReason) -> None:
    """A fault of ours and a stop neither count nor forgive."""
    streak = died(ExitReason.ERROR)
    assert after_end(streak, RunEnd(reason=reason, detail="x"), deaths=1, at=NOON) is streak


def test_a_count_that_begins_anew_forgets() -> None:
    """After a healthy life the first death is the first; where none counts, nothing is remembered."""
    streak = died(ExitReason.OOM, ExitReason.OOM)
    end = RunEnd(reason=ExitReason.ERROR, detail="new")
    fresh = after_end(streak, end, deaths=1, at=NOON)
    assert fresh is not None
    assert (fresh.count, len(fresh.deaths), fresh.detail) == (1, 1, "new")
    assert after_end(streak, RunEnd(reason=ExitReason.CLEAN, detail="x"), deaths=0, at=NOON) is None
    assert given_up(None) is None


def test_the_memory_is_bounded() -> None:
    """A desk that never gives up does not fill its memory; the story says of how many it tells."""
    streak = died(*[ExitReason.ERROR] * (DEATHS_KEPT + 7))
    assert streak is not None
    assert (streak.count, len(streak.deaths)) == (DEATHS_KEPT + 7, DEATHS_KEPT)
    assert f"died {DEATHS_KEPT + 7} times in a row" in streak.story()
    assert f"(the last {DEATHS_KEPT}: {DEATHS_KEPT} x error)" in streak.story()
