"""What the trading API answers: the exchange's types in Alpaca's shapes, key by key.

1. Money, prices and quantities are strings, without exponent and without trailing zeros; at most nine decimal places.
2. Instants are RFC 3339 in UTC, trailing zeros of the fraction trimmed. The clock alone speaks New York's time.
3. Keys without a value are there, as null; the group's keys are there for complex orders only.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from deskd.domain.market import MarketClock
from deskd.domain.money import plain
from deskd.domain.order import OrderClass
from deskd.exchange.account import AccountView, Activity, Asset, Configurations, EquityPoint, PositionView
from deskd.exchange.errors import ApiError
from deskd.exchange.order import ExchangeOrder, OrderEvent
from deskd.wire.alpaca.market import NEW_YORK

ORDER_PLACES = 9  # the finest figure of an order or execution
POSITION_PLACES = 6  # of a position's figures, as recorded

type Json = dict[str, object]


# --- figures and instants ---------------------------------------------------------------------------------------------


def figure(value: Decimal, places: int = ORDER_PLACES) -> str:
    """Return the number as a string, rounded half to even where it is finer than *places*."""
    text = plain(value)
    point = text.find(".")
    return text if point < 0 or len(text) - point - 1 <= places else plain(round(value, places))


def maybe_figure(value: Decimal | None) -> str | None:
    """Return the number as a string, or null."""
    return None if value is None else figure(value)


@lru_cache(maxsize=4_096)  # an order says the same instant up to four times, and its events say it again
def instant(at: datetime) -> str:
    """Return the instant in UTC, with Z and as few digits as it needs."""
    text = at.astimezone(UTC).isoformat()[:-6]
    return (text.rstrip("0") if "." in text else text) + "Z"


def maybe_instant(at: datetime | None) -> str | None:
    """Return the instant, or null."""
    return None if at is None else instant(at)


def error(refusal: ApiError) -> Json:
    """Return the body of a refusal."""
    body: Json = {} if refusal.code is None else {"code": refusal.code}
    return body | {"message": refusal.message} | dict(refusal.extras)


# --- orders -----------------------------------------------------------------------------------------------------------


def order(it: ExchangeOrder, legs: Sequence[ExchangeOrder] = ()) -> Json:
    """Return the order; *legs* go inside of it."""
    body: Json = {
        "asset_class": "us_equity",
        "asset_id": it.asset_id,
        "canceled_at": maybe_instant(it.canceled_at),
        "client_order_id": it.client_order_id,
        "created_at": instant(it.created_at),
        "expired_at": maybe_instant(it.expired_at),
        "expires_at": maybe_instant(it.expires_at),
        "extended_hours": it.extended_hours,
        "failed_at": maybe_instant(it.failed_at),
        "filled_at": maybe_instant(it.filled_at),
        "filled_avg_price": maybe_figure(it.filled_avg_price),
        "filled_qty": figure(it.filled_qty),
        "hwm": maybe_figure(it.hwm),
        "id": it.id,
        "legs": [order(leg) for leg in legs] or None,
        "limit_price": maybe_figure(it.limit_price),
        "notional": maybe_figure(it.notional),
        "order_class": "" if it.order_class is OrderClass.SIMPLE else it.order_class.value,
        "order_type": it.order_type.value,
        "position_intent": it.position_intent.value,
        "qty": maybe_figure(it.qty),
        "replaced_at": maybe_instant(it.replaced_at),
        "replaced_by": it.replaced_by,
        "replaces": it.replaces,
        "side": it.side.value,
        "source": None,
        "status": it.status.value,
        "stop_price": maybe_figure(it.stop_price),
        "submitted_at": instant(it.submitted_at),
        "subtag": None,
        "symbol": it.symbol,
        "time_in_force": it.time_in_force.value,
        "trail_percent": maybe_figure(it.trail_percent),
        "trail_price": maybe_figure(it.trail_price),
        "type": it.order_type.value,
        "updated_at": instant(it.updated_at),
    }
    if it.group_id is not None:
        body |= {"group_id": it.group_id, "group_role": it.group_role}
    return body


def trade_update(event: OrderEvent) -> Json:
    """Return the message of the trade_updates stream."""
    data: Json = {
        "event": event.event.value,
        "event_id": event.event_id,
        "at": instant(event.at),
        "execution_id": event.execution_id,
        "timestamp": instant(event.at),
        "order": order(event.order),
    }
    if event.previous_execution_id is not None:
        data["previous_execution_id"] = event.previous_execution_id
    if event.price is not None and event.qty is not None and event.position_qty is not None:
        data |= {
            "price": figure(event.price),
            "qty": figure(event.qty),
            "position_qty": figure(event.position_qty),
        }
    return {"stream": "trade_updates", "data": data}


def canceled(order_id: str, refusal: ApiError | None) -> Json:
    """Return one item of the answer to DELETE /v2/orders."""
    if refusal is None:
        return {"id": order_id, "status": 200}
    return {"id": order_id, "status": refusal.http, "body": error(refusal)}


def closed(symbol: str, answer: ExchangeOrder | ApiError) -> Json:
    """Return one item of the answer to DELETE /v2/positions."""
    if isinstance(answer, ApiError):
        return {"symbol": symbol, "status": answer.http, "body": error(answer)}
    return {"symbol": symbol, "status": 200, "body": order(answer)}


# --- the account ------------------------------------------------------------------------------------------------------


def account(it: AccountView) -> Json:
    """Return the account with all of its figures. The pattern-day-trader keys are gone since 2026-07."""
    buying_power = figure(it.buying_power)
    non_marginable = figure(it.non_marginable_buying_power)
    return {
        "account_blocked": False,
        "account_number": it.account_number,
        "accrued_fees": "0",
        "admin_configurations": {},
        "balance_asof": it.balance_asof.isoformat(),
        "buying_power": buying_power,
        "cash": figure(it.cash),
        "created_at": instant(it.created_at),
        "crypto_status": "ACTIVE",
        "crypto_tier": 1,
        "currency": "USD",
        "effective_buying_power": buying_power,
        "equity": figure(it.equity),
        "id": it.id,
        "initial_margin": figure(it.initial_margin),
        "intraday_adjustments": "0",
        "last_equity": figure(it.last_equity),
        "last_maintenance_margin": figure(it.last_maintenance_margin),
        "long_market_value": figure(it.long_market_value),
        "maintenance_margin": figure(it.maintenance_margin),
        "multiplier": it.multiplier,
        "non_marginable_buying_power": non_marginable,
        "options_approved_level": 3,
        "options_buying_power": non_marginable,
        "options_trading_level": 3,
        "pending_reg_taf_fees": "0",
        "portfolio_value": figure(it.equity),
        "position_market_value": figure(it.position_market_value),
        "regt_buying_power": figure(it.regt_buying_power),
        "short_market_value": figure(it.short_market_value),
        "shorting_enabled": it.shorting_enabled,
        "sma": figure(it.sma),
        "status": "ACTIVE",
        "trade_suspended_by_user": it.trade_suspended_by_user,
        "trading_blocked": False,
        "transfers_blocked": False,
        "user_configurations": None,
    }


def configurations(it: Configurations) -> Json:
    """Return the account's own switches."""
    return {
        "disable_overnight_trading": it.disable_overnight_trading,
        "fractional_trading": it.fractional_trading,
        "max_margin_multiplier": it.max_margin_multiplier,
        "max_options_trading_level": it.max_options_trading_level,
        "no_shorting": it.no_shorting,
        "ptp_no_exception_entry": it.ptp_no_exception_entry,
        "suspend_trade": it.suspend_trade,
        "trade_confirm_email": it.trade_confirm_email,
    }


