"""What is asked seldom: alpaca-py's REST clients, in two threads.

alpaca-py's clients block, have no time-out, repeat requests by themselves and obey proxies of the environment: each is
put right here, once. Answers are taken raw: a strict model that fails on one new word must not fail the whole list.
"""

import asyncio
import functools
import re
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from alpaca.common.exceptions import APIError
from alpaca.common.rest import RESTClient
from alpaca.trading.client import TradingClient

from deskd.alpaca.endpoints import Endpoints, Keys
from deskd.domain.errors import WireError
from deskd.domain.ids import Symbol
from deskd.wire.alpaca.client import decode_refusal

THREADS = 2
CONNECT_S = 2.0
_TIMEFRAME = re.compile(r"([1-9][0-9]?)(Min|T|Hour|H|Day|D|Week|W|Month|M)")


@dataclass(slots=True, kw_only=True)
class ColdPaths:
    """alpaca-py's blocking clients, made at first use."""

    endpoints: Endpoints
    keys: Keys
    timeout_s: float
    feed: str
    on_answer: Callable[[int, Mapping[str, str]], object] = lambda _status, _headers: None  # of trading, in a thread
    _threads: ThreadPoolExecutor = field(init=False)
    _clients: dict[type[RESTClient], Any] = field(default_factory=dict, init=False)
    _making: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="alpaca-rest")

    def close(self) -> None:
        """Let the threads go; a request that is under way ends by its time-out."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client._session.close()  # noqa: SLF001

    async def account(self) -> Any:
        """Return GET /v2/account."""
        return await self._in_thread(lambda: self._trading().get_account())

    async def positions(self) -> Any:
        """Return GET /v2/positions."""
        return await self._in_thread(lambda: self._trading().get_all_positions())

    async def clock(self) -> Any:
        """Return GET /v2/clock."""
        return await self._in_thread(lambda: self._trading().get_clock())

    async def bars(self, symbol: Symbol, timeframe: str, limit: int, since: datetime) -> Any:
        """Return the latest *limit* bars since then, newest first, by symbol."""
        return await self._in_thread(lambda: self._bars(symbol, timeframe, limit, since))

    def _bars(self, symbol: Symbol, timeframe: str, limit: int, since: datetime) -> Any:
        from alpaca.common.enums import Sort  # noqa: PLC0415  in the thread: a start does not need market data by REST
        from alpaca.data.enums import DataFeed  # noqa: PLC0415
        from alpaca.data.historical.stock import StockHistoricalDataClient  # noqa: PLC0415
        from alpaca.data.requests import StockBarsRequest  # noqa: PLC0415
        from alpaca.data.timeframe import TimeFrame, TimeFrameUnit  # noqa: PLC0415

        count, unit = parse_timeframe(timeframe)
        request = StockBarsRequest(
            symbol_or_symbols=symbol,
            timeframe=TimeFrame(count, TimeFrameUnit(unit)),
            start=since,
            limit=limit,
            sort=Sort.DESC,
            feed=DataFeed(self.feed),
        )
        return self._client(StockHistoricalDataClient, self.endpoints.data).get_stock_bars(request)

    async def minute_bars(self, symbols: Collection[Symbol], start: datetime, end: datetime, limit: int) -> Any:
        """Return at most *limit* minute bars in all from *start* to *end*, oldest first, by symbol."""
        return await self._in_thread(lambda: self._minute_bars(symbols, start, end, limit))

    def _minute_bars(self, symbols: Collection[Symbol], start: datetime, end: datetime, limit: int) -> Any:
        from alpaca.data.enums import DataFeed  # noqa: PLC0415  in the thread, as above
        from alpaca.data.historical.stock import StockHistoricalDataClient  # noqa: PLC0415
        from alpaca.data.requests import StockBarsRequest  # noqa: PLC0415
        from alpaca.data.timeframe import TimeFrame  # noqa: PLC0415

        request = StockBarsRequest(
            symbol_or_symbols=sorted(symbols),
            timeframe=TimeFrame.Minute,
            start=start,
            end=end,
            limit=limit,
            feed=DataFeed(self.feed),
        )
        return self._client(StockHistoricalDataClient, self.endpoints.data).get_stock_bars(request)

    async def latest_quotes(self, symbols: Collection[Symbol]) -> Any:
        """Return the newest quote of each symbol that has one, by symbol."""
        return await self._in_thread(lambda: self._latest_quotes(symbols))

    def _latest_quotes(self, symbols: Collection[Symbol]) -> Any:
        from alpaca.data.enums import DataFeed  # noqa: PLC0415  in the thread, as above
        from alpaca.data.historical.stock import StockHistoricalDataClient  # noqa: PLC0415
        from alpaca.data.requests import StockLatestQuoteRequest  # noqa: PLC0415

        request = StockLatestQuoteRequest(symbol_or_symbols=sorted(symbols), feed=DataFeed(self.feed))
        return self._client(StockHistoricalDataClient, self.endpoints.data).get_stock_latest_quote(request)

    def _trading(self) -> TradingClient:
        return self._client(TradingClient, self.endpoints.trading)

    def _client[C: RESTClient](self, kind: type[C], url: str) -> C:
        with self._making:
            if kind not in self._clients:
                client = kind(self.keys.key_id, self.keys.secret, raw_data=True, url_override=url)  # type: ignore[call-arg]  # RESTClient itself names it base_url
                _tame(client, (CONNECT_S, self.timeout_s))
                if kind is TradingClient:  # market data has a limit of its own
                    client._session.hooks["response"].append(self._on_response)  # noqa: SLF001
                self._clients[kind] = client
            return self._clients[kind]  # type: ignore[no-any-return]

    def _on_response(self, response: Any, **_: object) -> None:
        self.on_answer(response.status_code, response.headers)

    async def _in_thread(self, ask: Callable[[], Any]) -> Any:
        """Return the answer; raise OSError (PermissionError for bad keys) with what happened in words."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _in_words, ask, self.keys)


def _tame(client: Any, timeout: tuple[float, float]) -> None:
    """Take repeats, proxies and endless waits out of alpaca-py's client; it has no public words for them."""
    client._retry = 0  # noqa: SLF001
    session = client._session  # noqa: SLF001
    session.trust_env = False
    session.request = functools.partial(session.request, timeout=timeout)


def _in_words(ask: Callable[[], Any], keys: Keys) -> Any:
    try:
        return ask()
    except APIError as error:
        status = error.status_code or 0
        raise refused(status, keys.hidden_in_body(str(error).encode())) from None
    except OSError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # alpaca-py counts items without a look
        raise ConnectionError(f"the broker's answer cannot be read: {error!r}") from error


def refused(status: int, body: bytes) -> OSError:
    """Return the exception for an answer that is a refusal: PermissionError where the keys are the matter."""
    refusal = decode_refusal(status, body)
    text = f"the broker answered HTTP {status}: {refusal.text if refusal else 'not in its own words'}"
    if status == 401 or (status == 403 and (refusal is None or refusal.message.startswith("forbidden"))):
        return PermissionError(f"{text}: check APCA_API_KEY_ID and APCA_API_SECRET_KEY")
    return ConnectionError(text)


def parse_timeframe(text: str) -> tuple[int, str]:
    """Return count and unit of a timeframe, units as alpaca-py spells them; raise WireError."""
    match = _TIMEFRAME.fullmatch(text)
    if match is None:
        raise WireError(f"timeframe={text!r} must be like 1Min, 15Min, 1Hour or 1Day")
    long = {"T": "Min", "H": "Hour", "D": "Day", "W": "Week", "M": "Month"}
    return int(match[1]), long.get(match[2], match[2])
