"""Plays a tape: hands on what is due, at the speed that was asked for.

1. Market time only moves while messages come or time passes between them; nights, weekends and whatever else lies
   between two days of the tape are skipped at once.
2. The session's edges (04:00, the open, the close, 20:00) are always a step of their own: nothing of after the close is
   handed on before the close was.
3. At speed 0 the next step waits only for the sink: a slow receiver slows the market, it does not miss it.
4. `now` never passes a message or an edge that was not yet handed on.
"""

import asyncio
import math
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, datetime, time
from typing import Final

from deskd.domain.errors import ConfigError, WireError
from deskd.exchange.session import SessionDay
from deskd.ports import Clock
from deskd.venue.calendar import Calendar, MarketDay, new_york_day
from deskd.venue.tape import ENDLESS, Batch, Tape
from deskd.wire.alpaca.market import NEW_YORK, SECOND, Message, parse_stamp, to_datetime, to_ns

STEP_MESSAGES_MAX: Final = 512  # about a millisecond of the sink's work
STEP_SPAN_MAX: Final = SECOND  # of market time in one step at speed 0: orders find a market that has not run away
STEP_S_MIN: Final = 0.002  # between steps at speed > 0: messages of a fast market come in frames, not one by one
BEHIND_S_MAX: Final = 5.0  # a machine that slept goes on from where it was, it does not catch up hours at once
_TICKS: Final = tuple(SECOND * n for n in (1, 5, 15, 60, 300, 3_600))  # each divides the next: minutes end on a tick
_TICK_S_MIN: Final = 0.05

type Sink = Callable[[datetime, list[Message]], Awaitable[None]]
type OnDay = Callable[[SessionDay, datetime], Awaitable[None]]
type Sleep = Callable[[float], Awaitable[None]]