def position(it: PositionView) -> Json:
    """Return the position at its latest price."""

    def rounded(value: Decimal) -> str:
        return figure(value, POSITION_PLACES)

    return {
        "asset_class": "us_equity",
        "asset_id": it.asset_id,
        "asset_marginable": it.asset_marginable,
        "avg_entry_price": rounded(it.avg_entry_price),
        "change_today": rounded(it.change_today),
        "cost_basis": rounded(it.cost_basis),
        "current_price": rounded(it.current_price),
        "exchange": it.exchange,
        "lastday_price": rounded(it.lastday_price),
        "market_value": rounded(it.market_value),
        "qty": figure(it.qty),
        "qty_available": figure(it.qty_available),
        "side": it.side,
        "symbol": it.symbol,
        "unrealized_intraday_pl": rounded(it.unrealized_intraday_pl),
        "unrealized_intraday_plpc": rounded(it.unrealized_intraday_plpc),
        "unrealized_pl": rounded(it.unrealized_pl),
        "unrealized_plpc": rounded(it.unrealized_plpc),
    }


def activity(it: Activity) -> Json:
    """Return one line of the account's history."""
    if it.activity_type != "FILL":
        shares: Json = {} if it.symbol is None else {"symbol": it.symbol, "qty": figure(it.qty or Decimal(0))}
        return shares | {
            "activity_type": it.activity_type,
            "date": it.at.astimezone(NEW_YORK).date().isoformat(),
            "description": it.description or "",
            "id": it.id,
            "net_amount": figure(it.net_amount or Decimal(0)),
            "status": "executed",
        }
    assert it.side is not None
    assert it.order_status is not None
    return {
        "activity_type": "FILL",
        "cum_qty": maybe_figure(it.cum_qty),
        "id": it.id,
        "leaves_qty": maybe_figure(it.leaves_qty),
        "order_id": it.order_id,
        "order_status": it.order_status.value,
        "price": maybe_figure(it.price),
        "qty": maybe_figure(it.qty),
        "side": "sell_short" if it.is_short_sale else it.side.value,
        "symbol": it.symbol,
        "transaction_time": instant(it.at),
        "type": it.type,
    }


