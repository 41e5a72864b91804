"""Bars of a gap come late, in order, to those who missed them, and to nobody twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from deskd.domain.strategy import Channel, History
from deskd.market.late import Mended
from deskd.ports import RawMarketMessage
from tests.factories import AAPL, NOON, SPY
from tests.hang import HANG_S
from tests.market.given import BOB_RUN, Desk, Run, a_bar, a_quote, a_trade, stamp


def bar(minute: int, symbol: str = "AAPL", close: float | None = None) -> RawMarketMessage:
    """Return the bar of that minute after noon; its close says which it is."""
    return a_bar(close if close is not None else 100.0 + minute, symbol, t=stamp(60 * minute))


def shown(lines: list[dict[str, Any]]) -> list[tuple[float, bool]]:
    """Return close and lateness of each bar."""
    return [(line["price"], line.get("late", False)) for line in lines if line["type"] == "bar"]


def live(*minutes: int) -> list[tuple[float, bool]]:
    return [(100.0 + minute, False) for minute in minutes]


def late(*minutes: int) -> list[tuple[float, bool]]:
    return [(100.0 + minute, True) for minute in minutes]


def send(desk: Desk, messages: list[RawMarketMessage]) -> None:
    """Let the market speak, a moment after it spoke last: lines leave at once."""
    desk.clock.seconds += 0.01
    desk.hub.on_messages(messages)


@asynccontextmanager
async def a_desk(**settings: Any) -> AsyncIterator[Desk]:
    """Hand out a hub; it is 12:05:20 in the market, and history has all minutes from five to noon on."""
    desk = Desk(**settings)
    desk.hub.late.settle_s = 0.0
    desk.hub.late.wait_max_s = 0.5
    desk.market_time = NOON + timedelta(minutes=5, seconds=20)
    for symbol in (AAPL, SPY):
        desk.missed[symbol] = [bar(minute, symbol) for minute in range(-5, 6)]
    yield desk
    for run_id in list(desk.hub.late.feeds):
        desk.hub.detach(run_id)


async def test_what_the_stream_missed_comes_late_and_in_order() -> None:
    """Bars of whole minutes between the last one seen and now, marked; then the live ones, not marked."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(0), bar(1)])
        assert await desk.hub.late.mend(down_s=200) == Mended(fetched=3)
        send(desk, [bar(5)])
        assert shown(run.read()) == [*live(0, 1), *late(2, 3, 4), *live(5)]
        assert desk.between == [([AAPL], NOON + timedelta(minutes=1, microseconds=0), NOON + timedelta(minutes=5))]
        run.close()


async def test_live_bars_wait_for_the_late_ones_and_nothing_else_does() -> None:
    """A strategy that counts bars sees them in the market's order; prices flow on."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS, Channel.TRADES)
        send(desk, [bar(1)])
        desk.bars_come.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.hub.late.mend(down_s=200))
            await desk.bars_asked.wait()
            send(desk, [bar(5), a_trade(7.0)])
            assert [line["price"] for line in run.read()] == [101.0, 7.0]
            desk.bars_come.set()
        assert shown(run.read()) == [*late(2, 3, 4), *live(5)]
        run.close()


async def test_a_bar_that_came_live_meanwhile_is_not_sent_again() -> None:
    """The minute at the edge of the gap is in history and on the stream: the live one counts."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(1)])
        desk.bars_come.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.hub.late.mend(down_s=200))
            await desk.bars_asked.wait()
            send(desk, [bar(4)])
            desk.bars_come.set()
        assert shown(run.read()) == [*live(1), *late(2, 3), *live(4)]
        run.close()


async def test_a_bar_that_went_out_late_goes_live_only_to_those_who_lack_it() -> None:
    """It was still on its way; a run that came after the gap has not had it."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(1)])
        await desk.hub.late.mend(down_s=200)
        bob = await desk.run(Channel.BARS, **BOB_RUN)
        send(desk, [bar(4)])
        assert shown(run.read()) == [*live(1), *late(2, 3, 4)]
        assert shown(bob.read()) == live(4)
        run.close()
        bob.close()


async def test_a_bar_that_comes_twice_is_one_line() -> None:
    """Doubled, or doubled and in the wrong order: each minute is told once."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(1), bar(1), bar(3), bar(2), bar(3), bar(2)])
        assert shown(run.read()) == live(1, 3, 2)
        run.close()


async def test_a_run_that_was_not_there_in_the_gap_gets_none() -> None:
    """One that starts while the stream is down has missed nothing, and its history told it the past."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(1)])
        desk.bars[AAPL] = [bar(minute) for minute in range(5)]
        bob = await desk.run(Channel.BARS, history=History(bars=5, timeframe="1Min"), **BOB_RUN)
        assert await desk.hub.late.mend(down_s=200) == Mended(fetched=3)
        send(desk, [bar(5)])
        assert shown(run.read()) == [*live(1), *late(2, 3, 4), *live(5)]
        assert [line.get("history", False) for line in bob.read()] == [True] * 5 + [False]
        run.close()
        bob.close()


async def test_what_the_warm_up_told_is_not_told_again() -> None:
    """A run whose history reaches into the gap gets only what came after it."""
    async with a_desk() as desk:
        desk.bars[AAPL] = [bar(minute) for minute in range(-2, 3)]
        run = await desk.run(Channel.BARS, Channel.TRADES, history=History(bars=5, timeframe="1Min"))
        send(desk, [a_trade(1.0, t=stamp(100))])
        await desk.hub.late.mend(down_s=200)
        assert [line["price"] for line in run.read() if line.get("late")] == [103.0, 104.0]
        run.close()


async def test_a_run_gets_its_symbols_only_and_only_if_it_reads_bars() -> None:
    """As live."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS, symbols=[AAPL])
        bob = await desk.run(Channel.BARS, symbols=[AAPL, SPY], **BOB_RUN)
        third = await desk.run(Channel.TRADES, run_id="run-3")
        send(desk, [bar(2), bar(3, "SPY")])
        assert await desk.hub.late.mend(down_s=120) == Mended(fetched=3)
        assert [(line["symbol"], line["price"]) for line in run.read() if line.get("late")] == [
            ("AAPL", 103.0),
            ("AAPL", 104.0),
        ]
        got = [(line["symbol"], line["price"]) for line in bob.read() if line.get("late")]
        assert got == [("AAPL", 103.0), ("AAPL", 104.0), ("SPY", 104.0)]
        assert third.read() == []
        for one in (run, bob, third):
            one.close()


