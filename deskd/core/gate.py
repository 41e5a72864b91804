"""The gate: every order passes every check, in this order, and the first no is the answer.

What each check found is kept with the verdict: an order can be explained for as long as the ledger lives.
"""

from dataclasses import dataclass
from decimal import Decimal

from deskd.core import checks
from deskd.core.checks import BUY_STOP_MARGIN, MARKET_MARGIN, Check, Denied, Evidence, ValueCheck, Valued
from deskd.domain.events import Checked
from deskd.domain.market import Quote
from deskd.domain.money import Cash, Price, Qty, notional
from deskd.domain.order import OrderRequest, OrderType, Side

CHECKS: tuple[Check, ...] = (
    checks.strategy_is_active,
    checks.symbol_is_allowed,
    checks.symbol_is_known,
    checks.symbol_is_tradable,
    checks.symbol_is_not_frozen,
    checks.form_is_valid,
    checks.prices_are_in_pennies,
    checks.quantity_is_sold_so,
    checks.open_orders_are_few,
    checks.orders_today_are_few,
    checks.is_no_duplicate,
    checks.quote_is_there,
    checks.quote_is_fresh,
)
VALUE_CHECKS: tuple[ValueCheck, ...] = (
    checks.order_notional_is_small,
    checks.sells_what_it_has,
    checks.no_exit_is_under_way,
    checks.position_qty_is_small,
    checks.position_notional_is_small,
    checks.buying_power_suffices,
)
# An exit in the place of an exit: it opens nothing, and its shares are held as they were.
EXIT_CHECKS: tuple[ValueCheck, ...] = (checks.order_notional_is_small,)
# A closing order of the desk: only what stops nonsense, and what is not known.
CLOSING_CHECKS: tuple[Check, ...] = (
    checks.symbol_is_known,
    checks.symbol_is_tradable,
    checks.symbol_is_not_frozen,
    checks.form_is_valid,
    checks.quantity_is_sold_so,
    checks.quote_is_there,
)
CLOSING_VALUE_CHECKS: tuple[ValueCheck, ...] = (checks.closes_what_is_free,)
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
        found = check(evidence)
        kept.append(Checked(name, found.figure, found.limit))
        if not found.is_good:
            return Verdict(found.denied, tuple(kept))
    assert evidence.quote is not None, "quote_is_there passed"
    valued = value(evidence.request, evidence.quote, position_free=free_to_close(evidence))
    value_checks = _EXIT_CHECKS if evidence.is_exit else _VALUE_CHECKS
    for name, value_check in _CLOSING_VALUE_CHECKS if evidence.is_closing else value_checks:
        found = value_check(evidence, valued)
        kept.append(Checked(name, found.figure, found.limit))
        if not found.is_good:
            return Verdict(found.denied, tuple(kept))
    return Verdict(valued, tuple(kept))


def free_to_close(e: Evidence) -> Qty:
    """Return how many shares of the order only reduce what the strategy holds."""
    if e.request.side is Side.SELL:
        return Qty(max(e.position_qty - e.promised_qty, Decimal(0)))
    return Qty(max(-e.position_qty - e.opening_qty, Decimal(0)))


def value(request: OrderRequest, quote: Quote, *, position_free: Qty) -> Valued:
    """Value *request* at the worst price that the quote allows for."""
    price = worst_price(request, quote)
    if request.qty is not None:
        qty, worth = request.qty, notional(request.qty, price)
    else:
        assert request.notional is not None, "wire: exactly one of qty and notional"
        qty, worth = most_shares(request.notional, request.side, quote), request.notional
    return Valued(qty=qty, price=price, notional=worth, closing_qty=min(qty, position_free))


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
    trail = request.trail_price or Decimal(0)
    if request.trail_percent is not None:
        trail = quote.ask_price * request.trail_percent / 100
    return Price(quote.ask_price * (1 + MARKET_MARGIN) + trail)
