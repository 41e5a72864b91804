"""The calendar's cache: the same calendar, or none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deskd.venue.calendar_cache import cached_calendar, place_beside
from tests.venue.markets import calendar


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_what_was_kept_is_the_calendar_that_was_built(tmp_path: Path) -> None:
    """Every day, open and close; the second start reads the file of the first."""
    place = place_beside(tmp_path / "exchange.db")
    assert place is not None
    assert cached_calendar(place).columns() == calendar().columns()
    assert names_in(tmp_path) == ["calendar.cache"]
    written = place.stat().st_mtime_ns
    assert cached_calendar(place).columns() == calendar().columns()
    assert place.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:-10],
        lambda whole: whole.replace(b"exchange_calendars ", b"exchange_calendars 0."),
        lambda whole: whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:],
        lambda whole: b"a shopping list",
    ],
    ids=["empty", "cut", "of another version", "a bit", "something else"],
)
def test_what_is_not_what_was_written_is_built_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A wrong session would be a wrong market: nothing is guessed."""
    place = tmp_path / "calendar.cache"
    cached_calendar(place)
    whole = place.read_bytes()
    place.write_bytes(damage(whole))
    assert cached_calendar(place).columns() == calendar().columns()
    assert place.read_bytes() == whole


def test_where_it_cannot_be_kept_it_is_built_each_time(tmp_path: Path) -> None:
    """An exchange in memory has no place; a place that cannot be written is no trouble."""
    assert place_beside(None) is None
    assert cached_calendar(None).columns() == calendar().columns()
    assert cached_calendar(tmp_path / "nowhere" / "calendar.cache").columns() == calendar().columns()
    assert names_in(tmp_path) == []
