"""Alpaca's trading wire as a client reads and writes it: JSON and the domain.

Rule 1: what goes out is built by alpaca-py's request models, its numbers written as exact decimal texts.
Rule 2: what comes in is read here, field by field: a strict model that fails on a new word must never lose an order.
Rule 3: an unknown status is kept as its raw text; any other nonsense is a WireError that names the field.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from operator import itemgetter
from typing import Any

import msgpack
import msgspec
from alpaca.trading.enums import AssetClass, AssetStatus
from alpaca.trading.models import Order as AlpacaOrder
from alpaca.trading.requests import (
    GetAssetsRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopOrderRequest,
    TrailingStopOrderRequest,
)
from pydantic import ValidationError

from deskd.domain.activity import BUST, CORRECT, CORRECTIONS, FILL, Activity
from deskd.domain.errors import WireError
from deskd.domain.events import BrokerOrder, BrokerPosition, BrokerStatus, TradeUpdated
from deskd.domain.ids import ActivityId, BrokerOrderId, ClientOrderId, Symbol
from deskd.domain.market import Instrument, MarketClock, TradingDay
from deskd.domain.money import DIGITS_MAX, NO_CASH, NO_QTY, Cash, Price, Qty, plain
from deskd.domain.order import Fill, OrderClass, OrderRequest, OrderType, Side, TimeInForce, fill_id
from deskd.wire.alpaca.market import NEW_YORK, parse_stamp, to_datetime

type Body = dict[str, Any]  # one JSON object as Alpaca sent it

DESCRIPTION_MAX = 200  # characters of the broker's words that the ledger keeps
TEXT_MAX = 200  # characters of an id, a symbol or a word: Alpaca's ids have 36, ours 128 at most
MESSAGE_MAX = 500  # characters of the broker's refusal that facts keep
EXTRAS_MAX = 8  # that come with it, each of MESSAGE_MAX / EXTRAS_MAX characters
NUMBER_MAX = 40  # characters of one number; a longer one is nonsense
FACTOR_DIGITS_MAX = (
    10  # before the point, of quantities and prices: the core's products stay within a Decimal's 28 digits
)
ASSETS: dict[str, str] = GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY).model_dump(
    mode="json", exclude_none=True
)  # what GET /v2/assets is asked for
_FILLS = frozenset({"fill", "partial_fill"})
_REQUESTS = {
    OrderType.MARKET: MarketOrderRequest,
    OrderType.LIMIT: LimitOrderRequest,
    OrderType.STOP: StopOrderRequest,
    OrderType.STOP_LIMIT: StopLimitOrderRequest,
    OrderType.TRAILING_STOP: TrailingStopOrderRequest,
}


# -- orders, out


def encode_order(request: OrderRequest) -> bytes:
    """Return the body of POST /v2/orders, checked by alpaca-py's model; raise WireError where the model says no."""
    exact = _exact(request)
    try:
        model = _REQUESTS[request.order_type](
            symbol=request.symbol,
            side=request.side.value,
            time_in_force=request.time_in_force.value,
            client_order_id=request.client_order_id,
            order_class=None if request.order_class is OrderClass.SIMPLE else request.order_class.value,
            extended_hours=request.extended_hours or None,
            **_as_floats(exact),
        )
    except ValueError as error:  # pydantic's own ValidationError is one
        raise WireError(f"alpaca-py does not send this order: {_first_line(error)}") from None
    return msgspec.json.encode(model.to_request_fields() | exact)


def encode_replacement(request: OrderRequest) -> bytes:
    """Return the body of PATCH /v2/orders/{id}: what is to be different, and the new order's id."""
    wanted = request.replacement
    assert wanted is not None, "the request is for an order in the place of another"
    trail = wanted.trail_price if wanted.trail_percent is None else wanted.trail_percent
    numbers = {"limit_price": wanted.limit_price, "stop_price": wanted.stop_price, "trail": trail, "qty": wanted.qty}
    exact: Body = {name: plain(value) for name, value in numbers.items() if value is not None}
    try:
        model = ReplaceOrderRequest(
            time_in_force=None if wanted.time_in_force is None else wanted.time_in_force.value,
            client_order_id=request.client_order_id,
            **_as_floats(exact),
        )
    except ValueError as error:
        raise WireError(f"alpaca-py does not send this replacement: {_first_line(error)}") from None
    return msgspec.json.encode(model.to_request_fields() | exact)


