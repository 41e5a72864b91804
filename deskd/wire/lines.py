"""The lines a strategy reads on its standard input (CONTRACTS 2), made from Alpaca's dicts and the desk's words.

One message becomes one line of JSON, once, however many runs read it. Keys and their order are the contract's.
Typed structs encode in half the time of dicts or f-strings, escape whatever the market calls its symbols, and write
floats in their shortest form.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from math import inf
from typing import Any

import msgpack
import msgspec

from deskd.domain.effects import OrderUpdate
from deskd.domain.errors import WireError
from deskd.domain.ids import Symbol
from deskd.domain.market import Quote
from deskd.domain.money import Price, Qty, plain
from deskd.wire.alpaca.market import SECOND, parse_stamp, rfc3339, to_datetime

type Message = Mapping[str, Any]  # one market-data message in Alpaca's letters: T, S, p, ...

HALTS = frozenset({"2", "H", "P"})  # tapes A, B; tape C; its volatility pause
RESUMES = frozenset({"3", "T"})  # `Q`, quotes resume, is no resume: trading is still halted
PLACES = 6  # of a midpoint: finer than any price on the tape, coarser than a float's noise


class _Trade(msgspec.Struct, gc=False, tag_field="type", tag="trade"):
    symbol: str
    price: float
    size: float
    timestamp: str


class _Quote(msgspec.Struct, gc=False, tag_field="type", tag="quote"):
    symbol: str
    price: float
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    timestamp: str


class _Bar(msgspec.Struct, gc=False, tag_field="type", tag="bar", omit_defaults=True):
    symbol: str
    price: float
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float | None
    timeframe: str
    timestamp: str
    history: bool = False
    late: bool = False


class _Status(msgspec.Struct, gc=False, tag_field="type", tag="status"):
    symbol: str
    halted: bool
    reason: str
    timestamp: str


class _Order(msgspec.Struct, gc=False, tag_field="type", tag="order", omit_defaults=True):
    event: str
    client_order_id: str
    order_id: str | None
    symbol: str
    side: str
    qty: str | None
    filled_qty: str
    fill_qty: str | None
    fill_price: str | None
    status: str
    position_qty: str
    timestamp: str
    reason: str = ""
    message: str = ""
    exit: str = ""
    replaced_by: str = ""
    internal: bool = False


class _Session(msgspec.Struct, gc=False, tag_field="type", tag="session", omit_defaults=True):
    event: str
    timestamp: str
    closes_at: str = ""


class _Gap(msgspec.Struct, gc=False, tag_field="type", tag="gap"):
    dropped: int
    since: str


_encode = msgspec.json.Encoder().encode


def stamp_ns(stamp: object) -> int:
    """Return a message's stamp (a msgpack timestamp, nanoseconds, or RFC 3339 text) as nanoseconds since 1970."""
    if isinstance(stamp, int):
        return stamp
    if isinstance(stamp, msgpack.Timestamp):
        return int(stamp.seconds) * SECOND + int(stamp.nanoseconds)
    if isinstance(stamp, str):
        return parse_stamp(stamp)
    raise WireError(f"stamp {stamp!r} is neither a timestamp, nor nanoseconds, nor RFC 3339 text")


def stamp_text(stamp: object) -> str:
    """Return a message's stamp as RFC 3339, UTC."""
    return rfc3339(stamp_ns(stamp))


def trade_line(message: Message, stamp: str) -> bytes:
    """Return the line of a trade `t`."""
    price = message["p"]
    if not 0 < price < inf:
        raise WireError(f"trade price {price!r} is not a number above zero")
    return _encode(_Trade(message["S"], price, message["s"], stamp)) + b"\n"


def quote_line(message: Message, stamp: str) -> bytes:
    """Return the line of a quote `q`, priced at the midpoint or at its one side; no bytes where it has neither."""
    bid, ask = message["bp"], message["ap"]
    if 0 < bid < inf and 0 < ask < inf:
        price = round((bid + ask) / 2, PLACES)
    elif (bid == 0 and 0 < ask < inf) or (ask == 0 and 0 < bid < inf):
        price = bid or ask
    elif bid == ask == 0:
        return b""
    else:
        raise WireError(f"bid {bid!r} and ask {ask!r} are not numbers of zero or above")
    return _encode(_Quote(message["S"], price, bid, ask, message["bs"], message["as"], stamp)) + b"\n"


