"""Strategies hear of the exchange's day: where it is when they begin, and every change, early closes too."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from deskd.app.session_watch import SessionWatch
from deskd.domain.ids import StrategyId
from deskd.domain.market import MarketClock
from deskd.domain.schedule import Schedule
from tests.factories import ALICE, BOB

CLOSE = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)  # a half day
CLOCK = MarketClock(
    timestamp=CLOSE - timedelta(hours=1), is_open=True, next_open=CLOSE + timedelta(days=3), next_close=CLOSE
)


@dataclass
class Heard:
    """What was told, by strategy."""

    told: list[tuple[str, str, str, str]] = field(default_factory=list)

    def tell_session(self, timestamp: str, closes_at: str, phase_of: Callable[[StrategyId], str]) -> None:
        self.told.append((timestamp, closes_at, phase_of(ALICE), phase_of(BOB)))


def heard(clock: MarketClock | None) -> list[tuple[str, str, str, str]]:
    """Return what alice, whose schedule is quiet for half an hour, and bob, who has none, are told."""
    hub = Heard()
    quiet = Schedule(no_new_before_close=timedelta(minutes=30))
    SessionWatch(hub=hub, clock=lambda: clock, schedules={ALICE: quiet}).look()
    return hub.told


def at(left: timedelta) -> MarketClock:
    return replace(CLOCK, timestamp=CLOSE - left)


def test_the_day_is_open_then_closing_then_closed() -> None:
    """Closing begins with the strategy's own quiet time, or a quarter of an hour before the close."""
    ends = "2026-11-27T18:00:00.000Z"
    assert heard(CLOCK) == [("2026-11-27T17:00:00.000Z", ends, "open", "open")]
    assert heard(at(timedelta(minutes=30)))[0][2:] == ("closing", "open")
    assert heard(at(timedelta(minutes=15)))[0][2:] == ("closing", "closing")
    assert heard(at(timedelta(0))) == [("2026-11-27T18:00:00.000Z", "", "close", "close")]


def test_while_nobody_knows_the_time_nothing_is_told() -> None:
    """Unknown is no event."""
    assert heard(None) == []
