"""Whether the market and the account allow an order. Each check looks at the evidence and returns None, or its no.

The order of `CHECKS` is the order in which a client hears of its faults: instrument, market, position, money.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import ROUND_DOWN, Decimal

from deskd.domain.market import Session
from deskd.domain.money import NO_QTY, Cash, Price, Qty
from deskd.domain.order import OrderClass, OrderType, Side, TimeInForce
from deskd.exchange import errors
from deskd.exchange.account import Asset, Configurations
from deskd.exchange.errors import ApiError
from deskd.exchange.form import is_fractional
from deskd.exchange.matching import SHARE, increment, trail_stop
from deskd.exchange.order import ExchangeOrder, NewOrder, PositionIntent
from deskd.exchange.portfolio import Worth
from deskd.exchange.prices import Nbbo
from deskd.exchange.session import NEW_YORK, SessionDay

COST_MIN = Cash(Decimal(1))
EQUITY_MULTIPLE_MAX = 6  # no order is worth more than so many times the account
CLS_LEAD = timedelta(minutes=10)
OPG_ENDS, AUCTIONS_BEGIN = time(9, 28), time(19, 0)

_CENT = Decimal("0.01")
_SHORT_MARGIN = Decimal("1.03")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a check may look at."""

    request: NewOrder
    asset: Asset
    configurations: Configurations
    now: datetime
    day: SessionDay | None
    session: Session
    nbbo: Nbbo | None
    last: Price | None
    position_qty: Qty  # signed
    held_qty: Qty  # of the position, promised to open orders, where this order would close; never negative
    holders: Sequence[str]  # the orders that hold it
    against: Sequence[ExchangeOrder]  # open orders of the other side in the symbol
    worth: Worth

    @property
    def intent(self) -> PositionIntent:
        """Return what the order does to the position."""
        if self.request.side is Side.BUY:
            return PositionIntent.BUY_TO_CLOSE if self.position_qty < 0 else PositionIntent.BUY_TO_OPEN
        return PositionIntent.SELL_TO_CLOSE if self.position_qty > 0 else PositionIntent.SELL_TO_OPEN

    @property
    def qty(self) -> Qty:
        """Return how many shares the order asks for; those of a notional order at the price it would trade at."""
        if self.request.qty is not None:
            return self.request.qty
        assert self.request.notional is not None, "the form has one of both"
        price = self.unit_cost
        return Qty((self.request.notional / price).quantize(SHARE, ROUND_DOWN)) if price else NO_QTY

    @property
    def unit_cost(self) -> Price:
        """Return what one share is taken to cost; zero where nobody knows."""
        r = self.request
        if r.order_class is OrderClass.OCO and r.take_profit is not None:
            return r.take_profit.limit_price
        price = r.limit_price if r.limit_price is not None else self._market_cost()
        if self.intent is PositionIntent.SELL_TO_OPEN and self.nbbo is not None:
            price = max(price, Price(self.nbbo.ask * _SHORT_MARGIN))
        return price

    @property
    def cost(self) -> Cash:
        """Return what the whole order is taken to cost."""
        if self.request.notional is not None and self.unit_cost:
            return self.request.notional
        return Cash(self.qty * self.unit_cost)

    def _market_cost(self) -> Price:
        r = self.request
        if r.stop_price is not None:
            return r.stop_price
        if self.session is Session.CLOSED or self.nbbo is None:
            price = self.last or Price(Decimal(0))
        else:
            price = self.nbbo.far(r.side) if self.session is Session.REGULAR else self.nbbo.midpoint
        if r.order_type is OrderType.TRAILING_STOP and self.last is not None:
            price = max(price, trail_stop(r.side, self.last, r.trail_price, r.trail_percent))
        return price


type Check = Callable[[Evidence], ApiError | None]


def check(e: Evidence) -> ApiError | None:
    """Return the first no, or None."""
    for rule in CHECKS:
        if error := rule(e):
            return error
    return None


# --- instrument -------------------------------------------------------------------------------------------------------


def trading_is_on(e: Evidence) -> ApiError | None:
    """Let an account trade that has not suspended itself."""
    return errors.trading_is_suspended() if e.configurations.suspend_trade else None


