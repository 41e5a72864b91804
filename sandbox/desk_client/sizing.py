"""How many shares: formulas of position sizing, exact and rounded down.

    from desk_client import sizing
    qty = sizing.fixed_notional(2_000, sizing.buy_price(line["ask"]))

1. Numbers may be Decimal, int, str or float (what a line has); what comes back is Decimal. Money is US dollars, a price is
   of one share, a volatility or return is of one year and a fraction of one: 0.15 is 15 %.
2. Shares are rounded down to `step`: WHOLE, or FRACTION where the instrument is sold in parts (market orders for the day).
   So they never cost more than was meant, and are never negative: where there is nothing to spend, they are 0.
3. What is unknown is refused: None, NaN, infinity, a price of zero or less raise ValueError with the name of the figure.
4. The desk values orders as `buy_price` does: what is sized by it passes the gate's bound for one order, and one step
   more does not (tests/desk_client/test_sizing.py holds them together).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_FLOOR, Context, Decimal, InvalidOperation, localcontext
from typing import Union

__all__ = [
    "FRACTION",
    "MARKET_MARGIN",
    "WHOLE",
    "buy_price",
    "fixed_notional",
    "kelly_fraction",
    "kelly_fraction_of_returns",
    "percent_of_equity",
    "realized_volatility",
    "volatility_target",
]

Number = Union[Decimal, int, float, str]

WHOLE = Decimal(1)
FRACTION = Decimal("0.000000001")  # the broker takes nine decimal places
MARKET_MARGIN = Decimal("0.02")  # so much above the ask the desk values a market buy: it fills at what the ask is then
MOST = Decimal(10) ** 15  # more is no amount, no price and no number of shares: a mistake in units

_EXACT = Context(prec=80, rounding=ROUND_FLOOR)  # whatever a strategy made of the global one
_STATISTICS = Context(prec=28)  # roots and logarithms never end


def buy_price(ask: Number) -> Decimal:
    """Return the price at which the desk values a market order to buy; a limit order is valued at its limit."""
    return _EXACT.multiply(_price("ask", ask), _EXACT.add(Decimal(1), MARKET_MARGIN))


def fixed_notional(notional: Number, price: Number, *, step: Number = WHOLE) -> Decimal:
    """Return the shares that *notional* dollars buy: notional / price, rounded down."""
    worth, each, least = _figure("notional", notional), _price("price", price), _price("step", step)
    if worth <= 0:
        return Decimal(0)
    steps = _EXACT.divide_int(worth, _EXACT.multiply(each, least))
    return _EXACT.multiply(steps, least)


def percent_of_equity(percent: Number, equity: Number, price: Number, *, step: Number = WHOLE) -> Decimal:
    """Return the shares worth *percent* of the equity: equity x percent / 100 / price, rounded down; 5 is 5 %."""
    part = _figure("percent", percent)
    if not 0 <= part <= 100:
        raise ValueError(f"percent={percent} must be from 0 to 100: 5 is five percent of the equity")
    return _of_equity(_EXACT.divide(part, Decimal(100)), equity, price, step)


def volatility_target(
    target: Number,
    volatility: Number,
    equity: Number,
    price: Number,
    *,
    weight_max: Number = 1,
    by_variance: bool = False,
    step: Number = WHOLE,
) -> Decimal:
    """Return the shares whose part of the equity has about the volatility *target* (both of a year: 0.10 is 10 %).

    weight = min(target / volatility, weight_max); shares = equity x weight / price, rounded down. This is volatility
    targeting as in Harvey, Hoyle, Korgaonkar, Rattray, Sargaison and Van Hemert, "The Impact of Volatility Targeting",
    Journal of Portfolio Management 45(1), 2018. With *by_variance* the weight is (target / volatility) squared: the
    c / variance of Moreira and Muir, "Volatility-Managed Portfolios", Journal of Finance 72(4), 2017, with c = target
    squared. `realized_volatility` measures one from closes.
    """
    wanted, measured, most = (
        _figure("target", target),
        _price("volatility", volatility),
        _price("weight_max", weight_max),
    )
    if wanted < 0:
        raise ValueError(f"target={target} must not be negative: 0.10 is a volatility of 10 % a year")
    weight = _EXACT.divide(wanted, measured)
    if by_variance:
        weight = _EXACT.multiply(weight, weight)
    return _of_equity(min(weight, most), equity, price, step)


def kelly_fraction(
    win_probability: Number, win_loss_ratio: Number, *, share: Number = Decimal("0.5"), cap: Number = Decimal("0.2")
) -> Decimal:
    """Return the part of the equity to bet, where a bet wins *win_loss_ratio* times what it loses.

    full = p - (1 - p) / b (Kelly, "A New Interpretation of Information Rate", Bell System Technical Journal 35, 1956; with
    odds of b to 1 in Thorp, "The Kelly Criterion in Blackjack, Sports Betting, and the Stock Market", in Handbook of Asset
    and Liability Management, 2006). Estimates err, and above the full fraction more risk brings less growth: *share*
    of it is taken (one half), and never more than *cap* (0.2: the desk's share of equity in one position). Never
    negative: without an edge there is no bet. Times 100 it is the percent of `percent_of_equity`.
    """
    p, b = _figure("win_probability", win_probability), _price("win_loss_ratio", win_loss_ratio)
    if not 0 <= p <= 1:
        raise ValueError(f"win_probability={win_probability} must be from 0 to 1: 0.55 is 55 of 100")
    return _capped(_EXACT.subtract(p, _EXACT.divide(_EXACT.subtract(Decimal(1), p), b)), share, cap)


def kelly_fraction_of_returns(
    expected_return: Number,
    volatility: Number,
    *,
    rate: Number = 0,
    share: Number = Decimal("0.5"),
    cap: Number = Decimal("0.2"),
) -> Decimal:
    """Return the part of the equity to hold of what moves all the time, of a year: full = (return - rate) / volatility^2.

    Thorp (2006), section 7, the continuous approximation. *share* and *cap* as in `kelly_fraction`.
    """
    edge = _EXACT.subtract(_figure("expected_return", expected_return), _figure("rate", rate))
    spread = _price("volatility", volatility)
    return _capped(_EXACT.divide(edge, _EXACT.multiply(spread, spread)), share, cap)


def realized_volatility(closes: Iterable[Number], *, periods_per_year: int = 252) -> Decimal:
    """Return the volatility of a year: the standard deviation of log returns (n - 1) x sqrt(periods_per_year).

    252 is for daily closes; minute bars have 252 x 390. Three closes are the least: two returns.
    """
    prices = [_price(f"closes[{i}]", close) for i, close in enumerate(closes)]
    if len(prices) < 3:
        raise ValueError(f"closes={len(prices)} are too few: a deviation needs at least 3")
    if periods_per_year < 1:
        raise ValueError(f"periods_per_year={periods_per_year} must be at least 1: 252 for daily closes")
    with localcontext(_STATISTICS):
        logs = [price.ln() for price in prices]
        returns = [after - before for before, after in zip(logs, logs[1:])]
        mean = sum(returns, Decimal(0)) / len(returns)
        squares = sum(((r - mean) ** 2 for r in returns), Decimal(0))
        return (squares / (len(returns) - 1) * periods_per_year).sqrt()


def _of_equity(weight: Decimal, equity: Number, price: Number, step: Number) -> Decimal:
    held = max(_figure("equity", equity), Decimal(0))
    return fixed_notional(_EXACT.multiply(held, weight), price, step=step)


def _capped(full: Decimal, share: Number, cap: Number) -> Decimal:
    part, most = _figure("share", share), _figure("cap", cap)
    if not 0 < part <= 1:
        raise ValueError(f"share={share} must be over 0 and at most 1: 0.5 is half of Kelly's fraction")
    if not 0 < most <= 1:
        raise ValueError(f"cap={cap} must be over 0 and at most 1: 0.2 is a fifth of the equity")
    return max(Decimal(0), min(_EXACT.multiply(full, part), most))


def _price(name: str, value: Number) -> Decimal:
    figure = _figure(name, value)
    if figure <= 0:
        raise ValueError(f"{name}={value} must be over 0: wait until it is known")
    return figure


def _figure(name: str, value: Number) -> Decimal:
    """Return *value* as it is written; raise ValueError where it is none, not finite, or beyond all measure."""
    try:
        figure = Decimal(str(value))  # of a float its shortest digits: what the line said
    except InvalidOperation:
        raise ValueError(f"{name}={value!r} is no number: wait until it is known") from None
    if not figure.is_finite():
        raise ValueError(f"{name}={value} is not a finite number: wait until it is known")
    if figure.copy_abs() > MOST:
        raise ValueError(f"{name}={value} is over {MOST:E}: look at its unit")
    return figure
