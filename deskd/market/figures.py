"""What the hub counts, for whoever watches the desk."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFigures:
    """What became of the market's messages since the desk started."""

    messages: int
    malformed: int
    flushes: int  # times at which gathered lines were sent
    gathered: int  # lines that left in them, counted once for all runs
    delivered: int  # lines that pipes took, counted for each run
    dropped: int  # lines conflated away, likewise
    waiting_bytes: int  # that wait for room in pipes