def asset_is_tradable(e: Evidence) -> ApiError | None:
    """Let only what is traded be ordered."""
    return None if e.asset.tradable else errors.asset_is_not_tradable(e.asset.symbol)


def fraction_is_allowed(e: Evidence) -> ApiError | None:
    """Let fractions be ordered where asset and account have them, and never short."""
    if not is_fractional(e.request):
        return None
    if not e.asset.fractionable:
        return errors.asset_is_not_fractionable(e.asset.symbol)
    if not e.configurations.fractional_trading:
        return errors.fractional_is_disabled()
    return errors.fractional_is_short() if e.intent is PositionIntent.SELL_TO_OPEN else None


def prices_have_their_increment(e: Evidence) -> ApiError | None:
    """Have at most two decimals from a dollar, at most four below it."""
    for name, price in e.request.named_prices():
        if not name.startswith("trail") and price % increment(price):
            return errors.price_is_sub_penny(name, price)
    return None


# --- market -----------------------------------------------------------------------------------------------------------


def auction_is_ahead(e: Evidence) -> ApiError | None:
    """Take auction orders in their windows only."""
    tif = e.request.time_in_force
    if tif not in (TimeInForce.OPG, TimeInForce.CLS) or e.day is None:
        return None
    local = e.now.astimezone(NEW_YORK)
    if local.date() != e.day.day or local.time() >= AUCTIONS_BEGIN:
        return None
    if tif is TimeInForce.OPG:
        return errors.opg_is_too_late() if local.time() >= OPG_ENDS else None
    return errors.cls_is_too_late() if e.now >= e.day.close_at - CLS_LEAD else None


def stop_is_ahead(e: Evidence) -> ApiError | None:
    """Have a stop on the far side of the market: a buy's above it, a sell's below."""
    stop = e.request.stop_price
    if e.request.order_class is OrderClass.OCO and e.request.stop_loss is not None:
        stop = e.request.stop_loss.stop_price
    if stop is None or e.last is None:
        return None
    if e.request.side is Side.BUY:
        return None if stop > e.last else errors.stop_is_not_over_market(e.last, stop)
    return None if stop < e.last else errors.stop_is_not_under_market(e.last, stop)


def trail_is_shorter_than_price(e: Evidence) -> ApiError | None:
    """Have a trail that leaves a stop price over zero."""
    r = e.request
    if r.order_type is not OrderType.TRAILING_STOP or e.last is None:
        return None
    stop = trail_stop(r.side, e.last, r.trail_price, r.trail_percent)
    return None if stop > 0 else errors.price_is_not_positive("stop price")


def exits_surround_price(e: Evidence) -> ApiError | None:
    """Have a take-profit that is a profit, and a stop-loss that is not reached yet."""
    r = e.request
    profit = None if r.take_profit is None else r.take_profit.limit_price
    loss = None if r.stop_loss is None else r.stop_loss.stop_price
    exit_side = r.side if r.order_class is OrderClass.OCO else _opposite(r.side)
    if profit is not None and loss is not None:
        if exit_side is Side.SELL and profit <= loss:
            return errors.take_profit_is_not_over_stop()
        if exit_side is Side.BUY and profit >= loss:
            return errors.take_profit_is_not_under_stop()
    base = r.limit_price if r.limit_price is not None else e.last
    if base is None or r.order_class is OrderClass.OCO:
        return None
    if exit_side is Side.SELL:
        if profit is not None and profit < base + _CENT:
            return errors.take_profit_is_under_base(base)
        return errors.stop_loss_is_over_base(base) if loss is not None and loss > base - _CENT else None
    if profit is not None and profit > base - _CENT:
        return errors.take_profit_is_over_base(base)
    return errors.stop_loss_is_under_base(base) if loss is not None and loss < base + _CENT else None


# --- position ---------------------------------------------------------------------------------------------------------


def intent_is_as_specified(e: Evidence) -> ApiError | None:
    """Do what the author meant, where the author said so."""
    specified = e.request.position_intent
    if specified is None or specified is e.intent:
        return None
    return errors.intent_does_not_match(e.intent, specified)


