"""What a strategy may ask, and what it gets back: CONTRACTS 3 as a table of routes.

Every answer about one order is an OrderResponse, refusals included; a refused read is an Error.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from deskd.api.request import Request
from deskd.domain.effects import Refuse
from deskd.domain.errors import WireError
from deskd.domain.ids import ClientOrderId
from deskd.domain.order import Order, OrderStatus
from deskd.domain.reasons import RefusalReason
from deskd.domain.strategy import StrategySpec
from deskd.ports import Orders
from deskd.wire import strategy as wire

LIST_MAX = 500  # orders in one answer: they are encoded on the loop
BARS_MAX = 1_000

_PROTOBUF = frozenset({"application/x-protobuf", "application/protobuf", "application/octet-stream", ""})
_TIMEFRAME = re.compile(r"[1-5]?[0-9]Min|(1?[0-9]|2[0-3])Hour|1Day|1Week|(1|2|3|4|6|12)Month")
_WAIT = re.compile(r"wait=([0-9]{1,4}(?:\.[0-9]{1,3})?)")
_FILTERS = {"open": True, "closed": False, "all": None}

_STATUS_OF_REFUSAL: Mapping[str, int] = {
    RefusalReason.TIMEOUT: 202,
    RefusalReason.INVALID: 400,
    RefusalReason.IDENTITY: 403,
    RefusalReason.NOT_FOUND: 404,
    RefusalReason.CONFLICT: 409,
    RefusalReason.TOO_LARGE: 413,
    RefusalReason.ORDER_FINAL: 422,
    RefusalReason.NOT_REPLACEABLE: 422,
    RefusalReason.RATE: 429,
    RefusalReason.DESK_NOT_READY: 503,
    RefusalReason.KILLED: 503,
    RefusalReason.TRADE_STREAM_DOWN: 503,
    RefusalReason.DISK_LOW: 503,
    RefusalReason.OVERLOADED: 503,
}
_STATUS_OF_ORDER = {OrderStatus.DENIED: 422, OrderStatus.REJECTED: 422}


type _Handler = Callable[[StrategySpec, Request], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP status and the message under it."""

    status: int
    message: Message
    retry_after_s: int | None = None


