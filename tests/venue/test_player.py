"""Guarantees of the player: market time, its speed, its jumps, its edges, and where it begins."""

from datetime import datetime
from pathlib import Path

import pytest

from deskd.domain.errors import ConfigError
from deskd.exchange.session import SessionDay
from deskd.venue.player import STEP_MESSAGES_MAX, Player, make_player
from deskd.venue.tape import Tape
from deskd.wire.alpaca.market import Message
from tests.venue.markets import CLOSE, OPEN, HandClock, a_tape, at, calendar, write_trades

OPENED, CLOSED, NIGHT = at(OPEN), at(CLOSE), at("2013-10-09T00:00:00Z")


class Steps:
    """A sink that remembers what it was handed."""

    def __init__(self, enough: int = 1 << 30) -> None:
        self.steps: list[tuple[datetime, list[Message]]] = []
        self.days: list[tuple[SessionDay, datetime]] = []
        self.enough = enough

    async def __call__(self, now: datetime, messages: list[Message]) -> None:
        self.steps.append((now, messages))
        if len(self.steps) >= self.enough:
            raise StopAsyncIteration

    async def on_day(self, day: SessionDay, now: datetime) -> None:
        self.days.append((day, now))

    @property
    def with_messages(self) -> list[tuple[datetime, list[float]]]:
        return [(now, [m["p"] for m in messages]) for now, messages in self.steps if messages]


def tape_of(folder: Path, *stamps: str) -> Tape:
    return a_tape(write_trades(folder / "t.csv", [(t, "IBM", float(n), 1, " ") for n, t in enumerate(stamps, start=1)]))


def a_player(
    tape: Tape,
    clock: HandClock,
    speed: float = 1.0,
    *,
    loop: bool = False,
    start: str | None = None,
    resume_at: datetime | None = None,
) -> Player:
    return make_player(
        tape, calendar(), clock, speed=speed, loop=loop, start=start, resume_at=resume_at, sleep=clock.sleep
    )


async def test_at_speed_one_each_message_comes_when_it_is_due(tmp_path: Path) -> None:
    """Market seconds are real seconds, from the first message on."""
    tape = tape_of(tmp_path, OPEN, "2013-10-08T13:30:00.25Z", "2013-10-08T13:30:02Z")
    clock, steps = HandClock(), Steps()
    player = a_player(tape, clock, start="09:30")
    heard: list[float] = []

    async def sink(now: datetime, messages: list[Message]) -> None:
        heard.extend(clock.seconds for _ in messages)
        assert now == player.now()
        await steps(now, messages)

    await player.run(sink)
    assert heard == pytest.approx([0.0, 0.25, 2.0], abs=0.003)


async def test_twice_the_speed_takes_half_the_time(tmp_path: Path) -> None:
    """Speed is market seconds per real second."""
    tape = tape_of(tmp_path, OPEN, "2013-10-08T13:31:00Z")
    clock = HandClock()
    await a_player(tape, clock, 2.0, start="09:30").run(Steps())
    assert clock.seconds == pytest.approx(30, abs=0.01)


async def test_nights_and_weekends_are_skipped_at_once(tmp_path: Path) -> None:
    """From Friday's last message to Monday's first no time passes, at any speed above 0 too."""
    tape = tape_of(tmp_path, "2013-10-04T19:59:59Z", "2013-10-07T13:30:00Z")
    clock, steps = HandClock(), Steps()
    await a_player(tape, clock, start="2013-10-04T19:59:58Z").run(steps, steps.on_day)
    assert clock.seconds == pytest.approx(2, abs=0.05)  # a second before each message
    assert [(day.day.isoformat(), now) for day, now in steps.days] == [
        ("2013-10-04", at("2013-10-04T19:59:58Z")),
        ("2013-10-07", at("2013-10-07T13:29:59Z")),
    ]


@pytest.mark.parametrize("speed", [0.0, 3600.0])
async def test_the_sessions_edges_are_steps_of_their_own(tmp_path: Path, speed: float) -> None:
    """Nothing of after the close is handed on before the close was; the day ends at 20:00."""
    tape = tape_of(tmp_path, "2013-10-08T13:29:59.9Z", OPEN, "2013-10-08T19:59:59.9Z", CLOSE)
    clock, steps = HandClock(), Steps()
    await a_player(tape, clock, speed).run(steps)
    before = [now for now, messages in steps.steps if any(m["p"] < 4 for m in messages)]
    assert all(now < CLOSED for now in before)
    edges = [now for now, messages in steps.steps if not messages and now in {OPENED, CLOSED, NIGHT}]
    assert edges == [OPENED, CLOSED, NIGHT]
    (after,) = [number for number, (_, messages) in enumerate(steps.steps) if any(m["p"] == 4 for m in messages)]
    assert after > [now for now, _ in steps.steps].index(CLOSED)


async def test_as_fast_as_it_goes_waits_for_nobody_but_the_sink(tmp_path: Path) -> None:
    """No sleep at all; steps are at most a second of market time and a bounded number of messages."""
    burst = [f"2013-10-08T14:00:00.{n:03d}Z" for n in range(700)]
    tape = tape_of(tmp_path, OPEN, "2013-10-08T13:30:00.9Z", "2013-10-08T13:30:05Z", *burst)
    clock, steps = HandClock(), Steps()
    await a_player(tape, clock, 0).run(steps)
    assert clock.naps == []
    assert [len(prices) for _, prices in steps.with_messages] == [2, 1, STEP_MESSAGES_MAX, 700 - STEP_MESSAGES_MAX]
    assert [p for _, prices in steps.with_messages for p in prices] == [float(n) for n in range(1, 704)]