class Player:
    """One tape, playing. Build it with `make_player`; `run` it once."""

    def __init__(
        self, tape: Tape, calendar: Calendar, clock: Clock, *, speed: float, loop: bool, begin: int, sleep: Sleep
    ) -> None:
        self._tape = tape
        self._calendar = calendar
        self._clock = clock
        self._speed = speed
        self._loop = loop
        self._begin = begin
        self._sleep = sleep
        self._tick = next((tick for tick in _TICKS if tick / SECOND >= _TICK_S_MIN * speed), _TICKS[-1])
        self._handed_on = begin  # the market's time at the last step
        self._next_at: float = math.inf  # when the next message or edge comes
        self._anchor = (begin, clock.monotonic())
        self.is_playing = False

    def now(self) -> datetime:
        """Return the market's time."""
        return to_datetime(self.now_ns())

    def now_ns(self) -> int:
        """Return the market's time in nanoseconds. It stands still at speed 0 between steps, and before `run`."""
        if not self.is_playing or not self._speed:
            return self._handed_on
        return max(self._handed_on, int(min(self._running_at(), self._next_at)))

    @property
    def day(self) -> date:
        """Return the day that is playing."""
        return new_york_day(self._handed_on)

    async def run(self, sink: Sink, on_day: OnDay | None = None) -> None:
        """Play until the tape ends (never, where it loops). Each step is awaited; so is *on_day* before each day."""
        day: date | None = self.day
        begin = self._begin
        while day is not None:
            session, session_day = self._calendar.day(day), self._calendar.session_day(day)
            assert session is not None, "a tape's days are trading days"
            assert session_day is not None, "a tape's days are trading days"
            self._set_time(begin)
            batches = self._tape.play(day, begin)
            first = await asyncio.to_thread(next, batches, None)  # a day's files are read here
            self._next_at = math.inf if first is None else first.times[0]
            if on_day is not None:
                await on_day(session_day, self.now())
            self._set_time(begin)  # preparing the day took no market time
            self.is_playing = True
            await self._play_day(_Coming(first, batches), session, sink)
            self.is_playing = False
            day = self._tape.day_after(day, loop=self._loop)
            begin = self._begin if day is None else await asyncio.to_thread(self._tape.first_at, day)

    async def _play_day(self, coming: "_Coming", session: MarketDay, sink: Sink) -> None:
        for edge in map(to_ns, _edges(session)):
            if edge <= self._handed_on:
                continue
            while coming.next_at() < edge:
                await (self._paced_step if self._speed else self._quick_step)(coming, edge, sink)
            if coming.next_at() < math.inf:  # the market is still alive: its time passes as always
                while self._speed and self._running_at() < edge:
                    await self._paced_step(coming, edge, sink)
            await self._hand_on(edge, [], math.inf, sink)
        while coming.next_at() < math.inf:
            await (self._paced_step if self._speed else self._quick_step)(coming, ENDLESS, sink)

    async def _quick_step(self, coming: "_Coming", edge: int, sink: Sink) -> None:
        until = min(int(coming.next_at()) + STEP_SPAN_MAX, edge - 1)
        messages = coming.take(until)
        await self._hand_on(max(coming.last, self._handed_on), messages, min(coming.next_at(), edge), sink)
        await asyncio.sleep(0)  # the sink may not have waited: let the sockets have their turn

    async def _paced_step(self, coming: "_Coming", edge: int, sink: Sink) -> None:
        await coming.look_ahead()
        tick = (self._handed_on // self._tick + 1) * self._tick
        target = min(coming.next_at(), tick, edge)
        wait_s = (target - self._running_at()) / SECOND / self._speed
        if wait_s > 0:
            await self._sleep(max(wait_s, STEP_S_MIN))
        elif -wait_s > BEHIND_S_MAX:
            self._anchor = (int(target), self._clock.monotonic())
        due = min(self._running_at(), edge - 1)
        messages = coming.take(due)
        if len(messages) == STEP_MESSAGES_MAX:  # more are due: time stops at the last one handed on
            due = coming.last
        if due > self._handed_on or messages:
            await self._hand_on(max(due, self._handed_on), messages, min(coming.next_at(), edge), sink)

    async def _hand_on(self, at: int, messages: list[Message], next_at: float, sink: Sink) -> None:
        self._handed_on = at
        self._next_at = next_at
        await sink(to_datetime(at), messages)

    def _running_at(self) -> int:
        market, real = self._anchor
        return market + int((self._clock.monotonic() - real) * self._speed * SECOND)

    def _set_time(self, at: int) -> None:
        self._handed_on = at
        self._anchor = (at, self._clock.monotonic())


class _Coming:
    """The messages of a day that were not yet handed on."""

    def __init__(self, first: Batch | None, rest: Iterator[Batch]) -> None:
        self._batch = first or Batch([], [])
        self._ahead: Batch | None = None
        self._rest = rest
        self._at = 0
        self.last = 0  # when the last one taken came

    async def look_ahead(self) -> None:
        """Have the next batch at hand: making it may take longer than the loop can be kept waiting."""
        if self._ahead is None:
            self._ahead = await asyncio.to_thread(next, self._rest, Batch([], []))

    def next_at(self) -> float:
        """Return when the next message comes; infinity where none does."""
        while self._at == len(self._batch.times):
            batch, self._ahead = self._ahead or next(self._rest, None), None
            if batch is None or not batch.times:
                return math.inf
            self._batch, self._at = batch, 0
        return self._batch.times[self._at]

    def take(self, until: int) -> list[Message]:
        """Return what came until then, at most STEP_MESSAGES_MAX."""
        taken: list[Message] = []
        while len(taken) < STEP_MESSAGES_MAX and self.next_at() <= until:
            end = bisect_right(self._batch.times, until, self._at)
            end = min(end, self._at + STEP_MESSAGES_MAX - len(taken))
            taken += self._batch.messages[self._at : end]
            self.last = self._batch.times[end - 1]
            self._at = end
        return taken


def make_player(
    tape: Tape,
    calendar: Calendar,
    clock: Clock,
    *,
    speed: float,
    loop: bool,
    start: str | None = None,
    resume_at: datetime | None = None,
    sleep: Sleep = asyncio.sleep,
) -> Player:
    """Return a player at the tape's beginning, at *start*, or after *resume_at* where the tape has that day.

    *start* is an RFC 3339 instant or HH:MM in New York; ConfigError says what is wrong with it.
    """
    if resume_at is not None and tape.plays(resume_at.astimezone(NEW_YORK).date()):
        begin = to_ns(resume_at) + 1
    else:
        begin = start_of(tape, start)
    return Player(tape, calendar, clock, speed=speed, loop=loop, begin=begin, sleep=sleep)


def start_of(tape: Tape, start: str | None) -> int:
    """Return where the tape starts to play, in nanoseconds; raise ConfigError where *start* makes no sense on it."""
    first = tape.days()[0]
    if start is None:
        return tape.first_at(first)
    if at := _time_of_day(start):
        return to_ns(datetime.combine(first, at, NEW_YORK))
    try:
        begin = parse_stamp(start)
    except WireError as error:
        raise ConfigError(f"exchange.start: {error}; or write HH:MM, in New York time") from None
    day = new_york_day(begin)
    if tape.plays(day):
        return begin
    later = next((other for other in tape.days() if other > day), None)
    if later is None:
        raise ConfigError(
            f"exchange.start: {start} lies after the tape, which holds {first} to {tape.days()[-1]}. Choose a day of it."
        )
    return tape.first_at(later)


def _time_of_day(text: str) -> time | None:
    try:
        return time.fromisoformat(text) if len(text) in {5, 8} and text[2] == ":" else None
    except ValueError:
        raise ConfigError(f"exchange.start: {text!r} is not a time of day; write HH:MM, in New York time") from None


def _edges(session: MarketDay) -> tuple[datetime, ...]:
    return (session.extended_open_at, session.open_at, session.close_at, session.extended_close_at)
