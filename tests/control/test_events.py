"""/events over a real socket: past and live are one stream, whoever reads and however slowly."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from deskd.cli.client import Desk, NotDone
from deskd.control import events, live_events
from deskd.control.events import FOLLOWERS_MAX
from deskd.control.live_events import KEPT
from deskd.domain import events as ev
from deskd.domain.ids import ClientOrderId, StrategyId
from deskd.ledger.fact_reader import FactReader
from deskd.wire.drop_copy import DropCopy
from deskd.wire.event_line import FOR_ALL, EventLine, decode
from tests.control.a_running_desk import MEMBER, RunningDesk, a_running_desk
from tests.factories import ALICE, BOB, NOON, a_limit_request, accepted, filled, requested
from tests.hang import HANG_S


def look(desk: RunningDesk, **query: Any) -> list[EventLine]:
    chunks = Desk(desk.socket).stream("/events", query, is_endless=False)
    return [decode(line) for line in b"".join(chunks).splitlines()]


async def looked(desk: RunningDesk, **query: Any) -> list[EventLine]:
    return await asyncio.to_thread(lambda: look(desk, **query))


async def whole(desk: RunningDesk) -> list[EventLine]:
    """Return what the ledger, read from its beginning, derives."""

    def read() -> list[EventLine]:
        copy = DropCopy()
        with FactReader(desk.folder / "desk.db") as history:
            entries = history.after(0, until=10**9, limit=10**6)
        return [line for entry in entries for line in copy.events(entry.seq, entry.fact)]

    return await asyncio.to_thread(read)


@asynccontextmanager
async def following(desk: RunningDesk, **query: str) -> AsyncIterator[asyncio.StreamReader]:
    """Follow with a connection of our own, so that the test decides when it reads."""
    reader, writer = await asyncio.open_unix_connection(desk.socket, limit=2**16)
    writer.write(f"GET /events?{urlencode({'follow': '1', **query})} HTTP/1.0\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head, head
    try:
        yield reader
    finally:
        writer.close()


async def take(reader: asyncio.StreamReader, until: int) -> list[EventLine]:
    """Return the events up to the fact *until*."""
    lines: list[EventLine] = []
    async with asyncio.timeout(HANG_S):
        while not lines or lines[-1].seq < until:
            lines.append(decode(await reader.readline()))
    return lines


def a_traded_order(number: int) -> list[ev.Event]:
    request = a_limit_request("1", client_order_id=ClientOrderId(f"alice-y{number:05}"))
    return [requested(request), accepted(request), filled(request, 4), filled(request, 6, cumulative=10)]


async def test_the_last_events_are_shown(tmp_path: Path) -> None:
    """Without more words, the newest hundred; with --tail, so many."""
    async with a_running_desk(tmp_path) as desk:
        everything = await whole(desk)
        assert await looked(desk) == everything[-100:]
        assert await looked(desk, tail="3") == everything[-3:]
        assert await looked(desk, tail="0") == []


async def test_events_are_shown_from_a_fact_or_a_time_on(tmp_path: Path) -> None:
    """Inclusive: who saw half of a fact's events sees them again."""
    async with a_running_desk(tmp_path) as desk:
        everything = await whole(desk)
        assert await looked(desk, since="5") == [line for line in everything if line.seq >= 5]
        assert await looked(desk, since="0") == everything
        assert await looked(desk, since="2026-01-05T16:00:00") == everything
        assert await looked(desk, since="2026-01-05T13:00:00-05:00") == []
        assert await looked(desk, since="99999") == []


