"""Every no of the exchange, with Alpaca's status, code and text, word for word. A refusal is a value.

Codes are overloaded on Alpaca's side, and so they are here: clients match on the status and the text.
Texts marked "ours" are not documented anywhere; they fill gaps of the documentation in its own words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from deskd.domain.money import plain

FORM = 40010001
REFUSED = 40310000
NOT_FOUND = 40410000
UNFIT = 42210000


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiError:
    """One refusal, as it goes on the wire: extras stand beside code and message in the body."""

    http: int
    code: int | None
    message: str
    extras: Mapping[str, object] = field(default_factory=dict)


def form(message: str) -> ApiError:
    """Refuse a request whose own fields do not go together (422, 40010001)."""
    return ApiError(http=422, code=FORM, message=message)


def refused(message: str, **extras: object) -> ApiError:
    """Refuse what the account may not do (403, 40310000)."""
    return ApiError(http=403, code=REFUSED, message=message, extras=extras)


def not_found(message: str) -> ApiError:
    """Say that there is no such thing (404, 40410000)."""
    return ApiError(http=404, code=NOT_FOUND, message=message)


def unfit(message: str, **extras: object) -> ApiError:
    """Refuse what does not fit the instrument, the market or the order's state (422, 42210000)."""
    return ApiError(http=422, code=UNFIT, message=message, extras=extras)


# --- the server's own, and lookups ------------------------------------------------------------------------------------


def body_format_is_invalid() -> ApiError:
    """Refuse a body that cannot be read."""
    return ApiError(http=400, code=40010000, message="request body format is invalid")


def unauthorized() -> ApiError:
    """Refuse a missing or wrong key; Alpaca sends no code."""
    return ApiError(http=401, code=None, message="unauthorized.")


def rate_limit_exceeded() -> ApiError:
    """Refuse one request too many in this minute."""
    return ApiError(http=429, code=42910000, message="rate limit exceeded")


def order_not_found(order_id: str) -> ApiError:
    """Say that no order has this id or client_order_id."""
    return not_found(f"order not found for {order_id}")


def position_not_found() -> ApiError:
    """Say that the account is flat in the symbol."""
    return not_found("position does not exist")


def asset_not_found(symbol: str) -> ApiError:
    """Say that no asset has this symbol or id (GET /v2/assets)."""
    return not_found(f"asset not found for {symbol}")


def symbol_not_found(symbol: str) -> ApiError:
    """Say that no asset has this symbol (positions)."""
    return not_found(f"symbol not found: {symbol}")


def activity_type_is_invalid(activity_type: str) -> ApiError:
    """Refuse an unknown activity type."""
    return form(f"invalid activity type: {activity_type}")


# --- the order's own form ---------------------------------------------------------------------------------------------


def client_order_id_is_taken() -> ApiError:
    """Refuse a client_order_id that any order, finished or not, already has."""
    return form("client_order_id must be unique")


def client_order_id_is_too_long() -> ApiError:
    """Refuse a client_order_id over its bound."""
    return form("client_order_id must be no more than 128 characters")


def qty_is_not_positive() -> ApiError:
    """Refuse a quantity of zero or less."""
    return form("qty must be > 0")


def notional_is_not_positive() -> ApiError:
    """Refuse a notional of zero or less (ours)."""
    return form("notional must be > 0")


def price_is_not_positive(name: str) -> ApiError:
    """Refuse a price of zero or less; *name* is the field."""
    return form(f"{name if '.' in name else name.replace('_', ' ')} must be > 0")


def qty_or_notional_is_required() -> ApiError:
    """Refuse an order without a quantity."""
    return form("qty or notional is required")


def qty_and_notional_are_exclusive() -> ApiError:
    """Refuse an order with two quantities."""
    return form("only one of qty or notional is accepted")


def market_order_has_price() -> ApiError:
    """Refuse prices on a market order."""
    return form("market orders require no stop or limit price")


def limit_order_has_no_limit_price() -> ApiError:
    """Refuse a limit order without its price."""
    return form("limit orders require a limit price")


def limit_order_has_stop_price() -> ApiError:
    """Refuse a stop price on a limit order."""
    return form("limit orders require only limit price")


def stop_order_has_no_stop_price() -> ApiError:
    """Refuse a stop order without its price."""
    return form("stop orders require a stop price")


def stop_order_has_limit_price() -> ApiError:
    """Refuse a limit price on a stop order (ours)."""
    return form("stop orders require only stop price")


def stop_limit_order_lacks_price() -> ApiError:
    """Refuse a stop-limit order without both prices."""
    return form("stop limit orders require both stop and limit price")


def trailing_stop_needs_one_trail() -> ApiError:
    """Refuse a trailing stop with no trail, or two."""
    return form("trailing stop orders must specify one of trail_price or trail_percent")


def trailing_stop_has_price() -> ApiError:
    """Refuse prices on a trailing stop (ours)."""
    return form("trailing stop orders require no stop or limit price")