async def test_a_burst_is_handed_on_in_bounded_steps_at_any_speed(tmp_path: Path) -> None:
    """No step has more than STEP_MESSAGES_MAX messages, and time stops with the last one handed on."""
    burst = [f"2013-10-08T14:00:00.{n:03d}Z" for n in range(700)]
    clock, steps = HandClock(), Steps()
    await a_player(tape_of(tmp_path, *burst), clock, 10_000.0, start="2013-10-08T13:59:59Z").run(steps)
    assert [len(prices) for _, prices in steps.with_messages] == [STEP_MESSAGES_MAX, 700 - STEP_MESSAGES_MAX]
    assert steps.with_messages[0][0] == at(burst[STEP_MESSAGES_MAX - 1])


async def test_the_open_is_on_time_though_nothing_trades_before_it(tmp_path: Path) -> None:
    """While messages are still to come, time passes as always up to an edge."""
    clock, steps = HandClock(), Steps()
    heard: list[float] = []

    async def sink(now: datetime, messages: list[Message]) -> None:
        if now == OPENED:
            heard.append(clock.seconds)
        await steps(now, messages)

    await a_player(tape_of(tmp_path, "2013-10-08T13:30:09Z"), clock, start="2013-10-08T13:29:50Z").run(sink)
    assert heard == pytest.approx([10], abs=0.01)


async def test_time_never_passes_a_message_that_was_not_handed_on(tmp_path: Path) -> None:
    """When the machine is late, the market's clock waits with it."""
    tape = tape_of(tmp_path, OPEN, "2013-10-08T13:30:01Z")
    clock = HandClock()
    player = a_player(tape, clock, start="09:30")
    assert player.now() == OPENED
    seen: list[datetime] = []

    async def slow(now: datetime, messages: list[Message]) -> None:
        clock.seconds += 3 if messages else 0
        seen.append(player.now())

    await player.run(slow)
    assert seen[0] == at("2013-10-08T13:30:01Z")
    assert seen == sorted(seen)


async def test_after_a_long_sleep_of_the_machine_the_market_goes_on_from_where_it_was(tmp_path: Path) -> None:
    """An hour's pause is not played at once."""
    tape = tape_of(tmp_path, OPEN, "2013-10-08T13:30:01Z", "2013-10-08T13:40:00Z")
    clock = HandClock()
    steps = Steps()

    async def sink(now: datetime, messages: list[Message]) -> None:
        if not steps.steps:
            clock.seconds += 3_600
        await steps(now, messages)

    await a_player(tape, clock, start="09:30").run(sink)
    assert clock.seconds == pytest.approx(3_600 + 599, abs=2)


async def test_minutes_end_on_time_without_a_message(tmp_path: Path) -> None:
    """At speed 1 there is a step at every full second, so that a minute's bar need not wait for a trade."""
    tape = tape_of(tmp_path, "2013-10-08T13:30:58.5Z", "2013-10-08T13:31:30Z")
    steps = Steps(enough=5)
    with pytest.raises(StopAsyncIteration):
        await a_player(tape, HandClock(), start="2013-10-08T13:30:58Z").run(steps)
    nows = [now for now, _ in steps.steps]
    assert any(at("2013-10-08T13:31:00Z") <= now <= at("2013-10-08T13:31:00.01Z") for now in nows)


async def test_a_loop_starts_the_tape_again(tmp_path: Path) -> None:
    """Days keep their dates: after the last comes the first."""
    tape = tape_of(tmp_path, OPEN)
    steps = Steps(enough=7)
    with pytest.raises(StopAsyncIteration):
        await a_player(tape, HandClock(), 0, loop=True).run(steps, steps.on_day)
    assert [day.day for day, _ in steps.days] == [tape.days()[0]] * 2


async def test_it_goes_on_after_the_time_it_was_saved_at(tmp_path: Path) -> None:
    """What was played is not played again; on a tape without that day it starts as told."""
    stamps = [OPEN, "2013-10-08T13:30:01Z", "2013-10-08T13:30:02Z"]
    tape = tape_of(tmp_path, *stamps)
    steps = Steps()
    await a_player(tape, HandClock(), 0, resume_at=at(stamps[1])).run(steps)
    assert [p for _, prices in steps.with_messages for p in prices] == [3.0]
    elsewhere = a_player(tape, HandClock(), 0, start="09:31", resume_at=at("2020-01-02T15:00:00Z"))
    assert elsewhere.now() == at("2013-10-08T13:31:00Z")


@pytest.mark.parametrize(
    ("start", "now"),
    [
        (None, "2013-10-07T13:29:59Z"),
        ("09:31", "2013-10-07T13:31:00Z"),
        ("2013-10-08T14:00:00Z", "2013-10-08T14:00:00Z"),
        ("2013-10-08", "2013-10-08T04:00:00Z"),
        ("2013-10-05T14:00:00Z", "2013-10-07T13:29:59Z"),
    ],
)
def test_it_starts_where_it_is_told(tmp_path: Path, start: str | None, now: str) -> None:
    """An instant, a date, a time of the first day; from a day that the tape lacks, the next one."""
    tape = tape_of(tmp_path, "2013-10-07T14:00:00Z", "2013-10-08T13:30:00Z")
    assert a_player(tape, HandClock(), start=start).now() == at(now)


@pytest.mark.parametrize(
    ("start", "said"),
    [("soon", "exchange.start"), ("25:00", "not a time of day"), ("2014-01-02", "lies after the tape")],
)
def test_a_start_that_makes_no_sense_is_told(tmp_path: Path, start: str, said: str) -> None:
    """The error names the setting, the value and the remedy."""
    with pytest.raises(ConfigError, match=said):
        a_player(tape_of(tmp_path, OPEN), HandClock(), start=start)