async def test_events_are_picked_by_strategy_and_kind(tmp_path: Path) -> None:
    """Names may be shortened; several kinds may be asked for."""
    async with a_running_desk(tmp_path) as desk:
        everything = await whole(desk)
        assert await looked(desk, strategy="bo") == [line for line in everything if line.strategy_id == BOB]
        wanted = ["order_filled", "order_den"]
        picked = await looked(desk, event=wanted)
        assert [line.event for line in picked] == ["order_filled", "order_denied"]
        assert await looked(desk, event=wanted, since="1") == picked


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"since": "yesterday"}, "since='yesterday': allowed: a seq of the ledger, or a time such as 2026-"),
        ({"event": "order_"}, "event 'order_' is ambiguous: order_accepted"),
        ({"event": "order_fild"}, "did you mean order_filled?"),
        ({"strategy": "zoe"}, "there is no strategy 'zoe'"),
        ({"tail": "-1"}, "tail='-1': allowed: a whole number from 0 to 10000"),
    ],
)
async def test_what_cannot_be_meant_is_refused(tmp_path: Path, query: Mapping[str, str], said: str) -> None:
    """The thing, the rule, the remedy."""
    async with a_running_desk(tmp_path) as desk:
        with pytest.raises(NotDone) as caught:
            await looked(desk, **query)
    assert said in str(caught.value)


async def test_members_see_their_own_events_and_what_is_nobodys(tmp_path: Path) -> None:
    """Bob's orders, commands and the house book are not Alice's to see; that the desk lives is."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        beat = ev.Heartbeat(orders_open=0, strategies_running=1, market_is_open=None, ledger_seq=1, at=NOON)
        await desk.happens(beat, ev.CommandGiven(by="ada (uid 0)", command="stop", arguments="bob", at=NOON))
        shown = await looked(desk, since="1")
        assert {line.user_id for line in shown} == {ALICE, None}
        nobodys = {line.event for line in shown if line.user_id is None}
        assert {"heartbeat", "outage_ended"} <= nobodys <= FOR_ALL
        with pytest.raises(NotDone, match="bob is not yours: alice is neither its member nor an officer"):
            await looked(desk, since="1", strategy=BOB)


@pytest.mark.parametrize("is_live", [True, False])
async def test_of_an_outage_members_see_whether_it_affected_them(tmp_path: Path, is_live: bool) -> None:
    """Who else traded then is not theirs to know."""
    async with a_running_desk(tmp_path, caller=MEMBER) as desk:
        if is_live:
            async with following(desk, tail="0") as reader:
                await desk.happens(
                    ev.StreamChanged(stream="market", is_up=False, why="cut", at=NOON, affected=(ALICE, BOB))
                )
                async with asyncio.timeout(HANG_S):  # facts that are not for members may follow: one line is enough
                    line = decode(await reader.readline())
        else:
            line, *_ = await looked(desk, event="outage_started", since="1")
        assert (line.event, line.affected) == ("outage_started", [ALICE])


async def test_past_and_live_join_without_gap_or_double(tmp_path: Path) -> None:
    """Followers that begin anywhere while the desk trades get every event once, in order: a full derivation's end."""
    dice = random.Random(4)
    async with a_running_desk(tmp_path) as desk:
        done = asyncio.Event()

        async def trade() -> None:
            for number in range(60):
                await desk.happens(*a_traded_order(number))
                await asyncio.sleep(0)
            done.set()

        async def follow(delay: int, since: int) -> tuple[int, list[EventLine]]:
            while desk.live.last_seq < delay:
                await desk.live.news()
            async with following(desk, since=str(since)) as reader:
                await done.wait()
                return since, await take(reader, desk.live.last_seq)

        async with asyncio.TaskGroup() as group:
            group.create_task(trade())
            followers = [group.create_task(follow(dice.randint(0, 150), dice.randint(1, 120))) for _ in range(10)]
        everything = await whole(desk)
        for follower in followers:
            since, lines = follower.result()
            assert lines == [line for line in everything if line.seq >= since]


async def test_a_slow_follower_loses_nothing_and_holds_nobody_up(tmp_path: Path) -> None:
    """Further behind than what is kept in memory, it is served from the ledger; a fast one is served meanwhile."""
    async with a_running_desk(tmp_path) as desk:
        first = desk.live.last_seq
        beat = ev.Heartbeat(orders_open=0, strategies_running=1, market_is_open=True, ledger_seq=1, at=NOON)
        async with following(desk, since="1") as slow, following(desk, tail="0") as fast:
            for _ in range(20):
                await desk.store.append([beat] * 300, [])
                for _ in range(300):
                    desk.live(beat)
                quick = await take(fast, desk.live.last_seq)
                assert quick[-1].seq == desk.live.last_seq
            assert desk.live.last_seq - first > KEPT
            lines = await take(slow, desk.live.last_seq)
        assert lines == await whole(desk)


