"""Alpaca's market-data REST: bars, trades, quotes, the latest of each, and snapshots; of many symbols or of one.

1. Answers hold the tape up to the market's time. Symbols come in alphabetical order, *limit* counts points in total, and
   `next_page_token` says where the next page begins.
2. An unknown symbol is just absent. Every parameter that is not understood is a 400 that names it.
3. `adjustment`, `asof` and `currency` are accepted and change nothing: the tape's prices are raw dollars.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

from aiohttp import web

from deskd.domain.errors import WireError
from deskd.domain.ids import SYMBOL
from deskd.venue.calendar import new_york_day
from deskd.venue.history import History, Span, Timeframe, day_start, parse_timeframe
from deskd.venue.market import Market
from deskd.wire.alpaca.market import Message, encode_json, page_token, parse_page_token, parse_stamp, rest_row

LIMIT_DEFAULT, LIMIT_MAX = 1_000, 10_000
SYMBOLS_MAX: Final = 1_000  # of one request: every symbol of an answer is a search of its own
SIP_DELAY_NS: Final = int(timedelta(minutes=15).total_seconds()) * 1_000_000_000
_FEEDS: Final = ("sip", "iex", "delayed_sip", "otc", "boats", "overnight")
_ADJUSTMENTS: Final = {"raw", "split", "dividend", "spin-off", "all"}
_RECENT_SIP: Final = {"code": 42210000, "message": "subscription does not permit querying recent SIP data"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """What a request for history asks for."""

    symbols: list[str]
    span: Span
    limit: int
    resume: tuple[str, int, int] | None  # symbol, instant, rows of that instant already sent


type _Read = Callable[[str, Span], Iterator[Message]]
type _Handler = Callable[[web.Request], Awaitable[web.Response]]


class DataRest:
    """The handlers. *now* is the market's time in nanoseconds; with *sip_delay* recent SIP data is refused, as on free plans."""

    def __init__(self, history: History, market: Market, now: Callable[[], int], *, sip_delay: bool = False) -> None:
        self._history = history
        self._market = market
        self._now = now
        self._sip_delay = sip_delay

    def routes(self) -> list[web.RouteDef]:
        """Return every route."""
        handlers = {
            "{kind:bars|trades|quotes}": self._many,
            "{kind:bars|trades|quotes}/latest": self._many_latest,
            "snapshots": self._snapshots,
            "{symbol}/{kind:bars|trades|quotes}": self._one,
            "{symbol}/{kind:bars|trades|quotes}/latest": self._one_latest,
            "{symbol}/snapshot": self._one_snapshot,
        }
        return [web.get(f"/v2/stocks/{path}", _telling(handler)) for path, handler in handlers.items()]

    async def _many(self, request: web.Request) -> web.Response:
        return await self._page(request, _symbols(request), None)

    async def _one(self, request: web.Request) -> web.Response:
        symbol = _symbol(request)
        return await self._page(request, [symbol], symbol)

    async def _page(self, request: web.Request, symbols: list[str], only: str | None) -> web.Response:
        now = self._now()
        kind = request.match_info["kind"]
        query = _query(request, symbols, now)
        timeframe = parse_timeframe(_required(request, "timeframe")) if kind == "bars" else None
        if self._sip_delay and _feed(request) == "sip":
            if "end" in request.query and min(query.span.end, now) > now - SIP_DELAY_NS:
                return _answer(_RECENT_SIP, 403)
            now -= SIP_DELAY_NS  # without an end, history ends where it may be seen
        found, token = await asyncio.to_thread(_collect, query, self._reader(kind, timeframe, now))
        if only is None:
            return _answer({kind: found, "next_page_token": token}, 200)
        return _answer({kind: found.get(only, []), "symbol": only, "next_page_token": token}, 200)

    def _reader(self, kind: str, timeframe: Timeframe | None, now: int) -> _Read:
        if timeframe is not None:
            return lambda symbol, span: self._history.bars(symbol, timeframe, span, now)
        read = self._history.trades if kind == "trades" else self._history.quotes
        return lambda symbol, span: read(symbol, span, now)

    async def _many_latest(self, request: web.Request) -> web.Response:
        kind, symbols = request.match_info["kind"], _symbols(request)
        if self._is_refused(request):
            return _answer(_RECENT_SIP, 403)
        return _answer({kind: _present((symbol, self._latest(kind, symbol)) for symbol in symbols)}, 200)

    async def _one_latest(self, request: web.Request) -> web.Response:
        kind, symbol = request.match_info["kind"], _symbol(request)
        if self._is_refused(request):
            return _answer(_RECENT_SIP, 403)
        row = self._latest(kind, symbol)
        if row is None:
            return _answer({"message": f"no {kind[:-1]} found for {symbol}"}, 404)
        return _answer({"symbol": symbol, kind[:-1]: row}, 200)

    async def _snapshots(self, request: web.Request) -> web.Response:
        symbols = _symbols(request)
        if self._is_refused(request):
            return _answer(_RECENT_SIP, 403)
        found = await asyncio.to_thread(lambda: [(symbol, self._snapshot(symbol)) for symbol in symbols])
        return _answer(_present(found), 200)

    async def _one_snapshot(self, request: web.Request) -> web.Response:
        symbol = _symbol(request)
        if self._is_refused(request):
            return _answer(_RECENT_SIP, 403)
        snapshot = await asyncio.to_thread(self._snapshot, symbol)
        if snapshot is None:
            return _answer({"message": f"no snapshot found for {symbol}"}, 404)
        return _answer({"symbol": symbol, **snapshot}, 200)

    def _latest(self, kind: str, symbol: str) -> Message | None:
        latest = {"trades": self._market.trade, "quotes": self._market.quote, "bars": self._market.minute_bar}
        message = latest[kind](symbol)
        return None if message is None else rest_row(message)

    def _snapshot(self, symbol: str) -> Message | None:
        day = self._market.daily_bar(symbol)
        before = self._history.day_bar_before(symbol, new_york_day(self._now()))
        snapshot = {
            "latestTrade": self._latest("trades", symbol),
            "latestQuote": self._latest("quotes", symbol),
            "minuteBar": self._latest("bars", symbol),
            "dailyBar": None if day is None else rest_row(day),
            "prevDailyBar": None if before is None else rest_row(before),
        }
        return snapshot if any(snapshot.values()) else None

    def _is_refused(self, request: web.Request) -> bool:
        """Tell whether what is latest is another plan's."""
        return _feed(request) == "sip" and self._sip_delay


