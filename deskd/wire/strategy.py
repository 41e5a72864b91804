"""The order socket's messages: protobuf (or JSON) and domain, both ways. See protos/order.proto.

What a strategy sends is hostile until it has passed here: a request is either an `OrderRequest` that is right in form,
or a `WireError` that names the field, the rule and the remedy. What the desk answers is built as protobuf once; JSON is
the same message, field by field.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from enum import StrEnum

import msgpack
import msgspec
from google.protobuf.message import DecodeError, Message

from deskd.domain.book import Account, Position
from deskd.domain.effects import Refuse
from deskd.domain.errors import WireError
from deskd.domain.ids import CLIENT_ORDER_ID, PART_ID, SYMBOL, ClientOrderId, StrategyId, Symbol, UserId
from deskd.domain.market import MarketClock
from deskd.domain.money import ZERO, Cash, Price, Qty, parse_decimal, plain
from deskd.domain.order import (
    Order,
    OrderClass,
    OrderRequest,
    OrderStatus,
    OrderType,
    Replacement,
    Side,
    StopLoss,
    TakeProfit,
    TimeInForce,
)
from deskd.domain.reasons import RefusalReason
from deskd.wire.pb import order_pb2 as pb

BODY_MAX = 16 * 1024  # bytes of one message; over it the endpoint answers 413
REASON_MAX = 256  # characters of a strategy's own words

_LONG_FRACTION = re.compile(r"\d+\.\d{10,}")
_SHOWN_MAX = 40  # characters of a member's own text that an error repeats
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN_PLACES = Decimal("0.000001")  # averages are quotients: shown to a ten-thousandth of a cent, kept exact inside
_WIDE = Context(prec=80)  # rounding never overflows


class Outcome(StrEnum):
    """What `OrderResponse.status` says (CONTRACTS 2)."""

    SUCCESS = "success"  # the broker has the order
    DENIED = "denied"  # our gate said no
    REJECTED = "rejected"  # the broker said no
    PENDING = "pending"  # in doubt: the order may live
    ERROR = "error"  # malformed, or the desk is not taking orders


_OUTCOMES = {
    OrderStatus.DENIED: Outcome.DENIED,
    OrderStatus.REJECTED: Outcome.REJECTED,
}

# --- requests ------------------------------------------------------------------------------------------------------


def decode_order_request(
    body: bytes, *, strategy_id: StrategyId, user_id: UserId, new_id: Callable[[], str]
) -> OrderRequest:
    """Return the request in *body*, right in form, for the strategy that the socket stands for; else WireError.

    *new_id* makes the client_order_id where the strategy sent none.
    """
    message = _parse(body, pb.OrderRequest)
    symbol, side = _symbol(message.symbol), _one_of("side", message.side, Side)
    legs = (_take_profit(message), _stop_loss(message))
    order_type = _one_of("order_type", message.order_type, OrderType, default=OrderType.MARKET)
    order_class = _order_class(message.order_class, legs)
    _check_prices(message, order_type, order_class)
    qty, notional = _decimal("qty", message.qty), _decimal("notional", message.notional)
    if (qty is None) is (notional is None):
        raise WireError(f"qty, notional: exactly one is required, {'none' if qty is None else 'both'} given")
    return OrderRequest(
        strategy_id=strategy_id,
        user_id=user_id,
        client_order_id=_client_order_id(message.client_order_id or new_id()),
        symbol=symbol,
        side=side,
        order_type=order_type,
        time_in_force=_one_of("time_in_force", message.time_in_force, TimeInForce, default=TimeInForce.DAY),
        qty=None if qty is None else Qty(qty),
        notional=None if notional is None else Cash(notional),
        limit_price=_price("limit_price", message.limit_price),
        stop_price=_price("stop_price", message.stop_price),
        trail_price=_price("trail_price", message.trail_price),
        trail_percent=_price("trail_percent", message.trail_percent),
        extended_hours=message.extended_hours,
        order_class=order_class,
        take_profit=legs[0],
        stop_loss=legs[1],
        reason=_reason(message.reason),
    )


def decode_replace_request(
    body: bytes, *, order_id: str, new_id: Callable[[], str]
) -> tuple[Replacement, ClientOrderId]:
    """Return what is to be different in the order in the place of *order_id*, and its id; else WireError."""
    message = _parse(body, pb.ReplaceRequest)
    qty = _decimal("qty", message.qty)
    tif = message.time_in_force
    wanted = Replacement(
        replaces=ClientOrderId(order_id),
        qty=None if qty is None else Qty(qty),
        limit_price=_price("limit_price", message.limit_price),
        stop_price=_price("stop_price", message.stop_price),
        trail_price=_price("trail_price", message.trail_price),
        trail_percent=_price("trail_percent", message.trail_percent),
        time_in_force=_one_of("time_in_force", tif, TimeInForce) if tif else None,
    )
    if wanted == Replacement(replaces=wanted.replaces):
        raise WireError("replace: nothing is to change; give a qty, a price or a time_in_force")
    return wanted, _client_order_id(message.client_order_id or new_id())


def encode_replace_request(wanted: Replacement, client_order_id: ClientOrderId) -> bytes:
    """Return the message that a strategy would send for *wanted*."""
    return pb.ReplaceRequest(
        qty=_text(wanted.qty),
        limit_price=_text(wanted.limit_price),
        stop_price=_text(wanted.stop_price),
        trail_price=_text(wanted.trail_price),
        trail_percent=_text(wanted.trail_percent),
        time_in_force=wanted.time_in_force or "",
        client_order_id=client_order_id,
    ).SerializeToString()


def claimed_client_order_id(body: bytes, *, is_replace: bool = False) -> str:
    """Return the client_order_id that a refused *body* carries, so that the answer can name it; empty if none."""
    try:
        if is_replace:
            claimed = _parse(body, pb.ReplaceRequest).client_order_id
        else:
            claimed = _parse(body, pb.OrderRequest).client_order_id
    except WireError:
        return ""
    return claimed if CLIENT_ORDER_ID.fullmatch(claimed) else ""


def decode_symbol(text: str) -> Symbol:
    """Return *text* as a symbol; else WireError."""
    return _symbol(text)


def encode_order_request(request: OrderRequest) -> bytes:
    """Return the message that a strategy would send for *request* (whose owner the socket tells, not the message)."""
    message = pb.OrderRequest(
        symbol=request.symbol,
        qty=_text(request.qty),
        side=request.side,
        order_type=request.order_type,
        time_in_force=request.time_in_force,
        limit_price=_text(request.limit_price),
        stop_price=_text(request.stop_price),
        notional=_text(request.notional),
        extended_hours=request.extended_hours,
        trail_price=_text(request.trail_price),
        trail_percent=_text(request.trail_percent),
        client_order_id=request.client_order_id,
        reason=request.reason or "",
        order_class=request.order_class,
    )
    if request.take_profit is not None:
        message.take_profit.limit_price = plain(request.take_profit.limit_price)
    if request.stop_loss is not None:
        message.stop_loss.stop_price = plain(request.stop_loss.stop_price)
        message.stop_loss.limit_price = _text(request.stop_loss.limit_price)
    return message.SerializeToString()


def _parse[M: (pb.OrderRequest, pb.ReplaceRequest)](body: bytes, kind: type[M]) -> M:
    if len(body) > BODY_MAX:
        raise WireError(f"message: is {len(body)} bytes long, at most {BODY_MAX} are allowed")
    try:
        return kind.FromString(body)
    except DecodeError:
        raise WireError(
            f"message: is not a desk.v1.{kind.__name__} in protobuf;"
            " use desk_client, or the code made from protos/order.proto"
        ) from None


def _check_prices(message: pb.OrderRequest, order_type: OrderType, order_class: OrderClass) -> None:
    required, forbidden = _PRICES[order_type]
    if order_class is OrderClass.OCO:  # its prices are those of its legs
        required, forbidden = (), ("limit_price", *forbidden)
    for field in required:
        if not getattr(message, field):
            raise WireError(f"{field}: is required for {_article(order_type)} {order_type} order")
    for field in forbidden:
        if getattr(message, field):
            raise WireError(f"{field}: {_article(order_type)} {order_type} order takes none; leave it out")
    if order_type is OrderType.TRAILING_STOP and bool(message.trail_price) is bool(message.trail_percent):
        given = "both" if message.trail_price else "none"
        raise WireError(f"trail_price, trail_percent: a trailing_stop order takes exactly one, {given} given")


# What each type must and must not carry. A trailing stop's either-or is checked beside it.
_PRICES: Mapping[OrderType, tuple[tuple[str, ...], tuple[str, ...]]] = {
    OrderType.MARKET: ((), ("limit_price", "stop_price", "trail_price", "trail_percent")),
    OrderType.LIMIT: (("limit_price",), ("stop_price", "trail_price", "trail_percent")),
    OrderType.STOP: (("stop_price",), ("limit_price", "trail_price", "trail_percent")),
    OrderType.STOP_LIMIT: (("stop_price", "limit_price"), ("trail_price", "trail_percent")),
    OrderType.TRAILING_STOP: ((), ("limit_price", "stop_price")),
}


def _article(order_type: OrderType) -> str:
    return "an" if order_type.value[0] in "aeiou" else "a"


def _take_profit(message: pb.OrderRequest) -> TakeProfit | None:
    if not message.HasField("take_profit"):
        return None
    limit_price = _price("take_profit.limit_price", message.take_profit.limit_price)
    if limit_price is None:
        raise WireError("take_profit.limit_price: is required with take_profit")
    return TakeProfit(limit_price=limit_price)


def _stop_loss(message: pb.OrderRequest) -> StopLoss | None:
    if not message.HasField("stop_loss"):
        return None
    stop_price = _price("stop_loss.stop_price", message.stop_loss.stop_price)
    if stop_price is None:
        raise WireError("stop_loss.stop_price: is required with stop_loss")
    return StopLoss(stop_price=stop_price, limit_price=_price("stop_loss.limit_price", message.stop_loss.limit_price))


def _order_class(text: str, legs: tuple[TakeProfit | None, StopLoss | None]) -> OrderClass:
    given = sum(leg is not None for leg in legs)
    from_legs = (OrderClass.SIMPLE, OrderClass.OTO, OrderClass.BRACKET)[given]
    order_class = _one_of("order_class", text, OrderClass, default=from_legs)
    takes = _LEGS[order_class]
    if given != takes:
        raise WireError(
            f"order_class: {order_class} takes {takes} of take_profit and stop_loss, {given} given;"
            " leave order_class empty and it follows from them"
        )
    return order_class


_LEGS = {OrderClass.SIMPLE: 0, OrderClass.OTO: 1, OrderClass.BRACKET: 2, OrderClass.OCO: 2}


def _one_of[T: StrEnum](field: str, text: str, vocabulary: type[T], default: T | None = None) -> T:
    if not text and default is not None:
        return default
    try:
        return vocabulary(text)
    except ValueError:
        known = [member.value for member in vocabulary]
    if not text:
        raise WireError(f"{field}: is required, one of {', '.join(known)}")
    near = difflib.get_close_matches(text[:_SHOWN_MAX].lower(), known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise WireError(f"{field}: {_shown(text)} is not one of {', '.join(known)}{hint}")


def _decimal(field: str, text: str) -> Decimal | None:
    if not text:
        return None
    try:
        value = parse_decimal(text)
    except ValueError as broken:
        raise WireError(f"{field}: {_shown(text)} {broken}{_round_it(field, text)}") from None
    if value <= 0:
        raise WireError(f"{field}: {_shown(text)} is not greater than zero")
    return value


def _round_it(field: str, text: str) -> str:
    """Return what to do about the digits that float arithmetic leaves behind a number; nothing for another mistake."""
    if not _LONG_FRACTION.fullmatch(text):
        return ""
    return "; round it: round(price, 2)" if field != "qty" else "; round it, e.g. to whole shares: int(qty)"


def _price(field: str, text: str) -> Price | None:
    value = _decimal(field, text)
    return None if value is None else Price(value)


def _symbol(text: str) -> Symbol:
    if not text:
        raise WireError('symbol: is required, e.g. "AAPL"')
    if SYMBOL.fullmatch(text):
        return Symbol(text)
    upper = text.strip().upper()
    hint = f"; did you mean {upper}?" if SYMBOL.fullmatch(upper) else ""
    raise WireError(f'symbol: {_shown(text)} is not a ticker in capitals such as "AAPL" or "BRK.B"{hint}')


def _client_order_id(text: str) -> ClientOrderId:
    if not CLIENT_ORDER_ID.fullmatch(text):
        raise WireError(
            f"client_order_id: {_shown(text)} is not 1 to 128 printable ASCII characters without spaces;"
            " leave it empty and the desk makes one"
        )
    if PART_ID.fullmatch(text):
        raise WireError(
            f"client_order_id: {_shown(text)} ends in `~` and a number, as the desk calls parts of an order that it"
            " splits; choose another ending"
        )
    return ClientOrderId(text)


def _reason(text: str) -> str | None:
    if len(text) > REASON_MAX:
        raise WireError(f"reason: is {len(text)} characters long, at most {REASON_MAX} are kept")
    if not text.isprintable():
        raise WireError("reason: holds line breaks or control characters; one line of plain text is kept")
    return text or None


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "...")


# --- answers -------------------------------------------------------------------------------------------------------


def order_response(order: Order) -> pb.OrderResponse:
    """Return the answer that says how *order* stands."""
    outcome = Outcome.PENDING if order.is_in_doubt else _OUTCOMES.get(order.status, Outcome.SUCCESS)
    reason, message = order.reason or "", order.message or ""
    if outcome is Outcome.PENDING and not reason:
        reason = RefusalReason.TIMEOUT
        message = (
            "the broker has not answered yet: the order may live. Its fate comes as an `order` line;"
            " ask with get_order, and do not send it again under a new client_order_id"
        )
    return pb.OrderResponse(
        status=outcome,
        order_id=_id_of(order),
        client_order_id=order.request.client_order_id,
        reason=reason,
        message=message,
        symbol=order.request.symbol,
        qty=_text(order.qty),
        side=order.request.side,
        filled_qty=plain(order.filled_qty),
        order_status=order.status,
        filled_avg_price=_rounded(order.avg_fill_price),
    )


def _id_of(order: Order) -> str:
    """Return the broker's id; of an order that was exchanged at the desk, and never was the broker's, its own."""
    own = order.request.client_order_id if order.internal_qty else ""
    return order.broker_order_id or own


def refusal_response(refuse: Refuse) -> pb.OrderResponse:
    """Return the answer about an order that did not come to be, or about a cancel or replace that was not taken."""
    outcome = Outcome.PENDING if refuse.reason == RefusalReason.TIMEOUT else Outcome.ERROR
    if refuse.reason in {RefusalReason.ORDER_FINAL, RefusalReason.NOT_REPLACEABLE}:
        outcome = Outcome.DENIED
    return pb.OrderResponse(
        status=outcome, client_order_id=refuse.client_order_id, reason=refuse.reason, message=refuse.message
    )


def error(reason: str, message: str) -> pb.Error:
    """Return a refusal of a reading route."""
    return pb.Error(status=Outcome.ERROR, reason=reason, message=message)


def order(known: Order) -> pb.Order:
    """Return the whole of an order."""
    request = known.request
    return pb.Order(
        client_order_id=request.client_order_id,
        order_id=known.broker_order_id or "",
        symbol=request.symbol,
        side=request.side,
        qty=_text(known.qty),
        notional=_text(request.notional),
        order_type=request.order_type,
        time_in_force=request.time_in_force,
        limit_price=_text(request.limit_price),
        stop_price=_text(request.stop_price),
        status=known.status,
        filled_qty=plain(known.filled_qty),
        filled_avg_price=_rounded(known.avg_fill_price),
        reason=known.reason or "",
        message=known.message or "",
        requested_at=_instant(known.requested_at),
        updated_at=_instant(known.updated_at),
        broker_status=known.broker_status,
        replaces=known.replaces or "",
        replaced_by=known.replaced_by or "",
    )


def orders(known: Iterable[Order]) -> pb.OrderList:
    """Return a list of orders."""
    return pb.OrderList(orders=[order(one) for one in known])


def position(held: Position) -> pb.Position:
    """Return one holding."""
    return pb.Position(
        symbol=held.symbol,
        qty=plain(held.qty),
        avg_entry_price=_rounded(held.avg_entry_price),
        mark_price=_rounded(held.mark_price),
        market_value=_rounded(held.market_value),
        unrealized_pnl=_rounded(held.unrealized_pnl),
        realized_pnl=_rounded(held.realized_pnl),
    )


def flat_position(symbol: Symbol) -> pb.Position:
    """Return the position in a symbol that is not held."""
    zero = plain(ZERO)
    return pb.Position(
        symbol=symbol,
        qty=zero,
        avg_entry_price=zero,
        mark_price=zero,
        market_value=zero,
        unrealized_pnl=zero,
        realized_pnl=zero,
    )


def positions(held: Iterable[Position]) -> pb.PositionList:
    """Return a list of holdings."""
    return pb.PositionList(positions=[position(one) for one in held])


def account(known: Account, user_id: UserId) -> pb.Account:
    """Return a strategy's own money."""
    return pb.Account(
        strategy_id=known.strategy_id,
        user_id=user_id,
        allocation=plain(known.allocation),
        cash=_rounded(known.cash),
        reserved=_rounded(known.reserved),
        buying_power=_rounded(known.buying_power),
        equity=_rounded(known.equity),
        realized_pnl=_rounded(known.realized_pnl),
        unrealized_pnl=_rounded(known.unrealized_pnl),
    )