def _exact(request: OrderRequest) -> Body:
    """Return the order's numbers as decimal texts: a float would round the ninth place of a large quantity."""
    numbers = {
        "qty": request.qty,
        "notional": request.notional,
        "limit_price": request.limit_price,
        "stop_price": request.stop_price,
        "trail_price": request.trail_price,
        "trail_percent": request.trail_percent,
    }
    exact: Body = {name: plain(value) for name, value in numbers.items() if value is not None}
    if request.take_profit is not None:
        exact["take_profit"] = {"limit_price": plain(request.take_profit.limit_price)}
    if request.stop_loss is not None:
        exact["stop_loss"] = {"stop_price": plain(request.stop_loss.stop_price)}
        if request.stop_loss.limit_price is not None:
            exact["stop_loss"]["limit_price"] = plain(request.stop_loss.limit_price)
    return exact


def _as_floats(exact: Body) -> Body:
    return {k: _as_floats(v) if isinstance(v, dict) else float(v) for k, v in exact.items()}


def _first_line(error: ValueError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line.startswith("Value error")), "; ".join(lines[:3]))


# -- JSON


def decode_json(body: bytes) -> object:
    """Return the JSON value of *body*, or raise WireError."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from None


def as_object(value: object, what: str) -> Body:
    """Return *value* as a JSON object, or raise WireError."""
    if not isinstance(value, dict):
        raise WireError(f"{what} must be an object, not {type(value).__name__}")
    return value


def as_rows(value: object, what: str) -> list[Body]:
    """Return *value* as a list of JSON objects, or raise WireError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise WireError(f"{what} must be a list of objects")
    return value


# -- refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The broker's no, in its own words: `{"code": ..., "message": ..., extras}`."""

    status: int
    code: int | None
    message: str
    extras: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """Return message, code and extras on one line."""
        notes = [f"code={self.code}"] if self.code is not None else [f"status={self.status}"]
        notes += [f"{name}={value}" for name, value in self.extras]
        return f"{self.message} ({', '.join(notes)})"

    @property
    def says_id_is_taken(self) -> bool:
        """Tell whether an order of that client_order_id exists: a POST before this one may have arrived."""
        return "client_order_id must be unique" in self.message

    @property
    def says_too_many_requests(self) -> bool:
        """Tell whether the request was turned away for its number alone."""
        return self.status == 429 and ("rate limit" in self.message.lower() or "too many" in self.message.lower())


def decode_refusal(status: int, body: bytes) -> Refusal | None:
    """Return the broker's refusal, or None where these are not its words (a proxy's page, an empty body)."""
    try:
        error = as_object(decode_json(body), "error")
    except WireError:
        return None
    message, code = error.pop("message", None), error.pop("code", None)
    if not isinstance(message, str) or not message:
        return None
    most = MESSAGE_MAX // EXTRAS_MAX
    extras = tuple((name[:most], _words(value)[:most]) for name, value in islice(error.items(), EXTRAS_MAX))
    is_code = isinstance(code, int) and abs(code) < 10**NUMBER_MAX
    return Refusal(status=status, code=code if is_code else None, message=message[:MESSAGE_MAX], extras=extras)


