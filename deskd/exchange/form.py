"""Whether a request's own fields go together. Nothing here looks at market or account."""

from collections.abc import Callable

from deskd.domain.events import BrokerStatus
from deskd.domain.order import OrderClass, OrderType, TimeInForce
from deskd.exchange import errors
from deskd.exchange.errors import ApiError
from deskd.exchange.order import ENTRY, ExchangeOrder, NewOrder, OrderChanges

CLIENT_ORDER_ID_MAX = 128

_RESTING = frozenset({TimeInForce.DAY, TimeInForce.GTC})
_MARKET_OR_LIMIT = frozenset({OrderType.MARKET, OrderType.LIMIT})
_REPLACEABLE = frozenset({BrokerStatus.NEW, BrokerStatus.PARTIALLY_FILLED})
_FRACTIONAL_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT})

type FormCheck = Callable[[NewOrder], ApiError | None]


def check_form(request: NewOrder) -> ApiError | None:
    """Return the first rule that the request breaks, or None."""
    for check in FORM_CHECKS:
        if error := check(request):
            return error
    return None


def client_order_id_is_short(r: NewOrder) -> ApiError | None:
    """Bound the id, which goes into URLs and logs."""
    if r.client_order_id is not None and len(r.client_order_id) > CLIENT_ORDER_ID_MAX:
        return errors.client_order_id_is_too_long()
    return None


def quantity_is_one(r: NewOrder) -> ApiError | None:
    """Have exactly one of qty and notional, over zero."""
    if r.qty is None and r.notional is None:
        return errors.qty_or_notional_is_required()
    if r.qty is not None and r.notional is not None:
        return errors.qty_and_notional_are_exclusive()
    if r.qty is not None and r.qty <= 0:
        return errors.qty_is_not_positive()
    if r.notional is not None and r.notional <= 0:
        return errors.notional_is_not_positive()
    return None


def prices_are_positive(r: NewOrder) -> ApiError | None:
    """Have no price of zero or less."""
    for name, price in r.named_prices():
        if price <= 0:
            return errors.price_is_not_positive(name)
    return None


def prices_fit_type(r: NewOrder) -> ApiError | None:
    """Have the prices that the type needs, and no other."""
    has_limit, has_stop = r.limit_price is not None, r.stop_price is not None
    if r.order_type is not OrderType.TRAILING_STOP and (r.trail_price is not None or r.trail_percent is not None):
        return errors.trail_without_trailing_stop()
    match r.order_type:
        case OrderType.MARKET:
            return errors.market_order_has_price() if has_limit or has_stop else None
        case OrderType.LIMIT:
            if has_stop:
                return errors.limit_order_has_stop_price()
            is_priced = has_limit or r.order_class is OrderClass.OCO  # whose price is its take_profit's
            return None if is_priced else errors.limit_order_has_no_limit_price()
        case OrderType.STOP:
            if not has_stop:
                return errors.stop_order_has_no_stop_price()
            return errors.stop_order_has_limit_price() if has_limit else None
        case OrderType.STOP_LIMIT:
            return None if has_limit and has_stop else errors.stop_limit_order_lacks_price()
        case OrderType.TRAILING_STOP:
            if has_limit or has_stop:
                return errors.trailing_stop_has_price()
            has_one = (r.trail_price is None) is not (r.trail_percent is None)
            return None if has_one else errors.trailing_stop_needs_one_trail()


def time_in_force_fits_type(r: NewOrder) -> ApiError | None:
    """Let only market and limit orders have a short life."""
    if r.time_in_force in _RESTING or r.order_type in _MARKET_OR_LIMIT:
        return None
    if r.order_type is OrderType.TRAILING_STOP:
        return errors.trailing_stop_is_not_day_or_gtc()
    return errors.time_in_force_needs_market_or_limit(r.time_in_force)


def class_has_its_legs(r: NewOrder) -> ApiError | None:
    """Have the legs that the class needs, and no other."""
    profit, loss = r.take_profit is not None, r.stop_loss is not None
    match r.order_class:
        case OrderClass.SIMPLE:
            return errors.simple_order_has_legs() if profit or loss else None
        case OrderClass.BRACKET:
            if not profit:
                return errors.bracket_lacks("take_profit.limit_price")
            return None if loss else errors.bracket_lacks("stop_loss.stop_price")
        case OrderClass.OCO:
            if not profit:
                return errors.oco_lacks("take_profit.limit_price")
            return None if loss else errors.oco_lacks("stop_loss.stop_price")
        case OrderClass.OTO:
            return None if profit is not loss else errors.oto_needs_one_leg()


def class_fits_type(r: NewOrder) -> ApiError | None:
    """Let complex orders be whole-share day or gtc orders of the regular session, of the type their class allows."""
    name = r.order_class.value
    if r.order_class is OrderClass.SIMPLE:
        return None
    if r.order_class is OrderClass.OCO:
        if r.order_type is not OrderType.LIMIT:
            return errors.oco_is_not_limit()
    elif r.order_type not in _MARKET_OR_LIMIT:
        return errors.bracket_is_not_market_or_limit(name)
    if is_fractional(r):
        return errors.fractional_must_be("simple orders")
    if r.time_in_force not in _RESTING:
        return errors.complex_order_is_not_day_or_gtc(name)
    return errors.complex_order_is_not_regular(name) if r.extended_hours else None


def fraction_is_simple(r: NewOrder) -> ApiError | None:
    """Let fractions be day orders of the plain types."""
    if not is_fractional(r):
        return None
    if r.time_in_force is not TimeInForce.DAY:
        return errors.fractional_must_be("DAY orders")
    if r.order_type not in _FRACTIONAL_TYPES:
        return errors.fractional_must_be("market, limit, stop, or stop_limit orders")
    if r.notional is not None and r.order_type is not OrderType.MARKET:
        return errors.notional_is_not_market_day()
    return None


def extended_hours_is_limit(r: NewOrder) -> ApiError | None:
    """Let only day and gtc limit orders trade before and after the regular session."""
    if r.extended_hours and not (r.order_type is OrderType.LIMIT and r.time_in_force in _RESTING):
        return errors.extended_hours_is_not_limit()
    return None


def is_fractional(r: NewOrder) -> bool:
    """Tell whether the request asks for a part of a share."""
    return r.qty is None or r.qty != r.qty.to_integral_value()


FORM_CHECKS: tuple[FormCheck, ...] = (
    client_order_id_is_short,
    quantity_is_one,
    prices_are_positive,
    prices_fit_type,
    class_has_its_legs,
    class_fits_type,
    time_in_force_fits_type,
    fraction_is_simple,
    extended_hours_is_limit,
)


def check_replacement(old: ExchangeOrder, changes: OrderChanges) -> ApiError | None:
    """Return why the order cannot be changed like this, whatever it would become; or None."""
    if old.status not in _REPLACEABLE:
        return errors.order_is_not_open()
    if old.qty is None:
        return errors.order_cannot_change("a notional order")
    if changes.trail is not None and old.order_type is not OrderType.TRAILING_STOP:
        return errors.trail_without_trailing_stop()
    if changes.qty is None:
        return None
    if old.is_fractional:
        return errors.order_cannot_change("qty of a fractional order")
    if old.group_role is not None and old.group_role != ENTRY:
        return errors.order_cannot_change("qty of an exit")
    return None if changes.qty == changes.qty.to_integral_value() else errors.replacement_is_not_whole()
