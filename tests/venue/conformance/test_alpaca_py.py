"""alpaca-py 0.44, unmodified and with its models on, works against the exchange: every method, order, error."""

import asyncio
import functools
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest, StockSnapshotRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading import models
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import (
    AccountStatus,
    AssetStatus,
    CorporateActionType,
    OrderClass,
    OrderSide,
    OrderType,
    QueryOrderStatus,
    TimeInForce,
)
from alpaca.trading.requests import (
    ClosePositionRequest,
    CreateWatchlistRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetCorporateAnnouncementsRequest,
    GetOptionContractsRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    OrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
    UpdateWatchlistRequest,
)
from alpaca.trading.stream import TradingStream

from tests.hang import HANG_S
from tests.venue.serving import HEADERS, KEYS, served_in_thread, settings, write_tape

BUY: dict[str, Any] = {"symbol": "AAPL", "qty": 10, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
SELL = BUY | {"side": OrderSide.SELL}
WEBSOCKET = {"ping_interval": 5, "ping_timeout": 10, "close_timeout": 1, "compression": None}


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tape(tmp_path_factory.mktemp("tape"))


@pytest.fixture
def url(tape: Path) -> Iterator[str]:
    with served_in_thread(settings(tape)) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[TradingClient]:
    client = TradingClient(KEYS.key_id, KEYS.secret_key, url_override=url)
    client._retry = 0
    client._session.trust_env = False
    client._session.request = functools.partial(client._session.request, timeout=(2, 10))  # type: ignore[method-assign]
    yield client
    client._session.close()


def place(client: TradingClient, request: OrderRequest) -> models.Order:
    order = client.submit_order(request)
    assert isinstance(order, models.Order)
    return order


def test_account_and_market_methods(client: TradingClient) -> None:
    """Account, configurations, clock, calendar, assets, portfolio history: parsed by the models."""
    account = client.get_account()
    assert isinstance(account, models.TradeAccount)
    assert (account.status, account.cash, account.multiplier) == (AccountStatus.ACTIVE, "100000", "4")
    configurations = client.get_account_configurations()
    assert isinstance(configurations, models.AccountConfiguration)
    configurations.no_shorting = True
    changed = client.set_account_configurations(configurations)
    assert isinstance(changed, models.AccountConfiguration)
    assert changed.no_shorting is True
    clock = client.get_clock()
    assert isinstance(clock, models.Clock)
    assert clock.is_open
    days = client.get_calendar(GetCalendarRequest(start=date(2013, 10, 7), end=date(2013, 10, 11)))
    assert len(days) == 5
    assets = client.get_all_assets(GetAssetsRequest(status=AssetStatus.ACTIVE))
    assert len(assets) == 3
    asset = client.get_asset("AAPL")
    assert isinstance(asset, models.Asset)
    assert client.get_asset(asset.id) == asset
    history = client.get_portfolio_history(GetPortfolioHistoryRequest(period="1M", timeframe="1D"))
    assert isinstance(history, models.PortfolioHistory)
    assert history.equity == [100000.0]


def test_order_methods(client: TradingClient) -> None:
    """Submit, by id, by client id, list, replace, cancel one, cancel all."""
    order = place(client, LimitOrderRequest(**BUY | {"limit_price": 90, "client_order_id": "mine"}))
    assert client.get_order_by_client_id("mine") == client.get_order_by_id(order.id)
    listed = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, symbols=["AAPL", "SPY"], limit=10))
    assert [it.id for it in listed if isinstance(it, models.Order)] == [order.id]
    replaced = client.replace_order_by_id(order.id, ReplaceOrderRequest(qty=5, limit_price=91))
    assert isinstance(replaced, models.Order)
    assert (replaced.replaces, replaced.qty) == (order.id, "5")
    client.cancel_order_by_id(replaced.id)
    another = place(client, LimitOrderRequest(**BUY | {"limit_price": 90}))
    answers = client.cancel_orders()
    assert [(it.id, it.status) for it in answers if not isinstance(it, str)] == [(another.id, 200)]


def test_position_methods(client: TradingClient) -> None:
    """List, one by symbol and by id, close by quantity, by percentage, whole, and all."""
    place(client, MarketOrderRequest(**BUY))
    place(client, MarketOrderRequest(**BUY | {"symbol": "SPY"}))
    assert len(client.get_all_positions()) == 2
    position = client.get_open_position("AAPL")
    assert isinstance(position, models.Position)
    assert client.get_open_position(position.asset_id) == position
    for close in (ClosePositionRequest(qty="2"), ClosePositionRequest(percentage="50"), None):
        assert isinstance(client.close_position("AAPL", close), models.Order)
    closed = client.close_all_positions(cancel_orders=True)
    assert len(closed) == 1
    assert client.get_all_positions() == []


