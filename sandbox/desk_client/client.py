"""place_order and its kin: what a strategy calls."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TypeVar, Union

from google.protobuf.message import DecodeError, Message

from desk_client.answers import Account, Bar, DeskError, DeskUnavailable, MarketClock, Order, OrderResponse, Position
from desk_client.connection import Answer, NoAnswer, NotSent, Wire
from desk_client.pb import order_pb2 as pb

Number = Union[str, int, float, Any]  # what str() turns into a decimal: "10", 10, 0.5, Decimal("0.5")

DEFAULT_URL = "http://127.0.0.1:8080"

_READ_TIMEOUT_S = 10.0
_SLACK_S = 0.5  # the desk answers `pending` by itself when time is up: its answer says more than our silence
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_T = TypeVar("_T")
_M = TypeVar("_M", bound=Message)


class _Desk:
    """Where the desk is, and in whose name we speak."""

    def __init__(self, url: str) -> None:
        self.wire = Wire(url)
        self.headers = f"Host: {self.wire.host}\r\nAccept: application/x-protobuf\r\n"
        if not self.wire.is_unix:
            self.headers += _header("X-Strategy-ID", os.environ.get("STRATEGY_ID") or _folder_name())
            token = os.environ.get("DESK_TOKEN")
            if token:
                self.headers += _header("Authorization", f"Bearer {token}")

    def ask(self, method: str, path: str, body: bytes = b"", *, timeout: float, extra: str = "") -> Answer:
        head = f"{method} {path} HTTP/1.1\r\n{self.headers}{extra}Content-Length: {len(body)}\r\n"
        if _user_id is not None:
            head += _header("X-User-ID", _user_id)
        return self.wire.ask(head.encode("latin-1", "replace") + b"\r\n" + body, timeout)


_user_id: str | None = os.environ.get("USER_ID") or None
_desk: _Desk | None = None


def set_user_id(user_id: str) -> None:
    """Say who you are. The desk knows already: it refuses a name that is not yours."""
    global _user_id  # noqa: PLW0603  the first desk's interface
    _user_id = user_id


def place_order(  # noqa: PLR0917  the first desk's signature
    symbol: str,
    qty: Number,
    side: str,
    order_type: str = "market",
    time_in_force: str = "day",
    limit_price: Number | None = None,
    stop_price: Number | None = None,
    timeout: float = 10,
    *,
    notional: Number | None = None,
    extended_hours: bool = False,
    trail_price: Number | None = None,
    trail_percent: Number | None = None,
    take_profit: Number | Mapping[str, Number] | None = None,
    stop_loss: Number | Mapping[str, Number] | None = None,
    client_order_id: str | None = None,
    reason: str | None = None,
) -> OrderResponse:
    """Place one order and wait for the answer, at most *timeout* seconds.

    *take_profit* is a limit price and *stop_loss* a stop price (or `{"stop_price": ..., "limit_price": ...}`).
    *qty* is None where *notional*, an amount of dollars, is given. The answer's `status` says what happened; only where
    there is no desk at all, DeskUnavailable is raised.
    """
    request_id = client_order_id or os.urandom(16).hex()
    given = {"client_order_id": request_id, "symbol": _text(symbol), "qty": _text(qty), "side": _text(side)}
    try:
        message = pb.OrderRequest(
            **given,
            order_type=order_type,
            time_in_force=time_in_force,
            limit_price=_text(limit_price),
            stop_price=_text(stop_price),
            notional=_text(notional),
            extended_hours=extended_hours,
            trail_price=_text(trail_price),
            trail_percent=_text(trail_percent),
            take_profit=_leg(pb.TakeProfit, "limit_price", take_profit),
            stop_loss=_leg(pb.StopLoss, "stop_price", stop_loss),
            reason=reason or "",
        )
        body = message.SerializeToString()
    except (TypeError, ValueError) as wrong:
        return OrderResponse(status="error", reason="INVALID", message=str(wrong), **given)
    extra = f"Content-Type: application/x-protobuf\r\nPrefer: wait={max(float(timeout), 0):.3f}\r\n"
    return _about_order("POST", "/order", body, timeout=timeout, extra=extra, given=given)


def replace_order(
    order_id: str,
    *,
    qty: Number | None = None,
    limit_price: Number | None = None,
    stop_price: Number | None = None,
    trail_price: Number | None = None,
    trail_percent: Number | None = None,
    time_in_force: str | None = None,
    client_order_id: str | None = None,
    timeout: float = 10,
) -> OrderResponse:
    """Put a new order in the place of an open one, and wait for the answer, at most *timeout* seconds.

    Name what is to be different; *qty* counts what is filled already. *order_id* is either id of the open order, and
    *client_order_id* the new order's. The answer is about the new order: `rejected` and `denied` leave the old one
    as it was.
    """
    given = {"client_order_id": client_order_id or os.urandom(16).hex()}
    try:
        message = pb.ReplaceRequest(
            qty=_text(qty),
            limit_price=_text(limit_price),
            stop_price=_text(stop_price),
            trail_price=_text(trail_price),
            trail_percent=_text(trail_percent),
            time_in_force=time_in_force or "",
            **given,
        )
        body = message.SerializeToString()
    except (TypeError, ValueError) as wrong:
        return OrderResponse(status="error", reason="INVALID", message=str(wrong), **given)
    extra = f"Content-Type: application/x-protobuf\r\nPrefer: wait={max(float(timeout), 0):.3f}\r\n"
    path = f"/orders/{_quoted(order_id)}"
    return _about_order("PATCH", path, body, timeout=timeout, extra=extra, given=given)


def cancel_order(order_id: str) -> OrderResponse:
    """Ask for a cancel, by `order_id` or `client_order_id`."""
    return _about_order("DELETE", f"/orders/{_quoted(order_id)}", timeout=_READ_TIMEOUT_S, given={})


def get_order(order_id: str) -> Order:
    """Return one of your orders, by `order_id` or `client_order_id`; DeskError where there is none."""
    return _as(Order, _read(pb.Order, f"/orders/{_quoted(order_id)}"))


def list_orders(status: str = "open") -> list[Order]:
    """Return your orders, oldest first: `open`, `closed` or `all`, the newest 500 of them."""
    return [_as(Order, one) for one in _read(pb.OrderList, f"/orders?status={_quoted(status)}").orders]


def get_positions() -> list[Position]:
    """Return what your strategy holds."""
    return [_as(Position, one) for one in _read(pb.PositionList, "/positions").positions]


def get_position(symbol: str) -> Position:
    """Return what your strategy holds of *symbol*; its `qty` is "0" where that is nothing."""
    return _as(Position, _read(pb.Position, f"/positions/{_quoted(symbol)}"))


def get_account() -> Account:
    """Return your strategy's own money."""
    return _as(Account, _read(pb.Account, "/account"))


