"""What every test may ask for."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Golden files are rewritten on demand; the diff is reviewed."""
    parser.addoption("--update-golden", action="store_true", help="write golden files as the code makes them now")