class Routes:
    """The routes of the order channel, for any strategy."""

    def __init__(self, orders: Orders, *, new_id: Callable[[], str], answer_timeout_s: float) -> None:
        self._orders = orders
        self._new_id = new_id
        self._answer_timeout_s = answer_timeout_s
        self._handlers: Mapping[tuple[str, str, int], _Handler] = {
            # method, first segment of the path, number of segments
            ("POST", "order", 1): self._place,
            ("PATCH", "orders", 2): self._replace,
            ("DELETE", "orders", 2): self._cancel,
            ("GET", "orders", 1): self._list,
            ("GET", "orders", 2): self._find,
            ("GET", "positions", 1): self._positions,
            ("GET", "positions", 2): self._position,
            ("GET", "account", 1): self._account,
            ("GET", "bars", 1): self._bars,
            ("GET", "clock", 1): self._clock,
        }

    async def reply(self, spec: StrategySpec, request: Request) -> Reply:
        """Do what *request* asks in the name of *spec*, and of nobody else."""
        handler = self._handlers.get((request.method, request.path[0], len(request.path)))
        return self._no_route(request) if handler is None else await handler(spec, request)

    def _no_route(self, request: Request) -> Reply:
        shown = ascii("/" + "/".join(request.path))[:80]
        known = sorted({method for method, path, _ in self._handlers if path == request.path[0]})
        if known and request.method not in known:
            text = f"{shown}: takes {', '.join(known)}, not {request.method}"
            return refusal(request, 405, RefusalReason.INVALID, text)
        return refusal(
            request, 404, RefusalReason.NOT_FOUND, f"{shown}: there is no such route; see the members' guide"
        )

    async def _place(self, spec: StrategySpec, request: Request) -> Reply:
        if wrong := _not_protobuf(request):
            return wrong
        try:
            asked = wire.decode_order_request(
                request.body, strategy_id=spec.strategy_id, user_id=spec.user_id, new_id=self._new_id
            )
        except WireError as broken:
            return refusal(request, 400, RefusalReason.INVALID, str(broken))
        return self._about_order(await self._orders.place(asked, timeout_s=self._wait_s(request)))

    async def _replace(self, spec: StrategySpec, request: Request) -> Reply:
        if wrong := _not_protobuf(request):
            return wrong
        try:
            wanted, oid = wire.decode_replace_request(request.body, order_id=request.path[1], new_id=self._new_id)
        except WireError as broken:
            return refusal(request, 400, RefusalReason.INVALID, str(broken))
        if closed := self._orders.refusal():
            return refusal(request, _STATUS_OF_REFUSAL.get(closed.reason, 503), closed.reason, closed.message)
        outcome = await self._orders.replace(
            spec.strategy_id, wanted, client_order_id=oid, by=spec.strategy_id, timeout_s=self._wait_s(request)
        )
        return self._about_order(outcome)

    def _about_order(self, outcome: Order | Refuse) -> Reply:
        if isinstance(outcome, Refuse):
            status = _STATUS_OF_REFUSAL.get(outcome.reason, 503)
            return Reply(status, wire.refusal_response(outcome), outcome.retry_after_s)
        if outcome.is_in_doubt:
            status = 202
        elif outcome.status is OrderStatus.DENIED and self._orders.is_shut_out(outcome):
            closed = self._orders.refusal()
            is_everybody = closed is not None and closed.reason == outcome.reason  # the desk is killed meanwhile
            status = 503 if is_everybody else 403  # closed for this strategy; the body says why, as of any denial
        else:
            status = _STATUS_OF_ORDER.get(outcome.status, 200)
        return Reply(status, wire.order_response(outcome))

    def _wait_s(self, request: Request) -> float:
        """Return how long to wait for the broker: the client may want to wait less (RFC 7240), never more."""
        wish = _WAIT.search(request.headers.get("prefer", ""))
        return self._answer_timeout_s if wish is None else min(float(wish[1]), self._answer_timeout_s)

    async def _cancel(self, spec: StrategySpec, request: Request) -> Reply:
        return self._about_order(await self._orders.cancel(spec.strategy_id, request.path[1], by=spec.strategy_id))

    async def _list(self, spec: StrategySpec, request: Request) -> Reply:
        wanted = request.query.get("status", "open")
        if wanted not in _FILTERS:
            return _invalid(request, f"status: {ascii(wanted)[:40]} is not one of open, closed, all")
        limit = _count(request, "limit", LIST_MAX, LIST_MAX)
        if limit is None:
            return _invalid(request, f"limit: is not a number from 1 to {LIST_MAX}")
        known = self._orders.orders(spec.strategy_id, is_open=_FILTERS[wanted])
        return Reply(200, wire.orders(known[-limit:]))

    async def _find(self, spec: StrategySpec, request: Request) -> Reply:
        known = self._orders.find(spec.strategy_id, request.path[1])
        if known is None:
            text = f"order {ascii(request.path[1])[:140]}: this strategy has none of that order_id or client_order_id"
            return refusal(request, 404, RefusalReason.NOT_FOUND, text)
        return Reply(200, wire.order(known))

    async def _positions(self, spec: StrategySpec, _: Request) -> Reply:
        return Reply(200, wire.positions(self._orders.positions(spec.strategy_id)))

    async def _position(self, spec: StrategySpec, request: Request) -> Reply:
        try:
            symbol = wire.decode_symbol(request.path[1])
        except WireError as broken:
            return _invalid(request, str(broken))
        held = [one for one in self._orders.positions(spec.strategy_id) if one.symbol == symbol]
        return Reply(200, wire.position(held[0]) if held else wire.flat_position(symbol))

    async def _account(self, spec: StrategySpec, request: Request) -> Reply:
        known = self._orders.account(spec.strategy_id)
        if known is None:
            return refusal(request, 404, RefusalReason.NOT_FOUND, f"account: the desk has none for {spec.strategy_id}")
        return Reply(200, wire.account(known, spec.user_id))

    async def _bars(self, _: StrategySpec, request: Request) -> Reply:
        timeframe = request.query.get("timeframe", "1Min")
        limit = _count(request, "limit", 100, BARS_MAX)
        if not _TIMEFRAME.fullmatch(timeframe):
            return _invalid(request, f"timeframe: {ascii(timeframe)[:40]} is not like 1Min, 5Min, 1Hour or 1Day")
        if limit is None:
            return _invalid(request, f"limit: is not a number from 1 to {BARS_MAX}")
        try:
            symbol = wire.decode_symbol(request.query.get("symbol", ""))
            raw = await self._orders.bars(symbol, timeframe, limit)
        except WireError as broken:
            return _invalid(request, str(broken))
        except OSError as failed:  # TimeoutError as well
            return _no_market_data(request, str(failed))
        try:
            return Reply(200, wire.bars(symbol, raw))
        except WireError as broken:
            return _no_market_data(request, str(broken))

    async def _clock(self, _: StrategySpec, request: Request) -> Reply:
        try:
            return Reply(200, wire.clock(await self._orders.clock()))
        except OSError as failed:
            return _no_market_data(request, str(failed))


def refusal(request: Request, status: int, reason: str, message: str) -> Reply:
    """Return a refusal in the form that the route's client reads, naming the order where the request does."""
    match request.method, request.path[0]:
        case "POST", "order":
            claimed = wire.claimed_client_order_id(request.body)
            return Reply(status, wire.refusal_response(Refuse(ClientOrderId(claimed), reason, message)))
        case "PATCH", "orders":
            claimed = wire.claimed_client_order_id(request.body, is_replace=True)
            return Reply(status, wire.refusal_response(Refuse(ClientOrderId(claimed), reason, message)))
        case "DELETE", "orders":
            return Reply(status, wire.refusal_response(Refuse(ClientOrderId(""), reason, message)))
        case _:
            return Reply(status, wire.error(reason, message))


def _not_protobuf(request: Request) -> Reply | None:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in _PROTOBUF:
        return None
    text = f"Content-Type: {content_type!a} is not application/x-protobuf; use desk_client"
    return refusal(request, 400, RefusalReason.INVALID, text)


def _invalid(request: Request, message: str) -> Reply:
    return refusal(request, 400, RefusalReason.INVALID, message)


def _no_market_data(request: Request, why: str) -> Reply:
    text = f"the broker did not answer{why and f' ({why})'}; try again in a minute"
    return refusal(request, 503, RefusalReason.DESK_NOT_READY, text)


def _count(request: Request, name: str, default: int, most: int) -> int | None:
    text = request.query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= most:
        return None
    return int(text)
