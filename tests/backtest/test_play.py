"""A tape in step: what comes at each instant, and what is due between two of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deskd.backtest.play import Look, instants
from deskd.venue.bars import MINUTE
from deskd.wire.alpaca.market import to_datetime, to_ns
from tests.factories import NOON
from tests.venue.markets import a_tape, calendar, write_quotes

DAY = datetime(2013, 10, 8, tzinfo=UTC).date()
OPEN = datetime(2013, 10, 8, 13, 30, tzinfo=UTC)


@dataclass
class Told:
    """What came when."""

    at: list[datetime] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


def played(folder: Path, stamps: Sequence[timedelta], begin: timedelta = timedelta(0)) -> Told:
    rows = [(f"{OPEN + stamp:%Y-%m-%dT%H:%M:%S.%f}Z", "AAPL", 100.0, 100.01) for stamp in stamps]
    tape = a_tape(write_quotes(folder / "quotes.csv", rows))
    session = calendar().day(DAY)
    assert session is not None
    told = Told()
    for at, messages in instants(tape, session, to_ns(OPEN + begin)):
        told.at.append(to_datetime(at))
        told.counts.append(len(messages))
    return told


def test_what_comes_at_one_instant_comes_together(tmp_path: Path) -> None:
    """And every minute between has its edge, of which only bars come."""
    second = timedelta(seconds=1)
    told = played(tmp_path, [second, second, timedelta(seconds=150)])
    assert told.at[:4] == [OPEN + timedelta(seconds=s) for s in (1, 60, 120, 150)]
    assert told.counts[:4] == [2, 0, 0, 1]


def test_the_last_minute_and_the_sessions_edges_come_after_the_last_print(tmp_path: Path) -> None:
    """So that its bar is told, and day orders end with the day."""
    told = played(tmp_path, [timedelta(seconds=30)])
    hours = timedelta(hours=6, minutes=30)
    assert told.at == [
        OPEN + timedelta(seconds=30),
        OPEN + timedelta(minutes=1),
        OPEN + hours,
        OPEN + hours * 1 + timedelta(hours=4),
    ]


def test_an_edge_that_a_print_falls_on_comes_once(tmp_path: Path) -> None:
    """With the print."""
    told = played(tmp_path, [timedelta(seconds=30), timedelta(minutes=1), timedelta(minutes=1, seconds=1)])
    assert told.at[:3] == [OPEN + timedelta(seconds=s) for s in (30, 60, 61)]
    assert len(set(told.at)) == len(told.at)
    assert told.at == sorted(told.at)
    assert to_ns(told.at[1]) % MINUTE == 0


def test_a_look_is_due_when_the_market_moved_and_its_time_has_come() -> None:
    """Twice after each move, and then not before the next: a third would see the same."""

    async def nothing() -> None:
        pass

    look = Look(timedelta(seconds=1), nothing)
    assert not look.is_due(NOON)
    look.left = 2
    assert look.is_due(NOON)
    look.next_at = NOON + timedelta(seconds=1)
    assert not look.is_due(NOON)
    assert look.is_due(NOON + timedelta(seconds=1))
