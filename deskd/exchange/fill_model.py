"""How orders fill: how long the market takes, and how often it fills a part only."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class FillModel:
    """Latencies in market time, counted from the order's arrival, and the share of fills that are partial."""

    acknowledged_after: timedelta
    filled_after: timedelta
    fractional_after: timedelta  # fractional orders are acknowledged and filled at once
    partial_percent: int


PAPER = FillModel(
    acknowledged_after=timedelta(milliseconds=5),
    filled_after=timedelta(milliseconds=150),
    fractional_after=timedelta(milliseconds=3),
    partial_percent=10,
)
IMMEDIATE = FillModel(
    acknowledged_after=timedelta(0), filled_after=timedelta(0), fractional_after=timedelta(0), partial_percent=0
)