def _words(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# -- orders, in


def decode_order(body: Mapping[str, Any]) -> BrokerOrder:
    """Return the order of a REST answer or a trade update, its legs included: legs have none of their own."""
    legs = body.get("legs")
    return _order(body, tuple(_order(leg, ()) for leg in as_rows(legs, "legs")) if legs else ())


def _order(body: Mapping[str, Any], legs: tuple[BrokerOrder, ...]) -> BrokerOrder:
    raw_status = _text(body, "status")
    return BrokerOrder(
        broker_order_id=BrokerOrderId(_text(body, "id")),
        client_order_id=ClientOrderId(_text(body, "client_order_id")),
        status=_STATUSES.get(raw_status, BrokerStatus.UNKNOWN),
        raw_status=raw_status,
        symbol=Symbol(_text(body, "symbol")),
        side=_word(body, "side", Side),
        order_type=_word(body, "type" if body.get("type") else "order_type", OrderType),
        time_in_force=_word(body, "time_in_force", TimeInForce),
        qty=_maybe(body, "qty", _qty),
        notional=_maybe(body, "notional", _cash),
        limit_price=_maybe(body, "limit_price", _price),
        stop_price=_maybe(body, "stop_price", _price),
        filled_qty=_maybe(body, "filled_qty", _qty) or NO_QTY,
        filled_avg_price=_maybe(body, "filled_avg_price", _price),
        submitted_at=_maybe(body, "submitted_at", _instant),
        legs=legs,
        replaced_by=_maybe(body, "replaced_by", _id),
        replaces=_maybe(body, "replaces", _id),
    )


def schema_drift(body: Mapping[str, Any]) -> str | None:
    """Return what alpaca-py's strict Order model does not know of *body*, or None."""
    try:
        AlpacaOrder(**body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        return ", ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in faults)
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def decode_trade_update(data: Mapping[str, Any], at: datetime) -> TradeUpdated:
    """Return one message of trade_updates; *fill* is set on fill and partial_fill that name quantity and price."""
    event, order = _text(data, "event"), decode_order(as_object(data.get("order"), "order"))
    fill = None
    if event in _FILLS and data.get("qty") is not None and data.get("price") is not None:
        fill = _fill(data, order.broker_order_id, cumulative=order.filled_qty, at=_instant(data, "timestamp"))
    return TradeUpdated(event=event, order=order, fill=fill, at=at, stamp=_maybe(data, "timestamp", _instant))


def decode_fill(row: Mapping[str, Any]) -> tuple[BrokerOrderId, Fill]:
    """Return a FILL activity, by its order."""
    order_id = _id(row, "order_id")
    cumulative, at = _positive(_qty, row, "cum_qty"), _instant(row, "transaction_time")
    return order_id, _fill(row, order_id, cumulative=cumulative, at=at)


def _fill(body: Mapping[str, Any], order_id: BrokerOrderId, *, cumulative: Qty, at: datetime) -> Fill:
    """Return the execution, which its order must count: else its name would be another's, and it counts twice."""
    qty = _positive(_qty, body, "qty")
    if qty > cumulative:
        raise WireError(f"qty={qty} is over what its order counts as filled: {cumulative}")
    return Fill(fill_id=fill_id(order_id, cumulative), qty=qty, price=_price(body, "price"), at=at)


def is_execution(row: Mapping[str, Any]) -> bool:
    """Tell whether the FILL activity is one, and no bust or correction of one."""
    return str(row.get("type")) not in CORRECTIONS


# -- the account's history, in


def decode_activity(row: Mapping[str, Any]) -> Activity:
    """Return one line of the account's history."""
    kind, activity_id = _text(row, "activity_type"), ActivityId(_text(row, "id"))
    if kind == FILL:
        return _execution(activity_id, row)
    moves_shares = kind in _MOVES_SHARES  # a dividend's qty is the shares that it was paid on
    return Activity(
        activity_id=activity_id,
        kind=kind,
        at=_stamp_of(activity_id, row),
        symbol=Symbol(_text(row, "symbol")) if row.get("symbol") else None,
        qty=_maybe(row, "qty", _qty) or NO_QTY if moves_shares else NO_QTY,
        cash=_maybe(row, "net_amount", _cash) or NO_CASH,
        description=str(row.get("description") or "")[:DESCRIPTION_MAX],
    )


def _execution(activity_id: ActivityId, row: Mapping[str, Any]) -> Activity:
    execution, price, qty = str(row.get("type") or "fill"), _price(row, "price"), _positive(_qty, row, "qty")
    side = Side.BUY if _text(row, "side") == Side.BUY else Side.SELL  # a short sale is `sell_short`
    sign = {BUST: -side.sign, CORRECT: 0}.get(execution, side.sign)  # what a correction moves only the order tells
    order_id, fill = decode_fill(row) if is_execution(row) else (_id(row, "order_id"), None)
    return Activity(
        activity_id=activity_id,
        kind=FILL,
        at=_instant(row, "transaction_time"),
        symbol=Symbol(_text(row, "symbol")),
        qty=Qty(sign * qty),
        price=price,
        cash=Cash(-sign * qty * price),
        execution=execution,
        broker_order_id=order_id,
        side=side,
        fill=fill,
    )


def _stamp_of(activity_id: str, row: Mapping[str, Any]) -> datetime:
    """Return when it was: the id says so to the millisecond, `date` to the day; both are New York's."""
    digits = activity_id.partition("::")[0]
    try:
        if len(digits) == len("YYYYMMDDHHMMSSmmm"):
            local = datetime.strptime(digits + "000", "%Y%m%d%H%M%S%f")  # noqa: DTZ007  the zone follows
        else:
            local = datetime.fromisoformat(_text(row, "date"))
    except ValueError:
        raise WireError(f"id={activity_id!r} date={row.get('date')!r}: neither says when it was") from None
    return local.replace(tzinfo=NEW_YORK).astimezone(UTC)


# Lines whose qty is shares that came or went.
_MOVES_SHARES = frozenset("SPLIT SSP SPIN SSO REORG MA NC JNLS ACATS".split())  # noqa: SIM905


# -- account, in


def decode_account(body: Mapping[str, Any]) -> tuple[Cash, Cash, Cash]:
    """Return cash, equity and buying power."""
    return _cash(body, "cash"), _cash(body, "equity"), _cash(body, "buying_power")


def decode_position(body: Mapping[str, Any]) -> BrokerPosition:
    """Return a position, its quantity signed."""
    qty = _qty(body, "qty")
    is_short = body.get("side") == "short"
    return BrokerPosition(
        symbol=Symbol(_text(body, "symbol")),
        qty=Qty(-abs(qty)) if is_short else qty,
        avg_entry_price=_price(body, "avg_entry_price"),
    )


def split_rows(body: bytes) -> list[msgspec.Raw]:
    """Return the rows of a long list undecoded, which is quick: they can be decoded a few at a time."""
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a list of rows: {error}") from None


def decode_asset(row: msgspec.Raw) -> Instrument:
    """Return one asset as an instrument."""
    body = as_object(decode_json(bytes(row)), "asset")
    return Instrument(
        symbol=Symbol(_text(body, "symbol")),
        is_tradable=body.get("tradable") is True,
        is_shortable=body.get("shortable") is True and body.get("easy_to_borrow") is not False,
        is_fractionable=body.get("fractionable") is True,
    )


def decode_clock(body: Mapping[str, Any]) -> MarketClock:
    """Return the market's clock."""
    is_open = body.get("is_open")
    if not isinstance(is_open, bool):
        raise WireError(f"is_open={is_open!r} must be true or false")
    return MarketClock(
        timestamp=_instant(body, "timestamp"),
        is_open=is_open,
        next_open=_instant(body, "next_open"),
        next_close=_instant(body, "next_close"),
    )


def decode_day(row: Mapping[str, Any]) -> TradingDay:
    """Return one row of the calendar, whose times are New York's."""
    text = _text(row, "date")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise WireError(f"date={_shown(text)} must be a date as in 2026-01-05") from None

    def at(name: str) -> datetime:
        text = _text(row, name)
        try:
            hour, minute = int(text[:2]), int(text.removeprefix(text[:2]).lstrip(":"))
            return datetime.combine(day, time(hour, minute), NEW_YORK).astimezone(UTC)
        except ValueError:
            raise WireError(f"{name}={_shown(text)} must be a time as in 09:30") from None

    return TradingDay(
        day=day,
        extended_open_at=at("session_open"),
        open_at=at("open"),
        close_at=at("close"),
        extended_close_at=at("session_close"),
    )


# -- market data


def decode_bar(symbol: Symbol, row: Mapping[str, Any]) -> Body:
    """Return a REST bar as the stream would send it: with type and symbol, its stamp in nanoseconds."""
    return {"T": "b", "S": symbol, **row, "t": parse_stamp(_text(row, "t"))}


def decode_market_frame(frame: bytes | str) -> list[Body]:
    """Return the messages of one msgpack frame, stamps in nanoseconds, as they are; raise WireError."""
    try:
        messages = msgpack.unpackb(frame, timestamp=2)
    except (ValueError, TypeError, RecursionError) as error:  # msgpack's own exceptions are ValueErrors
        raise WireError(f"not a msgpack frame of market data: {error}") from None
    if type(messages) is not list:
        raise WireError(f"a market-data frame must be an array, not {type(messages).__name__}")
    return messages


_CONTROL = frozenset({"success", "error", "subscription"})
_BAR_FIELDS = itemgetter("S", "t", "o", "h", "l", "c", "v")
_FIELDS: dict[str, Callable[[Body], object]] = {
    "t": itemgetter("S", "t", "p", "s"),
    "q": itemgetter("S", "t", "bp", "bs", "ap", "as"),
    "b": _BAR_FIELDS,
    "u": _BAR_FIELDS,
    "d": _BAR_FIELDS,
    "s": itemgetter("S", "t", "sc"),
    "l": itemgetter("S", "t"),
    "c": itemgetter("S", "t"),
    "x": itemgetter("S", "t"),
    "i": itemgetter("S", "t"),
}


def is_control(messages: Sequence[Any]) -> bool:
    """Tell whether a frame's messages are a control message: always an array of length 1."""
    return len(messages) == 1 and isinstance(messages[0], dict) and messages[0].get("T") in _CONTROL


def well_formed(messages: list[Body]) -> list[Body]:
    """Return the messages of known type that have all their fields; the rest is not market data."""
    try:
        for message in messages:
            _FIELDS[message["T"]](message)
    except (KeyError, TypeError):
        return [message for message in messages if _is_well_formed(message)]
    return messages  # the one case that must be fast


def _is_well_formed(message: object) -> bool:
    try:
        _FIELDS[message["T"]](message)  # type: ignore[index, arg-type]  # that is what is being found out
    except (KeyError, TypeError):
        return False
    return True


# -- fields

_STATUSES = {status.value: status for status in BrokerStatus if status is not BrokerStatus.UNKNOWN}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?")


def _maybe[T](body: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any], str], T]) -> T | None:
    return None if body.get(name) is None else read(body, name)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise WireError(f"{name}={_shown(value)} must be a text")
    if len(value) > TEXT_MAX:
        raise WireError(f"{name}={_shown(value)} has {len(value)} characters: {TEXT_MAX} at most")
    return value


