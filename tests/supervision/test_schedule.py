"""`schedule` of config.json: inside what the desk allows, and what is wrong is said by name."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from deskd.config import RiskScheduleSection
from deskd.domain.schedule import ALWAYS, WEEK, Schedule
from deskd.supervision.folder import FolderError
from deskd.supervision.schedule import OwnSchedule, own_schedule

DESK = RiskScheduleSection(
    opens="09:35", closes="15:55", days=WEEK[:5], no_new_before_close_min=5, flatten_before_close_min=0
)


def own(desk: RiskScheduleSection = DESK, **given: Any) -> Schedule:
    return own_schedule(OwnSchedule(**given), desk)


def test_who_says_nothing_has_the_desks() -> None:
    """And a desk that says nothing restricts nothing."""
    assert own(RiskScheduleSection()) == ALWAYS
    assert own() == Schedule(opens_min=575, closes_min=955, days=WEEK[:5], no_new_before_close=timedelta(minutes=5))


def test_a_strategy_says_its_own_inside_the_desks() -> None:
    """What it leaves out is the desk's."""
    found = own(opens="10:00", days=["fri", "mon"], flatten_before_close_min=3)
    assert found == Schedule(
        opens_min=600,
        closes_min=955,
        days=("mon", "fri"),
        no_new_before_close=timedelta(minutes=5),
        flatten_before_close=timedelta(minutes=3),
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"opens": "09:30"}, "schedule.opens: 09:30 is looser than the desk's 09:35"),
        ({"closes": "24:00"}, "schedule.closes: 24:00 is looser than the desk's 15:55"),
        ({"days": ["sat"]}, "schedule.days: sat is looser than the desk's mon,tue,wed,thu,fri"),
        ({"no_new_before_close_min": 0}, "schedule.no_new_before_close_min: 0 is looser than the desk's 5"),
        ({"opens": "12:00", "closes": "11:00"}, "opens=12:00 is not before closes=11:00"),
    ],
)
def test_what_is_looser_or_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    """Key, figure and bound."""
    with pytest.raises(FolderError, match=said):
        own(**given)


def test_a_flatten_that_the_desk_wants_is_not_turned_off() -> None:
    """0 is off: the loosest of all."""
    desk = RiskScheduleSection(flatten_before_close_min=5)
    with pytest.raises(FolderError, match="flatten_before_close_min: 0 is looser than the desk's 5"):
        own(desk, flatten_before_close_min=0)


@pytest.mark.parametrize("given", [{"opens": "9:30"}, {"closes": "25:00"}, {"days": []}, {"days": ["Mon"]}])
def test_times_are_written_as_hh_mm(given: dict[str, Any]) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValidationError):
        OwnSchedule(**given)
