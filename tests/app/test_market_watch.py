"""The broker's clock is followed, whatever the broker does meanwhile."""

import asyncio
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from structlog.testing import capture_logs

from deskd.app.market_watch import MarketWatch
from deskd.domain.market import Instrument, MarketClock, TradingDay
from tests.factories import AAPL, DAY, MONDAY, NOON, an_instrument
from tests.runtime.a_live_desk import World, a_world


@dataclass
class ListingBroker:
    """Has a list of instruments, once it can be reached."""

    fails: int
    listed: asyncio.Event = field(default_factory=asyncio.Event)

    async def calendar(self, first: date, last: date) -> list[TradingDay]:
        assert first < MONDAY < last
        return [DAY]

    async def instruments(self) -> list[Instrument]:
        if self.fails:
            self.fails -= 1
            raise ConnectionError("refused")
        self.listed.set()
        return [an_instrument(AAPL)]


async def until_listed(world: World, broker: Any, heard: list[MarketClock], is_open: list[bool]) -> MarketWatch:
    async def on_clock(clock: MarketClock) -> None:
        heard.append(clock)

    watch = MarketWatch(
        runtime=world.runtime,
        broker=broker,
        wall=world.wall,
        on_open=is_open.append,
        on_clock=on_clock,
        first_every_s=0.001,
    )
    running = asyncio.get_running_loop().create_task(watch.run())
    await broker.listed.wait()
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    return watch


async def test_the_clock_is_told_and_what_can_be_traded_is_listed() -> None:
    """Whoever needs the session hears of it, and the gate gets the broker's list."""
    async with a_world() as world:
        heard: list[MarketClock] = []
        is_open: list[bool] = []
        world.desk.instruments = {}
        watch = await until_listed(world, ListingBroker(fails=0), heard, is_open)
        await world.runtime.until_idle()
        assert is_open == [True]
        assert heard == [watch.clock]
        assert heard[0].timestamp == NOON
        assert world.desk.instruments.keys() == {AAPL}
        assert world.desk.calendar == {MONDAY: DAY}
        assert world.desk.records.day == MONDAY


async def test_a_broker_that_cannot_be_asked_is_asked_again_and_that_is_said_once() -> None:
    """An outage of minutes is one line in the log."""
    async with a_world() as world:
        heard: list[MarketClock] = []
        with capture_logs() as logs:
            await until_listed(world, ListingBroker(fails=3), heard, [])
        assert len(heard) == 4
        assert [line["event"] for line in logs if line["event"] == "broker_unreachable"] == ["broker_unreachable"]
