"""The exchange put together: what it resumes, what it refuses, what it does when a part of it fails."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deskd.domain.errors import ConfigError, LedgerError
from deskd.venue.assembly import opened
from deskd.venue.settings import VenueSettings
from tests.hang import HANG_S
from tests.venue.serving import HEADERS, OPEN, calendar, hear, listening, served, settings, write_tape

BUY = {"symbol": "AAPL", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"}


async def get(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def post(session: aiohttp.ClientSession, order: object) -> Any:
    async with session.post("/v2/orders", json=order) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_an_account_and_its_market_go_on_where_they_were(tmp_path: Path) -> None:
    """After a clean end the next start has the same account, orders, positions, switches, and a later market."""
    told = settings(write_tape(tmp_path / "tape"), state=tmp_path / "x.db")
    paths = ("/v2/account", "/v2/orders?status=all", "/v2/positions", "/v2/account/activities", "/v2/assets")
    async with served(told) as (_, session):
        await post(session, BUY)
        await post(session, BUY | {"type": "limit", "limit_price": 90, "time_in_force": "gtc"})
        async with session.patch("/v2/account/configurations", json={"no_shorting": True}) as answer:
            assert answer.status == 200
        before = [await get(session, path) for path in paths]
        clock = await get(session, "/v2/clock")
    async with served(told) as (_, session):
        assert [await get(session, path) for path in paths] == before
        assert (await get(session, "/v2/clock"))["timestamp"] >= clock["timestamp"]
        assert (await get(session, "/v2/account/configurations"))["no_shorting"] is True


async def test_another_tape_keeps_the_account_and_starts_at_its_own_beginning(tmp_path: Path) -> None:
    """What is held of a symbol that the new tape has not stays held, and is listed as not tradable."""
    told = settings(write_tape(tmp_path / "tape"), state=tmp_path / "x.db")
    async with served(told) as (_, session):
        await post(session, BUY | {"symbol": "IBM"})
    other = tmp_path / "other"
    other.mkdir()
    stamp = f"{OPEN - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    (other / "quotes.csv").write_text(f"t,S,bx,bp,bs,ax,ap,as,c,z\n{stamp},SPY,Q,50,100,Q,50.01,100,R,C\n")
    async with served(replace(told, tape=(str(other),), start=None)) as (_, session):
        assert [row["symbol"] for row in await get(session, "/v2/positions")] == ["IBM"]
        assert (await get(session, "/v2/clock"))["timestamp"].startswith("2013-10-07")
        asset = await get(session, "/v2/assets/IBM")
        assert (asset["tradable"], asset["status"]) == (False, "inactive")


async def test_as_fast_as_it_goes_the_market_may_wait_for_who_listens(tmp_path: Path) -> None:
    """A day is over in a second at speed 0: a desk that starts its exchange must not come too late for it."""
    told = settings(write_tape(tmp_path / "tape"), speed=0.0, waits_for_listener=True)
    async with served(told) as (_, session):
        clocks = [await get(session, "/v2/clock") for _ in range(3)]
        assert len({clock["timestamp"][:16] for clock in clocks}) == 1
        async with session.ws_connect("/v2/iex", headers=HEADERS) as socket:
            await socket.send_json({"action": "subscribe", "quotes": ["AAPL"]})
            async with asyncio.timeout(HANG_S):
                async for message in socket:
                    if '"T":"q"' in message.data.replace(" ", ""):
                        break
        later = (await get(session, "/v2/clock"))["timestamp"]
        assert later > clocks[0]["timestamp"]


async def test_a_looped_tape_goes_back_in_time_and_trades_on(tmp_path: Path) -> None:
    """After the tape's end its first day comes again; yesterday's day orders have expired, new ones fill."""
    told = settings(write_tape(tmp_path / "tape"), speed=0.0, loop=True, start="15:59")
    async with served(told) as (_, session), listening(session) as socket:
        resting = await post(session, BUY | {"type": "limit", "limit_price": 90})
        assert (await hear(socket, until="expired"))[-1]["order"]["id"] == resting["id"]
        await post(session, BUY)
        fill = (await hear(socket, until="fill"))[-1]
        assert fill["timestamp"].startswith("2013-10-08T1")
        assert fill["position_qty"] == "10"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tape": ("nowhere.csv",)}, "no such file"),
        ({"tape": ()}, "no tape"),
        ({"listen": "127.0.0.1"}, r"exchange\.listen"),
        ({"listen": "203.0.113.1:80"}, "cannot listen on"),
        ({"start": "noon"}, r"exchange\.start"),
    ],
)
async def test_a_start_that_cannot_be_is_a_clear_error(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """What is wrong is named before anybody can connect, and the state is free again."""
    told = replace(settings(write_tape(tmp_path / "tape"), state=tmp_path / "x.db"), **changes)
    with pytest.raises(ConfigError, match=says):
        await opened(told, calendar=calendar()).__aenter__()
    async with served(settings(write_tape(tmp_path / "tape"), state=tmp_path / "x.db")):
        pass


async def test_state_that_cannot_be_written_ends_the_exchange(tmp_path: Path) -> None:
    """An order that could not be kept is not answered as taken, and the exchange ends with the reason."""
    told = settings(write_tape(tmp_path / "tape"), state=tmp_path / "x.db")
    with pytest.raises(ExceptionGroup) as error:
        await _trade_on_a_full_disk(told)
    assert error.group_contains(LedgerError, match="make room")


async def _trade_on_a_full_disk(told: VenueSettings) -> None:
    async with opened(told, calendar=calendar()) as venue, aiohttp.ClientSession(venue.url, headers=HEADERS) as session:
        store = venue.floor._outbox._store
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        for _ in range(1_000):
            async with session.post("/v2/orders", json=BUY | {"qty": 1}) as answer:
                assert answer.status == 200


async def test_the_same_seed_makes_the_same_market(tmp_path: Path) -> None:
    """Two synthetic markets of one seed show the same prices at the same market time."""
    del tmp_path
    bars = []
    for _ in range(2):
        told = replace(settings(Path("synthetic")), tape=("synthetic",), cash=Decimal(5000), start=None)
        async with served(told) as (_, session):
            bars.append(
                await get(session, "/v2/stocks/SPY/bars?timeframe=1Min&start=2026-01-02&end=2026-01-03&limit=50")
            )
            assert (await get(session, "/v2/account"))["cash"] == "5000"
    assert bars[0] == bars[1]