def test_watchlist_methods(client: TradingClient) -> None:
    """Create, list, read, update, add, remove, delete."""
    made = client.create_watchlist(CreateWatchlistRequest(name="tech", symbols=["AAPL"]))
    assert isinstance(made, models.Watchlist)
    assert [it.id for it in client.get_watchlists() if isinstance(it, models.Watchlist)] == [made.id]
    for changed in (
        client.add_asset_to_watchlist_by_id(made.id, "IBM"),
        client.update_watchlist_by_id(made.id, UpdateWatchlistRequest(name="old tech")),
        client.remove_asset_from_watchlist_by_id(made.id, "AAPL"),
        client.get_watchlist_by_id(made.id),
    ):
        assert isinstance(changed, models.Watchlist)
        assert changed.assets is not None
        assert "IBM" in {asset.symbol for asset in changed.assets}
    client.delete_watchlist_by_id(made.id)
    assert client.get_watchlists() == []


@pytest.mark.filterwarnings("ignore:get_corporate_announcement:DeprecationWarning")
def test_what_is_not_traded_is_empty_or_absent(client: TradingClient) -> None:
    """Options and announcements answer with nothing, in the shape that the library expects."""
    contracts = client.get_option_contracts(GetOptionContractsRequest(underlying_symbols=["AAPL"]))
    assert contracts.option_contracts == []  # type: ignore[union-attr]
    splits = GetCorporateAnnouncementsRequest(
        ca_types=[CorporateActionType.SPLIT], since=date(2013, 10, 1), until=date(2013, 10, 8)
    )
    assert client.get_corporate_announcements(splits) == []
    for absent in (
        lambda: client.get_option_contract("AAPL131019C00100000"),
        lambda: client.get_corporate_announcement_by_id(uuid4()),
        lambda: client.exercise_options_position("AAPL131019C00100000"),
    ):
        with pytest.raises(APIError):
            absent()


ORDERS: dict[str, OrderRequest] = {
    "market day": MarketOrderRequest(**BUY),
    "market gtc": MarketOrderRequest(**BUY | {"time_in_force": TimeInForce.GTC}),
    "market ioc": MarketOrderRequest(**BUY | {"time_in_force": TimeInForce.IOC}),
    "market fok": MarketOrderRequest(**BUY | {"time_in_force": TimeInForce.FOK}),
    "market cls": MarketOrderRequest(**BUY | {"time_in_force": TimeInForce.CLS}),
    "notional": MarketOrderRequest(symbol="AAPL", notional=25.5, side=OrderSide.BUY, time_in_force=TimeInForce.DAY),
    "fractional": MarketOrderRequest(**BUY | {"qty": 0.123456789}),
    "limit day": LimitOrderRequest(**BUY, limit_price=90.5),
    "limit ioc": LimitOrderRequest(**BUY | {"time_in_force": TimeInForce.IOC}, limit_price=90.5),
    "limit fok": LimitOrderRequest(**BUY | {"time_in_force": TimeInForce.FOK}, limit_price=90.5),
    "limit cls": LimitOrderRequest(**BUY | {"time_in_force": TimeInForce.CLS}, limit_price=90.5),
    "limit extended": LimitOrderRequest(**BUY, limit_price=90.5, extended_hours=True),
    "stop": StopOrderRequest(**BUY, stop_price=110),
    "stop limit": StopLimitOrderRequest(**BUY | {"time_in_force": TimeInForce.GTC}, stop_price=110, limit_price=111),
    "trailing price": TrailingStopOrderRequest(**BUY, trail_price=2),
    "trailing percent": TrailingStopOrderRequest(**BUY, trail_percent=1.5),
    "bracket": MarketOrderRequest(
        **BUY,
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfitRequest(limit_price=110),
        stop_loss=StopLossRequest(stop_price=90, limit_price=89),
    ),
    "oto": LimitOrderRequest(
        **BUY, limit_price=99, order_class=OrderClass.OTO, stop_loss=StopLossRequest(stop_price=90)
    ),
    "short": MarketOrderRequest(**SELL),
}


@pytest.mark.parametrize("name", ORDERS)
def test_every_kind_of_order_is_taken(client: TradingClient, name: str) -> None:
    """Each type, class and time in force is accepted, and reads back as it was sent."""
    request = ORDERS[name]
    taken = place(client, request)
    order = client.get_order_by_id(taken.id, GetOrderByIdRequest(nested=True))
    assert isinstance(order, models.Order)
    assert (order.type, order.time_in_force, order.side) == (request.type, request.time_in_force, request.side)
    if name in {"bracket", "oto"}:
        assert order.legs
    if request.type is OrderType.MARKET and request.time_in_force is not TimeInForce.CLS:
        assert order.status == "filled"