async def test_nothing_is_told_before_it_is_on_disk(tmp_path: Path) -> None:
    """A follower that hears of a fact finds it in the ledger."""
    async with a_running_desk(tmp_path) as desk, following(desk, tail="0") as reader:
        for number in range(20):
            await desk.happens(*a_traded_order(number))
            (line, *_) = await take(reader, desk.live.last_seq)
            with FactReader(desk.folder / "desk.db") as history:
                assert history.last_seq() >= line.seq


async def test_there_is_room_for_so_many_followers_and_a_place_becomes_free(tmp_path: Path) -> None:
    """One more is told; a look without -f needs no place."""
    async with a_running_desk(tmp_path) as desk:
        opened = []
        for _ in range(FOLLOWERS_MAX):
            context = following(desk, tail="1")
            reader = await context.__aenter__()
            await reader.readline()
            opened.append(context)
        with pytest.raises(NotDone, match=f"{FOLLOWERS_MAX} readers follow events already"):
            await looked(desk, follow="1")
        assert len(await looked(desk, tail="2")) == 2
        for context in opened:
            await context.__aexit__(None, None, None)
        async with asyncio.timeout(HANG_S):
            while True:
                try:
                    async with following(desk, tail="1") as reader:
                        assert json.loads(await reader.readline())["seq"] == desk.live.last_seq
                    break
                except AssertionError:
                    await asyncio.sleep(0.01)  # the server sees that they left


async def test_a_follower_that_takes_nothing_makes_room_and_can_go_on_from_its_place(tmp_path: Path) -> None:
    """It is cut off after a while, with what was sent whole in its pipe; from there on it loses nothing."""
    beat = ev.Heartbeat(orders_open=0, strategies_running=1, market_is_open=True, ledger_seq=1, at=NOON)
    async with a_running_desk(tmp_path, stall_s=0.2) as desk:
        with capture_logs() as logged:
            async with following(desk, since="1") as stuck:
                await desk.store.append([beat] * 20_000, [])
                for _ in range(20_000):
                    desk.live(beat)
                async with asyncio.timeout(HANG_S):
                    while not any(line["event"] == "event_follower_ended" for line in logged):  # noqa: ASYNC110  a log has no event
                        await asyncio.sleep(0.05)
                async with asyncio.timeout(HANG_S):
                    *whole_lines, _ = (await stuck.read(-1)).split(b"\n")
        got = [decode(line) for line in whole_lines]
        everything = await whole(desk)
        assert got == everything[: len(got)]
        assert len(got) < len(everything)
        rest = await looked(desk, since=str(got[-1].seq))
        assert [line for line in rest if line.seq > got[-1].seq] == [e for e in everything if e.seq > got[-1].seq]


async def test_a_desk_that_stops_ends_its_followers_after_the_last_event(tmp_path: Path) -> None:
    """They hear that it stopped, and then the end of the stream."""
    async with a_running_desk(tmp_path) as desk:
        reader, writer = await asyncio.open_unix_connection(desk.socket)
        writer.write(b"GET /events?follow=1&tail=0 HTTP/1.0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await desk.happens(ev.DeskStopped(at=NOON))
    async with asyncio.timeout(HANG_S):
        text = await reader.read()
    assert [decode(line).event for line in text.splitlines()] == ["desk_stopped"]
    writer.close()


async def test_a_strategy_that_is_gone_from_disk_still_has_its_events(tmp_path: Path) -> None:
    """Names are those that the ledger knows."""
    async with a_running_desk(tmp_path) as desk:
        desk.runs.found = []
        assert {line.strategy_id for line in await looked(desk, strategy="alice")} == {StrategyId("alice")}
    assert events.STALL_S > 0
    assert live_events.KEPT == KEPT