def class_fits_position(e: Evidence) -> ApiError | None:
    """Let brackets and otos open, and ocos close."""
    if e.request.order_class in (OrderClass.BRACKET, OrderClass.OTO) and not e.intent.opens:
        return errors.order_is_not_entry(e.request.order_class)
    if e.request.order_class is OrderClass.OCO and e.intent.opens:
        return errors.oco_is_not_exit()
    return None


def position_covers_it(e: Evidence) -> ApiError | None:
    """Close no more than is held and not promised to another order: one order never crosses zero."""
    if e.intent.opens:
        return None
    existing = abs(e.position_qty)
    available = Qty(existing - e.held_qty)
    if e.qty <= available:
        return None
    return errors.qty_is_short(
        e.asset.symbol,
        requested=e.qty,
        available=available,
        existing=e.position_qty,
        held=e.held_qty,
        related=e.holders,
    )


def short_is_allowed(e: Evidence) -> ApiError | None:
    """Open a short only with the account's and the lender's leave."""
    if e.intent is not PositionIntent.SELL_TO_OPEN:
        return None
    if e.configurations.no_shorting or e.worth.multiplier == 1:
        return errors.account_may_not_short()
    if not e.asset.shortable:
        return errors.asset_is_not_shortable(e.asset.symbol)
    if not e.asset.easy_to_borrow:
        is_day = e.request.time_in_force is TimeInForce.DAY
        return errors.asset_is_not_shortable(e.asset.symbol) if is_day else errors.short_is_not_day()
    return None


def openings_agree(e: Evidence) -> ApiError | None:
    """Never wait to open a long and a short at once: both filled would cross zero."""
    if not e.intent.opens:
        return None
    if not any(other.position_intent.opens for other in e.against):
        return None
    is_buy = e.request.side is Side.BUY
    return errors.long_buy_against_short_sell() if is_buy else errors.short_sell_against_long_buy()


def trade_is_not_with_itself(e: Evidence) -> ApiError | None:
    """Refuse an order that could trade against another of the account (wash trade)."""
    r = e.request
    if r.order_class is not OrderClass.SIMPLE or r.order_type is OrderType.TRAILING_STOP:
        return None
    for other in e.against:
        if could_wash(r.side, r.limit_price, other):
            return errors.wash_trade(other.id, is_limit=other.limit_price is not None)
    return None


def could_wash(side: Side, limit_price: Price | None, other: ExchangeOrder) -> bool:
    """Tell whether a simple order could trade against *other*; exits of complex orders and trailing stops may."""
    if other.side is side or other.order_class is not OrderClass.SIMPLE:
        return False
    if other.order_type is OrderType.TRAILING_STOP:
        return False
    if limit_price is None or other.limit_price is None:
        return True
    buy, sell = (limit_price, other.limit_price) if side is Side.BUY else (other.limit_price, limit_price)
    return buy >= sell


# --- money ------------------------------------------------------------------------------------------------------------


def cost_is_over_minimum(e: Evidence) -> ApiError | None:
    """Open for no less than a dollar; what nobody can price costs nothing, and is refused."""
    if e.request.notional is None and not e.intent.opens:
        return None
    return None if e.cost >= COST_MIN else errors.cost_is_under_minimum()


def buying_power_covers_it(e: Evidence) -> ApiError | None:
    """Open for no more than may be spent."""
    if not e.intent.opens:
        return None
    multiplier = e.worth.multiplier if e.asset.marginable else 1
    power = e.worth.buying_power(multiplier)
    if e.cost <= min(power, EQUITY_MULTIPLE_MAX * e.worth.equity):
        return None
    return errors.buying_power_is_short(power, e.cost)


def _opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


CHECKS: tuple[Check, ...] = (
    trading_is_on,
    asset_is_tradable,
    prices_have_their_increment,
    auction_is_ahead,
    stop_is_ahead,
    trail_is_shorter_than_price,
    intent_is_as_specified,
    class_fits_position,
    fraction_is_allowed,
    exits_surround_price,
    position_covers_it,
    short_is_allowed,
    openings_agree,
    trade_is_not_with_itself,
    cost_is_over_minimum,
    buying_power_covers_it,
)