def clock(known: MarketClock) -> pb.ClockResponse:
    """Return the market's clock."""
    return pb.ClockResponse(
        timestamp=_instant(known.timestamp),
        is_open=known.is_open,
        next_open=_instant(known.next_open),
        next_close=_instant(known.next_close),
    )


def bars(symbol: Symbol, raw: Iterable[Mapping[str, object]]) -> pb.BarList:
    """Return the broker's bars; WireError where one of them is no bar."""
    return pb.BarList(bars=[_bar(symbol, one) for one in raw])


def encode(message: Message, *, as_json: bool) -> bytes:
    """Return *message* as it goes out."""
    return msgspec.json.encode(_plain_fields(message)) if as_json else message.SerializeToString()


def _bar(symbol: Symbol, raw: Mapping[str, object]) -> pb.Bar:
    numbers = {}
    for name, key in (("open", "o"), ("high", "h"), ("low", "l"), ("close", "c"), ("volume", "v"), ("vwap", "vw")):
        value = raw.get(key, 0 if key == "vw" else None)
        if not isinstance(value, int | float):
            raise WireError(f"bar.{name}: the broker sent {_shown(str(value))} where a number was expected")
        numbers[name] = float(value)
    return pb.Bar(symbol=symbol, timestamp=_market_instant(raw.get("t")), **numbers)


def _market_instant(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, msgpack.Timestamp):
        value = value.to_unix_nano()
    if not isinstance(value, int):
        raise WireError(f"bar.timestamp: the broker sent {_shown(str(value))} where an instant was expected")
    return _instant(_EPOCH + timedelta(microseconds=value // 1000))


def _plain_fields(message: Message) -> dict[str, object]:
    fields: dict[str, object] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        # the only nested fields of our answers are lists of messages
        fields[field.name] = [_plain_fields(one) for one in value] if field.message_type else value
    return fields


def _text(value: Decimal | None) -> str:
    return "" if value is None else plain(value)


def _rounded(value: Decimal | None) -> str:
    return "" if value is None else plain(value.quantize(_SHOWN_PLACES, context=_WIDE))


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
