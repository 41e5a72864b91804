"""What clients of the trading API write, read into the exchange's own types. A refusal is an ApiError, never raised.

1. Numbers come as JSON numbers or as strings; both become exact Decimals within the bounds of `domain.money`.
2. Unknown fields and parameters are ignored, as Alpaca does; an unknown word in a known one is refused by name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from deskd.domain.errors import WireError
from deskd.domain.money import Cash, Price, Qty, parse_decimal
from deskd.domain.order import OrderClass, OrderType, Side, StopLoss, TakeProfit, TimeInForce
from deskd.exchange import errors
from deskd.exchange.account import Configurations
from deskd.exchange.errors import ApiError
from deskd.exchange.order import NewOrder, OrderChanges, PositionIntent
from deskd.wire.alpaca.market import parse_stamp, to_datetime

ORDERS_MAX = 500
ACTIVITIES_MAX = 100
ACTIVITY_TYPES = frozenset({
    "FILL", "TRANS", "MISC", "ACATC", "ACATS", "CFEE", "CSD", "CSW", "DIV", "DIVCGL", "DIVCGS", "DIVFEE", "DIVFT",
    "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX", "FEE", "FXTRD", "INT", "INTNRA", "INTTW", "JNL", "JNLC", "JNLS", "MA", "NC",
    "OPASN", "OPCA", "OPCSH", "OPEXC", "OPEXP", "OPTRD", "PTC", "PTR", "REORG", "SPIN", "SPLIT",
})  # fmt: skip

type Query = Mapping[str, str]


class _TakeProfitBody(msgspec.Struct):
    limit_price: Decimal | None = None


class _StopLossBody(msgspec.Struct):
    stop_price: Decimal | None = None
    limit_price: Decimal | None = None


class _OrderBody(msgspec.Struct):
    symbol: str | None = None
    side: str | None = None
    type: str | None = None
    time_in_force: str | None = None
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    extended_hours: bool | None = None
    client_order_id: str | None = None
    order_class: str | None = None
    take_profit: _TakeProfitBody | None = None
    stop_loss: _StopLossBody | None = None
    position_intent: str | None = None


class _ChangesBody(msgspec.Struct):
    qty: Decimal | None = None
    time_in_force: str | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    client_order_id: str | None = None


class _ConfigurationsBody(msgspec.Struct):
    suspend_trade: bool | None = None
    no_shorting: bool | None = None
    fractional_trading: bool | None = None
    max_margin_multiplier: str | int | None = None
    trade_confirm_email: str | None = None
    ptp_no_exception_entry: bool | None = None
    disable_overnight_trading: bool | None = None
    max_options_trading_level: int | None = None


_orders = msgspec.json.Decoder(_OrderBody)
_changes = msgspec.json.Decoder(_ChangesBody)
_configurations = msgspec.json.Decoder(_ConfigurationsBody)


# --- bodies -----------------------------------------------------------------------------------------------------------


def new_order(body: bytes) -> NewOrder | ApiError:
    """Return the order that POST /v2/orders asks for."""
    try:
        return _new_order(_orders.decode(body))
    except msgspec.DecodeError:
        return errors.body_format_is_invalid()
    except WireError as error:
        return errors.form(str(error))


def order_changes(body: bytes) -> OrderChanges | ApiError:
    """Return what PATCH /v2/orders/{id} wants changed."""
    try:
        raw = _changes.decode(body)
        return OrderChanges(
            qty=_qty("qty", raw.qty),
            time_in_force=_maybe_word(TimeInForce, "time_in_force", raw.time_in_force),
            limit_price=_price("limit_price", raw.limit_price),
            stop_price=_price("stop_price", raw.stop_price),
            trail=_price("trail", raw.trail),
            client_order_id=raw.client_order_id or None,
        )
    except msgspec.DecodeError:
        return errors.body_format_is_invalid()
    except WireError as error:
        return errors.form(str(error))


def configurations(body: bytes, present: Configurations) -> Configurations | ApiError:
    """Return *present* with what PATCH /v2/account/configurations names; null leaves as it is."""
    try:
        raw = _configurations.decode(body)
    except msgspec.DecodeError:
        return errors.body_format_is_invalid()
    named = {name: value for name in raw.__struct_fields__ if (value := getattr(raw, name)) is not None}
    multiplier = str(named.get("max_margin_multiplier", present.max_margin_multiplier))
    if multiplier not in {"1", "2", "4"}:
        return errors.form(f"invalid max_margin_multiplier: {multiplier}. it must be 1, 2 or 4")
    email = named.get("trade_confirm_email", "all")
    if email not in {"all", "none"}:
        return errors.form(f"invalid trade_confirm_email: {email}. it must be all or none")
    return replace(present, **named | {"max_margin_multiplier": multiplier})


def _new_order(raw: _OrderBody) -> NewOrder:
    order_class = _maybe_word(OrderClass, "order_class", raw.order_class) or OrderClass.SIMPLE
    return NewOrder(
        symbol=_required("symbol", raw.symbol),
        side=_word(Side, "side", _required("side", raw.side)),
        order_type=_word(OrderType, "type", _required("type", raw.type)),
        time_in_force=_word(TimeInForce, "time_in_force", _required("time_in_force", raw.time_in_force)),
        qty=_qty("qty", raw.qty),
        notional=None if raw.notional is None else Cash(_number("notional", raw.notional)),
        limit_price=_price("limit_price", raw.limit_price),
        stop_price=_price("stop_price", raw.stop_price),
        trail_price=_price("trail_price", raw.trail_price),
        trail_percent=_price("trail_percent", raw.trail_percent),
        extended_hours=bool(raw.extended_hours),
        client_order_id=raw.client_order_id or None,
        order_class=order_class,
        take_profit=_take_profit(raw.take_profit, order_class),
        stop_loss=_stop_loss(raw.stop_loss, order_class),
        position_intent=_maybe_word(PositionIntent, "position_intent", raw.position_intent),
    )


def _take_profit(raw: _TakeProfitBody | None, order_class: OrderClass) -> TakeProfit | None:
    if raw is None:
        return None
    price = _price("take_profit.limit_price", raw.limit_price)
    if price is None:
        raise WireError(f"{order_class} orders require take_profit.limit_price")
    return TakeProfit(limit_price=price)


def _stop_loss(raw: _StopLossBody | None, order_class: OrderClass) -> StopLoss | None:
    if raw is None:
        return None
    price = _price("stop_loss.stop_price", raw.stop_price)
    if price is None:
        raise WireError(f"{order_class} orders require stop_loss.stop_price")
    return StopLoss(stop_price=price, limit_price=_price("stop_loss.limit_price", raw.limit_price))


# --- queries ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersQuery:
    """The filters of GET /v2/orders, by the names of `Exchange.orders`."""

    status: str
    limit: int
    after: datetime | None
    until: datetime | None
    is_descending: bool
    is_nested: bool
    symbols: frozenset[str] | None
    side: Side | None
    after_order_id: str | None
    before_order_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivitiesQuery:
    """The filters of GET /v2/account/activities, by the names of `Exchange.activities`."""

    types: frozenset[str] | None
    order_id: str | None
    on: date | None
    after: datetime | None
    until: datetime | None
    is_descending: bool
    page_size: int
    page_token: str | None


def orders_query(query: Query) -> OrdersQuery | ApiError:
    """Return the filters of GET /v2/orders."""
    try:
        parsed = OrdersQuery(
            status=_choice(query, "status", ("open", "closed", "all")),
            limit=_count(query, "limit", 50, ORDERS_MAX),
            after=_instant(query, "after"),
            until=_instant(query, "until"),
            is_descending=_choice(query, "direction", ("desc", "asc")) == "desc",
            is_nested=_flag(query, "nested"),
            symbols=_names(query, "symbols"),
            side=_maybe_word(Side, "side", query.get("side")),
            after_order_id=query.get("after_order_id") or None,
            before_order_id=query.get("before_order_id") or None,
        )
    except WireError as error:
        return errors.form(str(error))
    by_id = parsed.after_order_id or parsed.before_order_id
    if by_id and (parsed.after or parsed.until):
        return errors.form("after_order_id and before_order_id cannot be combined with after and until")
    return parsed


def activities_query(query: Query, path_type: str | None) -> ActivitiesQuery | ApiError:
    """Return the filters of GET /v2/account/activities; *path_type* is the type named in the path, if one is."""
    try:
        types = frozenset({path_type}) if path_type else _names(query, "activity_types")
        category = _choice(query, "category", ("", "trade_activity", "non_trade_activity"))
        parsed = ActivitiesQuery(
            types=types or _CATEGORIES[category],
            order_id=query.get("order_id") or None,
            on=_day(query, "date"),
            after=_instant(query, "after"),
            until=_instant(query, "until"),
            is_descending=_choice(query, "direction", ("desc", "asc")) == "desc",
            page_size=_count(query, "page_size", ACTIVITIES_MAX, ACTIVITIES_MAX),
            page_token=query.get("page_token") or None,
        )
    except WireError as error:
        return errors.form(str(error))
    for name in sorted(types or ()):
        if name not in ACTIVITY_TYPES:
            return errors.activity_type_is_invalid(name)
    return parsed


_CATEGORIES: Mapping[str, frozenset[str] | None] = {
    "": None,
    "trade_activity": frozenset({"FILL"}),
    "non_trade_activity": ACTIVITY_TYPES - {"FILL"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """What GET /v2/account/portfolio/history asks for: days from *start* to *end*, or *period* back from the end."""

    start: date | None
    end: date | None
    period: timedelta
    timeframe: str


_TIMEFRAMES = ("1D", "1Min", "5Min", "15Min", "1H")
_PERIOD = re.compile(r"([1-9]\d{0,3})([DWMAY])")
_DAYS_OF = {"D": 1, "W": 7, "M": 31, "A": 366, "Y": 366}


def history_query(query: Query) -> HistoryQuery | ApiError:
    """Return the span of GET /v2/account/portfolio/history; a month without one."""
    timeframes = {name.lower(): name for name in _TIMEFRAMES}
    try:
        timeframe = timeframes[_choice(query, "timeframe", tuple(timeframes))]
        return HistoryQuery(
            start=_day(query, "start") or _day(query, "date_start"),
            end=_day(query, "end") or _day(query, "date_end"),
            period=_period(query),
            timeframe=timeframe,
        )
    except WireError as error:
        return errors.form(str(error))


def close_query(query: Query) -> tuple[Qty | None, Decimal | None] | ApiError:
    """Return qty and percentage of DELETE /v2/positions/{symbol}; the exchange says whether they are fit."""
    try:
        return _qty("qty", _decimal(query, "qty")), _decimal(query, "percentage")
    except WireError as error:
        return errors.form(str(error))


def calendar_query(query: Query) -> tuple[date | None, date | None] | ApiError:
    """Return first and last day of GET /v2/calendar."""
    try:
        return _day(query, "start"), _day(query, "end")
    except WireError as error:
        return errors.form(str(error))


def flag(query: Query, name: str) -> bool:
    """Return a boolean parameter: Python's, JSON's and C's spelling of true; anything else is false."""
    return _flag(query, name)


