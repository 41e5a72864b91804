"""Draws and ids repeat with their seed."""

from datetime import timedelta
from uuid import UUID

from deskd.exchange.generator import Generator, ulid
from tests.exchange.given import NOON


def test_same_seed_gives_same_ids() -> None:
    """Two accounts of one seed name their orders alike, and no name comes twice."""
    one, two = Generator(5), Generator(5)
    ids = [one.uuid() for _ in range(1000)]
    assert ids == [two.uuid() for _ in range(1000)]
    assert len(set(ids)) == 1000


def test_ids_are_version_4_uuids() -> None:
    """A strict client parses every id as a random UUID, in lower case."""
    generator = Generator(1)
    for _ in range(200):
        text = generator.uuid()
        assert str(UUID(text)) == text
        assert UUID(text).version == 4
        assert UUID(text).variant == "specified in RFC 4122"


def test_stored_state_goes_on_where_it_was() -> None:
    """A restart changes nothing: the state is the whole generator."""
    one = Generator(5)
    one.draw()
    assert Generator(one.state).draw() == one.draw()


def test_draws_have_their_share() -> None:
    """Ten percent are about ten percent, and a range has both its ends."""
    generator = Generator(9)
    assert 900 < sum(generator.happens(10) for _ in range(10_000)) < 1100
    assert {generator.between(1, 3) for _ in range(100)} == {1, 2, 3}


def test_event_ids_grow() -> None:
    """Events sort by their ids: by time, and within one instant as they came."""
    ids = [ulid(NOON, 1), ulid(NOON, 2), ulid(NOON, 1000), ulid(NOON + timedelta(milliseconds=1), 3)]
    assert ids == sorted(ids)
    assert all(len(i) == 26 for i in ids)