def test_an_exit_pair_is_taken(client: TradingClient) -> None:
    """An OCO closes what is held: the take-profit is the parent, the stop its leg."""
    place(client, MarketOrderRequest(**BUY))
    oco = place(
        client,
        LimitOrderRequest(
            **SELL,
            order_class=OrderClass.OCO,
            take_profit=TakeProfitRequest(limit_price=110),
            stop_loss=StopLossRequest(stop_price=90),
        ),
    )
    assert oco.legs is not None
    assert [leg.type for leg in oco.legs] == [OrderType.STOP]


def test_opg_is_refused_in_the_session_with_its_words(client: TradingClient) -> None:
    """An opening order in the middle of the day gets the window's text."""
    with pytest.raises(APIError) as refused:
        place(client, MarketOrderRequest(**BUY | {"time_in_force": TimeInForce.OPG}))
    assert json.loads(str(refused.value)) == {
        "code": 40310000,
        "message": "opg orders must be submitted after 7:00pm and before 9:28am",
    }


def _holding(client: TradingClient) -> None:
    place(client, MarketOrderRequest(**BUY))


def _resting_buy(client: TradingClient) -> None:
    place(client, LimitOrderRequest(**BUY, limit_price=90))


def _held(client: TradingClient) -> None:
    _holding(client)
    place(client, LimitOrderRequest(**SELL, limit_price=110))


def _holding_and_stop(client: TradingClient) -> None:
    _holding(client)
    place(client, StopOrderRequest(**SELL, stop_price=90))


def _taken_id(client: TradingClient) -> None:
    place(client, LimitOrderRequest(**BUY, limit_price=90, client_order_id="taken"))


def _nothing(_client: TradingClient) -> None:
    pass


