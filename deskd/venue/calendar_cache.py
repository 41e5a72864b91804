"""The calendar as a small file beside the exchange's account: building it takes a third of a start, and pandas.

Rule 1: it is a cache. One that is of another library or another span, or not what was written, is built anew.
Rule 2: it is written whole or not at all, and where it cannot be written nothing is lost but the third of a second.
"""

import hashlib
from contextlib import suppress
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from deskd.venue.calendar import FIRST_DAY, LAST_DAY, Calendar, load_calendar


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """Every day as its number, and its open and close in seconds since 1970."""

    days: list[int]
    opens: list[int]
    closes: list[int]


def place_beside(state: Path | None) -> Path | None:
    """Return where the cache of an exchange with that account is; None for one in memory."""
    return None if state is None else state.with_name("calendar.cache")


def cached_calendar(place: Path | None) -> Calendar:
    """Return the calendar, from the file where that fits, else built, and kept there for the next start."""
    if place is None:
        return load_calendar()
    made_by = f"exchange_calendars {version('exchange_calendars')} {FIRST_DAY} {LAST_DAY}".encode()
    if (kept := _read(place, made_by)) is not None:
        return kept
    calendar = load_calendar()
    with suppress(OSError):
        _write(place, made_by, calendar)
    return calendar


def _read(place: Path, made_by: bytes) -> Calendar | None:
    try:
        first, digest, body = place.read_bytes().split(b"\n", 2)
        if first != made_by or digest != _digest(body):
            return None
        kept = msgspec.json.decode(body, type=_Kept)
    except (OSError, ValueError):
        return None
    return Calendar(
        [date.fromordinal(day) for day in kept.days],
        [datetime.fromtimestamp(at, UTC) for at in kept.opens],
        [datetime.fromtimestamp(at, UTC) for at in kept.closes],
    )


def _write(place: Path, made_by: bytes, calendar: Calendar) -> None:
    days, opens, closes = calendar.columns()
    kept = _Kept(
        [day.toordinal() for day in days], [int(at.timestamp()) for at in opens], [int(at.timestamp()) for at in closes]
    )
    body = msgspec.json.encode(kept)
    new = place.with_name(f"{place.name}.new")
    new.write_bytes(b"\n".join((made_by, _digest(body), body)))
    new.replace(place)


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
