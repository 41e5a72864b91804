"""Guarantees of the market-data REST, seen by the official client with its models on, and by a plain one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from deskd.venue.data_rest import DataRest
from deskd.venue.history import History
from deskd.venue.market import Market
from deskd.venue.tape import Tape
from tests.venue.markets import OPEN, TUESDAY, a_tape, at, ns, write_quotes, write_trades

NOW = "2013-10-08T20:00:00Z"
DAYS = ("2013-10-07", "2013-10-08")


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    stamps = [f"{day}T13:{30 + minute}:0{n}Z" for day in DAYS for minute in range(3) for n in range(2)]
    rows = [(t, symbol, 100.0 + n, 10, " ") for n, t in enumerate(stamps) for symbol in ("IBM", "SPY")]
    write_trades(tmp_path / "t.csv", rows)
    write_quotes(tmp_path / "q.csv", [(t, symbol, p - 0.01, p + 0.01) for t, symbol, p, _, _ in rows])
    return a_tape(tmp_path)


@asynccontextmanager
async def served(tape: Tape, now: str = NOW, *, sip_delay: bool = False) -> AsyncIterator[str]:
    market = Market()
    market.start_day(TUESDAY, tape.outline(TUESDAY))
    market.prime(tape, at(now))
    app = web.Application()
    app.add_routes(DataRest(History(tape, market), market, lambda: ns(now), sip_delay=sip_delay).routes())
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def get(url: str, path: str, **params: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url + path, params=params) as reply:
        return reply.status, await reply.json()


async def with_client[T](url: str, call: Callable[[StockHistoricalDataClient], T]) -> T:
    client = StockHistoricalDataClient("key", "secret", url_override=url)
    try:
        return await asyncio.to_thread(call, client)
    finally:
        client._session.close()


async def test_the_official_client_reads_bars_trades_and_quotes(tape: Tape) -> None:
    """Every model parses, and every row is there."""
    span: Any = {"symbol_or_symbols": ["SPY", "IBM"], "start": at("2013-10-07T00:00:00Z"), "end": at(NOW)}

    def read(client: StockHistoricalDataClient) -> tuple[Any, Any, Any]:
        bars = StockBarsRequest(timeframe=TimeFrame.Minute, adjustment=Adjustment.SPLIT, feed=DataFeed.IEX, **span)
        return (
            client.get_stock_bars(bars),
            client.get_stock_trades(StockTradesRequest(limit=7, **span)),
            client.get_stock_quotes(StockQuotesRequest(**span)),
        )

    async with served(tape) as url:
        bars, trades, quotes = await with_client(url, read)
    assert {symbol: len(rows) for symbol, rows in bars.data.items()} == {"IBM": 6, "SPY": 6}
    assert [bar.trade_count for bar in bars.data["IBM"]] == [2] * 6
    assert bars.data["IBM"][0].timestamp == at("2013-10-07T13:30:00Z")
    assert bars.data["IBM"][0].vwap == 100.5
    assert sum(len(rows) for rows in trades.data.values()) == 7
    assert trades.data["IBM"][0].exchange == "N"
    assert len(quotes.data["SPY"]) == 12
    assert (quotes.data["SPY"][0].bid_price, quotes.data["SPY"][0].ask_size) == (99.99, 200)


async def test_the_official_client_reads_what_is_latest(tape: Tape) -> None:
    """Latest trade, quote and bar, and whole snapshots."""

    def read(client: StockHistoricalDataClient) -> Any:
        both = ["IBM", "SPY"]
        return (
            client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=both)),
            client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=both)),
            client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=both)),
            client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=["IBM", "NONE"])),
        )

    async with served(tape) as url:
        trade, quote, bar, snapshot = await with_client(url, read)
    assert trade["IBM"].price == 111.0
    assert (quote["SPY"].bid_price, quote["SPY"].ask_price) == (110.99, 111.01)
    assert bar["IBM"].close == 111.0
    assert snapshot.keys() == {"IBM"}
    assert snapshot["IBM"].daily_bar.volume == 60
    assert snapshot["IBM"].previous_daily_bar.close == 105.0
    assert snapshot["IBM"].minute_bar.timestamp == at("2013-10-08T13:32:00Z")


async def test_the_official_client_reads_wide_bars(tape: Tape) -> None:
    """Five minutes, an hour, a day, a week."""
    frames = [TimeFrame(5, TimeFrameUnit.Minute), TimeFrame.Hour, TimeFrame.Day, TimeFrame.Week]

    def read(client: StockHistoricalDataClient) -> list[int]:
        asked: Any = {"symbol_or_symbols": "IBM", "start": at("2013-10-07T00:00:00Z")}
        return [
            len(client.get_stock_bars(StockBarsRequest(timeframe=frame, **asked)).data["IBM"])  # type: ignore[union-attr]
            for frame in frames
        ]

    async with served(tape) as url:
        assert await with_client(url, read) == [2, 2, 2, 1]


@pytest.mark.parametrize("kind", ["bars", "trades", "quotes"])
@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", ["1", "5", "6", "100"])
async def test_pages_put_together_are_the_whole(tape: Tape, kind: str, sort: str, limit: str) -> None:
    """The limit counts points of all symbols; no row is lost or told twice, in either order."""
    asked = {"symbols": "SPY,IBM", "start": "2013-10-07", "timeframe": "1Min", "sort": sort}
    rows: list[tuple[str, Any]] = []
    token: str | None = None
    async with served(tape) as url:
        while True:
            more = {"page_token": token} if token else {}
            status, page = await get(url, f"/v2/stocks/{kind}", limit=limit, **asked, **more)
            assert status == 200
            assert sum(len(found) for found in page[kind].values()) <= int(limit)
            rows += [(symbol, str(row)) for symbol, found in page[kind].items() for row in found]
            token = page["next_page_token"]
            if token is None:
                break
        _, whole = await get(url, f"/v2/stocks/{kind}", limit="10000", **asked)
    assert rows == [(symbol, str(row)) for symbol in ("IBM", "SPY") for row in whole[kind][symbol]]
    assert len(rows) == (12 if kind == "bars" else 24)


async def test_trades_of_one_instant_page_without_loss(tmp_path: Path) -> None:
    """Many trades share a millisecond: the page's token counts them."""
    same = a_tape(write_trades(tmp_path / "t.csv", [(OPEN, "IBM", 1.0 + n, 1, " ") for n in range(5)]))
    found: list[float] = []
    token: dict[str, str] = {}
    async with served(same) as url:
        for _ in range(3):
            _, page = await get(url, "/v2/stocks/IBM/trades", limit="2", start="2013-10-08", **token)
            found += [row["p"] for row in page["trades"]]
            token = {"page_token": page["next_page_token"] or ""}
    assert found == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert token == {"page_token": ""}


