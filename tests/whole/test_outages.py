"""Each fault of a stream, against a living desk: it heals, the books agree, and the ledger tells who was affected."""

import asyncio
import json
import signal
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from tests.hang import HANG_S
from tests.whole.books import replayed, soon_agree
from tests.whole.desk_process import DeskProcess, a_desk_process
from tests.whole.exchange_process import KEYS, Exchange, an_exchange
from tests.whole.scripts import TRADER

pytestmark = [pytest.mark.needs_nsjail, pytest.mark.usefixtures("needs_jail")]

RESTER = """
    import json, sys
    from desk_client import place_order

    asked = False
    for line in sys.stdin:
        message = json.loads(line)
        if not asked:
            asked = place_order("AAPL", "1", "buy", "limit", "gtc", limit_price="1.00", timeout=3).status == "success"
"""
READER = """
    import sys

    for line in sys.stdin:
        print(line, end="", flush=True)
"""
TRADES: Mapping[str, Mapping[str, Any]] = {
    "drop": {"trade_stream_now": {"drop": True}},
    "closed with a code": {"trade_stream_now": {"close": 1012}},
    "mute": {"trade_stream": {"mute": True}},
    "black hole": {"trade_stream": {"black_hole": True}},
    "logins refused": {"trade_stream": {"refuse_auth": 5}, "trade_stream_now": {"drop": True}},
    "a storm of 429": {
        "trade_stream": {"refuse_handshakes_s": 2.0, "retry_after_s": 1},
        "trade_stream_now": {"drop": True},
    },
}
MARKET: Mapping[str, Mapping[str, Any]] = {
    "drop": {"data_stream_now": {"drop": True}},
    "slow client": {"data_stream_now": {"close": 407}},
    "mute": {"data_stream": {"mute": True}},
    "black hole": {"data_stream": {"black_hole": True}},
    "another session holds the slot": {
        "data_stream": {"auth_errors": [406, 406, 406]},
        "data_stream_now": {"close": 406},
    },
    "keys and plan refused": {
        "data_stream": {"auth_errors": [402, 402, 402, 402, 409, 411]},
        "data_stream_now": {"drop": True},
    },
    "a storm of 429": {"data_stream": {"refuse_handshakes_s": 2.0}, "data_stream_now": {"drop": True}},
}


@asynccontextmanager
async def a_desk(folder: Path, *, speed: int = 5) -> AsyncIterator[tuple[Exchange, DeskProcess]]:
    """Run exchange and desk, the desk impatient: what takes a minute in life takes a second here."""
    (folder / "var").mkdir()
    async with an_exchange(folder / "var" / "exchange.db", speed=speed) as exchange, a_desk_process(folder) as desk:
        desk.environment = KEYS
        desk.configure(f"""
            [broker]
            {exchange.broker_keys}
            doubt_check_s = 0.3
            doubt_settle_s = 1.5
            reconcile_every_s = 1.0
            stream_silence_s = 1.5
            stream_ping_s = 0.5
            stream_ping_answer_s = 0.5
            stream_reconnect_max_s = 0.5
            stream_refused_s = 0.5
            [market]
            stale_after_s = 2.0
            [risk.strategy]
            duplicate_window_s = 0
            orders_per_day_max = 100000
            orders_per_minute_max = 1000
            position_share_max = 1
            daily_loss_max = 10000
        """)
        yield exchange, desk


def ended(line: Mapping[str, Any], stream: str) -> bool:
    return bool(line.get("event") == "outage_ended" and line["stream"] == stream)


def count(desk: DeskProcess, event: str) -> int:
    return sum(line.get("event") == event for line in desk.log)


async def healed(desk: DeskProcess, exchange: Exchange, stream: str, fault: Mapping[str, Any]) -> Mapping[str, Any]:
    """Have the exchange misbehave until the desk sees it, then behave; return the outage that this was."""
    outages = sum(ended(line, stream) for line in desk.log)
    lost = sum(line.get("event") == "stream_changed" and not line["is_up"] for line in desk.log)
    await exchange.misbehave(fault)
    await desk.hears("stream_changed", lost + 1, holds=lambda line: not line["is_up"])
    if fault.get(f"{'trade' if stream == 'trades' else 'data'}_stream", {}).keys() & {"mute", "black_hole"}:
        await asyncio.sleep(1)
        await exchange.behave()
    await desk.hears("outage_ended", outages + 1, holds=lambda line: line["stream"] == stream)
    await exchange.behave()
    fills = count(desk, "order_filled")
    await desk.hears("order_filled", fills + 3)
    return [line for line in desk.log if ended(line, stream)][-1]


def the_ledgers(folder: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(folder / "desk.db")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("SELECT * FROM outages ORDER BY started_at")]