# what is there before, what is asked for, then status, code, text and extras of the refusal
REFUSALS: list[tuple[Callable[[TradingClient], None], dict[str, object], int, int, str, set[str]]] = [
    (_nothing, {"qty": 1_000_000}, 403, 40310000, "insufficient buying power", {"buying_power", "cost_basis"}),
    (_holding, {"side": "sell", "qty": 11}, 403, 40310000,
     "insufficient qty available for order (requested: 11, available: 10)",
     {"available", "existing_qty", "held_for_orders", "symbol"}),
    (_held, {"side": "sell", "qty": 10}, 403, 40310000,
     "insufficient qty available for order (requested: 10, available: 0)",
     {"available", "existing_qty", "held_for_orders", "symbol", "related_orders"}),
    (_holding_and_stop, {}, 403, 40310000, "potential wash trade detected. use complex orders",
     {"existing_order_id", "reject_reason"}),
    (_nothing, {"qty": None, "notional": 0.5}, 403, 40310000, "cost basis must be >= minimal amount of order 1", set()),
    (_taken_id, {"client_order_id": "taken"}, 422, 40010001, "client_order_id must be unique", set()),
    (_nothing, {"client_order_id": "x" * 129}, 422, 40010001,
     "client_order_id must be no more than 128 characters", set()),
    (_nothing, {"qty": 0}, 422, 40010001, "qty must be > 0", set()),
    (_nothing, {"type": "limit", "limit_price": 0}, 422, 40010001, "limit price must be > 0", set()),
    (_nothing, {"type": "limit"}, 422, 40010001, "limit orders require a limit price", set()),
    (_nothing, {"type": "stop"}, 422, 40010001, "stop orders require a stop price", set()),
    (_nothing, {"type": "stop_limit", "stop_price": 110}, 422, 40010001,
     "stop limit orders require both stop and limit price", set()),
    (_nothing, {"notional": 10}, 422, 40010001, "only one of qty or notional is accepted", set()),
    (_nothing, {"qty": None}, 422, 40010001, "qty or notional is required", set()),
    (_nothing, {"type": "trailing_stop"}, 422, 40010001,
     "trailing stop orders must specify one of trail_price or trail_percent", set()),
    (_nothing, {"limit_price": 90}, 422, 40010001, "market orders require no stop or limit price", set()),
    (_nothing, {"order_class": "bracket", "stop_loss": {"stop_price": 90}}, 422, 40010001,
     "bracket orders require take_profit.limit_price", set()),
    (_nothing, {"type": "stop", "stop_price": 110, "order_class": "bracket", "take_profit": {"limit_price": 120},
                "stop_loss": {"stop_price": 90}}, 422, 40010001, "bracket orders must be market or limit orders", set()),
    (_holding, {"side": "sell", "order_class": "oco", "take_profit": {"limit_price": 120},
                "stop_loss": {"stop_price": 90}}, 422, 40010001, "oco orders must be limit orders", set()),
    (_nothing, {"symbol": "ZZZZQX"}, 422, 42210000, 'asset "ZZZZQX" not found', set()),
    (_nothing, {"type": "limit", "limit_price": 290.123}, 422, 42210000,
     "invalid limit_price 290.123. sub-penny increment does not fulfill minimum pricing criteria", set()),
    (_nothing, {"type": "stop", "stop_price": 290.123}, 422, 42210000,
     "invalid stop_price 290.123. sub-penny increment does not fulfill minimum pricing criteria", set()),
    (_nothing, {"type": "stop", "stop_price": 90}, 422, 42210000,
     "stop price must be greater than current price", {"market_price", "stop_price"}),
    (_holding, {"side": "sell", "type": "stop", "stop_price": 110}, 422, 42210000,
     "stop price must be less than current price", {"market_price", "stop_price"}),
    (_nothing, {"qty": 0.5, "time_in_force": "gtc"}, 422, 42210000, "fractional orders must be DAY orders", set()),
    (_nothing, {"qty": 0.5, "side": "sell"}, 422, 42210000, "fractional orders cannot be sold short", set()),
    (_nothing, {"qty": 0.5, "order_class": "oto", "stop_loss": {"stop_price": 90}}, 422, 42210000,
     "fractional orders must be simple orders", set()),
    (_nothing, {"qty": 0.5, "type": "trailing_stop", "trail_price": 1}, 422, 42210000,
     "fractional orders must be market, limit, stop, or stop_limit orders", set()),
    (_nothing, {"order_class": "bracket", "take_profit": {"limit_price": 100}, "stop_loss": {"stop_price": 90}},
     422, 42210000, "take_profit.limit_price must be >= base_price + 0.01", {"base_price"}),
    (_nothing, {"order_class": "bracket", "take_profit": {"limit_price": 120}, "stop_loss": {"stop_price": 101}},
     422, 42210000, "stop_loss.stop_price must be <= base_price - 0.01", {"base_price"}),
    (_nothing, {"extended_hours": True}, 422, 42210000, "extended hours order must be DAY or GTC limit orders", set()),
    (_holding, {"side": "sell", "order_class": "bracket", "take_profit": {"limit_price": 90},
                "stop_loss": {"stop_price": 110}}, 422, 42210000, "bracket orders must be entry orders", set()),
    (_nothing, {"type": "limit", "limit_price": 90, "order_class": "oco", "take_profit": {"limit_price": 90},
                "stop_loss": {"stop_price": 130}}, 422, 42210000, "oco orders must be exit orders", set()),
    (_nothing, {"position_intent": "sell_to_close"}, 422, 42210000,
     "position intent mismatch, inferred: buy_to_open, specified: sell_to_close", set()),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS, ids=[case[4][:60] for case in REFUSALS])