def trail_without_trailing_stop() -> ApiError:
    """Refuse a trail on another type (ours)."""
    return form("trail_price and trail_percent require a trailing_stop order")


def trailing_stop_is_not_day_or_gtc() -> ApiError:
    """Refuse another time in force on a trailing stop (ours)."""
    return unfit("trailing stop orders must be DAY or GTC orders")


def time_in_force_needs_market_or_limit(time_in_force: str) -> ApiError:
    """Refuse ioc, fok, opg and cls on types other than market and limit (ours)."""
    return unfit(f"{time_in_force} orders must be market or limit orders")


def notional_is_not_market_day() -> ApiError:
    """Refuse notional on anything but a market day order (ours)."""
    return unfit("notional orders must be market DAY orders")


def extended_hours_is_not_limit() -> ApiError:
    """Refuse extended hours on anything but day or gtc limit orders."""
    return unfit("extended hours order must be DAY or GTC limit orders")


# --- classes ----------------------------------------------------------------------------------------------------------


def bracket_lacks(leg_price: str) -> ApiError:
    """Refuse a bracket without its legs; *leg_price* as in `take_profit.limit_price`."""
    return form(f"bracket orders require {leg_price}")


def bracket_is_not_market_or_limit(order_class: str) -> ApiError:
    """Refuse a bracket (or oto) whose entry is of another type."""
    return form(f"{order_class} orders must be market or limit orders")


def oco_is_not_limit() -> ApiError:
    """Refuse an oco that is not a limit order."""
    return form("oco orders must be limit orders")


def oco_lacks(leg_price: str) -> ApiError:
    """Refuse an oco without its legs (ours)."""
    return form(f"oco orders require {leg_price}")


def oto_needs_one_leg() -> ApiError:
    """Refuse an oto with no leg, or two (ours)."""
    return form("oto orders require one of take_profit or stop_loss")


def simple_order_has_legs() -> ApiError:
    """Refuse legs without a class (ours)."""
    return form("take_profit and stop_loss require order_class bracket, oco or oto")


def complex_order_is_not_day_or_gtc(order_class: str) -> ApiError:
    """Refuse another time in force on a complex order (ours)."""
    return unfit(f"{order_class} orders must be DAY or GTC orders")


def complex_order_is_not_regular(order_class: str) -> ApiError:
    """Refuse extended hours on a complex order (ours)."""
    return unfit(f"{order_class} orders are not allowed in extended hours")


def order_is_not_entry(order_class: str) -> ApiError:
    """Refuse a bracket (or oto) that reduces a position."""
    return unfit(f"{order_class} orders must be entry orders")


def oco_is_not_exit() -> ApiError:
    """Refuse an oco that does not reduce a position."""
    return unfit("oco orders must be exit orders")


def take_profit_is_under_base(base_price: Decimal) -> ApiError:
    """Refuse a buy bracket that would take a loss as profit."""
    return unfit("take_profit.limit_price must be >= base_price + 0.01", base_price=plain(base_price))


def take_profit_is_over_base(base_price: Decimal) -> ApiError:
    """Refuse a sell bracket that would take a loss as profit (ours, mirrored)."""
    return unfit("take_profit.limit_price must be <= base_price - 0.01", base_price=plain(base_price))


def stop_loss_is_over_base(base_price: Decimal) -> ApiError:
    """Refuse a buy bracket whose stop is already reached."""
    return unfit("stop_loss.stop_price must be <= base_price - 0.01", base_price=plain(base_price))


def stop_loss_is_under_base(base_price: Decimal) -> ApiError:
    """Refuse a sell bracket whose stop is already reached (ours, mirrored)."""
    return unfit("stop_loss.stop_price must be >= base_price + 0.01", base_price=plain(base_price))


def take_profit_is_not_under_stop() -> ApiError:
    """Refuse exits of a short whose prices are the wrong way round."""
    return unfit("take_profit.limit_price must be < stop_loss.stop_price")


def take_profit_is_not_over_stop() -> ApiError:
    """Refuse exits of a long whose prices are the wrong way round (ours, mirrored)."""
    return unfit("take_profit.limit_price must be > stop_loss.stop_price")


# --- instrument and market --------------------------------------------------------------------------------------------


def asset_is_unknown(symbol: str) -> ApiError:
    """Refuse an order in what the exchange does not list."""
    return unfit(f'asset "{symbol}" not found')


def asset_is_not_tradable(symbol: str) -> ApiError:
    """Refuse an order in what is listed and not traded."""
    return unfit(f'asset "{symbol}" is not tradable')


def asset_is_not_shortable(symbol: str) -> ApiError:
    """Refuse a short in what cannot be borrowed."""
    return unfit(f'asset "{symbol}" cannot be sold short')


def asset_is_not_fractionable(symbol: str) -> ApiError:
    """Refuse a fraction of what is sold in whole shares only."""
    return refused(f'asset "{symbol}" is not fractionable')


def short_is_not_day() -> ApiError:
    """Refuse a resting short in what is hard to borrow."""
    return unfit("only day orders are allowed for hard-to-borrow asset")