def get_bars(symbol: str, timeframe: str = "1Min", limit: int = 100) -> list[Bar]:
    """Return the latest *limit* bars of *symbol*, oldest first. Ten times a minute at most: the broker counts."""
    path = f"/bars?symbol={_quoted(symbol)}&timeframe={_quoted(timeframe)}&limit={_quoted(str(limit))}"
    return [_as(Bar, one) for one in _read(pb.BarList, path).bars]


def get_clock() -> MarketClock:
    """Return the market's clock."""
    return _as(MarketClock, _read(pb.ClockResponse, "/clock"))


def _about_order(
    method: str, path: str, body: bytes = b"", *, timeout: float, extra: str = "", given: dict[str, str]
) -> OrderResponse:
    desk = _the_desk()
    try:
        answer = desk.ask(method, path, body, timeout=timeout + _SLACK_S, extra=extra)
        message = pb.OrderResponse.FromString(answer.body)
    except NotSent as failed:
        raise _unavailable(desk.wire.url, failed) from None
    except (NoAnswer, DecodeError) as failed:
        text = f"{failed}: the order may live; ask with get_order before you send it again"
        return OrderResponse(status="pending", reason="TIMEOUT", message=text, **given)
    response = _as(OrderResponse, message)
    return response._replace(**{name: value for name, value in given.items() if not getattr(response, name)})


def _read(kind: type[_M], path: str) -> _M:
    desk = _the_desk()
    give_up_at = time.monotonic() + _READ_TIMEOUT_S
    try:
        answer = desk.ask("GET", path, timeout=_READ_TIMEOUT_S)
        while answer.status == 429 and time.monotonic() + answer.retry_after_s <= give_up_at:
            time.sleep(answer.retry_after_s)  # looking can wait: only orders are told at once that they are too many
            answer = desk.ask("GET", path, timeout=_READ_TIMEOUT_S)
        if answer.status == 200:
            return kind.FromString(answer.body)
        refusal = pb.Error.FromString(answer.body)
    except (NotSent, NoAnswer, DecodeError) as failed:
        raise _unavailable(desk.wire.url, failed) from None
    raise DeskError(refusal.reason, f"{refusal.reason}: {refusal.message}")


def _the_desk() -> _Desk:
    global _desk  # noqa: PLW0603  made when it is first needed, so that `import desk_client` needs no desk
    url = os.environ.get("DESK_SERVER_URL") or DEFAULT_URL
    if _desk is None or _desk.wire.url != url:
        if _desk is not None:
            _desk.wire.close()
        try:
            _desk = _Desk(url)
        except NotSent as failed:
            raise _unavailable(url, failed) from None
    return _desk


def _unavailable(url: str, failed: Exception) -> DeskUnavailable:
    if isinstance(failed, NoAnswer):
        return DeskUnavailable(f"{failed} (at {url}): ask again later")
    return DeskUnavailable(
        f"no desk is reachable at {url} ({failed}); start one with `make run`, with [api] local_port = 8080"
        " in etc/desk.toml, or set DESK_SERVER_URL to where it is"
    )


def _as(kind: type[_T], message: Message) -> _T:
    """Return the answer's fields as plain values."""
    return kind(*[getattr(message, name) for name in kind._fields])  # type: ignore[attr-defined]  # a NamedTuple


def _leg(kind: type[_M], price: str, given: Number | Mapping[str, Number] | None) -> _M | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        given = {price: given}
    return kind(**{name: _text(value) for name, value in given.items()})


def _text(value: Number | str | None) -> str:
    return "" if value is None else str(value)


def _header(name: str, value: str) -> str:
    plain = "".join(character if character.isprintable() else "?" for character in value)
    return f"{name}: {plain}\r\n"


def _quoted(text: str) -> str:
    """Return *text* for a URL. `urllib.parse.quote` takes ten milliseconds to import."""
    return "".join(chr(b) if chr(b) in _UNRESERVED else f"%{b:02X}" for b in str(text).encode("utf-8", "replace"))


def _folder_name() -> str:
    """Return the strategy's name by the rule of the desk: that of the folder its strategy.py lies in."""
    return os.path.basename(os.path.dirname(os.path.abspath(sys.argv[0])))  # noqa: PTH100, PTH119, PTH120  no import
