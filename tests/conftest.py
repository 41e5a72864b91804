"""What every test may ask for."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are rewritten on demand; the diff is reviewed."""
    parser.addoption("--update-golden", action="store_true", help="write golden files as the code makes them now")


LONG_ROOMS = ("whole", "testbed", "chaos", "soak", "jail")  # whose tests take seconds to minutes each


@pytest.hookimpl(trylast=True)  # after the shuffle
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: at the end of the run all workers have work.

    Tests of one xdist group run one after the other: the whole desks are `jails`, bed, chaos and soak are `long`, and on
    two workers each has one.
    """
    rank = {room: place for place, room in enumerate(LONG_ROOMS)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))
