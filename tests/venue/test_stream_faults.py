"""The switches that both websockets share; over real connections in test_faults_rest."""

import asyncio

import pytest

from deskd.venue.faults import StreamFaults
from deskd.venue.stream_faults import open_way, refused_handshake, turn
from tests.hang import HANG_S


async def test_the_way_is_open_until_it_is_closed() -> None:
    """A stream without a fault waits for nothing; a closed way holds everybody until it is opened."""
    way = open_way()
    await asyncio.wait_for(way.wait(), HANG_S)
    turn(way, is_open=False)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(way.wait(), 0.01)
    turn(way, is_open=True)
    await asyncio.wait_for(way.wait(), HANG_S)


async def test_a_refused_handshake_says_when_to_come_again_only_where_it_is_told_to() -> None:
    """Alpaca's own answer has no such header as far as is known; other gateways have."""
    assert refused_handshake(StreamFaults()) is None
    plain = refused_handshake(StreamFaults(refuse_handshakes=1))
    assert plain is not None
    assert (plain.status, "Retry-After" in plain.headers) == (429, False)
