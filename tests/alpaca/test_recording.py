"""What the broker's history says becomes a tape, whole, or not at all."""

import asyncio
import csv
import gzip
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from deskd.alpaca.endpoints import Keys
from deskd.alpaca.recording import COLUMNS, TRIES_MAX, Recorder, Wanted, Written
from deskd.venue.tape_file import Kind, read_tape_file
from tests.factories import NOON

KEYS = Keys("PK123", "very-secret")
TRADE = {"t": "2026-01-05T14:30:00.1Z", "x": "V", "p": 1, "s": 10, "c": ["@", "I"], "i": 5, "z": "C"}

type Said = tuple[int, object, dict[str, str]]  # status, body, headers


def page(rows: dict[str, list[dict[str, object]]], token: str | None = None, kind: str = "trades") -> Said:
    return 200, {kind: rows, "next_page_token": token}, {}


@asynccontextmanager
async def a_broker(*said: Said | None) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """Yield the address of one that says these, one a request; None: it hangs up without a word."""
    asked: list[web.Request] = []
    left = deque(said)

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        now = left.popleft()
        if now is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status, body, headers = now
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


async def recorded(url: str, folder: Path, *kinds: str, pauses: list[float] | None = None) -> list[Written]:
    wanted = Wanted(symbols=("AAPL", "SPY"), kinds=kinds, since=NOON, until=NOON + timedelta(hours=1), feed="iex")
    waited = [] if pauses is None else pauses
    recorder = Recorder(url=url, keys=KEYS, pause=waited.append)
    return await asyncio.to_thread(lambda: list(recorder.record(wanted, folder)))


def files_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def rows_of(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.reader(file))


async def test_figures_are_written_as_they_came(tmp_path: Path) -> None:
    """Digit for digit: 100.10 is not 100.1, and no float rounds a price or a long id."""
    raw = (
        '{"trades":{"AAPL":[{"t":"2026-01-05T14:30:00.123456789Z","x":"V","p":100.10,"s":10,'
        '"c":["@","I"],"i":52983525033527001,"z":"C"}]},"next_page_token":null}'
    )
    async with a_broker((200, raw, {})) as (url, asked):
        (written,) = await recorded(url, tmp_path / "tape", "trades")
    assert rows_of(written.path) == [
        list(COLUMNS["trades"]),
        ["2026-01-05T14:30:00.123456789Z", "AAPL", "52983525033527001", "V", "100.10", "10", "@|I", "C"],
    ]
    assert dict(asked[0].query) == {
        "symbols": "AAPL,SPY",
        "start": NOON.isoformat().replace("+00:00", "Z"),
        "end": (NOON + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "limit": "10000",
        "feed": "iex",
        "sort": "asc",
    }
    assert asked[0].headers["APCA-API-KEY-ID"] == "PK123"


async def test_every_page_is_fetched_and_a_tape_comes_of_it(tmp_path: Path) -> None:
    """Until the broker names no further page; the exchange reads what was written, of every kind."""
    quote = {"t": "2026-01-05T14:30:00Z", "bx": "V", "bp": 99.9, "bs": 100, "ax": "V", "ap": 100, "as": 200}
    bar = {"t": "2026-01-05T14:30:00Z", "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 900, "n": 9, "vw": 1.25}
    said = (
        page({"AAPL": [TRADE]}, "next"),
        page({"AAPL": [TRADE], "SPY": [TRADE]}),
        page({"SPY": [quote | {"c": ["R"], "z": "B"}]}, kind="quotes"),
        page({"AAPL": [bar]}, kind="bars"),
    )
    async with a_broker(*said) as (url, asked):
        found = await recorded(url, tmp_path, "trades", "quotes", "bars")
    assert [(one.kind, one.rows, one.symbols) for one in found] == [
        ("trades", 3, ("AAPL", "SPY")),
        ("quotes", 1, ("SPY",)),
        ("bars", 1, ("AAPL",)),
    ]
    assert asked[1].query["page_token"] == "next"
    assert asked[3].query["timeframe"] == "1Min"
    for one in found:
        read = read_tape_file(one.path)
        assert (read.kind, read.rows.height, list(read.notices)) == (Kind(one.kind), one.rows, [])


async def test_what_fails_on_the_way_is_asked_again(tmp_path: Path) -> None:
    """A cut, a 503 and a 429 cost time, and no row."""
    said: tuple[Said | None, ...] = (None, (503, "away", {}), (429, {}, {"Retry-After": "7"}), page({"AAPL": [TRADE]}))
    pauses: list[float] = []
    async with a_broker(*said) as (url, asked):
        (written,) = await recorded(url, tmp_path, "trades", pauses=pauses)
    assert (written.rows, len(asked)) == (1, 4)
    assert pauses == [2.0, 4.0, 7.0]


async def test_a_half_recording_leaves_nothing(tmp_path: Path) -> None:
    """A file under its name is whole: who fails in the middle leaves none, and no part either."""
    said: tuple[Said, ...] = (
        page({"AAPL": [TRADE]}, "next"),
        (403, {"message": "no very-secret sip for PK123\x1b[2J"}, {}),
    )
    async with a_broker(*said) as (url, _):
        with pytest.raises(OSError, match=r"HTTP 403: .*no \*\*\* sip for .*data plan") as told:
            await recorded(url, tmp_path, "trades")
    assert "\x1b" not in str(told.value)
    assert "very-secret" not in str(told.value)
    assert files_in(tmp_path) == []


async def test_a_broker_that_stays_away_is_given_up(tmp_path: Path) -> None:
    """After a few tries, with what to do."""
    async with a_broker(*[(503, "away", {})] * TRIES_MAX) as (url, asked):
        with pytest.raises(OSError, match="HTTP 503: away; try again later"):
            await recorded(url, tmp_path, "trades")
    assert len(asked) == TRIES_MAX
    with pytest.raises(OSError, match="does not answer"):
        await recorded(url, tmp_path, "trades")


@pytest.mark.parametrize("body", ["<html>", "[]"])
async def test_what_is_not_alpacas_is_told(tmp_path: Path, body: str) -> None:
    """A proxy's page is no history."""
    async with a_broker((200, body, {})) as (url, _):
        with pytest.raises(OSError, match="is there a proxy between"):
            await recorded(url, tmp_path, "bars")


async def test_without_rows_there_is_no_file(tmp_path: Path) -> None:
    """An empty file would be no tape."""
    async with a_broker(page({})) as (url, _):
        (written,) = await recorded(url, tmp_path, "trades")
    assert (written.rows, written.symbols, files_in(tmp_path)) == (0, (), [])
