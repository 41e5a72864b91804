"""Watchlists: named lists of symbols that a client keeps at the broker. Nothing else of the exchange knows of them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
from aiohttp import web

from deskd.exchange import errors
from deskd.exchange.errors import ApiError
from deskd.venue.floor import Floor
from deskd.venue.server import json_answer
from deskd.venue.trading_rest import refusal
from deskd.wire.alpaca import venue_replies as replies
from deskd.wire.alpaca.venue_replies import instant

NAME_MAX = 64  # characters: Alpaca's
LISTS_MAX = 200  # of the account; each holds every asset at most once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watchlist:
    id: str
    name: str
    created_at: str
    updated_at: str
    symbols: tuple[str, ...]


class _Body(msgspec.Struct):
    name: str | None = None
    symbols: list[str] | None = None
    symbol: str | None = None


_decode = msgspec.json.Decoder(_Watchlist).decode


class Watchlists:
    """The endpoints."""

    def __init__(self, floor: Floor, saved: Sequence[bytes]) -> None:
        self._floor = floor
        self._lists = {it.id: it for it in map(_decode, saved)}

    def routes(self) -> list[web.RouteDef]:
        """Return every endpoint."""
        one = "/v2/watchlists/{id}"
        return [
            web.get("/v2/watchlists", self._all),
            web.post("/v2/watchlists", self._create),
            web.get("/v2/watchlists:by_name", self._by_name),
            web.get(one, self._one),
            web.put(one, self._update),
            web.post(one, self._add),
            web.delete(one, self._delete),
            web.delete(one + "/{symbol}", self._remove),
        ]

    async def _all(self, _request: web.Request) -> web.Response:
        return json_answer([self._body(it, with_assets=False) for it in self._lists.values()])

    async def _one(self, request: web.Request) -> web.Response:
        found = self._lists.get(request.match_info["id"])
        return _not_found() if found is None else json_answer(self._body(found))

    async def _by_name(self, request: web.Request) -> web.Response:
        name = request.query.get("name")
        found = next((it for it in self._lists.values() if it.name == name), None)
        return _not_found() if found is None else json_answer(self._body(found))

    async def _create(self, request: web.Request) -> web.Response:
        body = await _read(request)
        error = self._unfit(body, present=None)
        if body is None or error is not None:
            return refusal(error or errors.body_format_is_invalid())
        now = instant(self._floor.now())
        made = _Watchlist(
            id=str(uuid.uuid4()), name=body.name or "", created_at=now, updated_at=now, symbols=_once(body.symbols)
        )
        return await self._kept(made)

    async def _update(self, request: web.Request) -> web.Response:
        present, body = self._lists.get(request.match_info["id"]), await _read(request)
        if present is None:
            return _not_found()
        error = self._unfit(body, present=present)
        if body is None or error is not None:
            return refusal(error or errors.body_format_is_invalid())
        symbols = present.symbols if body.symbols is None else _once(body.symbols)
        return await self._kept(replace(present, name=body.name or present.name, symbols=symbols))

    async def _add(self, request: web.Request) -> web.Response:
        present, body = self._lists.get(request.match_info["id"]), await _read(request)
        if present is None:
            return _not_found()
        if body is None or not body.symbol:
            return refusal(errors.form("symbol is required"))
        if self._floor.exchange.asset(body.symbol) is None:
            return refusal(errors.asset_not_found(body.symbol))
        return await self._kept(replace(present, symbols=_once([*present.symbols, body.symbol])))

    async def _remove(self, request: web.Request) -> web.Response:
        present, symbol = self._lists.get(request.match_info["id"]), request.match_info["symbol"]
        if present is None or symbol not in present.symbols:
            return _not_found()
        return await self._kept(replace(present, symbols=tuple(it for it in present.symbols if it != symbol)))

    async def _delete(self, request: web.Request) -> web.Response:
        found = self._lists.pop(request.match_info["id"], None)
        if found is None:
            return _not_found()
        await self._floor.keep_watchlist(found.id, None)
        return web.Response(status=204)

    async def _kept(self, it: _Watchlist) -> web.Response:
        kept = replace(it, updated_at=instant(self._floor.now()))
        self._lists[it.id] = kept
        await self._floor.keep_watchlist(it.id, msgspec.json.encode(kept))
        return json_answer(self._body(kept))

    def _unfit(self, body: _Body | None, *, present: _Watchlist | None) -> ApiError | None:
        if body is None:
            return errors.body_format_is_invalid()
        if present is None and not body.name:
            return errors.form("watchlist name is required")
        if body.name and len(body.name) > NAME_MAX:
            return errors.form(f"watchlist name must be no more than {NAME_MAX} characters")
        if body.name in {it.name for it in self._lists.values() if it != present}:
            return errors.form("watchlist name must be unique")
        if present is None and len(self._lists) >= LISTS_MAX:
            return errors.refused(f"an account keeps at most {LISTS_MAX} watchlists")
        for symbol in body.symbols or ():
            if self._floor.exchange.asset(symbol) is None:
                return errors.asset_not_found(symbol)
        return None

    def _body(self, it: _Watchlist, *, with_assets: bool = True) -> dict[str, object]:
        body: dict[str, object] = {
            "account_id": self._floor.exchange.account().id,
            "created_at": it.created_at,
            "id": it.id,
            "name": it.name,
            "updated_at": it.updated_at,
        }
        if with_assets:
            found = [asset for symbol in it.symbols if (asset := self._floor.exchange.asset(symbol)) is not None]
            body["assets"] = [replies.asset(asset) for asset in found]
        return body


async def _read(request: web.Request) -> _Body | None:
    try:
        return msgspec.json.decode(await request.read(), type=_Body)
    except msgspec.DecodeError:
        return None


def _once(symbols: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(symbols or ()))


def _not_found() -> web.Response:
    return refusal(errors.not_found("watchlist not found"))
