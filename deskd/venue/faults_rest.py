"""`/faults`: how a test tells the exchange to misbehave. It is routed only where the process was started with faults."""

import msgspec
from aiohttp import web

from deskd.exchange.back_office import NothingToCorrect
from deskd.venue.data_stream import DataStream
from deskd.venue.faults import Faults, FaultsOrder
from deskd.venue.faults_account import carry_out
from deskd.venue.floor import Floor
from deskd.venue.server import json_answer
from deskd.venue.trade_stream import TradeStream


class FaultsRest:
    """GET what is wrong at present, POST what shall be, DELETE to behave well again."""

    def __init__(self, faults: Faults, floor: Floor, trade_stream: TradeStream, data_stream: DataStream) -> None:
        self._faults = faults
        self._floor = floor
        self._exchange = floor.exchange
        self._trade_stream = trade_stream
        self._data_stream = data_stream

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints."""
        return [
            web.get("/faults", self._show),
            web.post("/faults", self._set),
            web.delete("/faults", self._clear),
        ]

    async def _show(self, _request: web.Request) -> web.Response:
        wrong = self._faults
        return json_answer(FaultsOrder(wrong.rest, wrong.trade_stream, wrong.data_stream))

    async def _set(self, request: web.Request) -> web.Response:
        try:
            order = msgspec.json.decode(await request.read(), type=FaultsOrder)
        except msgspec.DecodeError as error:
            return json_answer({"message": f"not a fault: {error}"}, status=400)
        self._faults.set(order)
        self._open_or_close_holes()
        if order.trade_stream_now is not None:
            self._trade_stream.do(order.trade_stream_now)
        if order.data_stream_now is not None:
            self._data_stream.do(order.data_stream_now)
        if order.reject_next is not None:
            self._exchange.reject_next(order.reject_next.symbol, order.reject_next.reason)
        if order.account is not None:
            self._exchange.advance(self._floor.stamp())
            try:
                carry_out(order.account, self._exchange, self._faults.positions)
            except NothingToCorrect as error:
                return json_answer({"message": str(error)}, status=422)
            await self._floor.settled()
        return await self._show(request)

    async def _clear(self, request: web.Request) -> web.Response:
        self._faults.clear()
        self._open_or_close_holes()
        return await self._show(request)

    def _open_or_close_holes(self) -> None:
        self._trade_stream.black_hole(is_open=self._faults.trade_stream.black_hole)
        self._data_stream.black_hole(is_open=self._faults.data_stream.black_hole)
