"""What every test may ask for."""

import os
from typing import Any

import pytest

from tests.turns import LONG_ROOMS, Turns


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are rewritten on demand; the diff is reviewed."""
    parser.addoption("--update-golden", action="store_true", help="write golden files as the code makes them now")


def pytest_configure(config: pytest.Config) -> None:
    """Judge no property by how long an example took: the machine may be busy. All else is Hypothesis's own profile."""
    if config.pluginmanager.hasplugin("hypothesispytest"):  # not in the bed's guest
        from hypothesis import HealthCheck, settings

        own = settings()
        calm = {*own.suppress_health_check, HealthCheck.too_slow}
        settings.register_profile("a busy machine", parent=own, deadline=None, suppress_health_check=list(calm))
        settings.load_profile("a busy machine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are processors: whole desks and the bed wait more than they compute, for most of the run."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Turns:
    """Deal out tests as tests/turns.py says."""
    return Turns(config, log)


@pytest.hookimpl(trylast=True)  # after the shuffle
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: at the end of the run all workers have work."""
    rank = {room: place for place, room in enumerate(LONG_ROOMS)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))