# --- small readers: the value, or WireError -----------------------------------------------------------------------------


def _required(name: str, value: str | None) -> str:
    if not value:
        raise WireError(f"{name} is required")
    return value


def _word[E: StrEnum](words: type[E], name: str, value: str) -> E:
    try:
        return words(value)
    except ValueError:
        raise WireError(f"invalid {name}: {value[:40]}. it must be one of {', '.join(words)}") from None


def _maybe_word[E: StrEnum](words: type[E], name: str, value: str | None) -> E | None:
    return _word(words, name, value) if value else None


def _number(name: str, value: Decimal) -> Decimal:
    try:
        return parse_decimal(str(value))
    except ValueError as error:
        raise WireError(f"invalid {name}: it {error}") from None


def _qty(name: str, value: Decimal | None) -> Qty | None:
    return None if value is None else Qty(_number(name, value))


def _price(name: str, value: Decimal | None) -> Price | None:
    return None if value is None else Price(_number(name, value))


def _decimal(query: Query, name: str) -> Decimal | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return parse_decimal(text)
    except ValueError as error:
        raise WireError(f"invalid {name}: it {error}") from None


def _choice(query: Query, name: str, choices: tuple[str, ...]) -> str:
    """Return the parameter; the first choice is the default."""
    value = query.get(name, choices[0]).lower()
    if value not in choices:
        raise WireError(f"invalid {name}: {value}. it must be one of {', '.join(filter(None, choices))}")
    return value


def _count(query: Query, name: str, default: int, most: int) -> int:
    text = query.get(name)
    if not text:
        return default
    if len(text) > len(str(most)) or not text.isdecimal() or not 1 <= int(text) <= most:
        raise WireError(f"invalid {name}: {text[:20]}. it must be between 1 and {most}")
    return int(text)


def _period(query: Query) -> timedelta:
    text = query.get("period") or "1M"
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise WireError(f"invalid period: {text[:20]}. write a number and D, W, M or A, like 1M")
    return timedelta(days=int(match[1]) * _DAYS_OF[match[2]])


def _flag(query: Query, name: str) -> bool:
    return query.get(name, "").lower() in {"true", "1"}


def _names(query: Query, name: str) -> frozenset[str] | None:
    return frozenset(part.strip() for part in query.get(name, "").split(",") if part.strip()) or None


def _instant(query: Query, name: str) -> datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return to_datetime(parse_stamp(text))
    except WireError as error:
        raise WireError(f"invalid {name}: {error}") from None


def _day(query: Query, name: str) -> date | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise WireError(f"invalid {name}: {text[:40]!r} is not a date like 2026-11-20") from None