def _shown(value: object) -> str:
    """Return the beginning of what is wrong: it goes into logs and facts."""
    text = repr(value)
    return text if len(text) <= NUMBER_MAX else f"{text[:NUMBER_MAX]}..."


def _word[E: StrEnum](body: Mapping[str, Any], name: str, words: type[E]) -> E:
    value = _text(body, name)
    try:
        return words(value)
    except ValueError:
        raise WireError(f"{name}={_shown(value)} must be one of {', '.join(words)}") from None


def _number(body: Mapping[str, Any], name: str) -> Decimal:
    """Return the number, which Alpaca sends as a text, or as a JSON number."""
    value = body.get(name)
    text = value if isinstance(value, str) else repr(value)
    if isinstance(value, bool) or len(text) > NUMBER_MAX or not _NUMBER.fullmatch(text):
        raise WireError(f"{name}={_shown(value)} must be a number")
    return Decimal(text)


def _positive[D: Decimal](read: Callable[[Mapping[str, Any], str], D], body: Mapping[str, Any], name: str) -> D:
    value = read(body, name)
    if value <= 0:
        raise WireError(f"{name}={value} must be over 0")
    return value


def _bounded(body: Mapping[str, Any], name: str, digits_max: int) -> Decimal:
    value = _number(body, name)
    if value and value.adjusted() >= digits_max:
        raise WireError(f"{name}={value} has more than {digits_max} digits before the decimal point")
    return value


def _qty(body: Mapping[str, Any], name: str) -> Qty:
    return Qty(_bounded(body, name, FACTOR_DIGITS_MAX))


def _price(body: Mapping[str, Any], name: str) -> Price:
    return Price(_bounded(body, name, FACTOR_DIGITS_MAX))


def _cash(body: Mapping[str, Any], name: str) -> Cash:
    return Cash(_bounded(body, name, DIGITS_MAX))


def _id(body: Mapping[str, Any], name: str) -> BrokerOrderId:
    return BrokerOrderId(_text(body, name))


def _instant(body: Mapping[str, Any], name: str) -> datetime:
    text = _text(body, name)
    try:
        return to_datetime(parse_stamp(text))
    except (WireError, OverflowError) as error:
        raise WireError(f"{name}: {error}") from None
