"""What goes wrong comes from the seed alone."""

import random

import msgspec
import pytest

from deskd.venue.faults import FaultsOrder
from tests.chaos.club import CLUB
from tests.chaos.schedule import FAULTS, processes, together, weather, wire


def test_the_same_seed_gives_the_same_run() -> None:
    """A run that failed is planned again to the last figure; another seed plans another."""
    for plan in (processes, wire):
        assert plan(7, 300) == plan(7, 300)
        assert plan(7, 300) != plan(8, 300)
    assert weather(7) == weather(7)


def test_a_longer_run_begins_as_a_shorter_one() -> None:
    """What broke after ten minutes of an hour breaks after ten minutes of eleven."""
    for plan in (processes, wire):
        short = plan(7, 100)
        assert list(plan(7, 300)[: len(short)]) == list(short)


@pytest.mark.parametrize("name", FAULTS)
def test_the_exchange_knows_each_fault(name: str) -> None:
    """Every fault is one that POST /faults takes, as it is and beside others."""
    dice = random.Random(1)
    for names in ([name], [name, "429", "trade stream dropped"]):
        order = msgspec.json.decode(msgspec.json.encode(together(names, dice)), type=FaultsOrder)
        assert order != FaultsOrder()


def test_everything_happens_within_an_hour() -> None:
    """No kind of step or fault is so seldom that an hour does not bring it."""
    assert {name for step in wire(1, 3600) for name in step.what.split(" + ")} == set(FAULTS)
    assert len({step.what for step in processes(1, 3600)}) == 16


def test_the_club_has_twenty_strategies() -> None:
    """Twenty names, no two alike."""
    assert len({member.name for member in CLUB}) == len(CLUB) == 20