async def test_whatever_befalls_the_trade_stream_the_books_agree_and_the_ledger_tells_whom_it_hit(
    folder: Path,
) -> None:
    """The desk finds it, makes it good, and names who had an open order or was refused one; the reader was not hit."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("ann", TRADER, {"symbols": ["SPY"]})
        desk.strategy("bob", RESTER, {"symbols": ["AAPL"]})
        desk.strategy("eve", READER, {"symbols": ["SPY"]})
        await desk.start()
        await desk.hears("order_filled", 3)
        for name, fault in TRADES.items():
            outage = await healed(desk, exchange, "trades", fault)
            assert "bob" in outage["affected"], name
            assert "eve" not in outage["affected"], name
            assert outage["open_orders"] >= 1, name
        assert await desk.ctl("stop", "ann") == 0
        assert await desk.ctl("cancel", "--all") == 0
        await soon_agree(desk.state)
        assert await desk.end() == 0
    rows = [row for row in the_ledgers(desk.state) if row["stream"] == "trades"]
    assert len(rows) >= len(TRADES)
    assert all(row["closed_at"] >= row["ended_at"] >= row["started_at"] for row in rows)
    assert any(json.loads(row["refusals"]).get("ann") for row in rows), "ann was refused orders, and it is on record"
    assert any(row["why"].startswith("connection lost: mute: the broker told of") for row in rows)


async def test_events_that_are_lost_without_a_lost_connection_are_found(folder: Path) -> None:
    """A stream that swallows a fill, and says the next one, is connected anew; each fill is booked once."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("ann", TRADER, {"symbols": ["SPY"]})
        await desk.start()
        for number in range(1, 4):
            await desk.hears("order_filled", count(desk, "order_filled") + 3)
            await exchange.misbehave({"trade_stream": {"drop_next": 2 + number}})
            await desk.hears("outage_ended", number)
        await desk.hears("order_filled", count(desk, "order_filled") + 3)
        assert await desk.ctl("stop", "ann") == 0
        await soon_agree(desk.state)
        assert await desk.end() == 0


async def test_whatever_befalls_the_market_stream_ends_no_desk_and_is_told(folder: Path) -> None:
    """Refused keys and plans, too: the trade stream goes on, and the desk is back with the data."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("ann", TRADER, {"symbols": ["SPY"], "channels": ["trades", "quotes"]})
        desk.strategy("eve", READER, {"symbols": ["SPY"], "channels": ["bars"]})
        await desk.start()
        await desk.hears("order_filled", 3)
        for name, fault in MARKET.items():
            outage = await healed(desk, exchange, "market", fault)
            assert outage["affected"] == ["ann", "eve"], name
            assert not outage["bars_missing"], name
        assert count(desk, "stream_refused") >= 2, "an officer is told of keys and plan"
        assert await desk.ctl("stop", "ann") == 0
        await soon_agree(desk.state)
        assert await desk.end() == 0
    assert len([row for row in the_ledgers(desk.state) if row["stream"] == "market"]) >= len(MARKET)


async def test_bars_of_a_gap_come_late_and_each_minute_once(folder: Path) -> None:
    """The market plays thirty times as fast: a gap of some seconds misses minutes, and the strategy gets them, marked."""
    async with a_desk(folder, speed=30) as (exchange, desk):
        desk.strategy("ann", TRADER, {"symbols": ["SPY"], "channels": ["trades"]})
        desk.strategy("eve", READER, {"symbols": ["SPY"], "channels": ["bars"]})
        await desk.start()
        await desk.hears("order_filled", 3)
        log = desk.state / "logs"
        await _bars(log, 1)
        storm = {"data_stream": {"refuse_handshakes_s": 7.0}, "data_stream_now": {"drop": True}}
        outage = await healed(desk, exchange, "market", storm)
        assert outage["bars_fetched"] >= 1
        assert outage["bars_missing"] == 0
        seen = await _bars(log, 1 + outage["bars_fetched"] + 1)
        assert await desk.end() == 0
    stamps = [bar["timestamp"] for bar in seen]
    assert stamps == sorted(set(stamps)), "in order, and each once"
    assert sum(bar.get("late", False) for bar in seen) == outage["bars_fetched"]
    minutes = {int(stamp[11:13]) * 60 + int(stamp[14:16]) for stamp in stamps}
    assert minutes == set(range(min(minutes), max(minutes) + 1)), "none is missing"


async def _bars(logs: Path, least: int) -> list[dict[str, Any]]:
    """Return the bars that eve has printed, when there are so many."""
    async with asyncio.timeout(HANG_S):
        while True:
            found = _printed(logs)
            if len(found) >= least:
                return found
            await asyncio.sleep(0.2)


def _printed(logs: Path) -> list[dict[str, Any]]:
    text = "".join(path.read_text() for path in logs.glob("eve*.log"))
    return [json.loads(line[line.index("{") :]) for line in text.splitlines() if '"type":"bar"' in line]


async def test_a_desk_that_dies_in_an_outage_closes_it_when_it_is_back(folder: Path) -> None:
    """Killed while the stream is down: the next start tells since when, and that the end is not known."""
    async with a_desk(folder) as (exchange, desk):
        desk.strategy("bob", RESTER, {"symbols": ["AAPL"]})
        await desk.start()
        await desk.hears("order_approved")
        await asyncio.sleep(1)
        await exchange.misbehave({"trade_stream": {"refuse_handshakes_s": 600.0}, "trade_stream_now": {"drop": True}})
        await desk.hears("stream_changed", holds=lambda line: line["stream"] == "trades" and not line["is_up"])
        (begun,) = [row for row in the_ledgers(desk.state) if row["stream"] == "trades"]
        assert (begun["closed_at"], json.loads(begun["affected"])) == (None, ["bob"])
        assert [await desk.ctl("status"), await desk.ctl("outages")] == [0, 0]
        await desk.end(signal.SIGKILL)
        await exchange.behave()
        await desk.start()
        await desk.end()
    (row,) = [row for row in the_ledgers(desk.state) if row["stream"] == "trades"]  # the killed desk's own is another
    assert row["started_at"] == begun["started_at"]
    assert (row["is_cut_short"], json.loads(row["affected"])) == (1, ["bob"])
    assert row["closed_at"] > row["started_at"]
    assert not replayed(desk.state / "desk.db").outages.open