@pytest.mark.parametrize("why", ["nobody reads bars", "nothing was missed", "nothing has ever come"])
async def test_nothing_is_asked_for_where_nothing_can_be_missing(why: str) -> None:
    """A drop of a second costs the broker no question about bars."""
    async with a_desk() as desk:
        run = await desk.run(Channel.TRADES if why == "nobody reads bars" else Channel.BARS)
        if why != "nothing has ever come":
            send(desk, [bar(4)])
        assert await desk.hub.late.mend(down_s=1) == Mended()
        assert desk.between == []
        run.close()


async def test_what_cannot_be_fetched_is_counted_and_live_bars_go_on() -> None:
    """History that does not answer costs late bars, and a bounded wait; the next gap asks for them again."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(1)])
        desk.bars_come.clear()
        with capture_logs() as logs:
            async with asyncio.TaskGroup() as tasks:
                mending = tasks.create_task(desk.hub.late.mend(down_s=200))
                await desk.bars_asked.wait()
                send(desk, [bar(5)])
        assert mending.result() == Mended(missing=3)
        assert [line["event"] for line in logs] == ["late_bars_not_fetched"]
        assert shown(run.read()) == live(1, 5)
        run.close()


async def test_where_not_even_the_time_is_known_the_minutes_of_the_gap_count() -> None:
    """By the desk's own clock: more is not known."""

    async def unknown() -> Any:
        raise ConnectionError("the broker is gone")

    async with a_desk() as desk:
        run = await desk.run(Channel.BARS, symbols=[AAPL, SPY])
        send(desk, [bar(1)])
        desk.hub.late.market_now = unknown
        assert await desk.hub.late.mend(down_s=61) == Mended(missing=4)
        run.close()


async def test_a_long_gap_is_bounded_and_the_rest_is_counted() -> None:
    """The newest minutes are fetched; how many lie before them is told."""
    async with a_desk(late_bars_max=2) as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(-2)])
        assert await desk.hub.late.mend(down_s=400) == Mended(fetched=2, missing=4)
        assert shown(run.read()) == [*live(-2), *late(3, 4)]
        run.close()


async def test_late_bars_make_no_run_a_slow_consumer() -> None:
    """Their number is no fault of the run: its bounds grow by them until it has read them."""
    async with a_desk(feed_buffer_bytes=65_536, late_bars_max=2_000) as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(-1500, close=100.0)])
        desk.missed[AAPL] = [bar(minute, close=100.0) for minute in range(-1500, 5)]
        assert await desk.hub.late.mend(down_s=90_000) == Mended(fetched=1504)
        assert desk.slow == []
        got = shown(run.read())
        async with asyncio.timeout(HANG_S):
            while len(got) < 1505:
                await asyncio.sleep(0)
                got += shown(run.read())
        assert len(got) == 1505
        run.close()


async def test_late_bars_make_no_quote_fresh() -> None:
    """After a gap the last quote is as old as it is: orders are denied until a new one comes."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [a_quote(), bar(1)])
        before = desk.hub.quote(AAPL)
        desk.clock.seconds += 200
        await desk.hub.late.mend(down_s=200)
        assert desk.hub.quote(AAPL) == before
        assert before is not None
        assert desk.clock.now() - before.received_at > timedelta(seconds=199)
        run.close()


async def test_a_tape_that_began_anew_is_no_gap() -> None:
    """Its time goes back by hours: what lies before its beginning is not asked for."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(390), bar(3)])
        await desk.hub.late.mend(down_s=60)
        assert desk.between == [] or desk.between[0][1] >= NOON + timedelta(minutes=3)
        run.close()


async def test_nonsense_in_history_costs_no_live_bar() -> None:
    """A bar without a price is counted as missing; the good ones and the live ones go on."""
    async with a_desk() as desk:
        run = await desk.run(Channel.BARS)
        send(desk, [bar(1)])
        desk.missed[AAPL] = [bar(2), bar(3, close=-1.0), {"t": "gibberish"}, {}]
        assert await desk.hub.late.mend(down_s=200) == Mended(fetched=1, missing=3)
        send(desk, [bar(5)])
        assert shown(run.read()) == [*live(1), *late(2), *live(5)]
        run.close()


async def test_a_run_that_ends_while_bars_are_fetched_harms_nobody() -> None:
    """What was to be sent to it is not."""
    async with a_desk() as desk:
        run, bob = await desk.run(Channel.BARS), await desk.run(Channel.BARS, **BOB_RUN)
        send(desk, [bar(1)])
        desk.bars_come.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.hub.late.mend(down_s=200))
            await desk.bars_asked.wait()
            desk.hub.detach(run.run_id)
            desk.bars_come.set()
        assert shown(bob.read()) == [*live(1), *late(2, 3, 4)]
        assert shown(await read_out(run)) == live(1)
        bob.close()


async def read_out(run: Run) -> list[dict[str, Any]]:
    lines = await run.read_all()
    run.close()
    return lines