def price_is_sub_penny(name: str, price: Decimal) -> ApiError:
    """Refuse a price finer than its increment; *name* is the field."""
    return unfit(
        f"invalid {name} {plain(price)}. sub-penny increment does not fulfill minimum pricing criteria",
    )


def stop_is_not_under_market(market_price: Decimal, stop_price: Decimal) -> ApiError:
    """Refuse a sell stop at or above the market."""
    return unfit(
        "stop price must be less than current price", market_price=plain(market_price), stop_price=plain(stop_price)
    )


def stop_is_not_over_market(market_price: Decimal, stop_price: Decimal) -> ApiError:
    """Refuse a buy stop at or below the market."""
    return unfit(
        "stop price must be greater than current price", market_price=plain(market_price), stop_price=plain(stop_price)
    )


def fractional_must_be(what: str) -> ApiError:
    """Refuse a fraction on another time in force, class or type."""
    return unfit(f"fractional orders must be {what}")


def fractional_is_short() -> ApiError:
    """Refuse to sell a fraction short."""
    return unfit("fractional orders cannot be sold short")


def intent_does_not_match(inferred: str, specified: str) -> ApiError:
    """Refuse an order that would do something else than its author meant."""
    return unfit(f"position intent mismatch, inferred: {inferred}, specified: {specified}")


def opg_is_too_late() -> ApiError:
    """Refuse an opening-auction order outside of its window."""
    return refused("opg orders must be submitted after 7:00pm and before 9:28am")


def cls_is_too_late() -> ApiError:
    """Refuse a closing-auction order outside of its window (Alpaca's text names 3:55pm; its window ends at 3:50pm)."""
    return refused("cls orders must be submitted after 7:00pm and before 3:55pm")


# --- the account ------------------------------------------------------------------------------------------------------


def buying_power_is_short(buying_power: Decimal, cost_basis: Decimal) -> ApiError:
    """Refuse an order that costs more than may still be spent."""
    return refused("insufficient buying power", buying_power=plain(buying_power), cost_basis=plain(cost_basis))


def qty_is_short(
    symbol: str, *, requested: Decimal, available: Decimal, existing: Decimal, held: Decimal, related: Sequence[str]
) -> ApiError:
    """Refuse to close more than is held and not promised elsewhere."""
    extras: dict[str, object] = {
        "available": plain(available),
        "existing_qty": plain(existing),
        "held_for_orders": plain(held),
        "symbol": symbol,
    }
    if related:
        extras["related_orders"] = list(related)
    message = f"insufficient qty available for order (requested: {plain(requested)}, available: {plain(available)})"
    return refused(message, **extras)


def wash_trade(existing_order_id: str, *, is_limit: bool) -> ApiError:
    """Refuse an order that could trade against one of the account's own."""
    reason = (
        "opposite side limit order exists. use complex/limit/stop_limit orders"
        if is_limit
        else "opposite side market/stop order exists"
    )
    return refused(
        "potential wash trade detected. use complex orders", existing_order_id=existing_order_id, reject_reason=reason
    )


def cost_is_under_minimum() -> ApiError:
    """Refuse an order worth less than a dollar, or whose worth nobody knows."""
    return refused("cost basis must be >= minimal amount of order 1")


def account_may_not_short() -> ApiError:
    """Refuse a short of an account that is too small, or has switched shorting off."""
    return refused("account is not allowed to short")


def long_buy_against_short_sell() -> ApiError:
    """Refuse to open a long while an order to open a short waits."""
    return refused("cannot open a long buy while a short sell order is open")


def short_sell_against_long_buy() -> ApiError:
    """Refuse to open a short while an order to open a long waits (ours, mirrored)."""
    return refused("cannot open a short sell while a long buy order is open")


def fractional_is_disabled() -> ApiError:
    """Refuse fractions to an account that has switched them off."""
    return refused("fractional trading is disabled for this account")


def trading_is_suspended() -> ApiError:
    """Refuse new orders to an account that has suspended itself (ours)."""
    return refused("new orders are rejected by user request")


# --- the order's state ------------------------------------------------------------------------------------------------


def order_is_final(status: str) -> ApiError:
    """Refuse to cancel what has ended."""
    return unfit(f'order is already in "{status}" state')


def order_is_not_open() -> ApiError:
    """Refuse to replace what is not working yet, or no more."""
    return unfit("unable to replace order, order is not open")


def order_cannot_change(what: str) -> ApiError:
    """Refuse a replacement of what is fixed (ours); *what* as in `qty of a fractional order`."""
    return unfit(f"unable to replace order, {what} cannot be changed")


def replacement_is_not_whole() -> ApiError:
    """Refuse to replace by a fraction (ours)."""
    return form("qty of a replacement must be whole shares")


def close_needs_one_size() -> ApiError:
    """Refuse both qty and percentage on a close (ours)."""
    return form("only one of qty or percentage is accepted")


def percentage_is_out_of_bounds() -> ApiError:
    """Refuse to close nothing, or more than all (ours)."""
    return form("percentage must be > 0 and <= 100")
