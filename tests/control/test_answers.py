"""The forms that answers have take what the desk says, and nothing that a program would misread."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.control import answers, views
from deskd.domain.money import plain, shown_decimal
from deskd.domain.order import OrderStatus
from deskd.ledger.codec import stamp


def pattern(kind: object) -> str:
    return str(msgspec.json.schema(kind)["pattern"])


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_written_without_exponent(value: Decimal) -> None:
    """Whatever reads decimals reads it, rounded for people or exact as the books have it."""
    assert re.fullmatch(pattern(answers.DecimalText), shown_decimal(value))
    assert re.fullmatch(pattern(answers.ExactText), plain(value))


@pytest.mark.parametrize("text", ["1E+3", "NaN", "", "1.", ".5", "1,000"])
def test_what_is_no_plain_decimal_is_not_of_the_form(text: str) -> None:
    """A schema that takes everything says nothing."""
    assert not re.fullmatch(pattern(answers.DecimalText), text)


@given(st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  hypothesis wants it naive
def test_an_instant_is_utc(at: datetime) -> None:
    """Whether the ledger or the desk itself says it."""
    for text in (stamp(at), views.instant(at)):
        assert re.fullmatch(pattern(answers.Instant), text)


def test_a_word_is_one_of_those_there_are() -> None:
    """The schema lists them, and so does the page."""
    assert msgspec.json.schema(answers.OrderWord)["enum"] == [str(status) for status in OrderStatus]
    assert msgspec.json.schema(answers.RunWord)["enum"][-1] == "broken"
