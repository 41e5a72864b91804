"""Small markets for tests: the calendar, files of a tape, messages, a clock that is wound by hand."""

import os
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import pytest

from deskd.venue.calendar import Calendar, load_calendar
from deskd.venue.tape import Tape
from deskd.venue.tapes import open_tape
from deskd.wire.alpaca.market import Message, parse_stamp

TUESDAY = date(2013, 10, 8)
OPEN = "2013-10-08T13:30:00Z"
CLOSE = "2013-10-08T20:00:00Z"

DATA = Path(os.environ.get("DESKD_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def recorded(path: str) -> Path:
    """Return a recorded file or folder; skip the test where it is not there."""
    if not (DATA / path).exists():
        pytest.skip(f"no recorded market at {DATA / path}: set DESKD_TEST_DATA")
    return DATA / path


@cache
def calendar() -> Calendar:
    return load_calendar()


def ns(text: str) -> int:
    return parse_stamp(text)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def a_trade(t: str = OPEN, p: float = 100.0, s: int = 100, **overrides: object) -> Message:
    fields: Message = {"T": "t", "S": "IBM", "i": 1, "x": "N", "p": p, "s": s, "c": [" "], "z": "A", "t": ns(t)}
    return fields | overrides


def a_quote(t: str = OPEN, bp: float = 99.99, ap: float = 100.01, **overrides: object) -> Message:
    fields: Message = {"T": "q", "S": "IBM", "bx": "N", "bp": bp, "bs": 100, "ax": "P", "ap": ap, "as": 200}
    return fields | {"c": ["R"], "z": "A", "t": ns(t)} | overrides


def write_trades(path: Path, rows: Iterable[tuple[str, str, float, int, str]]) -> Path:
    """Write t, symbol, price, size, conditions."""
    lines = [f"{t},{symbol},{i},N,{p},{s},{c},A" for i, (t, symbol, p, s, c) in enumerate(rows, start=1)]
    return write(path, "t,S,i,x,p,s,c,z", lines)


def write_quotes(path: Path, rows: Iterable[tuple[str, str, float, float]]) -> Path:
    """Write t, symbol, bid, ask."""
    return write(path, "t,S,bx,bp,bs,ax,ap,as,c,z", [f"{t},{s},N,{b},100,P,{a},200,R,A" for t, s, b, a in rows])


def write_bars(path: Path, rows: Iterable[tuple[str, str, float, float, float, float, int]]) -> Path:
    """Write t, symbol, open, high, low, close, volume."""
    return write(path, "t,S,o,h,l,c,v", [",".join(map(str, row)) for row in rows])


def write(path: Path, header: str, lines: Iterable[str]) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def a_tape(*paths: Path) -> Tape:
    return open_tape([str(path) for path in paths], calendar=calendar())


class HandClock:
    """A clock that only moves when it is told to sleep."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.naps: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.seconds += seconds
