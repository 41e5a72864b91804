"""Exact quantities: what is a number here, and how it is written."""

from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given

from deskd.domain.money import DIGITS_MAX, PLACES_MAX, notional, parse_decimal, plain, shown_decimal
from tests.factories import price, qty


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "not a decimal number"),
        ("ten", "not a decimal number"),
        ("1_000", "not a decimal number"),
        (" 1", "not a decimal number"),
        ("١", "not a decimal number"),  # noqa: RUF001  a digit, and not ours
        ("nan", "not a finite number"),
        ("sNaN", "not a finite number"),
        ("-Infinity", "not a finite number"),
        ("1e15", "more than 15 digits"),
        ("1e-10", "more than 9 decimal places"),
        ("1e999999999", "more than 15 digits"),
        ("1e-999999999", "more than 9 decimal places"),  # written out it would be a gigabyte
        ("1e-1000027", "more than 9 decimal places"),
        ("0" * 41, "longer than 40 characters"),
    ],
)
def test_what_is_no_quantity_is_refused_with_the_rule(text: str, rule: str) -> None:
    """Nothing that a member can type becomes work, or a number that compares false."""
    with pytest.raises(ValueError, match=rule):
        parse_decimal(text)


@given(st.decimals(-(10**DIGITS_MAX) + 1, 10**DIGITS_MAX - 1, places=PLACES_MAX))
def test_what_is_written_reads_the_same(value: Decimal) -> None:
    """No exponent, no zeros at the end, nothing lost."""
    text = plain(value)
    assert parse_decimal(text) == value
    assert "E" not in text
    assert not ("." in text and text.endswith("0"))


def test_zero_is_zero_however_it_is_written() -> None:
    """Without a sign, without places."""
    assert str(parse_decimal("-0.000")) == "0"
    assert plain(Decimal("-0E+5")) == "0"
    assert plain(Decimal("1E+3")) == "1000"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal(1) / 3, "0.333333333"),
        (Decimal(-200) / 3, "-66.666666667"),
        (Decimal("150.253000000"), "150.253"),
        (Decimal("0.057436865"), "0.057436865"),
        (Decimal("-0.0000000001"), "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal(10**15) / 7, "142857142857142.857142857"),
    ],
)
def test_what_was_divided_is_shown_to_nine_places(value: Decimal, text: str) -> None:
    """And what people and the broker name has no more: it stays as it is."""
    assert shown_decimal(value) == text


def test_a_notional_is_exact() -> None:
    """Nine places of shares at nine of price: nothing is rounded."""
    assert notional(qty("0.057436865"), price("86.88")) == Decimal("4.99011483120")
