"""Each test begins as a fresh process would: connected to no desk, and nobody."""

from collections.abc import Iterator

import pytest
from desk_client import client


@pytest.fixture(autouse=True)
def a_fresh_client() -> Iterator[None]:
    yield
    if client._desk is not None:
        client._desk.wire.close()
    client._desk = client._user_id = None