def test_every_refusal_arrives_with_text_and_extras(
    client: TradingClient, case: tuple[Callable[[TradingClient], None], dict[str, object], int, int, str, set[str]]
) -> None:
    """The error catalogue, through the library's own exception."""
    prepare, fields, status, code, message, extras = case
    prepare(client)
    order = {"symbol": "AAPL", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day"} | fields
    with pytest.raises(APIError) as refused:
        client.post("/orders", {name: value for name, value in order.items() if value is not None})
    body = json.loads(str(refused.value))
    assert (refused.value.status_code, body["code"], body["message"]) == (status, code, message)
    assert set(body) - {"code", "message"} == extras


def test_refusals_of_other_methods(client: TradingClient) -> None:
    """Unknown orders, positions and assets, and orders that have ended."""
    order = place(client, MarketOrderRequest(**BUY))
    unknown = UUID("001c0b29-5bc9-45c4-bd32-5ba323c997b3")
    for call, status, message in (
        (lambda: client.get_order_by_id(unknown), 404, f"order not found for {unknown}"),
        (lambda: client.get_order_by_client_id("no"), 404, "order not found for no"),
        (lambda: client.cancel_order_by_id(order.id), 422, 'order is already in "filled" state'),
        (
            lambda: client.replace_order_by_id(order.id, ReplaceOrderRequest(qty=1)),
            422,
            "unable to replace order, order is not open",
        ),
        (lambda: client.get_open_position("SPY"), 404, "position does not exist"),
        (lambda: client.close_position("SPY"), 404, "position does not exist"),
        (lambda: client.get_asset("ZZZZQX"), 404, "asset not found for ZZZZQX"),
    ):
        with pytest.raises(APIError) as refused:
            call()
        assert (refused.value.status_code, refused.value.message) == (status, message)


def test_wrong_keys_are_401_without_a_code(url: str) -> None:
    """The library sees a 401 whose body has no code."""
    stranger = TradingClient("who", "knows", url_override=url)
    with pytest.raises(APIError) as refused:
        stranger.get_account()
    assert refused.value.status_code == 401
    assert refused.value.message == "unauthorized."
    stranger._session.close()


def test_the_rate_limit_reaches_the_library(tape: Path) -> None:
    """Over the limit the library sees 429 and Alpaca's text."""
    with served_in_thread(settings(tape, rate_limit_per_min=2)) as url:
        client = TradingClient(KEYS.key_id, KEYS.secret_key, url_override=url)
        client._retry = 0
        client.get_clock()
        client.get_clock()
        with pytest.raises(APIError, match="rate limit exceeded"):
            client.get_clock()
        client._session.close()


def test_market_data_methods(url: str) -> None:
    """Bars, the latest quote and a snapshot, parsed by the models."""
    data = StockHistoricalDataClient(KEYS.key_id, KEYS.secret_key, url_override=url)
    start = datetime(2013, 10, 8, 13, tzinfo=UTC)
    bars = data.get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols=["AAPL"], timeframe=TimeFrame.Minute, start=start, end=start + timedelta(hours=1)
        )
    )
    assert len(bars["AAPL"]) > 30
    quote = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))["AAPL"]
    assert (quote.bid_price, quote.ask_price) == (100.0, 100.01)
    assert "AAPL" in data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="AAPL"))
    data._session.close()


async def test_the_trading_stream_brings_every_event(tape: Path) -> None:
    """TradingStream with its models hears the whole life of an order: taken, new, filled."""
    with served_in_thread(settings(tape)) as url:
        events: asyncio.Queue[models.TradeUpdate] = asyncio.Queue()

        async def heard(update: models.TradeUpdate) -> None:
            events.put_nowait(update)

        stream = TradingStream(
            KEYS.key_id,
            KEYS.secret_key,
            url_override=url.replace("http", "ws") + "/stream",
            websocket_params=WEBSOCKET,
        )
        stream.subscribe_trade_updates(heard)
        task = asyncio.get_running_loop().create_task(stream._run_forever())  # type: ignore[no-untyped-call]
        try:
            async with aiohttp.ClientSession(url, headers=HEADERS) as session:
                order = {"symbol": "AAPL", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"}
                async with asyncio.timeout(HANG_S):
                    while events.empty():  # the stream has no sign of being connected: an order is what it would hear
                        await session.post("/v2/orders", json=order)
                        await asyncio.sleep(0.05)
                    updates = [await events.get()]
                    while updates[-1].event != "fill":
                        updates.append(await events.get())
            assert [update.event for update in updates] == ["pending_new", "new", "fill"]
            fill = updates[-1]
            assert (fill.price, fill.qty) == (100.01, 1.0)
            assert fill.order.status == "filled"
            assert fill.order.legs is None
        finally:
            task.cancel()
            await asyncio.wait([task])
            await stream.close()


def test_the_data_stream_brings_the_market(tape: Path) -> None:
    """StockDataStream with its models hears quotes and trades of its symbols."""
    with served_in_thread(settings(tape, speed=600.0)) as url:
        quotes: list[Any] = []
        trades: list[Any] = []
        both = threading.Event()
        stream = StockDataStream(
            KEYS.key_id,
            KEYS.secret_key,
            feed=DataFeed.IEX,
            url_override=url.replace("http", "ws") + "/v2/iex",
            websocket_params=WEBSOCKET,
        )

        async def on_quote(quote: Any) -> None:
            quotes.append(quote)

        async def on_trade(trade: Any) -> None:
            trades.append(trade)
            if quotes:
                both.set()

        stream.subscribe_quotes(on_quote, "AAPL")
        stream.subscribe_trades(on_trade, "AAPL")
        thread = threading.Thread(target=asyncio.run, args=(_run_quietly(stream),))
        thread.start()
        try:
            assert both.wait(20)
        finally:
            stream.stop()
            thread.join(10)
        assert (quotes[0].symbol, quotes[0].bid_price, trades[0].price) == ("AAPL", 100.0, 100.0)


async def _run_quietly(stream: StockDataStream) -> None:
    await stream._run_forever()