async def test_single_symbol_forms_have_the_older_shape(tape: Tape) -> None:
    """A list instead of an object, with the symbol beside it."""
    async with served(tape) as url:
        status, page = await get(url, "/v2/stocks/ibm/bars", timeframe="1Day", start="2013-10-07", end="2013-10-07")
        assert (status, page["symbol"], len(page["bars"]), page["next_page_token"]) == (200, "IBM", 1, None)
        assert page["bars"][0] == {
            "t": "2013-10-07T04:00:00Z", "o": 100.0, "h": 105.0, "l": 100.0, "c": 105.0, "v": 60, "n": 6, "vw": 102.5,
        }  # fmt: skip
        _, latest = await get(url, "/v2/stocks/IBM/trades/latest")
        assert (latest["symbol"], latest["trade"]["p"]) == ("IBM", 111.0)
        _, snapshot = await get(url, "/v2/stocks/IBM/snapshot")
        assert snapshot["latestQuote"]["bp"] == 110.99
        for path in ("/v2/stocks/NONE/quotes/latest", "/v2/stocks/NONE/snapshot"):
            status, body = await get(url, path)
            assert status == 404
            assert "NONE" in body["message"]


async def test_no_data_is_an_empty_answer(tape: Tape) -> None:
    """An unknown symbol is absent; a day without data is empty; neither is an error."""
    async with served(tape) as url:
        assert await get(url, "/v2/stocks/bars", symbols="NONE", timeframe="1Min") == (
            200,
            {"bars": {}, "next_page_token": None},
        )
        empty = {"start": "2012-01-01", "end": "2012-02-01"}
        assert (await get(url, "/v2/stocks/trades", symbols="IBM", **empty))[1]["trades"] == {}
        assert (await get(url, "/v2/stocks/quotes/latest", symbols="NONE"))[1] == {"quotes": {}}
        future = await get(url, "/v2/stocks/trades", symbols="IBM", start="2013-10-09", end="2013-10-10")
        assert future == (200, {"trades": {}, "next_page_token": None})


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        ("bars", {"timeframe": "1Min"}, "symbols is required"),
        ("bars", {"symbols": ",", "timeframe": "1Min"}, "symbols is required"),
        ("bars", {"symbols": "IBM"}, "timeframe is required"),
        ("bars", {"symbols": "IBM", "timeframe": "7Fortnight"}, "invalid timeframe"),
        ("bars", {"symbols": "I BM", "timeframe": "1Min"}, "invalid symbol"),
        ("trades", {"symbols": "IBM", "limit": "0"}, "invalid limit"),
        ("trades", {"symbols": "IBM", "limit": "10001"}, "invalid limit"),
        ("trades", {"symbols": "IBM", "limit": "many"}, "invalid limit"),
        ("trades", {"symbols": "IBM", "start": "yesterday"}, "invalid start"),
        ("trades", {"symbols": "IBM", "start": "2013-10-08", "end": "2013-10-07"}, "end should not be before start"),
        ("trades", {"symbols": "IBM", "sort": "up"}, "invalid sort"),
        ("trades", {"symbols": "IBM", "feed": "tv"}, "invalid feed"),
        ("trades", {"symbols": "IBM", "page_token": "xx"}, "page_token"),
        ("bars", {"symbols": "IBM", "timeframe": "1Min", "adjustment": "all of it"}, "invalid adjustment"),
        ("quotes/latest", {}, "symbols is required"),
        ("snapshots", {"symbols": ",".join(f"A{n}" for n in range(1_001))}, "too many symbols"),
        ("IBM/trades/latest", {"feed": "tv"}, "invalid feed"),
        ("IBM/snapshot", {"feed": "tv"}, "invalid feed"),
    ],
)
async def test_what_is_not_understood_is_a_400_that_names_it(
    tape: Tape, path: str, params: dict[str, str], said: str
) -> None:
    """The parameter, its value, and what may be used."""
    async with served(tape) as url:
        status, body = await get(url, f"/v2/stocks/{path}", **params)
    assert status == 400
    assert said in body["message"]


