"""The trading API: each endpoint reads a request, asks the exchange, waits for the disk, answers.

1. Nothing leaves before what it tells is on disk, reads included: an order that was seen is never forgotten.
2. What the exchange refuses is answered with its status, code, text and extras, word for word.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime

from aiohttp import web

from deskd.exchange import errors
from deskd.exchange.account import EquityPoint, PositionView
from deskd.exchange.errors import ApiError
from deskd.exchange.order import ExchangeOrder
from deskd.venue.calendar import FIRST_DAY, LAST_DAY, Calendar, calendar_row
from deskd.venue.faults import Faults
from deskd.venue.floor import Floor
from deskd.venue.server import json_answer
from deskd.wire.alpaca import venue_replies as replies
from deskd.wire.alpaca import venue_requests as requests
from deskd.wire.alpaca.market import NEW_YORK


class TradingRest:
    """The endpoints of the trading API, over one floor."""

    def __init__(self, floor: Floor, calendar: Calendar, faults: Faults | None = None) -> None:
        self._floor = floor
        self._exchange = floor.exchange
        self._calendar = calendar
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """Return every endpoint."""
        return [
            web.get("/v2/account", self._account),
            web.get("/v2/account/configurations", self._configurations),
            web.patch("/v2/account/configurations", self._configure),
            web.get("/v2/account/activities", self._activities),
            web.get("/v2/account/activities/{type}", self._activities),
            web.get("/v2/account/portfolio/history", self._portfolio_history),
            web.get("/v2/clock", self._clock),
            web.get("/v2/calendar", self._list_days),
            web.get("/v2/assets", self._list_assets),
            web.get("/v2/assets/{symbol}", self._asset),
            web.post("/v2/orders", self._submit),
            web.get("/v2/orders", self._list_orders),
            web.delete("/v2/orders", self._cancel_all),
            web.get("/v2/orders:by_client_order_id", self._order_by_client_order_id),
            web.get("/v2/orders/{order_id}", self._order),
            web.patch("/v2/orders/{order_id}", self._replace),
            web.delete("/v2/orders/{order_id}", self._cancel),
            web.get("/v2/positions", self._positions),
            web.delete("/v2/positions", self._close_all),
            web.get("/v2/positions/{symbol}", self._position),
            web.delete("/v2/positions/{symbol}", self._close),
        ]

    # --- orders -------------------------------------------------------------------------------------------------------

    async def _submit(self, request: web.Request) -> web.Response:
        wanted = requests.new_order(await request.read())
        if isinstance(wanted, ApiError):
            return refusal(wanted)
        taken = self._exchange.submit(wanted, self._floor.stamp())
        return await self._answered(taken)

    async def _replace(self, request: web.Request) -> web.Response:
        wanted = requests.order_changes(await request.read())
        if isinstance(wanted, ApiError):
            return refusal(wanted)
        taken = self._exchange.replace(request.match_info["order_id"], wanted, self._floor.stamp())
        return await self._answered(taken)

    async def _cancel(self, request: web.Request) -> web.Response:
        error = self._exchange.cancel(request.match_info["order_id"], self._floor.stamp())
        await self._floor.settled()
        return web.Response(status=204) if error is None else refusal(error)

    async def _cancel_all(self, _request: web.Request) -> web.Response:
        items = self._exchange.cancel_all(self._floor.stamp())
        await self._floor.settled()
        return json_answer([replies.canceled(*item) for item in items], status=207)

    async def _order(self, request: web.Request) -> web.Response:
        order_id = request.match_info["order_id"]
        self._pass_time()
        found = self._exchange.order(order_id)
        if found is None:
            return refusal(errors.order_not_found(order_id))
        return await self._answered(found, is_nested=requests.flag(request.query, "nested"))

    async def _order_by_client_order_id(self, request: web.Request) -> web.Response:
        client_order_id = request.query.get("client_order_id", "")
        self._pass_time()
        found = self._exchange.by_client_order_id(client_order_id)
        if found is None:
            return refusal(errors.order_not_found(client_order_id))
        return await self._answered(found, is_nested=requests.flag(request.query, "nested"))

    async def _list_orders(self, request: web.Request) -> web.Response:
        query = requests.orders_query(request.query)
        if isinstance(query, ApiError):
            return refusal(query)
        self._pass_time()
        found = self._exchange.orders(**asdict(query))
        body = [replies.order(order, self._legs(order) if query.is_nested else ()) for order in found]
        await self._floor.settled()
        return json_answer(body)

    async def _answered(self, answer: ExchangeOrder | ApiError, *, is_nested: bool = True) -> web.Response:
        """Answer with the order as it stands now, once it is on disk; or with the refusal."""
        if isinstance(answer, ApiError):
            await self._floor.settled()
            return refusal(answer)
        body = replies.order(answer, self._legs(answer) if is_nested else ())
        await self._floor.settled()
        return json_answer(body)

    def _legs(self, order: ExchangeOrder) -> Sequence[ExchangeOrder]:
        return [leg for leg_id in order.legs if (leg := self._exchange.order(leg_id)) is not None]

    # --- positions ----------------------------------------------------------------------------------------------------

    async def _positions(self, _request: web.Request) -> web.Response:
        self._pass_time()
        positions: Sequence[PositionView] = self._exchange.positions()
        if self._faults is not None:
            positions = self._faults.positions.shown(positions)
        body = [replies.position(position) for position in positions]
        await self._floor.settled()
        return json_answer(body)

    async def _position(self, request: web.Request) -> web.Response:
        symbol = request.match_info["symbol"]
        self._pass_time()
        position = self._exchange.position(symbol)
        await self._floor.settled()
        if position is not None:
            return json_answer(replies.position(position))
        is_listed = self._exchange.asset(symbol) is not None
        return refusal(errors.position_not_found() if is_listed else errors.symbol_not_found(symbol))

    async def _close(self, request: web.Request) -> web.Response:
        size = requests.close_query(request.query)
        if isinstance(size, ApiError):
            return refusal(size)
        qty, percentage = size
        symbol = request.match_info["symbol"]
        return await self._answered(
            self._exchange.close_position(symbol, self._floor.stamp(), qty=qty, percentage=percentage)
        )

    async def _close_all(self, request: web.Request) -> web.Response:
        cancel_orders = requests.flag(request.query, "cancel_orders")
        items = self._exchange.close_all(self._floor.stamp(), cancel_orders=cancel_orders)
        body = [replies.closed(*item) for item in items]
        await self._floor.settled()
        return json_answer(body, status=207)

    # --- the account --------------------------------------------------------------------------------------------------

    async def _account(self, _request: web.Request) -> web.Response:
        self._pass_time()
        body = replies.account(self._exchange.account())
        await self._floor.settled()
        return json_answer(body)

    async def _configurations(self, _request: web.Request) -> web.Response:
        return json_answer(replies.configurations(self._exchange.configurations))

    async def _configure(self, request: web.Request) -> web.Response:
        wanted = requests.configurations(await request.read(), self._exchange.configurations)
        if isinstance(wanted, ApiError):
            return refusal(wanted)
        self._exchange.configure(wanted, self._floor.stamp())
        await self._floor.settled()
        return json_answer(replies.configurations(wanted))

    async def _activities(self, request: web.Request) -> web.Response:
        query = requests.activities_query(request.query, request.match_info.get("type"))
        if isinstance(query, ApiError):
            return refusal(query)
        self._pass_time()
        body = [replies.activity(activity) for activity in self._exchange.activities(**asdict(query))]
        await self._floor.settled()
        return json_answer(body)

    async def _portfolio_history(self, request: web.Request) -> web.Response:
        query = requests.history_query(request.query)
        if isinstance(query, ApiError):
            return refusal(query)
        now = self._pass_time()
        account = self._exchange.account()
        today = now.astimezone(NEW_YORK).date()
        last = query.end or today
        first = query.start or date.fromordinal(max(1, last.toordinal() - query.period.days))
        closes = [point for point in self._exchange.equity_points() if point.day != today]
        points = [*closes, EquityPoint(day=today, at=now, equity=account.equity)]
        shown = [point for point in points if first <= point.day <= last]
        before = [point for point in points if point.day < first]
        base = EquityPoint(day=account.balance_asof, at=account.created_at, equity=account.last_equity)
        base = before[-1] if before else shown[0] if len(shown) > 1 else base
        return json_answer(replies.portfolio_history(shown, base, query.timeframe))

    # --- the market ---------------------------------------------------------------------------------------------------

    async def _clock(self, _request: web.Request) -> web.Response:
        return json_answer(replies.clock(self._calendar.clock(self._floor.now())))

    async def _list_days(self, request: web.Request) -> web.Response:
        bounds = requests.calendar_query(request.query)
        if isinstance(bounds, ApiError):
            return refusal(bounds)
        start, end = bounds
        days = self._calendar.days
        rows = await asyncio.to_thread(lambda: [calendar_row(day) for day in days(start or FIRST_DAY, end or LAST_DAY)])
        return json_answer(rows)  # without bounds: 11,000 days, a third of a second

    async def _list_assets(self, request: web.Request) -> web.Response:
        query = request.query
        wanted = {name for name in query.get("attributes", "").split(",") if name}
        found = [
            replies.asset(asset)
            for asset in self._exchange.assets()
            if query.get("asset_class", "us_equity") == "us_equity"
            and query.get("exchange") in {None, asset.exchange}
            and query.get("status") in {None, "all", replies.asset_status(asset)}
            and (not wanted or wanted.intersection(replies.asset_attributes(asset)))
        ]
        return json_answer(found)

    async def _asset(self, request: web.Request) -> web.Response:
        symbol = request.match_info["symbol"]
        asset = self._exchange.asset(symbol)
        return refusal(errors.asset_not_found(symbol)) if asset is None else json_answer(replies.asset(asset))

    def _pass_time(self) -> datetime:
        """Let the exchange catch up with the market's time before it is read, and return that time."""
        now = self._floor.now()
        self._exchange.advance(now)
        return now


def refusal(error: ApiError) -> web.Response:
    """Answer with a refusal of the exchange."""
    return json_answer(replies.error(error), status=error.http)
