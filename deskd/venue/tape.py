"""What a tape is to those who play and read it.

A tape holds days. A day plays as batches of messages in the order they came over the wire; the same day is also read
by column, for history. Recorded tapes come from files (`recorded.py`), the synthetic one from a seed (`synthetic.py`);
`tapes.py` opens either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Protocol

import polars as pl

from deskd.wire.alpaca.market import Message

ENDLESS: Final = 1 << 62  # a stamp after all others


@dataclass(frozen=True, slots=True)
class Batch:
    """Some messages in the order they came, and when each came (which a late trade's own stamp does not say)."""

    times: list[int]
    messages: list[Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A symbol as the exchange lists it."""

    symbol: str
    name: str  # says so where the market is synthetic
    exchange: str  # NYSE, ARCA or NASDAQ


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a day holds, known before it plays."""

    quoted: frozenset[str]  # symbols with quotes of their own; for the others the market derives them
    barred: frozenset[str]  # symbols whose minute bars are recorded; for the others the market builds them


class Tape(Protocol):
    """Recorded or invented days of a market. Reading may take a while: call it in a thread."""

    @property
    def is_synthetic(self) -> bool:
        """Tell whether the market was invented."""

    @property
    def notices(self) -> Sequence[str]:
        """Return what was found while opening: rows dropped or odd, one sentence each."""

    def listings(self) -> Sequence[Listing]:
        """Return every symbol, sorted."""

    def days(self) -> Sequence[date]:
        """Return the days to play, in order."""

    def history_days(self, start: date, end: date) -> Sequence[date]:
        """Return the days from *start* to *end* of which anything can be read, in order."""

    def day_after(self, day: date, *, loop: bool) -> date | None:
        """Return the day that plays after *day*; at the end of the tape its start where it loops, else None."""

    def plays(self, day: date) -> bool:
        """Tell whether the day can be played."""

    def first_at(self, day: date) -> int:
        """Return when the day starts to play: with its first message, or just before the open."""

    def outline(self, day: date) -> Outline:
        """Return what the day holds."""

    def play(self, day: date, since: int) -> Iterator[Batch]:
        """Yield the day's messages that came at *since* or later, in order, at most about a thousand at a time."""

    def trades(self, symbol: str, day: date, until: int = ENDLESS) -> pl.DataFrame:
        """Return the day's trades of a symbol stamped before *until*: columns t, i, x, p, s, c (joined by |), z."""

    def quotes(self, symbol: str, day: date, until: int = ENDLESS) -> pl.DataFrame:
        """Return the day's quotes of a symbol stamped before *until*: columns t, bx, bp, bs, ax, ap, as, c, z."""

    def minute_bars(self, symbol: str, day: date) -> pl.DataFrame:
        """Return the day's minute bars of a symbol (`bars.BAR_COLUMNS`), whole: the reader cuts at its own time."""

    def day_bar(self, symbol: str, day: date) -> pl.DataFrame:
        """Return the day's bar of a symbol, stamped midnight New York: one row, or none."""
