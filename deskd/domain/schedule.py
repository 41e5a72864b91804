"""When a strategy trades: hours and days of New York, and how near the close it may open or hold anything."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from deskd.domain.market import MarketClock

DAY_MIN = 24 * 60
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One strategy's. The defaults are no restriction at all."""

    opens_min: int = 0  # minutes since New York's midnight; new orders pass from here
    closes_min: int = DAY_MIN  # up to here
    days: tuple[str, ...] = WEEK
    no_new_before_close: timedelta = timedelta(0)  # nothing opens in the last so many minutes of the regular session
    flatten_before_close: timedelta = timedelta(0)  # and what is held is closed in these

    @property
    def has_hours(self) -> bool:
        """Tell whether hours or days are bounded."""
        return (self.opens_min, self.closes_min, self.days) != (0, DAY_MIN, WEEK)

    @property
    def quiet(self) -> timedelta:
        """Return how long before the close nothing opens any more: what would be sold at once is not bought."""
        return max(self.no_new_before_close, self.flatten_before_close)


ALWAYS = Schedule()


def schedule_of(*, opens: str, closes: str, days: tuple[str, ...], no_new_min: int, flatten_min: int) -> Schedule:
    """Return the schedule of times as people write them: HH:MM, minutes."""
    return Schedule(
        opens_min=_minutes(opens),
        closes_min=_minutes(closes),
        days=days,
        no_new_before_close=timedelta(minutes=no_new_min),
        flatten_before_close=timedelta(minutes=flatten_min),
    )


def narrowed(schedule: Schedule, bounds: Schedule) -> Schedule:
    """Return the schedule inside *bounds*: what is left may be nothing."""
    return Schedule(
        opens_min=max(schedule.opens_min, bounds.opens_min),
        closes_min=min(schedule.closes_min, bounds.closes_min),
        days=tuple(day for day in schedule.days if day in bounds.days),
        no_new_before_close=max(schedule.no_new_before_close, bounds.no_new_before_close),
        flatten_before_close=max(schedule.flatten_before_close, bounds.flatten_before_close),
    )


def _minutes(hhmm: str) -> int:
    hours, minutes = hhmm.split(":")
    return int(hours) * 60 + int(minutes)


def closes_at(clock: MarketClock) -> datetime | None:
    """Return when the regular session that is on ends; None where none is on.

    The broker's clock names the next open and close, early ones too: so one answer tells of both changes to come.
    """
    is_open = clock.timestamp < clock.next_close and (clock.is_open or clock.timestamp >= clock.next_open)
    return clock.next_close if is_open else None
