"""Outages of the broker's streams, and of the desk itself: each has one start and one end, and says who was affected.

1. An outage begins when a stream is lost. It ends when what was missed is made up for: for the trade stream with the
   look at the account after it listens again, for the market stream with the bars of the gap. A loss before that end
   belongs to the same outage.
2. A desk that ends during an outage cannot see its end: the next start closes it, with what is known.
3. A desk that was killed cannot say so: the next start tells of its own outage, from the last fact on. One that ended
   in order was no outage.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from deskd.domain.events import OutageEnded, StreamChanged
from deskd.domain.ids import StrategyId

DESK = "desk"  # in place of a stream's name: the desk's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One that has not ended."""

    stream: str
    started_at: datetime
    why: str  # what began it
    affected: tuple[StrategyId, ...]
    open_orders: int  # of the desk, when it began
    up_at: datetime | None = None  # the stream is up again; what was missed is not made up for yet


@dataclass(slots=True)
class Outages:
    """Every outage that goes on, by stream, and the last that ended."""

    open: dict[str, Outage] = field(default_factory=dict)
    last: OutageEnded | None = None
    is_desk_up: bool = False  # by the ledger: at a start, that the desk before it was killed
    alive_at: datetime | None = None  # when it last kept a fact

    # --- decide ------------------------------------------------------------------------------------------------

    def is_down(self, stream: str) -> bool:
        """Tell whether it is known that the stream is down: another loss would be no news."""
        known = self.open.get(stream)
        return known is not None and known.up_at is None

    def end_of(
        self,
        stream: str,
        *,
        affected: Iterable[StrategyId] = (),
        refusals: Mapping[StrategyId, int] | None = None,
        bars_fetched: int = 0,
        bars_missing: int = 0,
        at: datetime,
    ) -> OutageEnded | None:
        """Return the end of the stream's outage; None where there is none, or where the stream is still down."""
        known = self.open.get(stream)
        if known is None or known.up_at is None:
            return None
        refused = dict(refusals or {})
        return replace(
            _end(known, known.up_at, at),
            affected=tuple(sorted({*known.affected, *affected, *refused})),
            refusals=tuple(sorted(refused.items())),
            bars_fetched=bars_fetched,
            bars_missing=bars_missing,
        )

    def cut_short(self, at: datetime) -> list[OutageEnded]:
        """Return the ends of all outages in which the desk itself ended; it starts again at *at*."""
        return [replace(_end(known, known.up_at or at, at), is_cut_short=True) for known in self.open.values()]

    def downtime(self, at: datetime, *, affected: Iterable[StrategyId], open_orders: int) -> OutageEnded | None:
        """Return the desk's own outage, which starts again at *at*; None where it had ended in order."""
        if not self.is_desk_up or self.alive_at is None:
            return None
        known = Outage(
            stream=DESK,
            started_at=min(self.alive_at, at),  # the clock may have been set back
            why="the desk was killed: nothing is on record from its last fact on",
            affected=tuple(sorted(affected)),
            open_orders=open_orders,
        )
        return _end(known, at, at)

    # --- apply -------------------------------------------------------------------------------------------------

    def change(self, fact: StreamChanged) -> None:
        """Let an outage begin, or its stream come up."""
        known = self.open.get(fact.stream)
        if known is not None:
            self.open[fact.stream] = replace(known, up_at=fact.at if fact.is_up else None)
        elif not fact.is_up:
            self.open[fact.stream] = Outage(
                stream=fact.stream,
                started_at=fact.at,
                why=fact.why,
                affected=fact.affected,
                open_orders=fact.open_orders,
            )

    def step(self, by: timedelta) -> None:
        """Take along since when an outage goes on where the desk's clock was set: it lasts as long as it did."""
        for stream, known in self.open.items():
            up_at = None if known.up_at is None else known.up_at + by
            self.open[stream] = replace(known, started_at=known.started_at + by, up_at=up_at)

    def end(self, fact: OutageEnded) -> None:
        """Let the outage be over."""
        if fact.stream != DESK:  # whose beginning nobody could tell
            del self.open[fact.stream]
        self.last = fact


def _end(known: Outage, ended_at: datetime, at: datetime) -> OutageEnded:
    return OutageEnded(
        stream=known.stream,
        started_at=known.started_at,
        ended_at=ended_at,
        why=known.why,
        affected=known.affected,
        open_orders=known.open_orders,
        refusals=(),
        bars_fetched=0,
        bars_missing=0,
        at=at,
    )
