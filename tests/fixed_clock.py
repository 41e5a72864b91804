"""A clock that stands still until a test moves it."""

from dataclasses import dataclass
from datetime import datetime

from tests.factories import NOON


@dataclass
class FixedClock:
    """Keeps the promise of `ports.Clock`."""

    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0