def _telling(handler: _Handler) -> _Handler:
    """Answer 400 with the reason where the handler did not understand the request."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except WireError as error:
            return _answer({"message": str(error)}, 400)

    return handle


def _collect(query: _Query, read: _Read) -> tuple[dict[str, list[Message]], str | None]:
    """Return one page by symbol, and the token of the next one."""
    found: dict[str, list[Message]] = {}
    count = 0
    for symbol in query.symbols:
        span, skip = query.span, 0
        if query.resume is not None:
            first, at, sent = query.resume
            if symbol < first:
                continue
            if symbol == first:
                skip = sent
                span = (
                    Span(start=span.start, end=at, is_descending=True)
                    if span.is_descending
                    else Span(start=at, end=span.end)
                )
        rows = list(islice(read(symbol, span), skip, skip + query.limit - count + 1))
        if count + len(rows) > query.limit:  # one more than fits: the next page begins with it
            rows, following = rows[:-1], rows[-1]
            at = following["t"]
            same = sum(row["t"] == at for row in rows)
            if query.resume is not None and (symbol, at) == query.resume[:2]:
                same += skip
            if rows:
                found[symbol] = [rest_row(row) for row in rows]
            return found, page_token(symbol, at, same)
        if rows:
            found[symbol] = [rest_row(row) for row in rows]
            count += len(rows)
    return found, None


def _query(request: web.Request, symbols: list[str], now: int) -> _Query:
    _feed(request)
    start, end = request.query.get("start"), request.query.get("end")
    sort = request.query.get("sort", "asc")
    if sort not in {"asc", "desc"}:
        raise WireError(f"invalid sort: {sort!r}; use asc or desc")
    adjustment = request.query.get("adjustment", "raw")
    if not set(adjustment.split(",")) <= _ADJUSTMENTS:
        raise WireError(f"invalid adjustment: {adjustment!r}; use {', '.join(sorted(_ADJUSTMENTS))}")
    span = Span(
        start=day_start(now) if not start else _stamp("start", start),
        end=now if not end else _stamp("end", end),
        is_descending=sort == "desc",
    )
    if start and end and span.end < span.start:
        raise WireError("end should not be before start")
    token = request.query.get("page_token")
    return _Query(symbols=symbols, span=span, limit=_limit(request), resume=parse_page_token(token) if token else None)


def _stamp(name: str, text: str) -> int:
    """Return the instant; a bare date as an end means the whole day, as on Alpaca."""
    try:
        at = parse_stamp(text.replace(" ", "+"))  # a + that was not quoted arrives as a blank
    except WireError as error:
        raise WireError(f"invalid {name}: {error}") from None
    return at + 86_400_000_000_000 - 1 if name == "end" and len(text) == len("2026-11-20") else at


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(LIMIT_DEFAULT))
    if len(text) > len(str(LIMIT_MAX)) or not text.isdecimal() or not 1 <= int(text) <= LIMIT_MAX:
        raise WireError(f"invalid limit: {text!r}; use 1 to {LIMIT_MAX}")
    return int(text)


def _feed(request: web.Request) -> str:
    feed = request.query.get("feed", "sip")
    if feed not in _FEEDS:
        raise WireError(f"invalid feed: {feed!r}; use {', '.join(_FEEDS[:3])}")
    return feed


def _symbols(request: web.Request) -> list[str]:
    symbols = sorted({symbol.strip().upper() for symbol in _required(request, "symbols").split(",")} - {""})
    if not symbols:
        raise WireError("symbols is required: name at least one")
    if len(symbols) > SYMBOLS_MAX:
        raise WireError(f"too many symbols: {len(symbols)}; at most {SYMBOLS_MAX} in one request")
    if bad := next((symbol for symbol in symbols if not SYMBOL.fullmatch(symbol)), None):
        raise WireError(f"invalid symbol: {bad!r}")
    return symbols


def _symbol(request: web.Request) -> str:
    return request.match_info["symbol"].upper()


def _required(request: web.Request, name: str) -> str:
    value = request.query.get(name)
    if not value:
        raise WireError(f"{name} is required")
    return value


def _present(found: Iterable[tuple[str, Message | None]]) -> dict[str, Message]:
    return {symbol: row for symbol, row in found if row is not None}


def _answer(body: object, status: int) -> web.Response:
    return web.Response(body=encode_json(body), status=status, content_type="application/json")