def portfolio_history(points: Sequence[EquityPoint], base: EquityPoint, timeframe: str) -> Json:
    """Return the account's worth over time: JSON numbers, alone among the trading API's money."""
    gains = [point.equity - base.equity for point in points]
    return {
        "timestamp": [int(point.at.timestamp()) for point in points],
        "equity": [_number(point.equity, 2) for point in points],
        "profit_loss": [_number(gain, 2) for gain in gains],
        "profit_loss_pct": [_number(gain / base.equity if base.equity else Decimal(0), 6) for gain in gains],
        "base_value": _number(base.equity, 2),
        "base_value_asof": base.day.isoformat(),
        "timeframe": timeframe,
    }


# --- the market -------------------------------------------------------------------------------------------------------


def asset(it: Asset) -> Json:
    """Return what can be traded."""
    return {
        "attributes": asset_attributes(it),
        "borrow_status": "easy_to_borrow" if it.easy_to_borrow else "hard_to_borrow",
        "class": "us_equity",
        "easy_to_borrow": it.easy_to_borrow,
        "exchange": it.exchange,
        "fractionable": it.fractionable,
        "id": it.id,
        "maintenance_margin_requirement": 30,
        "margin_requirement_long": "30",
        "margin_requirement_short": "30",
        "marginable": it.marginable,
        "name": it.name,
        "shortable": it.shortable,
        "status": asset_status(it),
        "symbol": it.symbol,
        "tradable": it.tradable,
    }


def asset_attributes(it: Asset) -> list[str]:
    """Return what Alpaca calls the asset's attributes."""
    return ["fractional_eh_enabled"] if it.fractionable else []


def asset_status(it: Asset) -> str:
    """Return active, or inactive where it is not traded."""
    return "active" if it.tradable else "inactive"


def clock(it: MarketClock) -> Json:
    """Return the market's clock, in New York's time."""
    return {
        "timestamp": it.timestamp.astimezone(NEW_YORK).isoformat(),
        "is_open": it.is_open,
        "next_open": it.next_open.astimezone(NEW_YORK).isoformat(),
        "next_close": it.next_close.astimezone(NEW_YORK).isoformat(),
    }


def _number(value: Decimal, places: int) -> float:
    return float(round(value, places))