def bar_line(message: Message, stamp: str) -> bytes:
    """Return the line of a minute bar `b`."""
    return _bar(message, message["S"], "1Min", stamp)


def late_line(message: Message, symbol: Symbol) -> bytes:
    """Return the line of a minute bar that the stream missed, marked `"late": true`."""
    return _bar(message, symbol, "1Min", stamp_text(message["t"]), late=True)


def history_line(message: Message, symbol: Symbol, timeframe: str) -> bytes:
    """Return the line of a warm-up bar, marked `"history": true`."""
    return _bar(message, symbol, timeframe, stamp_text(message["t"]), history=True)


def _bar(
    message: Message, symbol: str, timeframe: str, stamp: str, *, history: bool = False, late: bool = False
) -> bytes:
    close = message["c"]
    if not 0 < close < inf:
        raise WireError(f"bar's close {close!r} is not a number above zero")
    bar = _Bar(
        symbol,
        close,
        message["o"],
        message["h"],
        message["l"],
        close,
        message["v"],
        message.get("vw"),
        timeframe,
        stamp,
        history,
        late,
    )
    return _encode(bar) + b"\n"


def halted_after(message: Message, *, was_halted: bool) -> bool:
    """Tell whether the symbol is halted after a status `s`; a code that is only news leaves it as it was."""
    code = message["sc"]
    return code in HALTS or (was_halted and code not in RESUMES)


def status_line(message: Message, stamp: str, *, halted: bool) -> bytes:
    """Return the line of a status `s`. Its reason is the tape's reason code, or the status code where there is none."""
    return _encode(_Status(message["S"], halted, message.get("rc") or message["sc"], stamp)) + b"\n"


def order_line(update: OrderUpdate) -> bytes:
    """Return the line of an order update; decimals as strings, what is empty or false from `reason` on left out."""
    order, request = update.order, update.order.request
    line = _Order(
        update.event,
        request.client_order_id,
        order.broker_order_id,
        request.symbol,
        request.side.value,
        None if order.qty is None else plain(order.qty),
        plain(order.filled_qty),
        update.fill_qty,
        update.fill_price,
        order.status.value,
        update.position_qty,
        update.timestamp,
        order.reason or "",
        order.message or "",
        request.exit or "",
        order.replaced_by or "",
        update.is_internal,
    )
    return _encode(line) + b"\n"


def session_line(event: str, timestamp: str, closes_at: str) -> bytes:
    """Return the line that says where the exchange's day is: open, closing, close. *closes_at* while it is open."""
    return _encode(_Session(event, timestamp, closes_at)) + b"\n"


def gap_line(dropped: int, since: str) -> bytes:
    """Return the line that says how many price lines were conflated away, the first of them stamped *since*."""
    return _encode(_Gap(dropped, since)) + b"\n"


def parse_quote(message: Message, received_at: datetime) -> Quote:
    """Return a quote `q` as the desk's own, exact to the digits the market sent; raise WireError if it is none."""
    try:
        return Quote(
            symbol=Symbol(message["S"]),
            bid_price=Price(_decimal(message, "bp")),
            bid_size=Qty(_decimal(message, "bs")),
            ask_price=Price(_decimal(message, "ap")),
            ask_size=Qty(_decimal(message, "as")),
            quoted_at=to_datetime(stamp_ns(message["t"])),
            received_at=received_at,
        )
    except KeyError as missing:
        raise WireError(f"quote lacks {missing}") from None


def parse_price(message: Message, key: str) -> Price:
    """Return one price of a message, exact to the digits the market sent; raise WireError if it is none."""
    return Price(_decimal(message, key))


def _decimal(message: Message, key: str) -> Decimal:
    number = message[key]
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise WireError(f"{key} is {number!r}, not a number")
    value = Decimal(str(number))  # the shortest text of a float is the number the market sent
    if not value.is_finite() or value < 0:
        raise WireError(f"{key} is {number!r}, not zero or above")
    return value
