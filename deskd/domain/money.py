"""Exact quantities. Decimal only: a float NaN compares false, and a check built on it lets the order through."""

from decimal import Decimal, InvalidOperation
from typing import NewType

Qty = NewType("Qty", Decimal)  # shares: positive on an order, signed on a position
Price = NewType("Price", Decimal)  # US dollars a share
Cash = NewType("Cash", Decimal)  # US dollars

ZERO = Decimal(0)
NO_QTY = Qty(ZERO)
NO_CASH = Cash(ZERO)
DIGITS_MAX = 15  # before the point: over any real price or quantity, under what turns exact sums into work
PLACES_MAX = 9  # after it: Alpaca's fractional quantities

_TEXT_MAX = 40  # a longer numeral is an attack or a mistake


def notional(qty: Qty, price: Price) -> Cash:
    """Return the cash value of *qty* shares at *price*."""
    return Cash(qty * price)


def parse_decimal(text: str) -> Decimal:
    """Return *text* as a finite Decimal within DIGITS_MAX and PLACES_MAX; raise ValueError with the rule broken."""
    if len(text) > _TEXT_MAX:
        raise ValueError(f"is longer than {_TEXT_MAX} characters")
    if not text.isascii() or "_" in text or text != text.strip():
        raise ValueError("is not a decimal number")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("is not a decimal number") from None
    if not value.is_finite():
        raise ValueError("is not a finite number")
    if value == 0:
        return Decimal(0)
    if value.adjusted() >= DIGITS_MAX:
        raise ValueError(f"has more than {DIGITS_MAX} digits before the decimal point")
    if value.adjusted() < -PLACES_MAX:  # normalize() would make a zero of 1e-999999999, and format() a gigabyte
        raise ValueError(f"has more than {PLACES_MAX} decimal places")
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent < -PLACES_MAX:
        raise ValueError(f"has more than {PLACES_MAX} decimal places")
    return value


def plain(value: Decimal) -> str:
    """Return *value* without exponent and without trailing zeros: `10`, `150.25`, `0.057436865`."""
    if not value:
        return "0"
    text = str(value)  # a third of what format takes, and most figures are written so already
    if "E" in text:
        text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown_decimal(value: Decimal) -> str:
    """Return *value* plain, to PLACES_MAX places: where it is shown, in JSON too, and not folded.

    Quantities and prices have no more, and stay exact; what was divided (a mean price, and what rests on one) has 28
    digits of which nobody can use the last.
    """
    text = plain(value)
    point = text.find(".")
    return text if point < 0 or len(text) - point - 1 <= PLACES_MAX else plain(round(value, PLACES_MAX))
