"""The front door: who may come in, how often, and what every answer carries.

1. REST needs both keys; websockets ask for them in their own way and come through unchecked. Where no stream is, one
   is told so, and not that it has no keys.
2. Trading and market data have a request limit each, told in the headers of every answer.
3. What nobody foresaw in a handler ends the process: the exchange may be half changed, and the next start reads the disk.
"""

import asyncio
import base64
import binascii
import hmac
import uuid
from collections.abc import Iterable

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from deskd.ports import Clock
from deskd.venue.faults import Faults, RestRule
from deskd.venue.limits import RateLimit
from deskd.venue.settings import Keys

BODY_MAX = 64 * 1024  # bytes of a request: an order is under one KiB

_TRADING_LIMITED = {"code": 42910000, "message": "rate limit exceeded"}
_DATA_LIMITED = {"message": "too many requests."}
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_encode = msgspec.json.Encoder().encode

log = structlog.get_logger()
_UNAUTHORIZED = b'{"message": "unauthorized."}\n'


class FrontDoor:
    """Checks every request and dresses every answer."""

    def __init__(
        self,
        *,
        keys: Keys,
        clock: Clock,
        rate_limit_per_min: int,
        sockets: Iterable[str],
        faults: Faults | None,
        bug: "asyncio.Future[None]",
    ) -> None:
        self._keys = keys
        self._trading_limit = RateLimit(rate_limit_per_min, clock)
        self._data_limit = RateLimit(rate_limit_per_min, clock)
        self._sockets = frozenset(sockets)
        self._faults = faults
        self._bug = bug

    def app(self, routes: Iterable[web.RouteDef]) -> web.Application:
        """Return the application that serves *routes* behind this door."""
        app = web.Application(middlewares=[self._middleware()], client_max_size=BODY_MAX)
        app.add_routes(routes)
        return app

    def _middleware(self) -> Middleware:
        @web.middleware
        async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path in self._sockets:
                try:
                    return await handler(request)
                except ConnectionError:  # the peer was gone before the handshake was done: no error of ours
                    return web.Response(status=400)  # to nobody
            answer = await self._answer(request, handler)
            answer.headers["X-Request-ID"] = uuid.uuid4().hex
            return answer

        return door

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if (
            request.headers.get("Upgrade", "").lower() == "websocket"
        ):  # it shows no keys yet: they are not what is wrong
            return json_answer({"message": f"no stream is at {request.path}"}, status=404)
        if not self._is_known(request):
            return web.Response(status=401, body=_UNAUTHORIZED, content_type="application/json")
        if request.path == "/faults" and self._faults is not None:
            return await self._guarded(request, handler)
        if self._faults is not None and (crowd := self._faults.crowd) is not None:
            self._trading_limit.fill(crowd.per_minute, crowd.used, crowd.ends_in_s)
            self._faults.crowd = None
        is_data = request.path.startswith("/v2/stocks")
        allowance = (self._data_limit if is_data else self._trading_limit).take()
        if allowance.is_allowed:
            answer = await self._maybe_wrong(request, handler)
        else:
            answer = json_answer(_DATA_LIMITED if is_data else _TRADING_LIMITED, status=429)
        answer.headers.update(allowance.headers)
        return answer

    async def _maybe_wrong(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        is_order = request.method in {"POST", "PATCH"} and request.path.startswith("/v2/orders")
        if self._faults is not None and is_order:
            await _note_order(request, "order_came")
        now = asyncio.get_running_loop().time()
        rule = None if self._faults is None else self._faults.take_rule(request.method, request.path, now)
        if rule is None:
            return await self._guarded(request, handler)
        await asyncio.sleep(rule.delay_s)
        is_instead = (rule.cut or rule.status) and not rule.after_accepting
        answer = web.Response() if is_instead else await self._guarded(request, handler)
        if is_order and is_instead and rule.status == 429 and not rule.cut:
            await _note_order(request, "order_turned_away")
        await asyncio.sleep(rule.answer_delay_s)
        return _spoiled(request, rule, answer)

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return json_answer({"code": 40410000, "message": f"endpoint not found: {request.path}"}, status=404)
        except web.HTTPMethodNotAllowed:
            return json_answer({"code": 40510000, "message": f"method not allowed: {request.method}"}, status=405)
        except web.HTTPRequestEntityTooLarge:
            message = f"request body is larger than {BODY_MAX} bytes"
            return json_answer({"code": 41310000, "message": message}, status=413)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as bug:
            if not self._bug.done():
                self._bug.set_exception(bug)
            raise

    def _is_known(self, request: web.Request) -> bool:
        key_id = request.headers.get("APCA-API-KEY-ID")
        secret_key = request.headers.get("APCA-API-SECRET-KEY")
        if key_id is None or secret_key is None:
            key_id, secret_key = _basic(request.headers.get("Authorization", ""))
        return _same(key_id, self._keys.key_id) and _same(secret_key, self._keys.secret_key)


async def _note_order(request: web.Request, event: str) -> None:
    """Log that an order came, new or in the place of another, or was turned away unread as one too many.

    Who tests a desk wants to know what it sent, and how often.
    """
    try:
        asked = msgspec.json.decode(await request.read())
    except msgspec.DecodeError:
        return  # the handler says what is wrong with it
    if isinstance(asked, dict):
        log.info(event, client_order_id=asked.get("client_order_id"))


def json_answer(body: object, *, status: int = 200) -> web.Response:
    """Return *body* as JSON."""
    return web.Response(body=_encode(body), status=status, headers=_JSON)


def _spoiled(request: web.Request, rule: RestRule, answer: web.StreamResponse) -> web.StreamResponse:
    if rule.cut:
        if request.transport is not None:  # else the peer was faster
            request.transport.abort()
        return answer
    if rule.status == 429:
        return json_answer(_TRADING_LIMITED, status=429)
    if rule.status:
        return web.Response(status=rule.status, text=f"<html><h1>{rule.status}</h1></html>", content_type="text/html")
    return answer


def _same(shown: str, held: str) -> bool:
    return hmac.compare_digest(shown.encode(), held.encode())


def _basic(header: str) -> tuple[str, str]:
    """Return user and password of a Basic authorization, empty where there is none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        key_id, _, secret_key = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return key_id, secret_key
