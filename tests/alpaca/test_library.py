"""The private names of alpaca-py that the desk uses."""

from importlib.metadata import version

import pytest

from deskd.alpaca import library


def test_the_installed_library_is_the_one_the_desk_is_built_for() -> None:
    """Every private name that the streams use is there, and the version is the pinned one."""
    assert library.missing_names() == []
    assert version("alpaca-py") == library.PINNED
    library.check_library()


def test_a_name_that_moved_is_told_with_the_remedy() -> None:
    """Whoever lifts the pin reads what is missing and which version to install."""

    class Moved:
        pass

    names = library.Used(owner=Moved, methods=("_connect",), attributes=("_ws",))
    with pytest.raises(ImportError, match=r"has no Moved\._connect, Moved\._ws.*alpaca-py 0\.44\.0.*make setup"):
        library.check_library((names,))
