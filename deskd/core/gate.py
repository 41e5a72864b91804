"""The gate: every order passes every check, in this order, and the first no is the answer.

What each check found is kept with the verdict: an order can be explained for as long as the ledger lives.
"""

from dataclasses import dataclass
from typing import NamedTuple

from deskd.core import schedule
from deskd.core.checks import (
    BUY_STOP_MARGIN,
    MARKET_MARGIN,
    Check,
    Denied,
    Evidence,
    ValueCheck,
    Valued,
    account,
    form,
    free_to_close,
    killed,
    market,
    pace,
    size,
)
from deskd.domain.events import Checked
from deskd.domain.market import Quote
from deskd.domain.money import Cash, Price, Qty, notional
from deskd.domain.order import OrderRequest, OrderType, Side

CHECKS: tuple[Check, ...] = (
    killed.is_not_killed,
    pace.strategy_is_active,
    pace.strategy_is_not_paused,
    market.symbol_is_allowed,
    market.symbol_is_not_denied,
    market.symbol_is_known,
    market.symbol_is_tradable,
    market.symbol_is_not_frozen,
    market.symbol_is_not_halted,
    form.form_is_valid,
    form.prices_are_in_pennies,
    form.quantity_is_sold_so,
    pace.open_orders_are_few,
    pace.orders_today_are_few,
    pace.orders_this_minute_are_few,
    pace.is_no_duplicate,
    market.quote_is_there,
    market.quote_is_fresh,
    market.market_is_open,
    market.price_is_near,
    market.stop_is_ahead,
)
VALUE_CHECKS: tuple[ValueCheck, ...] = (
    killed.only_reduces,
    schedule.within_hours,
    schedule.close_is_far,
    size.order_qty_is_small,
    size.order_notional_is_small,
    size.sells_what_it_has,
    pace.no_exit_is_under_way,
    size.position_qty_is_small,
    size.position_notional_is_small,
    size.position_share_is_small,
    account.day_loss_is_small,
    account.drawdown_is_small,
    account.day_trades_are_few,
    pace.stop_is_past,
    account.gross_exposure_is_small,
    account.net_exposure_is_small,
    size.concentration_is_small,
    account.buying_power_suffices,
)
# An exit in the place of an exit: it opens nothing, and its shares are held as they were.
EXIT_CHECKS: tuple[ValueCheck, ...] = (size.order_qty_is_small, size.order_notional_is_small)
# A closing order of the desk: only what stops nonsense, and what is not known.
CLOSING_CHECKS: tuple[Check, ...] = (
    killed.is_not_killed,
    market.symbol_is_known,
    market.symbol_is_tradable,
    market.symbol_is_not_frozen,
    form.form_is_valid,
    form.quantity_is_sold_so,
    market.quote_is_there,
)
CLOSING_VALUE_CHECKS: tuple[ValueCheck, ...] = (size.closes_what_is_free,)
_tuple = tuple.__new__  # a NamedTuple made so takes half the time: 39 of them were a tenth of the gate's cost
_WORSE = 1 + MARKET_MARGIN
_CHECKS = tuple((check.__name__, check) for check in CHECKS)
_VALUE_CHECKS = tuple((check.__name__, check) for check in VALUE_CHECKS)
_EXIT_CHECKS = tuple((check.__name__, check) for check in EXIT_CHECKS)
_CLOSING_CHECKS = tuple((check.__name__, check) for check in CLOSING_CHECKS)
_CLOSING_VALUE_CHECKS = tuple((check.__name__, check) for check in CLOSING_VALUE_CHECKS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The value at which the order is approved, or why it is denied; and what each check found until then."""

    answer: Valued | Denied
    checks: tuple[Checked, ...]


def judge(evidence: Evidence) -> Verdict:
    """Return the value at which the order is approved, or why it is denied, and the findings up to there."""
    kept: list[Checked] = []
    for name, check in _CLOSING_CHECKS if evidence.is_closing else _CHECKS:
        is_good, _, figure, limit, _ = found = check(evidence)
        kept.append(_tuple(Checked, (name, figure, limit)))
        if not is_good:
            return Verdict(found.denied, tuple(kept))
    assert evidence.quote is not None, "quote_is_there passed"
    valued = valued_at(evidence, evidence.quote)
    value_checks = _EXIT_CHECKS if evidence.is_exit else _VALUE_CHECKS
    for name, value_check in _CLOSING_VALUE_CHECKS if evidence.is_closing else value_checks:
        is_good, _, figure, limit, _ = found = value_check(evidence, valued)
        kept.append(_tuple(Checked, (name, figure, limit)))
        if not is_good:
            return Verdict(found.denied, tuple(kept))
    return Verdict(valued, tuple(kept))


def valued_at(e: Evidence, quote: Quote) -> Valued:
    """Value the order at the worst price that the quote allows for, and what the strategy would hold with it."""
    size = sized(e.request, quote)
    closing = min(size.qty, free_to_close(e))
    opening = Qty(size.qty - closing)
    after = Qty(abs(e.position_qty + e.request.side.sign * (e.opening_qty + size.qty)))
    return Valued(
        size.qty,
        size.price,
        size.notional,
        closing,
        opening,
        Cash(opening * size.price),
        after,
        Cash(after * size.price),
        opening > 0,
    )


class Size(NamedTuple):
    """How much an order is for, at the worst price that the quote allows for."""

    qty: Qty
    price: Price
    notional: Cash


def sized(request: OrderRequest, quote: Quote) -> Size:
    """Return how much *request* is for, whatever is held."""
    price = worst_price(request, quote)
    if request.qty is not None:
        return Size(request.qty, price, notional(request.qty, price))
    assert request.notional is not None, "wire: exactly one of qty and notional"
    return Size(most_shares(request.notional, request.side, quote), price, request.notional)


def most_shares(worth: Cash, side: Side, quote: Quote) -> Qty:
    """Return the most shares that an order for so much money can come to, as far as the quote tells."""
    return Qty(worth / (quote.ask_price if side is Side.BUY else quote.bid_price * (1 - MARKET_MARGIN)))


def worst_price(request: OrderRequest, quote: Quote) -> Price:
    """Return the worst price that the order can be filled at, as far as the quote tells."""
    if request.side is Side.SELL:
        return Price(max(quote.bid_price, request.limit_price or quote.bid_price))
    if request.limit_price is not None:
        return request.limit_price
    if request.order_type is OrderType.STOP and request.stop_price is not None:
        return Price(request.stop_price * (1 + BUY_STOP_MARGIN))
    worst = quote.ask_price * _WORSE
    if request.trail_percent is not None:
        worst += quote.ask_price * request.trail_percent / 100
    elif request.trail_price is not None:
        worst += request.trail_price
    return Price(worst)