async def test_recent_sip_data_is_refused_where_the_plan_says_so(tape: Tape) -> None:
    """As on Alpaca's free plan: the last fifteen minutes of SIP are another plan's; IEX is free."""
    recent = {"symbols": "IBM", "start": "2013-10-08", "end": "2013-10-08T19:50:00Z"}
    old = recent | {"end": "2013-10-08T13:31:00Z"}
    refused = (403, {"code": 42210000, "message": "subscription does not permit querying recent SIP data"})
    async with served(tape, sip_delay=True) as url:
        assert await get(url, "/v2/stocks/trades", feed="sip", **recent) == refused
        assert (await get(url, "/v2/stocks/trades", feed="iex", **recent))[0] == 200
        assert (await get(url, "/v2/stocks/trades", feed="sip", **old))[0] == 200
        for path in ("trades/latest", "snapshots"):
            assert await get(url, f"/v2/stocks/{path}", symbols="IBM") == refused
        for path in ("trades/latest", "snapshot"):
            assert await get(url, f"/v2/stocks/IBM/{path}") == refused
    async with served(tape, "2013-10-08T13:40:00Z", sip_delay=True) as url:
        _, page = await get(url, "/v2/stocks/trades", symbols="IBM", start="2013-10-08")
        assert page["trades"] == {}, "without an end, history ends where it may be seen"
    async with served(tape) as url:
        assert (await get(url, "/v2/stocks/trades", feed="sip", **recent))[0] == 200
